//! The policy driven by a fake clock and a fake RSS.

use super::*;
use crate::decide::budget::{ALLOWANCE, BURST, BYTES_PER_NANOSECOND, COST};
use crate::decide::collection::COLLECTED_WITHIN;
use crate::decide::outside::{PRESSURE_HOLD_OFF, PRESSURE_SPREAD};
use crate::decide::rules::Asked;

const MB: u64 = 1 << 20;

/// A process at a wait point every time it is asked, with a clock and an RSS that the test sets.
struct Host {
    policy: Policy,
    rules: Rules,
    /// What the last decision said of the next.
    next: Next,
    now: u64,
    /// CPU time that the process has used: while it answers, and in quiet if it works.
    cpu: u64,
    works: bool,
    /// When bytes came or went last, and whether the policy does not know.
    active_at: u64,
    active: bool,
    ended: bool,
    /// Whether the kernel has work for this thread at each wait point.
    somebody_waits: bool,
    between_tasks: bool,
    requests: u64,
    in_flight: u64,
    seen_in_flight: u64,
    asked: Asked,
    rss: Option<u64>,
    /// How often RSS was measured.
    looks: u32,
    trims: Vec<(Trigger, u64)>,
    /// Whether a trim may wait for a collection.
    collects: bool,
    /// What one takes where the main thread comes by at once; `None` where it never does.
    pause: Option<u64>,
    /// What one took that the policy does not know of yet, how many there were, and whether each trim had one.
    collected: u64,
    collections: u32,
    trims_with: Vec<bool>,
    /// What a trim takes, and what it leaves.
    cost: u64,
    floor: u64,
    /// Whether memory is swapped out, or locked.
    swapped: bool,
    locked: bool,
}

impl Host {
    fn new(rules: Rules) -> Host {
        Host {
            policy: Policy { least: 40 * MB, left: 40 * MB, low: 40 * MB, ..Policy::default() },
            rules,
            next: Next { requests: 0, look: 0, time: 0, worth: true },
            now: SECOND,
            cpu: 0,
            works: false,
            active_at: 0,
            active: false,
            ended: false,
            somebody_waits: false,
            between_tasks: false,
            requests: 0,
            in_flight: 0,
            seen_in_flight: 0,
            asked: Asked::default(),
            rss: Some(40 * MB),
            looks: 0,
            trims: Vec::new(),
            collects: false,
            pause: None,
            collected: 0,
            collections: 0,
            trims_with: Vec::new(),
            cost: MILLISECOND,
            floor: 40 * MB,
            swapped: false,
            locked: false,
        }
    }

    /// One wait point; a trim is carried out. The policy is asked only where its own hints say that it has
    /// something to do, as at a real wait point.
    fn wait_point(&mut self) -> Decision {
        if core::mem::replace(&mut self.seen_in_flight, self.in_flight) != self.in_flight {
            (self.active, self.active_at) = (true, self.now);
        }
        let Next { requests, look, time, .. } = self.next;
        let quiet = self.active && self.rules.idle != 0 && self.now >= self.active_at + self.rules.idle;
        let is_time = self.requests >= requests || self.now >= time || self.active && self.now >= look || quiet;
        if !is_time && self.asked == Asked::default() && self.collected == 0 && !self.ended {
            return Decision::Rest;
        }
        let decision = self.decide();
        match (decision, self.pause) {
            (Decision::Trim { ask: true, .. }, _) if self.somebody_waits => {
                self.next = self.policy.somebody_waits(&self.rules, self.now);
            }
            (Decision::Trim { trigger, .. }, _) => {
                let before = self.rss;
                self.rss = before.map(|rss| rss.min(self.floor));
                self.trim(trigger, before);
                self.decide();
            }
            (Decision::Collect { .. }, Some(pause)) => {
                self.pass(pause);
                self.collected = pause;
                self.collections += 1;
            }
            _ => {}
        }
        decision
    }

    fn decide(&mut self) -> Decision {
        let moment = self.moment();
        let (rss, looks) = (self.rss, &mut self.looks);
        let (decision, next) = self.policy.decide(&self.rules, moment, || {
            *looks += 1;
            rss
        });
        self.next = next;
        decision
    }

    /// Nanoseconds until the next decision.
    fn until_next(&self) -> u64 {
        self.next.time.saturating_sub(self.now)
    }

    /// Time passes, in which the process works or does not.
    fn pass(&mut self, nanoseconds: u64) {
        self.now += nanoseconds;
        self.cpu += if self.works { nanoseconds } else { 0 };
    }

    /// Nothing comes or goes for so long; the thread wakes when there is something to decide.
    fn rest(&mut self, nanoseconds: u64) {
        let end = self.now + nanoseconds;
        while self.now < end {
            let quiet = if self.active && self.rules.idle != 0 { self.active_at + self.rules.idle } else { u64::MAX };
            let until = self.next.time.min(quiet).clamp(self.now + MILLISECOND, end);
            self.pass(until - self.now);
            self.wait_point();
        }
    }

