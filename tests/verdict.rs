//! Retention or a leak? What is said of real gunicorn workers whose applications keep, fragment or drop memory, read from the
//! block of counters and in the log.

mod common;

use common::gunicorn::{Gunicorn, Server, Worker};
use common::http::Connection;
use common::log::Log;
use common::metrics::Metrics;
use common::stats::{Verdict, verdict};
use common::{LIMIT, wait_within};

/// A worker that has answered so many requests for one path of tests/servers/growing.py, and has trimmed after every
/// 256th.
fn served(path: &str, requests: u32) -> Server {
    serving(Gunicorn::preloaded(Worker::Gthread), path, requests)
}

fn serving(server: Gunicorn, path: &str, requests: u32) -> Server {
    let server = server.application("growing:wsgi").trimming_every(256).env("AUTOTRIM_OVERHEAD", "0").start();
    let mut connection = Connection::open(server.port);
    for _ in 0..requests {
        assert_eq!(connection.get(path).status(), 200);
    }
    // None is due any more.
    let trimmed =
        || server.log().event("trim").numbers("requests").last().is_some_and(|&at| at + 256 > requests.into());
    wait_within(LIMIT, "the last trim", || trimmed().then_some(()));
    server
}

fn leaks(log: &Log) -> Vec<(u64, u64)> {
    log.event("leak").lines.iter().map(|line| (line.number("bytes_per_request"), line.number("requests"))).collect()
}

/// 20 kB a request are kept: said once, with the figure, and in the metrics too.
#[test]
fn an_application_that_keeps_objects_has_a_leak() {
    let directory = tempfile::tempdir().expect("a directory");
    let server = Gunicorn::preloaded(Worker::Gthread).env("AUTOTRIM_METRICS_DIR", directory.path());
    let mut server = serving(server, "/leak", 10_240);
    let Some(Verdict::Leak { bytes_per_request, requests }) = verdict(server.worker()) else {
        panic!("{:?}", verdict(server.worker()))
    };
    assert!((20_000..23_000).contains(&bytes_per_request) && requests >= 9_000, "{bytes_per_request} {requests}");
    let metrics = wait_within(LIMIT, "the metrics", || Metrics::of(directory.path(), server.worker()));
    assert_eq!(metrics.label("autotrim_verdict", "verdict"), "leak");
    assert!((20_000.0..23_000.0).contains(&metrics.value("autotrim_leak_bytes_per_request", None)), "{metrics:?}");
    let log = server.stop_and_read_log();
    let [(said, after)] = leaks(&log)[..] else { panic!("{:?}", leaks(&log)) };
    assert!((20_000..23_000).contains(&said) && (8_192..9_300).contains(&after), "{said} {after}");
    let (kilobytes, tenths) = (said / 1024, said % 1024 * 10 / 1024);
    let reason =
        format!("floor grows {kilobytes}.{tenths} kB/request over {after} requests: not retention, look for a leak");
    assert_eq!(log.event("leak").lines[0].text("reason"), reason);
}

#[test]
fn an_application_that_fragments_its_heap_has_retention() {
    let mut server = served("/fragment", 2_560);
    assert_eq!(verdict(server.worker()), Some(Verdict::Retention));
    assert_eq!(leaks(&server.stop_and_read_log()), []);
}

#[test]
fn an_application_that_keeps_nothing_is_stable() {
    let mut server = served("/flat", 2_560);
    assert_eq!(verdict(server.worker()), Some(Verdict::Stable));
    assert_eq!(leaks(&server.stop_and_read_log()), []);
}

/// Old reference cycles stay until CPython's full collection: the floor doubles and falls, doubles and falls.
#[test]
fn cyclic_garbage_is_no_leak() {
    let mut server = served("/cycles", 10_240);
    let verdict = verdict(server.worker());
    let log = server.stop_and_read_log();
    let floors = log.event("trim").numbers("rss_after_kb");
    let collections = floors.windows(2).filter(|pair| pair[1] * 3 < pair[0] * 2).count();
    assert!(collections > 0, "no full collection, so nothing shown: {floors:?}");
    assert!(!matches!(verdict, Some(Verdict::Leak { .. }) | None), "{verdict:?}: {floors:?}");
    assert_eq!(leaks(&log), []);
}

/// Where CPython collects before each trim, nothing is left to guess: the same garbage is retention.
#[test]
fn cyclic_garbage_that_is_collected_before_trims_is_retention() {
    let server = Gunicorn::preloaded(Worker::Gthread).env("AUTOTRIM_GC", "python").env("AUTOTRIM_DEFER", "10ms");
    let mut server = serving(server, "/cycles", 5_120);
    let verdict = verdict(server.worker());
    let log = server.stop_and_read_log();
    let collected = log.collections().lines;
    assert!(collected.len() >= 8, "{} trims after a collection", collected.len());
    assert_eq!(verdict, Some(Verdict::Retention), "{collected:?}");
    assert_eq!(leaks(&log), []);
}
