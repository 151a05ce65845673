//! When a trim is due: by requests, growth and quiet; and that it waits for a moment without a request in flight.

use super::*;

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
fn rss_is_looked_at_where_the_process_has_used_cpu_time() {
    let mut host = Host::new(on_growth(8 * MB));
    host.answer(1, 0);
    let looks = host.looks;
    for _ in 0..100 {
        (host.now, host.cpu) = (host.now + SECOND / 10, host.cpu + looks::EVERY / 10);
        host.answer(1, 0);
    }
    assert_eq!(host.looks - looks, 10, "a tenth of the requests");
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
    assert_eq!(host.policy.counts, Counts { no_growth: 1, ..Counts::default() });
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
    assert_eq!(host.policy.counts, Counts { deferred: 1, ..Counts::default() });
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