    fn moment(&mut self) -> Moment {
        let (asked, collected) = (core::mem::take(&mut self.asked), core::mem::take(&mut self.collected));
        self.active = false;
        Moment {
            now: self.now,
            cpu: self.cpu,
            requests: self.requests,
            active_at: self.active_at,
            in_flight: self.in_flight,
            ended: core::mem::take(&mut self.ended),
            between_tasks: self.between_tasks,
            asked,
            swapped: self.swapped,
            collects: self.collects,
            collected,
        }
    }

    fn trim(&mut self, trigger: Trigger, before: Option<u64>) {
        self.trims.push((trigger, self.requests));
        self.trims_with.push(self.policy.pause() != 0);
        (self.now, self.cpu) = (self.now + self.cost, self.cpu + self.cost);
        let effect = Trimmed { took: self.cost, before, after: self.rss, locked: self.locked };
        self.policy.trimmed(&self.rules, self.requests, self.now, self.cpu, effect);
    }

    /// Answers `count` requests, with a wait point and a pause of `pause` nanoseconds after each.
    fn answer(&mut self, count: u64, pause: u64) {
        for _ in 0..count {
            self.requests += 1;
            (self.active, self.active_at) = (true, self.now);
            self.wait_point();
            (self.now, self.cpu) = (self.now + pause, self.cpu + pause);
        }
    }

    /// One look of the thread, which comes when it said it would.
    fn in_background(&mut self) -> (Decision, u64) {
        let moment = self.moment();
        let (decision, next) = self.policy.decide_in_background(&self.rules, moment);
        if let Decision::Trim { trigger, .. } = decision {
            self.trim(trigger, self.rss);
        }
        (decision, next.time)
    }

    fn triggers(&self) -> Vec<Trigger> {
        self.trims.iter().map(|&(trigger, _)| trigger).collect()
    }

    fn counts(&self) -> Vec<u64> {
        self.trims.iter().map(|&(_, requests)| requests).collect()
    }
}

fn every(interval: u64) -> Rules {
    Rules { interval, exact: true, defer: SECOND, ..Rules::default() }
}

fn on_growth(bytes: u64) -> Rules {
    Rules { growth: Growth { bytes, share: 0 }, defer: SECOND, ..Rules::default() }
}

fn on_quiet(idle: u64) -> Rules {
    Rules { idle, defer: SECOND, ..Rules::default() }
}

#[test]
fn a_trim_comes_after_every_interval() {
    let mut host = Host::new(every(5));
    host.answer(20, MILLISECOND);
    assert_eq!(host.counts(), [5, 10, 15, 20]);
    assert_eq!(host.looks, 0, "counting alone needs no measurement");
}

#[test]
fn several_requests_between_two_wait_points_make_one_trim() {
    let mut host = Host::new(every(5));
    host.requests = 17;
    host.wait_point();
    host.wait_point();
    assert_eq!(host.counts(), [17]);
    host.answer(5, MILLISECOND);
    assert_eq!(host.counts(), [17, 22], "the next interval begins at the trim");
}

#[test]
fn jitter_adds_at_most_so_many_requests_and_differs_between_trims() {
    let mut host = Host::new(Rules { jitter: 10, ..every(100) });
    host.answer(20_000, MILLISECOND);
    let mut last = 0;
    let mut distances = Vec::new();
    for requests in host.counts() {
        distances.push(requests - last);
        last = requests;
    }
    assert!(distances.iter().all(|distance| (100..=110).contains(distance)), "{distances:?}");
    distances.sort();
    distances.dedup();
    assert!(distances.len() > 5, "{distances:?}");
}

#[test]
fn growth_over_the_floor_makes_a_trim_due() {
    let mut host = Host::new(on_growth(8 * MB));
    host.answer(10, 10 * MILLISECOND);
    assert_eq!(host.trims, []);
    host.rss = Some(48 * MB);
    host.answer(1, 10 * MILLISECOND);
    assert_eq!(host.trims, [(Trigger::Growth, 11)]);
}

#[test]
fn the_floor_follows_what_a_trim_cannot_release() {
    let mut host = Host::new(on_growth(8 * MB));
    host.floor = 60 * MB;
    host.rss = Some(60 * MB);
    host.answer(1, 10 * MILLISECOND);
    host.rss = Some(67 * MB);
    host.answer(1, 10 * MILLISECOND);
    assert_eq!(host.counts(), [1], "60 MB is the floor now");
    host.rss = Some(68 * MB);
    host.answer(1, 10 * MILLISECOND);
    assert_eq!(host.counts(), [1, 3]);
}

#[test]
fn a_share_of_a_large_floor_counts_more_than_a_small_size() {
    let growth = Growth { bytes: 8 * MB, share: 5 * PERCENT };
    assert_eq!(growth.limit(40 * MB), 48 * MB);
    assert!(growth.limit(4096 * MB) >= 4096 * MB + 204 * MB);
    assert_eq!(growth.limit(u64::MAX), u64::MAX);
}

