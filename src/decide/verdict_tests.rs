//! Verdicts on series that real servers left (`tests/floors`), after each trim, and on made ones where a rule ends.

use super::*;

const MIB: u64 = 1 << 20;

/// `requests before after live held collected` in each line, sizes in kB.
fn recorded(series: &str) -> Vec<Point> {
    let lines = series.lines().filter(|line| !line.starts_with('#'));
    let numbers =
        lines.map(|line| line.split(' ').map(|number| number.parse().expect("a number")).collect::<Vec<u64>>());
    let point = |n: Vec<u64>| Point {
        requests: n[0],
        before: n[1] * 1024,
        after: n[2] * 1024,
        live: n[3] * 1024,
        held: n[4] * 1024,
        collected: n[5] == 1,
    };
    numbers.map(point).collect()
}

/// What is said after each trim.
fn after_each(points: &[Point], keeps: Keeps) -> Vec<Verdict> {
    let mut floors = Floors::new();
    let add = |&point: &Point| {
        floors.add(point);
        floors.verdict(keeps)
    };
    points.iter().map(add).collect()
}

/// The same, repetitions left out.
fn said(points: &[Point], keeps: Keeps) -> Vec<&'static str> {
    let mut said: Vec<_> = after_each(points, keeps).into_iter().map(Verdict::name).collect();
    said.dedup();
    said
}

/// Trims after every `step` requests, with these floors, all of which are live; each brought `reclaimed` back.
fn made(step: u64, reclaimed: u64, floors: impl IntoIterator<Item = u64>) -> Vec<Point> {
    let points = (1..).map(|n| n * step).zip(floors);
    let point =
        |(requests, after)| Point { requests, before: after + reclaimed, after, live: after, ..Point::default() };
    points.map(point).collect()
}

/// What is said of a program without garbage.
fn judged(points: &[Point]) -> Verdict {
    judge(points, Keeps::Malloc)
}

macro_rules! series {
    ($name:literal) => {
        recorded(include_str!(concat!("../../tests/floors/", $name, ".txt")))
    };
}

#[test]
fn what_is_kept_for_good_is_a_leak() {
    for points in [series!("gthread_leak"), series!("sync_leak")] {
        assert_eq!(said(&points, Keeps::Garbage), ["unknown", "leak"]);
        for verdict in after_each(&points, Keeps::Garbage) {
            let Verdict::Leak { bytes_per_request, requests } = verdict else { continue };
            // The application keeps twenty strings of 1,000 bytes and a list of them.
            assert!((20_000..23_000).contains(&bytes_per_request), "{bytes_per_request}");
            assert!((8_192..=points[points.len() - 1].requests).contains(&requests), "{requests}");
        }
    }
}

/// Whether the last verdict is a leak of about so much per request.
fn leaks(points: &[Point], keeps: Keeps, bytes: u64) {
    let last = after_each(points, keeps).pop();
    let leak = last.and_then(Verdict::leak).unwrap_or_else(|| panic!("no leak: {last:?}"));
    assert!(leak.0.abs_diff(bytes) <= bytes / 8, "{leak:?}, not {bytes}");
}

/// In malloc's memory, in CPython's pools, and where each request maps a block of its own.
#[test]
fn leaks_of_200_bytes_to_4_megabytes_have_their_figures() {
    // With what malloc and the list of them take.
    leaks(&series!("cpp_small"), Keeps::Malloc, 218);
    leaks(&series!("gthread_small"), Keeps::Garbage, 216);
    leaks(&series!("cpp_large"), Keeps::Malloc, 4 * MIB);
    leaks(&series!("gthread_large"), Keeps::Garbage, 4 * MIB);
}

/// Objects of 24 kB in V8's heap and of 20 kB in Ruby's, which are judged by what collections in quiet leave.
#[test]
fn what_a_runtime_keeps_in_a_heap_of_its_own_is_a_leak() {
    leaks(&series!("node_leak"), Keeps::Heap, 24_500);
    leaks(&series!("ruby_leak"), Keeps::Heap, 20_000);
}

/// 64 trims are 1,024 requests here: what is judged must go back further than that.
#[test]
fn a_leak_is_seen_behind_frequent_trims() {
    let points = series!("gthread_both");
    assert_eq!(said(&points, Keeps::Garbage).last(), Some(&"leak"));
    leaks(&points, Keeps::Garbage, 2_200);
    assert_ne!(judge(&points[points.len() - MOST..], Keeps::Garbage).name(), "leak", "the last trims alone");
}

