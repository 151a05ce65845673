//! What is asked for from outside: a period, pressure, a signal; also where memory is swapped out or locked.

use super::*;

fn periodic(period: u64) -> Rules {
    Rules { period, defer: SECOND, ..Rules::default() }
}

const PRESSURE: Asked = Asked { pressure: true, signal: false };
const SIGNAL: Asked = Asked { pressure: false, signal: true };

#[test]
fn a_period_is_counted_from_the_end_of_the_last_trim() {
    let mut host = Host::new(Rules { interval: 5, ..periodic(60 * SECOND) });
    assert_eq!((host.wait_point(), host.until_next()), (Decision::Rest, 60 * SECOND));
    host.now += 40 * SECOND;
    host.answer(5, 0);
    assert_eq!(host.triggers(), [Trigger::Requests]);
    host.now += 59 * SECOND;
    assert_eq!(host.wait_point(), Decision::Rest, "any trim counts");
    host.now += SECOND;
    host.wait_point();
    assert_eq!(host.triggers(), [Trigger::Requests, Trigger::Period]);
    host.now -= host.cost;
    host.now += 60 * SECOND;
    host.wait_point();
    assert_eq!(host.trims.len(), 2, "its own length does not count");
    host.now += host.cost;
    host.wait_point();
    assert_eq!(host.trims.len(), 3);
    assert_eq!(host.looks, 0);
}

#[test]
fn the_thread_needs_no_request_and_no_wait_point() {
    let mut host = Host::new(periodic(SECOND));
    for _ in 0..10 {
        if let (Decision::Rest, time) = host.in_background() {
            host.now = time;
        }
    }
    assert_eq!(host.triggers(), [Trigger::Period; 5]);
}

#[test]
fn what_the_thread_makes_due_the_next_wait_point_takes() {
    let mut host = Host::new(periodic(60 * SECOND));
    host.in_background();
    host.now += 60 * SECOND;
    host.in_flight = 1;
    assert_eq!(host.in_background(), (Decision::Rest, host.now + SECOND));
    assert!(host.policy.is_due());
    // A wait point of a process with a thread does not watch the time.
    host.rules.period = 0;
    host.in_flight = 0;
    host.now += MILLISECOND;
    host.wait_point();
    assert_eq!(host.triggers(), [Trigger::Period]);
}

#[test]
fn the_thread_waits_no_longer_than_a_trim_may_be_deferred() {
    let mut host = Host::new(periodic(60 * SECOND));
    host.in_flight = 1;
    host.asked = SIGNAL;
    assert_eq!(host.in_background(), (Decision::Rest, host.now + SECOND));
    host.now += SECOND;
    host.in_background();
    assert_eq!(host.triggers(), [Trigger::Signal]);
}

/// The thread must not disturb the watch for quiet, which is the wait points' own.
#[test]
fn the_thread_does_not_take_activity_for_quiet() {
    let mut host = Host::new(Rules { idle: SECOND, ..periodic(60 * SECOND) });
    host.rss = Some(60 * MB);
    for _ in 0..30 {
        host.answer(1, SECOND / 2);
        host.in_background();
    }
    assert_eq!(host.trims, []);
}

#[test]
fn pressure_is_held_off_for_two_seconds_after_a_trim_for_it() {
    let mut host = Host::new(Rules { defer: SECOND, overhead: PERCENT, ..Rules::default() });
    let mut at = Vec::new();
    let start = host.now;
    for _ in 0..100 {
        host.asked = PRESSURE;
        if let (Decision::Trim { .. }, _) = host.in_background() {
            at.push(host.now - start);
        }
        host.now += 100 * MILLISECOND;
    }
    assert_eq!(host.triggers(), vec![Trigger::Pressure; at.len()]);
    assert!((4..=5).contains(&at.len()), "{at:?}");
    assert!(at.windows(2).all(|pair| pair[1] - pair[0] >= PRESSURE_HOLD_OFF), "{at:?}");
    // What was passed over is forgotten: pressure that lasts is told of again.
    host.now += 10 * SECOND;
    assert_eq!(host.in_background(), (Decision::Rest, u64::MAX));
}

/// When a process whose memory is swapped out is trimmed for pressure that lasts; `gain` is what a trim changes its RSS by.
fn trims_under_pressure_when_swapped_out(start: u64, seconds: u64, gain: i64) -> Vec<u64> {
    let mut host = Host::new(Rules { defer: SECOND, overhead: 1, ..Rules::default() });
    (host.now, host.swapped) = (start, true);
    let mut at = Vec::new();
    while host.now < start + seconds * SECOND {
        host.asked = PRESSURE;
        let moment = host.moment();
        let (decision, next) = host.policy.decide_in_background(&host.rules, moment);
        if let Decision::Trim { .. } = decision {
            at.push(host.now - start);
            let before = host.rss;
            host.rss = before.map(|rss| rss.saturating_add_signed(-gain));
            host.trim(Trigger::Pressure, before);
        }
        // The thread comes back when it is told to, or when there is pressure again.
        host.now += next.time.saturating_sub(host.now).clamp(MILLISECOND, SECOND / 10);
    }
    at
}