#[test]
fn rss_is_measured_at_most_every_few_milliseconds_and_only_after_answers() {
    let mut host = Host::new(on_growth(8 * MB));
    host.answer(1_000, 100_000);
    assert!((15..=25).contains(&host.looks), "{} looks in 100 ms", host.looks);
    let looks = host.looks;
    host.now += SECOND;
    host.wait_point();
    for _ in 0..100 {
        host.now += SECOND;
        host.wait_point();
    }
    assert!(host.looks <= looks + 1, "nothing was answered meanwhile");
}

#[test]
fn quiet_after_activity_trims_once() {
    let mut host = Host::new(on_quiet(SECOND));
    host.rss = Some(60 * MB);
    host.answer(3, MILLISECOND);
    for _ in 0..10 {
        host.now += SECOND;
        host.wait_point();
    }
    assert_eq!(host.trims, [(Trigger::Idle, 3)]);
    assert_eq!(host.wait_point(), Decision::Rest, "nothing to watch for until the next request");
    host.rss = Some(60 * MB);
    host.answer(1, SECOND);
    host.wait_point();
    assert_eq!(host.triggers(), [Trigger::Idle, Trigger::Idle]);
}

#[test]
fn requests_push_the_quiet_moment_away() {
    let mut host = Host::new(on_quiet(SECOND));
    host.rss = Some(60 * MB);
    host.answer(10, SECOND / 2);
    assert_eq!(host.trims, []);
}

#[test]
fn quiet_without_growth_is_left_alone() {
    let mut host = Host::new(on_quiet(SECOND));
    host.rss = Some(40 * MB + 100_000);
    host.answer(3, MILLISECOND);
    host.now += 2 * SECOND;
    assert_eq!(host.wait_point(), Decision::Rest);
    assert_eq!((host.trims.len(), host.looks), (0, 1));
    assert_eq!(host.policy.counts, Counts { deferred: 0, skipped: 0, no_growth: 1 });
}

#[test]
fn a_due_trim_waits_until_nothing_is_in_flight() {
    let mut host = Host::new(every(5));
    host.in_flight = 1;
    host.answer(5, 0);
    host.now += SECOND / 2;
    host.wait_point();
    assert!(host.until_next() <= SECOND / 2);
    assert_eq!(host.trims, []);
    host.in_flight = 0;
    host.wait_point();
    assert_eq!(host.trims, [(Trigger::Requests, 5)]);
    assert_eq!(host.policy.counts, Counts { deferred: 1, skipped: 0, no_growth: 0 });
}

#[test]
fn but_no_longer_than_it_may_be_deferred() {
    let mut host = Host::new(every(5));
    host.in_flight = 1;
    host.answer(5, 0);
    host.now += SECOND;
    host.wait_point();
    assert_eq!(host.trims, [(Trigger::Requests, 5)]);
}

#[test]
fn a_quiet_moment_needs_nothing_in_flight() {
    let mut host = Host::new(Rules { defer: 100 * SECOND, ..on_quiet(SECOND) });
    host.rss = Some(60 * MB);
    host.answer(3, 0);
    host.in_flight = 1;
    host.now += 2 * SECOND;
    host.wait_point();
    assert_eq!(host.trims, []);
    host.in_flight = 0;
    host.wait_point();
    host.now += SECOND;
    host.wait_point();
    assert_eq!(host.triggers(), [Trigger::Idle]);
}

#[test]
fn a_long_request_is_no_reason_to_look_all_the_time() {
    let mut host = Host::new(on_quiet(SECOND));
    host.rss = Some(60 * MB);
    host.answer(1, 0);
    host.in_flight = 1;
    for _ in 0..5 {
        host.now += SECOND;
        assert_eq!((host.wait_point(), host.until_next()), (Decision::Rest, SECOND));
    }
}

/// Also where it is a fraction of a percent; and half as much time is half as many trims.
#[test]
fn time_in_trims_stays_within_the_budget() {
    for (overhead, least) in [(PERCENT, 12u64), (PERCENT / 2, 6), (PERCENT / 10, 2), (PERCENT * 5 / 2, 30)] {
        let mut host = Host::new(Rules { overhead, ..every(1) });
        host.cost = 50 * MILLISECOND;
        let start = host.now;
        while host.now < start + 60 * SECOND {
            host.answer(1, 10 * MILLISECOND);
            let spent = host.trims.len() as u64 * host.cost;
            let allowed = (host.now - start) / (100 * PERCENT) * overhead + BURST;
            assert!(spent <= allowed + MILLISECOND, "{spent} of {allowed} ns");
        }
        assert!(host.trims.len() as u64 >= least, "the budget is used: {} trims", host.trims.len());
        assert!(host.policy.counts.skipped >= least / 2);
    }
}

#[test]
fn a_trim_longer_than_the_bucket_still_happens_and_is_paid_back() {
    let mut host = Host::new(Rules { overhead: PERCENT, ..every(1) });
    host.cost = 350 * MILLISECOND;
    host.answer(7_000, 10 * MILLISECOND);
    assert!((2..=3).contains(&host.trims.len()), "{} trims of 350 ms in 70 s", host.trims.len());
}