/// Four megabytes for each call: the container would be at its limit long before 8,192 requests.
#[test]
fn pulps_schema_is_a_leak() {
    let points = series!("pulp_schema");
    assert_eq!(said(&points, Keeps::Garbage)[..2], ["unknown", "leak"]);
    let first = after_each(&points, Keeps::Garbage).iter().position(|verdict| verdict.leak().is_some());
    let requests = first.map(|first| points[first].requests);
    assert!(requests.is_some_and(|requests| requests <= 128), "{requests:?}");
}

#[test]
fn what_trims_bring_back_is_retention() {
    let points = series!("gthread_fragment");
    assert_eq!(judge(&points, Keeps::Garbage), Verdict::Retention);
    assert!(!said(&series!("gthread_batch"), Keeps::Garbage).contains(&"leak"));
}

#[test]
fn a_flat_floor_is_stable() {
    assert_eq!(said(&series!("gthread_flat"), Keeps::Garbage), ["unknown", "stable"]);
}

/// A bounded cache, filled at a steady rate within the first 1,500 requests.
#[test]
fn a_cache_that_is_full_is_stable() {
    for points in [series!("gthread_cache"), series!("sync_cache")] {
        assert_eq!(said(&points, Keeps::Garbage), ["unknown", "stable"]);
    }
}

/// An lru_cache of 20,000 entries of 2 kB each, and no request that asks for one again.
#[test]
fn a_cache_that_fills_for_20_000_requests_is_no_leak() {
    let points = series!("gthread_lru");
    assert!(points.iter().any(|point| point.live > points[0].live + 30 * MIB), "it has filled");
    for keeps in [Keeps::Garbage, Keeps::Malloc] {
        assert!(!said(&points, keeps).contains(&"leak"));
    }
}

/// 3,000 keys drawn at random: live memory climbs for 12,000 requests, more slowly all the time.
#[test]
fn a_warm_up_is_no_leak() {
    assert!(!said(&series!("gthread_warm"), Keeps::Garbage).contains(&"leak"));
}

/// Several full collections of CPython, 3,300 to 4,500 requests from each other, and live memory that climbs by a factor of three in
/// between.
#[test]
fn cyclic_garbage_is_no_leak() {
    for points in [series!("gthread_cycles"), series!("sync_cycles")] {
        let collections = points.windows(2).filter(|pair| pair[1].after < pair[0].after / 2).count();
        assert!(collections >= 3, "{collections} collections");
        assert!(!said(&points, Keeps::Garbage).contains(&"leak"));
        assert!(!said(&points, Keeps::Malloc).contains(&"leak"), "nor if nobody can collect");
    }
}

/// CPython's oldest generation does not come: one collection, asked for under suspicion, says what it is.
#[test]
fn garbage_that_cpython_does_not_collect_is_no_leak() {
    let points = series!("gthread_aged");
    assert!(points.iter().any(|point| point.collected), "nothing shown");
    assert!(!said(&points, Keeps::Garbage).contains(&"leak"));
}

/// Java's heap that is filled for the first time, InnoDB's buffer pool, Redis (jemalloc), V8's old space.
#[test]
fn memory_outside_malloc_is_told_as_such_and_is_no_leak() {
    let filling = [
        (series!("java_serial"), Keeps::Malloc, 300),
        (series!("java_g1"), Keeps::Malloc, 300),
        (series!("mariadb_fill"), Keeps::Malloc, 100),
        (series!("redis_fill"), Keeps::Malloc, 50),
    ];
    for (points, keeps, megabytes) in filling {
        assert!(!said(&points, keeps).contains(&"leak"));
        let most = after_each(&points, keeps).into_iter().filter_map(Verdict::bytes).max().unwrap_or(0);
        assert!(most >= megabytes * MIB / 2, "{most} of {megabytes} MB");
    }
    assert!(!said(&series!("node_aged"), Keeps::Heap).contains(&"leak"));
}

/// One block of four is kept: what is free between them is smaller than a page.
#[test]
fn what_is_free_between_neighbours_is_fragmentation() {
    let points = series!("cpp_fragment");
    let Verdict::Fragmented { bytes } = judged(&points) else { panic!("{:?}", judged(&points)) };
    // 150,000 free blocks of 700 bytes.
    assert!((80 * MIB..120 * MIB).contains(&bytes), "{bytes}");
}

#[test]
fn seven_floors_tell_nothing() {
    let points = made(1_200, 0, (0..8).map(|n| (100 + 20 * n) * MIB));
    assert_eq!(judged(&points[..7]), Verdict::Unknown);
    assert_eq!(judged(&points).name(), "leak");
    assert_eq!(judged(&[]), Verdict::Unknown);
}

#[test]
fn a_climb_is_named_after_enough_requests_only() {
    let floors = || (0..8).map(|n| (100 + 20 * n) * MIB);
    assert_eq!(judged(&made(1_170, 0, floors())), Verdict::Unknown);
    assert_eq!(judged(&made(1_171, 0, floors())).name(), "leak");
}

