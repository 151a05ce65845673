//! Retention, fragmentation or a leak? What is said of real servers that keep, fragment or drop memory, read from the
//! block of counters and in the log.

mod common;

use common::gunicorn::{Gunicorn, Server, Worker};
use common::http::Connection;
use common::log::Log;
use common::metrics::Metrics;
use common::script::Script;
use common::stats::{Verdict, verdict};
use common::{LIMIT, servers, wait_within};
use std::path::Path;
use std::process::Command;
use std::time::Duration;

/// Longer than gunicorn's workers wait for a connection.
const MOMENT: Duration = Duration::from_millis(2_500);

/// A worker that has answered so many requests for one path of tests/servers/growing.py, and has trimmed after every
/// 256th.
fn served(path: &str, requests: u32) -> Server {
    serving(Gunicorn::preloaded(Worker::Gthread), path, requests)
}

fn serving(server: Gunicorn, path: &str, requests: u32) -> Server {
    let server = server.application("growing:wsgi").trimming_every(256).env("AUTOTRIM_OVERHEAD", "0").start();
    let mut connection = Connection::open(server.port);
    for number in 0..requests {
        // A moment without work, in which a collection tells garbage from a leak.
        if number == requests / 2 {
            std::thread::sleep(MOMENT);
        }
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
        panic!("{:?}: {:?}", verdict(server.worker()), server.log().event("trim").lines)
    };
    assert!((20_000..23_000).contains(&bytes_per_request) && requests >= 9_000, "{bytes_per_request} {requests}");
    let metrics = wait_within(LIMIT, "the metrics", || Metrics::of(directory.path(), server.worker()));
    assert_eq!(metrics.label("autotrim_verdict", "verdict"), "leak");
    assert!((20_000.0..23_000.0).contains(&metrics.value("autotrim_leak_bytes_per_request", None)), "{metrics:?}");
    let log = server.stop_and_read_log();
    let [(said, after)] = leaks(&log)[..] else { panic!("{:?}", leaks(&log)) };
    assert!((20_000..23_000).contains(&said) && (8_192..9_300).contains(&after), "{said} {after}");
    let (kilobytes, tenths) = (said / 1024, said % 1024 * 10 / 1024);
    let line = &log.event("leak").lines[0];
    let reason = format!(
        "live memory grows {kilobytes}.{tenths} kB/request over {after} requests: not retention, look for a leak"
    );
    assert_eq!(line.text("reason"), reason);
    assert!(!line.fields.contains_key("try"), "a collection has said that it is no garbage");
    assert!(!log.collections().lines.is_empty(), "none came");
    // Ten times what was there at first is live, and the metrics tell of it.
    let live = metrics.value("autotrim_live_bytes", None);
    assert!(live > 0.8 * metrics.value("autotrim_floor_bytes", None) && live > 200e6, "{live}");
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

/// Where nobody may collect, what climbs is believed.
#[test]
fn without_collections_a_leak_may_be_garbage() {
    let mut server = serving(Gunicorn::preloaded(Worker::Gthread).env("AUTOTRIM_GC", "off"), "/leak", 9_216);
    assert!(matches!(verdict(server.worker()), Some(Verdict::Leak { .. })), "{:?}", verdict(server.worker()));
    let log = server.stop_and_read_log();
    assert_eq!(log.collections().lines.len(), 0);
    assert_eq!(log.event("leak").lines[0].text("try"), "AUTOTRIM_GC");
}

/// CPython does not look for it: a collection does, half-way to where it would be a leak.
#[test]
fn garbage_that_cpython_has_not_collected_is_no_leak() {
    let mut server = served("/aged", 9_728);
    let log = server.stop_and_read_log();
    let trims = log.event("trim").numbers("rss_after_kb");
    let most = trims.iter().max().expect("trims");
    assert!(*most > trims[0] + 60_000, "it has climbed: {trims:?}");
    assert!(!log.collections().lines.is_empty(), "nobody suspected it: {trims:?}");
    assert_eq!(leaks(&log), []);
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

/// Trims by count alone, as [`Gunicorn::trimming_every`].
const BY_COUNT: [(&str, &str); 4] =
    [("AUTOTRIM_INTERVAL", "256"), ("AUTOTRIM_GROWTH", "0"), ("AUTOTRIM_IDLE", "0"), ("AUTOTRIM_OVERHEAD", "0")];

/// tests/servers/growing.cpp after so many requests.
fn native(path: &str, requests: u32, environment: &[(&str, &str)]) -> Script {
    let directory = tempfile::tempdir().expect("a directory");
    let program = directory.path().join("growing");
    let mut compiler = Command::new("g++");
    compiler.args(["-std=c++17", "-O2", "-pthread", "-o"]).arg(&program).arg(servers().join("growing.cpp"));
    assert!(compiler.status().expect("g++ (scripts/packages.txt)").success());
    let server = Script::run(&program, "growing.cpp", &["0"], environment);
    ask(&server, path, requests);
    server
}

fn ask(server: &Script, path: &str, requests: u32) {
    let mut connection = Connection::open(server.port);
    for _ in 0..requests {
        assert_eq!(connection.get(path).status(), 200);
    }
}

/// 6 MB in all, which RSS alone would not tell from anything else.
#[test]
fn a_server_that_keeps_200_bytes_of_each_request_has_a_leak() {
    let server = native("/leak/200", 31_000, &BY_COUNT);
    let Some(Verdict::Leak { bytes_per_request, requests }) = verdict(server.pid()) else {
        panic!("{:?}: {:?}", verdict(server.pid()), server.log())
    };
    assert!((200..250).contains(&bytes_per_request) && requests >= 24_576, "{bytes_per_request} {requests}");
}

/// Blocks that malloc maps, each by itself.
#[test]
fn a_server_that_keeps_4_megabytes_of_each_request_has_a_leak() {
    const LARGE: u64 = 4 << 20;
    let server = native("/leak/4194304", 100, &[&BY_COUNT[1..], &[("AUTOTRIM_INTERVAL", "4")]].concat());
    let Some(Verdict::Leak { bytes_per_request, .. }) = verdict(server.pid()) else {
        panic!("{:?}: {:?}", verdict(server.pid()), server.log())
    };
    assert!(bytes_per_request.abs_diff(LARGE) <= LARGE / 8, "{bytes_per_request}");
}

/// Free blocks of 700 bytes, none of which has a page for itself: 100 MB that no trim gives back.
#[test]
fn what_is_free_between_neighbours_is_fragmented() {
    let server = native("/fragment", 9_216, &BY_COUNT);
    assert_eq!(verdict(server.pid()), Some(Verdict::Fragmented), "{:?}", server.log());
    let [line] = &server.log().event("fragmented").lines[..] else { panic!("once: {:?}", server.log()) };
    let bytes = line.number("bytes");
    assert!((80 << 20..120 << 20).contains(&bytes), "{bytes}");
    assert_eq!(line.text("reason"), format!("free but in use by neighbours: {} MB in 1 arena", bytes >> 20));
}

/// In V8's heap, of which nothing is known but what a collection leaves.
#[test]
fn a_node_that_keeps_objects_has_a_leak() {
    const KEPT: u64 = 2 << 20;
    let environment = [("AUTOTRIM_GC", "node"), ("AUTOTRIM_IDLE", "200ms"), ("AUTOTRIM_OVERHEAD", "0")];
    let server = Script::run(Path::new("node"), "growing.js", &["0"], &environment);
    for round in 1..=16 {
        ask(&server, &format!("/leak/{KEPT}"), 16);
        wait_within(LIMIT, "a collection in quiet", || (server.collections() >= round).then_some(()));
    }
    // It is said by the trim after the last collection.
    let leak = server.wait_for_line("a leak", |line| line.event == "leak");
    let bytes_per_request = leak.number("bytes_per_request");
    assert!(bytes_per_request.abs_diff(KEPT) <= KEPT / 8, "{bytes_per_request}");
}

/// A heap that is filled for the first time is the runtime's own memory, and no leak.
#[test]
fn a_java_heap_that_fills_is_growth() {
    for collector in ["Serial", "G1"] {
        let options = format!("-Xms256m -Xmx256m -XX:+Use{collector}GC -Dsun.net.httpserver.nodelay=true");
        let environment = [&BY_COUNT[..], &[("JAVA_TOOL_OPTIONS", &options)]].concat();
        let server = Script::run(Path::new("java"), "Growing.java", &["0"], &environment);
        ask(&server, "/garbage/20000", 10_240);
        let line = server.wait_for_line("growth", |line| line.event == "growth");
        let bytes = line.number("bytes");
        assert!(bytes >= 16 << 20, "{bytes}");
        let reason = format!("a runtime's or a mapped cache's own memory grows: {} MB", bytes >> 20);
        assert_eq!(line.text("reason"), reason);
        assert_eq!(leaks(&server.log()), [], "{collector}");
    }
}