#[test]
fn without_a_budget_every_due_trim_happens() {
    let mut host = Host::new(Rules { overhead: 0, ..every(1) });
    host.cost = SECOND;
    host.answer(50, MILLISECOND);
    assert_eq!(host.trims.len(), 50);
}

#[test]
fn where_rss_cannot_be_read_counting_goes_on() {
    let mut host = Host::new(Rules { interval: 5, ..on_growth(8 * MB) });
    host.rss = None;
    host.answer(10, 10 * MILLISECOND);
    assert_eq!(host.counts(), [5, 10]);
}

#[test]
fn with_everything_off_nothing_ever_happens() {
    assert!(!Rules::default().any());
    let mut host = Host::new(Rules::default());
    host.rss = Some(u64::MAX);
    host.answer(10_000, SECOND);
    assert_eq!((host.trims.len(), host.looks), (0, 0));
}

#[test]
fn each_quiet_moment_is_noticed() {
    let mut host = Host::new(on_quiet(SECOND));
    for _ in 0..3 {
        host.rss = Some(60 * MB);
        host.answer(2, MILLISECOND);
        host.now += SECOND;
        host.wait_point();
        host.now += 100 * SECOND;
        host.wait_point();
    }
    assert_eq!(host.counts(), [2, 4, 6]);
}

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

fn collecting(rules: Rules) -> Host {
    Host { collects: true, ..Host::new(rules) }
}

#[test]
fn a_collection_comes_before_the_trim() {
    let mut host = collecting(every(5));
    host.pause = Some(20 * MILLISECOND);
    host.answer(5, MILLISECOND);
    assert_eq!((host.collections, host.trims.len()), (1, 0));
    host.wait_point();
    assert_eq!((host.collections, host.counts()), (1, vec![5]));
    assert_eq!(host.trims_with, [true]);
    host.answer(5, MILLISECOND);
    host.wait_point();
    assert_eq!((host.collections, host.counts()), (2, vec![5, 10]));
}

#[test]
fn without_the_option_there_is_none() {
    let mut host = Host::new(every(5));
    host.pause = Some(MILLISECOND);
    host.answer(50, MILLISECOND);
    assert_eq!((host.collections, host.trims.len()), (0, 10));
}

/// At first only a moment without work will do, after the deferral any; then the trim goes without.
#[test]
fn a_trim_waits_for_its_collection_but_not_for_ever() {
    let mut host = collecting(every(5));
    host.answer(5, 0);
    let due = host.now;
    let expected = Decision::Collect { insist_at: due + SECOND };
    assert_eq!((host.decide(), host.until_next()), (expected, SECOND + COLLECTED_WITHIN));
    host.now += SECOND + COLLECTED_WITHIN - MILLISECOND;
    assert_eq!((host.decide(), host.until_next()), (expected, MILLISECOND));
    host.now += MILLISECOND;
    host.wait_point();
    assert_eq!((host.counts(), host.trims_with.as_slice()), (vec![5], [false].as_slice()));
}

#[test]
fn in_quiet_it_waits_no_longer_than_a_second() {
    let mut host = collecting(on_quiet(SECOND));
    host.rules.defer = 100 * SECOND;
    host.rss = Some(60 * MB);
    host.answer(3, 0);
    host.now += SECOND;
    assert!(matches!(host.wait_point(), Decision::Collect { .. }));
    assert_eq!(host.until_next(), COLLECTED_WITHIN);
    host.now += COLLECTED_WITHIN;
    host.wait_point();
    assert_eq!(host.triggers(), [Trigger::Idle]);
}

/// The main thread came by only after the trim: what it has freed is given back too.
#[test]
fn a_collection_that_came_late_makes_a_trim_due() {
    let mut host = collecting(every(5));
    host.answer(5, 0);
    host.wait_point();
    host.now += SECOND + COLLECTED_WITHIN;
    host.wait_point();
    assert_eq!(host.trims_with, [false]);
    host.now += 10 * SECOND;
    host.collected = 20 * MILLISECOND;
    host.wait_point();
    assert_eq!((host.counts(), host.trims_with.as_slice()), (vec![5, 5], [false, true].as_slice()));
    assert_eq!(host.wait_point(), Decision::Rest);
}

