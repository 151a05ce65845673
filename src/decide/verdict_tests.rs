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

/// What is said after each trim.
fn after_each(points: &[Point]) -> Vec<Verdict> {
    let mut floors = Floors::new();
    let add = |&point: &Point| {
        floors.add(point);
        floors.verdict()
    };
    points.iter().map(add).collect()
}

/// The same, repetitions left out.
fn said(points: &[Point]) -> Vec<&'static str> {
    let mut said: Vec<_> = after_each(points).into_iter().map(Verdict::name).collect();
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
        recorded(include_str!(concat!("../../tests/floors/", $name, ".txt")))
    };
}

#[test]
fn what_is_kept_for_good_is_a_leak() {
    for points in [series!("gthread_leak"), series!("sync_leak")] {
        assert_eq!(said(&points), ["unknown", "leak"]);
        for verdict in after_each(&points) {
            let Verdict::Leak { bytes_per_request, requests } = verdict else { continue };
            // The application keeps twenty strings of 1,000 bytes and a list of them.
            assert!((20_000..23_000).contains(&bytes_per_request), "{bytes_per_request}");
            assert!((8_192..=points[points.len() - 1].requests).contains(&requests), "{requests}");
        }
    }
}

/// 64 trims are 1,024 requests here: what is judged must go back further than that.
#[test]
fn a_leak_is_seen_behind_frequent_trims() {
    let points = series!("gthread_both");
    assert_eq!(said(&points).last(), Some(&"leak"));
    let Some(Verdict::Leak { bytes_per_request, .. }) = after_each(&points).pop() else { panic!("no leak") };
    assert!((2_000..2_800).contains(&bytes_per_request), "{bytes_per_request}");
    assert_ne!(judge(&points[points.len() - MOST..]).name(), "leak", "the last trims alone");
}

/// Four megabytes for each call: the container would be at its limit long before 8,192 requests.
#[test]
fn pulps_schema_is_a_leak() {
    let points = series!("pulp_schema");
    assert_eq!(said(&points), ["unknown", "leak"]);
    let first = (1..points.len()).find(|&end| judge(&points[..end]).name() == "leak").expect("a leak");
    assert_eq!(points[first - 1].requests, 99);
}

#[test]
fn what_trims_bring_back_is_retention() {
    let points = series!("gthread_fragment");
    assert_eq!(judge(&points), Verdict::Retention);
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

/// 3,000 keys drawn at random: the floor climbs for 12,000 requests, more slowly all the time.
#[test]
fn a_warm_up_is_no_leak() {
    assert!(!said(&series!("gthread_warm")).contains(&"leak"));
}

/// Several full collections of CPython, 3,300 to 4,500 requests from each other, and a floor that climbs by a factor of three in
/// between.
#[test]
fn cyclic_garbage_is_no_leak() {
    for points in [series!("gthread_cycles"), series!("sync_cycles")] {
        let collections = points.windows(2).filter(|pair| pair[1].after < pair[0].after / 2).count();
        assert!(collections >= 3, "{collections} collections");
        assert!(!said(&points).contains(&"leak"));
    }
}

#[test]
fn seven_floors_tell_nothing() {
    let points = made(2_000, 0, (0..8).map(|n| (100 + 20 * n) * MIB));
    assert_eq!(judge(&points[..7]), Verdict::Unknown);
    assert_eq!(judge(&points).name(), "leak");
    assert_eq!(judge(&[]), Verdict::Unknown);
}

#[test]
fn a_climb_is_named_after_enough_requests_only() {
    let floors = || (0..8).map(|n| (100 + 20 * n) * MIB);
    assert_eq!(judge(&made(1_170, 0, floors())), Verdict::Unknown);
    assert_eq!(judge(&made(1_171, 0, floors())).name(), "leak");
}

/// 40 MB after each ten requests: nobody waits for 8,192 of those.
#[test]
fn an_enormous_climb_needs_no_such_number() {
    assert_eq!(judge(&made(10, 0, (0..24).map(|n| (100 + 40 * n) * MIB))).name(), "leak");
    assert_eq!(judge(&made(10, 0, (0..24).map(|n| (20 + 8 * n) * MIB))), Verdict::Unknown);
}

#[test]
fn a_small_share_of_a_large_floor_needs_more_trims() {
    let floors = |trims| (0..trims).map(|n| (1_000 + 4 * n) * MIB);
    assert_eq!(judge(&made(2_048, 0, floors(8))), Verdict::Unknown);
    assert_eq!(judge(&made(2_048, 0, floors(64))).name(), "leak");
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

/// Three teeth of a saw, each higher than the one before and 8,000 requests long, seen from each of its points.
#[test]
fn what_has_come_down_before_is_no_leak() {
    let saw = (0..60).map(|n| (20 + 3 * (n % 20) + 4 * (n / 20)) * MIB);
    assert!(!said(&made(400, 0, saw)).contains(&"leak"));
}

#[test]
fn one_floor_that_is_lower_or_higher_excuses_no_leak() {
    for outlier in [-90, 200] {
        let floors = (0..40).map(|n: i64| if n == 17 { 100 + outlier } else { 100 + 4 * n } as u64 * MIB);
        assert_eq!(judge(&made(1_024, 0, floors)).name(), "leak", "{outlier}");
    }
}

#[test]
fn a_floor_that_falls_is_no_leak() {
    assert_eq!(judge(&made(1_024, 0, (0..32).map(|n| (1_000 - 10 * n) * MIB))), Verdict::Stable);
}

/// Trims that count as one: the lowest floor, the highest RSS before, and the first one's place.
#[test]
fn frequent_trims_count_as_one() {
    let mut floors = Floors::new();
    for (requests, before, after) in [(10, 90, 30), (20, 99, 31), (30, 95, 29), (265, 95, 30)] {
        floors.add(Point { requests, before: before * MIB, after: after * MIB });
    }
    assert_eq!(floors.points(), [Point { requests: 10, before: 99 * MIB, after: 29 * MIB }]);
    // 16 MB more, 256 requests more, an unknown RSS, and no request.
    floors.add(Point { requests: 265, before: 95 * MIB, after: 45 * MIB });
    floors.add(Point { requests: 521, before: 95 * MIB, after: 30 * MIB });
    floors.add(Point { requests: 2_000, before: 0, after: 0 });
    floors.add(Point { requests: 0, before: 95 * MIB, after: 30 * MIB });
    assert_eq!(floors.points().iter().map(|point| point.requests).collect::<Vec<_>>(), [10, 265, 521]);
}

#[test]
fn the_oldest_floors_are_forgotten() {
    let mut floors = Floors::new();
    let points = made(256, 0, [MIB; 100]);
    points.iter().for_each(|&point| floors.add(point));
    assert_eq!(floors.points(), &points[100 - MOST..]);
}

#[test]
fn numbers_of_verdicts_have_names() {
    let leak = Verdict::Leak { bytes_per_request: 1, requests: 2 };
    for verdict in [Verdict::Unknown, Verdict::Stable, Verdict::Retention, leak] {
        assert_eq!(Verdict::name_of(verdict.number()), verdict.name());
    }
    assert_eq!(leak.leak(), Some((1, 2)));
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
