//! Verdicts on series that real servers left (`tests/floors`), after each trim, and on made ones where a rule ends.

use super::*;

const MIB: u64 = 1 << 20;

/// `requests before after` in each line, in kB.
fn recorded(series: &str) -> Vec<Point> {
    let lines = series.lines().filter(|line| !line.starts_with('#'));
    let numbers =
        lines.map(|line| line.split(' ').map(|number| number.parse().expect("a number")).collect::<Vec<u64>>());
    numbers.map(|n| Point { requests: n[0], before: n[1] * 1024, after: n[2] * 1024 }).collect()
}

/// What is said after each trim, repetitions left out.
fn said(points: &[Point]) -> Vec<&'static str> {
    let mut said: Vec<_> = (1..=points.len()).map(|end| judge(&points[..end]).name()).collect();
    said.dedup();
    said
}

/// Trims after every `step` requests, with these floors; each brought `reclaimed` back.
fn made(step: u64, reclaimed: u64, floors: impl IntoIterator<Item = u64>) -> Vec<Point> {
    let points = (1..).map(|n| n * step).zip(floors);
    points.map(|(requests, after)| Point { requests, before: after + reclaimed, after }).collect()
}

macro_rules! series {
    ($name:literal) => {
        recorded(include_str!(concat!("../tests/floors/", $name, ".txt")))
    };
}

#[test]
fn what_is_kept_for_good_is_a_leak() {
    for points in [series!("gthread_leak"), series!("sync_leak")] {
        assert_eq!(said(&points), ["unknown", "leak"]);
        let Verdict::Leak { bytes_per_request, requests } = judge(&points) else { panic!("no leak") };
        // The application keeps twenty strings of 1,000 bytes and a list of them.
        assert!((20_000..23_000).contains(&bytes_per_request), "{bytes_per_request}");
        assert_eq!(requests, points[points.len() - 1].requests - points[0].requests);
    }
}

#[test]
fn what_trims_bring_back_is_retention() {
    assert_eq!(said(&series!("gthread_fragment")), ["unknown", "retention"]);
    assert!(!said(&series!("gthread_batch")).contains(&"leak"));
}

#[test]
fn a_flat_floor_is_stable() {
    assert_eq!(said(&series!("gthread_flat")), ["unknown", "stable"]);
}

/// A bounded cache, filled at a steady rate within the first 1,500 requests.
#[test]
fn a_cache_that_is_full_is_stable() {
    for points in [series!("gthread_cache"), series!("sync_cache")] {
        assert_eq!(said(&points), ["unknown", "stable"]);
    }
}

/// 3,000 keys drawn at random: the floor climbs for 6,000 requests, more slowly all the time.
#[test]
fn a_warm_up_is_no_leak() {
    assert_eq!(said(&series!("gthread_warm")), ["unknown"]);
}

/// The limit of what can be told: until CPython's full collection this is a leak to every observer. Once it came, what
/// climbs again has been higher before.
#[test]
fn cyclic_garbage_looks_like_a_leak_until_it_was_collected_once() {
    let points = series!("gthread_cycles");
    let collected = points.windows(2).position(|pair| pair[1].after < pair[0].after / 2).expect("a collection") + 1;
    assert!(said(&points[..collected]).contains(&"leak"));
    for end in collected + 1..=points.len() {
        assert_ne!(judge(&points[..end]).name(), "leak", "after {end} trims");
    }
    assert!(!said(&series!("sync_cycles")).contains(&"leak"));
}

#[test]
fn seven_trims_tell_nothing() {
    let points = made(1_000, 0, (0..8).map(|n| (100 + 20 * n) * MIB));
    assert_eq!(judge(&points[..7]), Verdict::Unknown);
    assert_eq!(judge(&points).name(), "leak");
    assert_eq!(judge(&[]), Verdict::Unknown);
}

#[test]
fn a_climb_is_named_after_enough_requests_only() {
    let floors = || (0..8).map(|n| (100 + 20 * n) * MIB);
    assert_eq!(judge(&made(292, 0, floors())), Verdict::Unknown);
    assert_eq!(judge(&made(293, 0, floors())).name(), "leak");
}

/// 40 MB after each ten requests: nobody waits for 2,048 of those.
#[test]
fn an_enormous_climb_needs_no_such_number() {
    assert_eq!(judge(&made(10, 0, (0..24).map(|n| (100 + 40 * n) * MIB))).name(), "leak");
    assert_eq!(judge(&made(10, 0, (0..24).map(|n| (20 + 8 * n) * MIB))), Verdict::Unknown);
}

#[test]
fn a_small_share_of_a_large_floor_needs_more_trims() {
    let floors = |trims| (0..trims).map(|n| (1_000 + 4 * n) * MIB);
    assert_eq!(judge(&made(1_024, 0, floors(8))), Verdict::Unknown);
    assert_eq!(judge(&made(1_024, 0, floors(64))).name(), "leak");
}

/// One trim in four met a large request and found much more than the others.
#[test]
fn outliers_change_nothing() {
    let spiked = |floor: fn(u64) -> u64| (0..32).map(move |n| floor(n) + if n % 4 == 1 { 200 * MIB } else { 0 });
    assert_eq!(judge(&made(1_024, 0, spiked(|_| 100 * MIB))), Verdict::Stable);
    assert_eq!(judge(&made(1_024, 8 * MIB, spiked(|_| 100 * MIB))), Verdict::Retention);
}

#[test]
fn only_the_last_trims_count() {
    let floors = (0..200).map(|n| if n < 100 { 100 + 10 * n } else { 1_100 } * MIB);
    assert_eq!(judge(&made(1_024, 0, floors)), Verdict::Stable);
}

#[test]
fn a_floor_that_falls_is_no_leak() {
    assert_eq!(judge(&made(1_024, 0, (0..32).map(|n| (1_000 - 10 * n) * MIB))), Verdict::Stable);
}

/// No value of a block that was torn or forged may stop the reader.
#[test]
fn any_numbers_are_judged() {
    let extremes = [0, 1, u64::MAX / 2, u64::MAX - 1, u64::MAX];
    for (one, other) in extremes.iter().flat_map(|one| extremes.map(|other| (*one, other))) {
        for swap in [1, 2, 3, 7] {
            let pick = |n: usize| if n % (2 * swap) < swap { one } else { other };
            let points: Vec<_> =
                (0..70).map(|n| Point { requests: pick(n), before: pick(n + 1), after: pick(n + swap) }).collect();
            let _ = judge(&points);
        }
    }
}

#[test]
fn a_verdict_takes_microseconds() {
    let points = made(1_024, 0, (0..64).map(|n| (100 + n * 37 % 64) * MIB));
    let start = std::time::Instant::now();
    for _ in 0..100 {
        std::hint::black_box(judge(std::hint::black_box(&points)));
    }
    // Not optimised, on a machine that does other things: a hundredfold margin.
    assert!(start.elapsed() < std::time::Duration::from_secs(1), "{:?} for 100", start.elapsed());
}