#[test]
fn collections_and_trims_stay_within_one_budget() {
    for (pause, overhead) in [(10, 1), (30, 1), (100, 1), (100, 5), (400, 1)] {
        let mut host = collecting(Rules { overhead: overhead * PERCENT, ..every(1) });
        host.pause = Some(pause * MILLISECOND);
        host.cost = 5 * MILLISECOND;
        let start = host.now;
        let spent =
            |host: &Host| u64::from(host.collections) * pause * MILLISECOND + host.trims.len() as u64 * host.cost;
        while host.now < start + 120 * SECOND {
            let before = (spent(&host), host.now);
            let trims = host.trims_with.len();
            host.answer(1, 10 * MILLISECOND);
            let began = spent(&host) > before.0 && host.trims_with.get(trims) != Some(&true);
            let allowed = (before.1 - start) / 100 * overhead + BURST + MILLISECOND;
            assert!(!began || before.0 <= allowed, "{pause} ms at {overhead} %: {} of {allowed}", before.0);
        }
        let (with, without): (Vec<bool>, Vec<bool>) = host.trims_with.iter().partition(|&&with| with);
        let share = u64::from(host.collections) * pause * MILLISECOND * 100 / (120 * SECOND / 100 * overhead);
        assert!((40..=110).contains(&share), "collections take {share} % of the budget at {pause} ms and {overhead} %");
        assert_eq!(with.len(), host.collections as usize, "one trim for each collection");
        assert!(without.len() >= 10, "trims alone get their part: {} at {pause} ms", without.len());
    }
}

#[test]
fn without_a_budget_each_due_trim_has_its_collection() {
    let mut host = collecting(Rules { overhead: 0, ..every(1) });
    host.pause = Some(SECOND);
    host.answer(100, MILLISECOND);
    assert_eq!((host.collections, host.trims_with.as_slice()), (50, [true; 50].as_slice()));
}

/// A burst has spent the budget: what it left is collected in the quiet that follows, once.
#[test]
fn quiet_makes_up_for_a_collection_that_could_not_be_paid() {
    let mut host = collecting(Rules { overhead: PERCENT, idle: SECOND, ..every(50) });
    host.pause = Some(100 * MILLISECOND);
    host.answer(400, MILLISECOND);
    assert_eq!(host.collections, 1);
    assert_eq!(host.trims_with.last(), Some(&false));
    for _ in 0..200 {
        host.wait_point();
        host.now += host.until_next().clamp(10 * MILLISECOND, SECOND);
    }
    assert_eq!(host.collections, 2);
    assert_eq!((host.triggers().last(), host.trims_with.last()), (Some(&Trigger::Idle), Some(&true)));
    assert_eq!(host.wait_point(), Decision::Rest);
}

#[test]
fn extreme_values_overflow_nothing() {
    let extremes = [0, 1, u64::MAX / 2, u64::MAX - 1, u64::MAX];
    for interval in extremes {
        for other in extremes {
            // A new option need not be named here.
            #[allow(clippy::needless_update)]
            let rules = Rules {
                interval,
                exact: other > 1,
                jitter: other,
                growth: Growth { bytes: other, share: interval },
                idle: other,
                period: interval,
                defer: interval,
                overhead: other,
                ..Rules::default()
            };
            let mut policy = Policy::default();
            for now in [1, SECOND, u64::MAX - 1, u64::MAX, 5] {
                for requests in extremes {
                    let asked = Asked { pressure: other > 1, signal: other > 2 };
                    let (in_flight, collects, collected, swapped) = (other, other > 1, interval, interval > 1);
                    let moment = Moment {
                        now,
                        cpu: other,
                        requests,
                        active_at: interval,
                        in_flight,
                        ended: other > 1,
                        between_tasks: interval > 1,
                        asked,
                        swapped,
                        collects,
                        collected,
                    };
                    policy.decide(&rules, moment, || Some(interval));
                    policy.decide_in_background(&rules, moment);
                    policy.trimmed(
                        &rules,
                        requests,
                        now,
                        requests,
                        Trimmed { took: other, before: Some(other), after: Some(interval), locked: other > 1 },
                    );
                    policy.somebody_waits(&rules, now);
                }
            }
        }
    }
}

/// A process under load takes back at once all that a trim gives back.
fn takes_all_back(host: &mut Host, seconds: u64) {
    let end = host.now + seconds * SECOND;
    while host.now < end {
        host.rss = Some(80 * MB);
        host.answer(1, 10 * MILLISECOND);
    }
}

#[test]
fn page_faults_after_trims_are_paid_for() {
    let mut host =
        Host::new(Rules { growth: Growth { bytes: 4 * MB, share: 0 }, overhead: PERCENT, ..Rules::default() });
    host.cost = MILLISECOND / 10;
    takes_all_back(&mut host, 20);
    let each = host.cost + 40 * MB / BYTES_PER_NANOSECOND;
    let allowed = (20 * SECOND / 100 * COST + 20 * SECOND / 100 / ALLOWANCE + BURST) / each;
    assert!((allowed - 1..=allowed + 2).contains(&(host.trims.len() as u64)), "{} of {allowed}", host.trims.len());
}

#[test]
fn memory_that_stays_away_costs_nothing_more() {
    let mut host =
        Host::new(Rules { growth: Growth { bytes: 4 * MB, share: 0 }, overhead: PERCENT, ..Rules::default() });
    host.cost = MILLISECOND / 10;
    for trims in 1..=20 {
        // A gigabyte once, and then a little again and again.
        host.rss = Some(if trims == 1 { 1 << 30 } else { 45 * MB });
        host.answer(1, 10 * MILLISECOND);
        assert_eq!(host.trims.len(), trims);
    }
}

