//! Memory that becomes free at any moment, and trims by what there is to gain.

use super::*;

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
    host.works = true;
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
    assert!(host.policy.counts.nothing_to_gain > 100);
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

/// It never waits for long, and the first trim comes while much is in use: that is not what it needs.
#[test]
fn what_a_first_trim_leaves_a_task_worker_is_not_believed() {
    let mut host = by_default(0);
    host.policy = Policy::default();
    host.rss = Some(100 * MB);
    host.floor = 68 * MB;
    host.between_tasks = true;
    host.moves();
    assert_eq!(host.rss, Some(68 * MB));
    host.floor = 18 * MB;
    for _ in 0..20 {
        host.pass(SECOND / 10);
        host.moves();
    }
    assert_eq!((host.trims.len(), host.rss), (2, Some(18 * MB)));
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

/// Several threads use more CPU time than the clock tells, so that the budget of the clock is what all trims between requests use up.
#[test]
fn trims_between_requests_leave_enough_for_the_quiet_after_them() {
    for cost in [2, 19, 40] {
        let mut host = by_default(40 * MB);
        host.cost = cost * MILLISECOND;
        for _ in 0..30_000 {
            host.rss = Some(100 * MB);
            host.answer(1, MILLISECOND);
            host.cpu += 7 * MILLISECOND;
        }
        let trims = host.trims.len();
        assert!(trims > 5, "the budget is used: {trims} of {cost} ms");
        host.rss = Some(100 * MB);
        host.rest(SECOND + SECOND / 10);
        assert_eq!((host.rss, host.trims.len()), (Some(40 * MB), trims + 1), "{cost} ms");
    }
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

/// Where /proc cannot be read any more, as without a free descriptor.
#[test]
fn a_watch_that_sees_nothing_looks_no_more_often() {
    let mut host = by_default(11 * MB);
    host.answer(1, MILLISECOND);
    host.rest(2 * SECOND);
    host.holds(100 * MB);
    host.answer(1, MILLISECOND);
    host.rest(3 * SECOND);
    assert!(host.policy.watch.is_on());
    let looks = host.looks;
    host.rss = None;
    host.rest(10 * SECOND);
    assert!((1..=100).contains(&(host.looks - looks)), "{} looks", host.looks - looks);
}
