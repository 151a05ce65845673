//! A collection of garbage before the trim.

use super::*;

fn collecting(rules: Rules) -> Host {
    Host { collects: Collects::Always, ..Host::new(rules) }
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
    let expected = Decision::Ask { garbage: true, insist_at: due + SECOND };
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
    assert!(matches!(host.wait_point(), Decision::Ask { garbage: true, .. }));
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

/// On a busy machine it takes long, most of which its thread waits for a CPU.
#[test]
fn a_collection_is_charged_with_what_it_cost() {
    let counts = |cost| {
        let mut host = collecting(Rules { overhead: PERCENT, ..every(1) });
        (host.collected, host.collection_cost) = (2 * SECOND, cost);
        host.wait_point();
        for _ in 0..10 {
            host.answer(1, 0);
            host.pass(SECOND);
            host.wait_point();
        }
        host.counts().len()
    };
    assert!(counts(Some(MILLISECOND)) > counts(None), "{} {}", counts(Some(MILLISECOND)), counts(None));
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

/// A server that began with 40 MB, in which garbage is collected in quiet, and where the main thread comes by at once.
fn collecting_in_quiet() -> Host {
    Host { collects: Collects::InQuiet, pause: Some(20 * MILLISECOND), ..by_default(40 * MB) }
}

/// A burst leaves so much garbage in so much memory; then it is quiet.
fn burst(host: &mut Host, held: u64, garbage: u64) {
    host.garbage += garbage;
    host.floor += garbage;
    host.rss = Some(held);
    host.answer(10, MILLISECOND);
    host.rest(30 * SECOND);
}

#[test]
fn garbage_that_a_trim_has_left_is_collected_in_quiet() {
    let mut host = collecting_in_quiet();
    burst(&mut host, 120 * MB, 30 * MB);
    assert_eq!((host.collections, host.rss), (1, Some(40 * MB)));
    assert_eq!(host.trims_with.iter().filter(|&&with| with).count(), 1);
    let trims = host.trims.len();
    host.rest(600 * SECOND);
    assert_eq!((host.collections, host.trims.len()), (1, trims), "there is nothing more to do");
}

#[test]
fn where_the_trim_was_enough_nothing_is_collected() {
    let mut host = collecting_in_quiet();
    burst(&mut host, 120 * MB, 3 * MB);
    assert_eq!((host.collections, host.rss), (0, Some(43 * MB)));
}

/// What the last collection has left is in use, whatever the process began with.
#[test]
fn what_a_collection_has_left_is_no_garbage() {
    let mut host = collecting_in_quiet();
    host.holds(100 * MB);
    burst(&mut host, 120 * MB, 0);
    assert_eq!((host.collections, host.rss), (1, Some(100 * MB)));
    for _ in 0..5 {
        burst(&mut host, 120 * MB, 0);
        assert_eq!(host.collections, 1);
    }
    burst(&mut host, 150 * MB, 20 * MB);
    assert_eq!((host.collections, host.rss), (2, Some(100 * MB)));
}

/// Its main thread never comes by: one trim waits for it in each quiet, and no request.
#[test]
fn what_does_not_come_is_not_waited_for_again() {
    let mut host = Host { pause: None, ..collecting_in_quiet() };
    burst(&mut host, 120 * MB, 30 * MB);
    let trims = host.trims.len();
    // Two without garbage: for growth, and when it had become quiet.
    assert!((2..=4).contains(&trims), "{:?}", host.trims);
    host.rest(300 * SECOND);
    let mut without = Host { collects: Collects::No, ..collecting_in_quiet() };
    burst(&mut without, 120 * MB, 30 * MB);
    without.rest(300 * SECOND);
    assert_eq!((host.collections, host.trims.len()), (0, without.trims.len() + 1));
}

#[test]
fn while_there_is_work_nothing_is_collected() {
    let mut host = collecting_in_quiet();
    host.garbage = 30 * MB;
    host.floor = 70 * MB;
    for _ in 0..3_000 {
        host.rss = Some(120 * MB);
        host.answer(1, 10 * MILLISECOND);
    }
    assert_eq!(host.collections, 0);
    assert!(host.trims.len() > 3);
}

/// Long collections: the next quiet waits until the last one is paid for.
#[test]
fn collections_in_quiet_are_paid_for() {
    let mut host = Host { pause: Some(SECOND), ..collecting_in_quiet() };
    let start = host.now;
    while host.now < start + 1_200 * SECOND {
        host.garbage += 30 * MB;
        host.floor += 30 * MB;
        host.rss = Some(host.floor + 20 * MB);
        host.answer(10, MILLISECOND);
        host.rest(3 * SECOND);
    }
    // One second in a hundred.
    let most = (host.now - start) / (100 * SECOND) + 1;
    assert!((2..=most).contains(&u64::from(host.collections)), "{}, at most {most}", host.collections);
}

/// By name: before each trim in quiet, and while there is work none.
#[test]
fn before_each_trim_in_quiet_comes_one_where_that_is_asked_for() {
    let mut host = Host { collects: Collects::BeforeQuiet, ..collecting_in_quiet() };
    for round in 1..=3 {
        host.garbage += 3 * MB;
        host.floor += 3 * MB;
        host.rss = Some(120 * MB);
        host.answer(10, MILLISECOND);
        assert_eq!(host.collections, round - 1, "there is work");
        host.rest(30 * SECOND);
        assert_eq!((host.collections, host.rss), (round, Some(40 * MB)));
        assert_eq!(host.trims_with.last(), Some(&true));
    }
}

/// Garbage is what no trim brings: that lately trims were in vain keeps quiet from nothing.
#[test]
fn trims_in_vain_put_no_collection_off() {
    for collects in [Collects::InQuiet, Collects::BeforeQuiet] {
        let mut host = Host { collects, ..collecting_in_quiet() };
        host.garbage = 60 * MB;
        host.floor = 100 * MB;
        for _ in 0..3_000 {
            host.rss = Some(100 * MB);
            host.answer(1, 10 * MILLISECOND);
        }
        host.rest(3 * SECOND);
        assert_eq!((host.collections, host.rss), (1, Some(40 * MB)), "{collects:?}");
    }
}

/// A task is there when the collection ends, and leaves as much garbage again before the trim: it is the next collection's.
#[test]
fn what_work_has_left_since_is_not_what_a_collection_has() {
    for collects in [Collects::InQuiet, Collects::BeforeQuiet] {
        let mut host = Host { collects, ..collecting_in_quiet() };
        burst(&mut host, 100 * MB, 60 * MB);
        assert_eq!((host.collections, host.rss), (1, Some(40 * MB)), "{collects:?}");
        let leave = |host: &mut Host| {
            (host.garbage, host.floor, host.rss) = (60 * MB, 100 * MB, Some(100 * MB));
            host.answer(1, 100 * MILLISECOND);
        };
        leave(&mut host);
        while host.collections == 1 {
            host.rest(MILLISECOND);
        }
        host.somebody_waits = true;
        host.wait_point();
        leave(&mut host);
        host.somebody_waits = false;
        host.rest(30 * SECOND);
        assert_eq!((host.collections, host.rss), (3, Some(40 * MB)), "{collects:?}");
    }
}

/// A probe or a heartbeat that comes before quiet has begun, again and again, ends none: but work does.
#[test]
fn what_costs_next_to_nothing_is_quiet() {
    for (work, between_tasks, quiet) in
        [(2 * MILLISECOND, false, true), (2 * MILLISECOND, true, true), (20 * MILLISECOND, false, false)]
    {
        let mut host = Host { between_tasks, ..collecting_in_quiet() };
        (host.garbage, host.floor, host.rss) = (60 * MB, 100 * MB, Some(100 * MB));
        for _ in 0..30 {
            host.answer(1, work);
            host.rest(SECOND / 2);
        }
        assert_eq!(host.collections, u32::from(quiet), "{work} ns, tasks: {between_tasks}");
        assert_eq!(host.triggers().contains(&Trigger::Idle), quiet);
    }
}

/// Requests come while the trim in quiet waits for a collection: it waits no longer, and an interval is kept.
#[test]
fn work_ends_the_wait_for_a_collection() {
    for collects in [Collects::InQuiet, Collects::BeforeQuiet] {
        let mut host = Host { collects, pause: None, ..collecting_in_quiet() };
        (host.rules.interval, host.rules.exact) = (5, true);
        host.garbage = 60 * MB;
        host.floor = 100 * MB;
        host.rss = Some(100 * MB);
        host.answer(4, MILLISECOND);
        host.rest(1_100 * MILLISECOND);
        assert!(host.policy.has_waited_for_collection(), "{collects:?}");
        let trims = host.trims.len();
        host.answer(20, MILLISECOND);
        assert!(host.trims.len() >= trims + 4, "{collects:?}: {:?}", host.trims);
    }
}