#[test]
fn a_trim_that_waits_for_its_budget_comes_when_it_is_quiet() {
    let growth = Growth { bytes: 4 * MB, share: 0 };
    let mut host = Host::new(Rules { growth, idle: SECOND / 2, overhead: PERCENT, ..Rules::default() });
    host.policy.budget.charge_page_faults(10 * SECOND * BYTES_PER_NANOSECOND);
    host.rss = Some(80 * MB);
    host.answer(1, 10 * MILLISECOND);
    assert_eq!((host.trims.len(), host.policy.is_due()), (0, true));
    // Before that nothing need be looked at but quiet.
    assert_eq!((host.next.requests, host.until_next()), (u64::MAX, SECOND / 2 - 10 * MILLISECOND));
    assert!(host.next.look > host.now + SECOND);
    host.answer(20, 400 * MILLISECOND);
    assert_eq!(host.triggers(), []);
    host.now += 200 * MILLISECOND;
    host.wait_point();
    assert_eq!(host.triggers(), [Trigger::Idle]);
}

#[test]
fn quiet_and_who_asks_need_not_wait_for_page_faults_to_be_paid() {
    let growth = Growth { bytes: 4 * MB, share: 0 };
    let mut host = Host::new(Rules { growth, idle: SECOND / 2, overhead: PERCENT, ..Rules::default() });
    host.cost = MILLISECOND / 10;
    host.floor = 20 * MB;
    takes_all_back(&mut host, 5);
    host.rss = Some(1 << 30);
    host.policy.budget.charge_page_faults(SECOND * BYTES_PER_NANOSECOND);
    host.asked.signal = true;
    host.wait_point();
    assert_eq!(host.trims.last().map(|trim| trim.0), Some(Trigger::Signal));
    host.rss = Some(80 * MB);
    host.answer(1, SECOND);
    host.wait_point();
    assert_eq!(host.trims.last().map(|trim| trim.0), Some(Trigger::Idle));
}

// ---- what there is to gain -----------------------------------------------------------------------------------------

/// The defaults, with which a process begins that has never been trimmed.
fn by_default(start: u64) -> Host {
    let growth = Growth { bytes: 4 * MB, share: 5 * PERCENT };
    let rules = Rules { interval: 1024, growth, idle: SECOND, defer: SECOND, overhead: PERCENT, ..Rules::default() };
    let mut host = Host::new(rules);
    host.policy = Policy::default();
    host.policy.begin(start);
    (host.rss, host.floor) = (Some(start), start);
    host
}

impl Host {
    /// Bytes come or go on a connection, and nothing is answered.
    fn moves(&mut self) {
        (self.active, self.active_at) = (true, self.now);
        self.wait_point();
    }

    /// So much is live from now on.
    fn holds(&mut self, live: u64) {
        self.floor = live;
        self.rss = self.rss.map(|rss| rss.max(live));
    }
}

#[test]
fn the_first_quiet_moment_trims_what_start_has_left() {
    let mut host = by_default(60 * MB);
    host.floor = 12 * MB;
    host.answer(1, MILLISECOND);
    host.rest(2 * SECOND);
    assert_eq!((host.triggers().as_slice(), host.rss), ([Trigger::Idle].as_slice(), Some(12 * MB)));
    host.answer(1, MILLISECOND);
    host.rest(600 * SECOND);
    assert_eq!(host.trims.len(), 1, "once");
}

/// The answer is there at once, the work goes on for a minute, in which its memory is live: with and without CPU time.
#[test]
fn memory_of_work_after_the_answer_comes_back_soon_after_it() {
    for (seconds, works) in [(4, true), (4, false), (12, true), (47, true), (60, true), (250, true)] {
        let mut host = by_default(11 * MB);
        host.answer(1, MILLISECOND);
        host.rest(2 * SECOND);
        host.holds(207 * MB);
        host.answer(1, MILLISECOND);
        host.works = works;
        host.rest(seconds * SECOND);
        let (end, tries) = (host.now, host.trims.len());
        assert!(tries <= 2 + (seconds.ilog2() as usize + 1), "{tries} trims in {seconds} s in which nothing was free");
        // To free it takes a little.
        host.works = true;
        host.rest(50 * MILLISECOND);
        host.works = false;
        host.floor = 11 * MB;
        while host.rss != Some(11 * MB) {
            host.rest(10 * MILLISECOND);
            let grain = SECOND * seconds / 16;
            assert!(
                host.now < end + 2 * SECOND + grain,
                "{seconds} s: still held {} ms later",
                (host.now - end) / MILLISECOND
            );
        }
    }
}