/// 2.5 kB a request: a cache of 20,000 entries would climb as far.
#[test]
fn a_small_climb_takes_more_requests_than_a_cache_has_entries() {
    let floors = || (0..26).map(|n| (100 + 5 * n) * MIB / 2);
    assert_eq!(judged(&made(980, 0, floors())), Verdict::Unknown);
    assert_eq!(judged(&made(984, 0, floors())).name(), "leak");
}

/// The same climb, all of it live, with and without a collection that leaves some of it.
#[test]
fn where_garbage_is_collected_a_collection_has_to_leave_most_of_the_climb() {
    let climb = || made(2_048, 0, (0..16).map(|n| (100 + 20 * n) * MIB));
    assert_eq!(judge(&climb(), Keeps::Malloc).name(), "leak");
    for keeps in [Keeps::Garbage, Keeps::Heap] {
        assert_eq!(judge(&climb(), keeps), Verdict::Unknown, "none came");
        let mut points = climb();
        points[12].collected = true;
        assert_eq!(judge(&points, keeps).name(), "leak");
        points[12].live = 120 * MIB;
        points[12].after = 120 * MIB;
        assert_eq!(judge(&points, keeps), Verdict::Unknown, "it took most");
    }
}

/// Half-way to the verdict, and then not before it has grown by a quarter.
#[test]
fn a_collection_is_asked_for_before_a_leak_is_said() {
    let mut floors = Floors::new();
    let mut asked = Vec::new();
    for point in made(1_024, 0, (0..14).map(|n| (10 + 20 * n) * MIB)) {
        floors.add(point);
        assert!(!floors.suspect(Keeps::Malloc));
        if floors.suspect(Keeps::Garbage) {
            asked.push(point);
        }
    }
    assert!(asked[0].requests <= 8_192 && asked[0].requests > 4_096, "{asked:?}");
    assert!(asked.len() >= 2 && asked.windows(2).all(|pair| pair[1].live >= pair[0].live * 5 / 4), "{asked:?}");
}

/// RSS climbs, and what is live does not.
#[test]
fn what_climbs_outside_malloc_is_no_leak() {
    let floors = (0..40).map(|n| (100 + 10 * n) * MIB);
    let points: Vec<_> = made(1_024, 0, floors).into_iter().map(|point| Point { live: 50 * MIB, ..point }).collect();
    let Verdict::Growth { bytes } = judged(&points) else { panic!("{:?}", judged(&points)) };
    assert!((250 * MIB..300 * MIB).contains(&bytes), "{bytes}");
    let unknown: Vec<_> = points.iter().map(|&point| Point { live: 0, ..point }).collect();
    assert_eq!(judged(&unknown).name(), "growth", "another allocator");
    // A cache that was emptied (FLUSHALL).
    let mut emptied = points.clone();
    emptied.extend(points.last().map(|&last| Point { requests: last.requests + 1_024, after: 100 * MIB, ..last }));
    assert_eq!(judged(&emptied), Verdict::Unknown);
    // What is held by neighbours is not outside.
    let held: Vec<_> = points.iter().map(|&point| Point { held: point.after - point.live, ..point }).collect();
    assert_eq!(judged(&held), Verdict::Unknown);
}

#[test]
fn what_is_held_is_fragmentation_where_it_is_much_and_trims_find_little() {
    let points = |reclaimed, held| {
        made(1_024, reclaimed, [100 * MIB; 16]).into_iter().map(move |point| Point {
            live: 100 * MIB - held,
            held,
            ..point
        })
    };
    let judged = |reclaimed, held| judged(&points(reclaimed, held).collect::<Vec<_>>());
    assert_eq!(judged(0, 25 * MIB), Verdict::Fragmented { bytes: 25 * MIB });
    assert_eq!(judged(0, 24 * MIB), Verdict::Stable);
    assert_eq!(judged(2 * MIB, 25 * MIB), Verdict::Retention);
}

/// 40 MB after each ten requests: nobody waits for 8,192 of those.
#[test]
fn an_enormous_climb_needs_no_such_number() {
    assert_eq!(judged(&made(10, 0, (0..24).map(|n| (100 + 40 * n) * MIB))).name(), "leak");
    assert_eq!(judged(&made(10, 0, (0..24).map(|n| (20 + 8 * n) * MIB))), Verdict::Unknown);
}

#[test]
fn a_small_share_of_a_large_floor_needs_more_trims() {
    let floors = |trims| (0..trims).map(|n| (1_000 + 4 * n) * MIB);
    assert_eq!(judged(&made(4_096, 0, floors(8))), Verdict::Unknown);
    assert_eq!(judged(&made(4_096, 0, floors(64))).name(), "leak");
}

