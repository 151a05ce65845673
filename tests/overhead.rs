//! Trimming takes no more than its share of the time, however often it is asked for and however long a trim
//! takes.

mod common;

use common::LIMIT;
use common::gunicorn::{Gunicorn, Server, Worker};
use common::http::get;
use common::log::Log;
use std::time::{Duration, Instant};

/// A trim of the heap that `/maze` makes takes at least so much CPU time, on a fast machine too.
const LONG_TRIM_US: u64 = 10_000;
/// AUTOTRIM_OVERHEAD's default is one percent, with this much to spend at once.
const BURST_US: u64 = 100_000;

/// A server that wants to trim after each request, and whose heap makes that expensive.
fn server_with_expensive_heap(overhead: &str) -> Server {
    let server = Gunicorn::preloaded(Worker::Sync).trimming_every(1).env("AUTOTRIM_OVERHEAD", overhead).start();
    let milliseconds: f64 = get(server.port, "/maze").text().parse().expect("milliseconds");
    assert!(milliseconds >= 50.0, "a trim of the maze takes {milliseconds} ms: make it larger");
    server
}

/// The CPU time that all trims took, and the longest of them: on a busy machine they take longer by the clock.
fn trimming_us(log: &Log) -> (u64, u64) {
    let took = log.event("trim").numbers("cpu_us");
    (took.iter().sum(), took.iter().copied().max().unwrap_or(0))
}

#[test]
fn trimming_stays_within_its_share_of_the_time() {
    let begin = Instant::now();
    let mut server = server_with_expensive_heap("1");
    let start = Instant::now();
    let skips = |log: &Log| -> u64 {
        log.lines.iter().filter_map(|line| line.fields.get("skipped")?.parse::<u64>().ok()).sum()
    };
    let mut answered = 0;
    while start.elapsed() < Duration::from_secs(4) || answered < 100 || skips(&server.log()) == 0 {
        assert!(start.elapsed() < LIMIT, "no line says what was skipped: {}", server.stderr());
        assert_eq!(get(server.port, "/small").status(), 200);
        answered += 1;
        std::thread::sleep(Duration::from_millis(10));
    }
    let log = server.stop_and_read_log();
    let (total, longest) = trimming_us(&log);
    assert!(longest >= LONG_TRIM_US, "the heap is no challenge: {longest} µs");
    // One trim may begin with the last of the budget: its own length is the slack.
    let wall = begin.elapsed().as_micros() as u64;
    assert!(total <= wall / 100 + BURST_US + longest, "{total} µs of trims in {wall} µs");
    assert!(log.event("trim").lines.len() * 5 < answered, "most of {answered} trims should be skipped");
}

#[test]
fn without_a_limit_every_due_trim_happens() {
    const REQUESTS: u64 = 20;
    let mut server = server_with_expensive_heap("0");
    // A request that comes before the worker has been at a wait point shares the trim of the one before.
    server.wait_for_line("the trim after the request that made the heap", |line| line.event == "trim");
    for sent in 1..=REQUESTS {
        assert_eq!(get(server.port, "/small").status(), 200);
        let what = format!("the trim after request {sent}");
        // The request that made the heap counts too.
        server.wait_for_line(&what, |line| line.event == "trim" && line.number("requests") > sent);
    }
    let log = server.stop_and_read_log();
    let (total, longest) = trimming_us(&log);
    assert!(longest >= LONG_TRIM_US, "the heap is no challenge: {longest} µs");
    assert!(total >= 2 * BURST_US, "{total} µs of trims");
    assert_eq!(log.event("trim").lines.len() as u64, REQUESTS + 1);
}