#[test]
fn a_slow_request_beside_probes_is_tidied_up_after() {
    let mut host = by_default(11 * MB);
    host.answer(2, SECOND / 2);
    host.holds(207 * MB);
    for probe in 0..20 {
        // It lingers after three seconds.
        host.in_flight = u64::from(probe < 6);
        host.answer(1, SECOND / 2);
    }
    assert!(host.trims.len() <= 6, "{:?}", host.trims);
    host.ended = true;
    host.floor = 11 * MB;
    host.answer(1, SECOND / 2);
    assert_eq!((host.trims.last().map(|trim| trim.0), host.rss), (Some(Trigger::Growth), Some(11 * MB)));
}

#[test]
fn what_is_pushed_or_received_without_an_answer_is_activity() {
    let mut host = by_default(13 * MB);
    host.answer(1, MILLISECOND);
    host.rest(2 * SECOND);
    host.rss = Some(209 * MB);
    for _ in 0..3 {
        host.moves();
        host.pass(40 * MILLISECOND);
    }
    assert_eq!((host.triggers().last(), host.rss), (Some(&Trigger::Growth), Some(13 * MB)));
}

/// A server that holds what it has: neither its count nor its growth over what it began with makes it walk its heap for ever.
#[test]
fn a_flat_heap_is_left_alone_more_and_more() {
    let mut host = by_default(11 * MB);
    host.holds(800 * MB);
    host.cost = 200 * MILLISECOND;
    let mut trims = Vec::new();
    for _ in 0..60 {
        host.answer(50 * 60, SECOND / 50);
        trims.push(host.trims.len());
    }
    assert!(trims[9] <= 10, "{trims:?}");
    assert!(trims[59] - trims[19] <= 9, "one in five minutes: {trims:?}");
    assert!(host.policy.counts.no_growth > 100);
    assert_eq!(host.policy.low, 800 * MB, "so much is needed");
}

#[test]
fn but_an_interval_that_was_asked_for_is_kept() {
    let mut host = by_default(11 * MB);
    host.rules = Rules { interval: 10, exact: true, overhead: 0, growth: Growth::default(), idle: 0, ..host.rules };
    host.holds(800 * MB);
    host.somebody_waits = true;
    host.answer(1_000, SECOND / 50);
    assert_eq!(host.trims.len(), 100);
}

/// A cache that was live for an hour and is dropped without a word.
#[test]
fn what_was_believed_to_be_needed_is_tried_again() {
    let mut host = by_default(11 * MB);
    host.holds(200 * MB);
    host.answer(3_600 * 10, SECOND / 10);
    let tries = host.trims.len();
    host.floor = 11 * MB;
    host.answer(400 * 10, SECOND / 10);
    assert_eq!(host.rss, Some(11 * MB));
    assert!(host.trims.len() <= tries + 2);
}

#[test]
fn nobody_is_kept_waiting_but_not_for_ever() {
    let mut host = by_default(11 * MB);
    host.answer(1, MILLISECOND);
    host.rest(2 * SECOND);
    let trims = host.trims.len();
    host.rss = Some(100 * MB);
    host.somebody_waits = true;
    host.answer(90, 10 * MILLISECOND);
    assert_eq!((host.trims.len(), host.policy.counts.deferred), (trims, 1));
    host.answer(15, 10 * MILLISECOND);
    assert_eq!(host.trims.len(), trims + 1, "a second is over");
    host.rss = Some(100 * MB);
    host.answer(2, 10 * MILLISECOND);
    host.somebody_waits = false;
    host.answer(1, 10 * MILLISECOND);
    assert_eq!(host.trims.len(), trims + 2);
}

#[test]
fn a_long_trim_waits_for_quiet_unless_there_is_much_to_gain() {
    let mut host = by_default(100 * MB);
    host.rules.overhead = 0;
    host.cost = 50 * MILLISECOND;
    host.answer(1, MILLISECOND);
    host.rest(2 * SECOND);
    let trims = host.trims.len();
    host.rss = Some(150 * MB);
    host.answer(3_000, SECOND / 10);
    assert_eq!(host.trims.len(), trims);
    host.rest(2 * SECOND);
    assert_eq!((host.trims.len(), host.triggers().last()), (trims + 1, Some(&Trigger::Idle)));
    host.rss = Some(150 * MB);
    host.answer(6_100, SECOND / 10);
    assert_eq!(host.trims.len(), trims + 2, "ten minutes are enough");
    host.rss = Some(250 * MB);
    host.answer(2, SECOND / 10);
    assert_eq!(host.trims.len(), trims + 3, "more than twice what is needed");
}

/// A worker between two tasks: its memory is free when it waits.
#[test]
fn a_task_worker_is_trimmed_at_its_next_wait() {
    let mut host = by_default(0);
    host.policy = Policy::default();
    host.rss = Some(177 * MB);
    host.floor = 13 * MB;
    host.between_tasks = true;
    host.moves();
    assert_eq!((host.triggers().as_slice(), host.rss), ([Trigger::Idle].as_slice(), Some(13 * MB)));
    host.pass(10 * SECOND);
    host.rss = Some(177 * MB);
    host.moves();
    assert_eq!((host.trims.len(), host.rss), (2, Some(13 * MB)));
}