/// One trim in four met a large request and found much more than the others.
#[test]
fn outliers_change_nothing() {
    let spiked = |floor: fn(u64) -> u64| (0..32).map(move |n| floor(n) + if n % 4 == 1 { 200 * MIB } else { 0 });
    assert_eq!(judged(&made(1_024, 0, spiked(|_| 100 * MIB))), Verdict::Stable);
    assert_eq!(judged(&made(1_024, 8 * MIB, spiked(|_| 100 * MIB))), Verdict::Retention);
}

#[test]
fn only_the_last_trims_count() {
    let floors = (0..200).map(|n| if n < 100 { 100 + 10 * n } else { 1_100 } * MIB);
    assert_eq!(judged(&made(1_024, 0, floors)), Verdict::Stable);
}

/// Three teeth of a saw, each higher than the one before and 8,000 requests long, seen from each of its points.
#[test]
fn what_has_come_down_before_is_no_leak() {
    let saw = (0..60).map(|n| (20 + 3 * (n % 20) + 4 * (n / 20)) * MIB);
    assert!(!said(&made(400, 0, saw), Keeps::Malloc).contains(&"leak"));
}

#[test]
fn one_floor_that_is_lower_or_higher_excuses_no_leak() {
    for outlier in [-90, 200] {
        let floors = (0..40).map(|n: i64| if n == 17 { 100 + outlier } else { 100 + 4 * n } as u64 * MIB);
        assert_eq!(judged(&made(1_024, 0, floors)).name(), "leak", "{outlier}");
    }
}

#[test]
fn a_floor_that_falls_is_no_leak() {
    assert_eq!(judged(&made(1_024, 0, (0..32).map(|n| (1_000 - 10 * n) * MIB))), Verdict::Stable);
}

/// Trims that count as one: the lowest floor and what was live least, the most that one brought, and the first one's place.
#[test]
fn frequent_trims_count_as_one() {
    let mut floors = Floors::new();
    let point = |requests, before, after, live| Point {
        requests,
        before: before * MIB,
        after: after * MIB,
        live: live * MIB,
        held: live,
        collected: live == 21,
    };
    for (requests, before, after, live) in [(10, 90, 30, 22), (20, 99, 31, 0), (30, 95, 29, 21), (265, 95, 30, 23)] {
        assert_eq!(floors.begins(requests, after * MIB), requests == 10);
        floors.add(point(requests, before, after, live));
    }
    assert_eq!(floors.points(), [point(10, 97, 29, 21)]);
    // 16 MB more, 256 requests more, an unknown RSS, and no request.
    floors.add(point(265, 95, 45, 0));
    floors.add(point(521, 95, 30, 0));
    floors.add(point(5_000, 0, 0, 0));
    floors.add(point(0, 95, 30, 0));
    assert_eq!(floors.points().iter().map(|point| point.requests).collect::<Vec<_>>(), [10, 265, 521]);
}

/// However often a process trims: half of what is asked for at most is missing.
#[test]
fn points_span_twice_the_requests_of_a_leak() {
    let mut floors = Floors::new();
    for point in made(STEP, 0, [MIB; 2_000]) {
        floors.add(point);
        let span = |points: &[Point]| points[points.len() - 1].requests - points[0].requests;
        assert!(floors.points().len() <= MOST);
        assert!(span(floors.points()) + 8 * STEP >= (2 * LEAST_REQUESTS).min(point.requests), "{point:?}");
    }
    let points = floors.points();
    assert!(
        points[points.len() - 1].requests > 1_990 * STEP && points[0].requests > 1_000 * STEP,
        "the oldest are forgotten"
    );
}

#[test]
fn numbers_of_verdicts_have_names() {
    for (number, verdict) in (0..).zip(Verdict::ALL) {
        assert_eq!((verdict.number(), Verdict::name_of(number)), (number, verdict.name()));
    }
    assert_eq!(Verdict::name_of(Verdict::ALL.len() as u64), "unknown", "of a library that knows more");
    let leak = Verdict::Leak { bytes_per_request: 1, requests: 2 };
    assert_eq!((leak.leak(), leak.bytes()), (Some((1, 2)), None));
    assert_eq!((Verdict::Growth { bytes: 3 }.bytes(), Verdict::Growth { bytes: 3 }.leak()), (Some(3), None));
}

#[test]
fn a_verdict_takes_microseconds() {
    let points = made(1_024, 0, (0..64).map(|n| (100 + n * 37 % 64) * MIB));
    let start = std::time::Instant::now();
    for _ in 0..100 {
        std::hint::black_box(judged(std::hint::black_box(&points)));
    }
    // Not optimised, on a machine that does other things: a hundredfold margin.
    assert!(start.elapsed() < std::time::Duration::from_secs(1), "{:?} for 100", start.elapsed());
}