#[test]
fn processes_that_are_swapped_out_do_not_trim_together_under_pressure() {
    let first = |start| trims_under_pressure_when_swapped_out(start, 10, MB as i64)[0];
    let times: Vec<u64> = (0..16).map(|n| first(100 * SECOND + n * 1_234_567)).collect();
    assert!(times.iter().all(|&time| time <= PRESSURE_SPREAD), "{times:?}");
    let (least, most) = (times.iter().min().expect("one"), times.iter().max().expect("one"));
    assert!(most - least > PRESSURE_SPREAD / 2, "{times:?}");
}

#[test]
fn pressure_trims_that_read_in_more_than_they_release_come_seldom() {
    let gains = trims_under_pressure_when_swapped_out(100 * SECOND, 300, MB as i64);
    assert!(gains.len() > 40, "{gains:?}");
    let losses = trims_under_pressure_when_swapped_out(100 * SECOND, 300, -(MB as i64));
    assert!((3..=8).contains(&losses.len()), "{losses:?}");
    assert!(losses.windows(3).all(|three| three[2] - three[1] > three[1] - three[0]), "{losses:?}");
}

/// Trims of a process whose memory is locked; it answers ten times a second.
fn locked(host: &mut Host, seconds: u64) {
    host.locked = true;
    host.floor = host.rss.expect("known");
    host.answer(10 * seconds, SECOND / 10);
}

#[test]
fn trims_of_locked_memory_wait_twice_as_long_each_time() {
    let mut host = Host::new(every(1));
    locked(&mut host, 600);
    assert!((8..=12).contains(&host.trims.len()), "{:?}", host.trims);
    let counts = host.counts();
    assert!(counts[1..8].windows(3).all(|three| three[2] - three[1] > three[1] - three[0]), "{counts:?}");
}

#[test]
fn who_asks_for_a_trim_of_locked_memory_gets_it() {
    let mut host = Host::new(every(1));
    locked(&mut host, 60);
    let before = host.trims.len();
    host.asked = SIGNAL;
    host.wait_point();
    assert_eq!(host.trims.len(), before + 1);
    assert_eq!(host.triggers().last(), Some(&Trigger::Signal));
}

#[test]
fn memory_that_is_unlocked_is_trimmed_as_ever() {
    let mut host = Host::new(every(1));
    locked(&mut host, 60);
    host.locked = false;
    host.answer(10 * 60, SECOND / 10);
    let before = host.trims.len();
    host.answer(20, SECOND / 10);
    assert_eq!(host.trims.len(), before + 20);
}

#[test]
fn a_trim_within_the_noise_brought_nothing() {
    let trimmed = |before, after| Trimmed { before, after, ..Trimmed::default() };
    assert!(!trimmed(Some(100 * MB), Some(99 * MB)).brought(NOISE));
    assert!(!trimmed(Some(100 * MB), Some(101 * MB)).brought(NOISE));
    assert!(trimmed(Some(100 * MB), Some(90 * MB)).brought(NOISE));
    assert!(trimmed(None, Some(90 * MB)).brought(NOISE));
}

#[test]
fn a_signal_asks_for_one_trim() {
    let mut host = Host::new(Rules { defer: SECOND, ..Rules::default() });
    assert_eq!(host.in_background(), (Decision::Rest, u64::MAX));
    host.asked = SIGNAL;
    host.in_background();
    for _ in 0..10 {
        host.now += SECOND;
        host.wait_point();
        host.in_background();
    }
    assert_eq!(host.triggers(), [Trigger::Signal]);
}

/// Who sent a signal looks for it in the log.
#[test]
fn a_trim_that_was_due_already_is_named_after_the_signal() {
    let mut host = Host::new(every(5));
    host.in_flight = 1;
    host.answer(5, 0);
    host.asked = SIGNAL;
    host.in_flight = 0;
    host.wait_point();
    assert_eq!(host.triggers(), [Trigger::Signal]);
    host.answer(4, MILLISECOND);
    assert_eq!(host.trims.len(), 1, "it counts as the other one too");
}

/// A request, growth, a signal and pressure at every step, a period of one step, on the thread and at wait points.
#[test]
fn all_triggers_together_stay_within_the_budget() {
    for overhead in [1, 5, 20] {
        let growth = Growth { bytes: MB, share: 0 };
        let all = Rules {
            interval: 1,
            growth,
            idle: 5 * MILLISECOND,
            overhead: overhead * PERCENT,
            ..periodic(10 * MILLISECOND)
        };
        let mut host = Host::new(all);
        host.cost = 30 * MILLISECOND;
        let start = host.now;
        let mut step = 0;
        while host.now < start + 60 * SECOND {
            step += 1;
            host.rss = Some(60 * MB);
            host.requests += 1;
            host.asked = Asked { pressure: step % 3 == 0, signal: step % 5 == 0 };
            if step % 2 == 0 {
                host.in_background();
            } else {
                host.wait_point();
            }
            host.now += 10 * MILLISECOND;
            let spent = host.trims.len() as u64 * host.cost;
            let allowed = (host.now - start) / 100 * overhead + BURST;
            assert!(spent <= allowed, "{spent} of {allowed} ns after {} trims", host.trims.len());
        }
        let used = host.trims.len() as u64 * host.cost;
        assert!(used >= 60 * SECOND / 100 * overhead / 2, "the budget is used: {used} ns at {overhead} %");
        let kinds: std::collections::BTreeSet<_> = host.triggers().iter().map(|trigger| trigger.name()).collect();
        assert!(kinds.len() >= 3, "{kinds:?}");
    }
}