#[test]
fn a_clock_that_is_set_back_keeps_nobody_waiting() {
    let mut host = by_default(11 * MB);
    host.rules.period = 60 * SECOND;
    host.now = 1_000_000 * SECOND;
    host.answer(1, MILLISECOND);
    host.rss = Some(100 * MB);
    host.answer(1, MILLISECOND);
    let trims = host.trims.len();
    host.now = 5 * SECOND;
    host.rss = Some(100 * MB);
    // What wakes it is its timer, which is no clock.
    host.next.time = 0;
    host.answer(2, 10 * MILLISECOND);
    host.rest(3 * SECOND);
    assert!(host.trims.len() > trims, "{:?}", host.next);
    let trims = host.trims.len();
    host.rest(61 * SECOND);
    assert!(host.trims.len() > trims);
}

/// Ten, thirty and seventy of a hundred milliseconds are work, each of which takes back at once what the last trim gave.
#[test]
fn trims_between_requests_cost_a_small_share_of_the_work() {
    for load in [10, 30, 70] {
        let mut host = by_default(40 * MB);
        host.cost = MILLISECOND;
        host.answer(1, MILLISECOND);
        host.rest(2 * SECOND);
        let (before, mut faults) = (host.trims.len(), 0);
        let mut work = 0;
        while work < 60 * SECOND {
            let trims = host.trims.len();
            host.rss = Some(80 * MB);
            host.answer(1, load * MILLISECOND);
            host.now += (100 - load) * MILLISECOND;
            work += load * MILLISECOND;
            faults += (host.trims.len() - trims) as u64 * 40 * MB / BYTES_PER_NANOSECOND;
        }
        let spent = (host.trims.len() - before) as u64 * host.cost + faults;
        let share = spent as f64 / work as f64;
        assert!(share < 0.035, "{load} %: {share}");
        assert!(share > 0.015, "the budget is used: {load} %: {share}");
    }
}

// ---- random histories ----------------------------------------------------------------------------------------------

use proptest::collection::vec;
use proptest::prelude::*;

/// A stretch of a process's life: what is live in it, what it leaves free, answers at so many a second, then quiet with or without
/// work, of so many seconds.
type Stretch = (u64, u64, u64, bool, u64);

fn stretch() -> impl Strategy<Value = Stretch> {
    (0..300u64, prop_oneof![Just(0), 0..300u64], 1..40u64, any::<bool>(), prop_oneof![0..5u64, 0..100u64])
}

impl Host {
    fn live_through(&mut self, (live, free, answers, works, quiet): Stretch) {
        self.floor = (11 + live) * MB;
        self.rss = Some((11 + live + free) * MB).max(self.rss);
        self.answer(answers, SECOND / 20);
        self.works = works;
        self.rest(quiet * SECOND);
        self.works = false;
    }

    /// Whether it holds what may be worth a trim, as far as is known.
    fn holds_too_much(&self) -> bool {
        self.rss.is_some_and(|rss| rss >= WATCHED.limit(self.policy.least)) && !self.policy.patience.is_over()
    }
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, cases: 64, ..ProptestConfig::default() })]

    #[test]
    fn what_is_free_is_given_back_in_quiet(stretches in vec(stretch(), 1..12)) {
        let mut host = by_default(11 * MB);
        for stretch in stretches {
            host.live_through(stretch);
        }
        // A little work ends, and nothing more comes.
        host.answer(1, MILLISECOND);
        host.works = true;
        host.rest(SECOND);
        host.works = false;
        host.rest(310 * SECOND);
        prop_assert!(!host.holds_too_much() || host.rss == Some(host.floor), "{:?} of {}: {:?}", host.rss, host.floor, host.policy);
    }

    #[test]
    fn without_gain_trims_are_few(
        live in 20..500u64, stretches in vec((1..100u64, any::<bool>(), 0..100u64), 1..30), cost in 1..50u64,
    ) {
        let mut host = by_default(11 * MB);
        host.cost = cost * MILLISECOND;
        let start = host.now;
        for (answers, works, quiet) in stretches {
            host.live_through((live, 0, answers, works, quiet));
        }
        let seconds = (host.now - start) / SECOND;
        // The first, at which nothing is known, as many as patience makes, and one in five minutes.
        let most = 13 + seconds / 300;
        prop_assert!(host.trims.len() as u64 <= most, "{} trims in {seconds} s: {:?}", host.trims.len(), host.triggers());
    }

    #[test]
    fn whatever_happens_trims_stay_within_the_budget(stretches in vec(stretch(), 1..30), cost in 1..200u64) {
        let mut host = by_default(11 * MB);
        host.cost = cost * MILLISECOND;
        let start = host.now;
        for stretch in stretches {
            host.live_through(stretch);
            let spent = host.trims.len() as u64 * host.cost;
            // The last one may have taken more than the bucket holds.
            let allowed = (host.now - start) / 100 + BURST + host.cost + MILLISECOND;
            prop_assert!(spent <= allowed, "{spent} of {allowed}");
        }
    }
}
