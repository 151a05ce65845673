//! A server that has gone quiet gives memory back once, and then sleeps as it would have.

mod common;

use common::gunicorn::{Gunicorn, Worker};
use common::http::get;
use common::process::sleeps;
use std::time::{Duration, Instant};

/// How long the silence is watched: several times the idle time, and several waits of gunicorn's main loops.
const SILENCE: Duration = Duration::from_secs(4);

/// A burst that leaves memory to give back.
fn burst(port: u16) {
    for _ in 0..5 {
        get(port, "/small");
    }
    get(port, "/fragment");
}

fn quiet_is_trimmed_once(worker: Worker, idle: &str) {
    let gunicorn = Gunicorn::preloaded(worker).env("AUTOTRIM_INTERVAL", "0").env("AUTOTRIM_GROWTH", "0");
    let mut server = gunicorn.env("AUTOTRIM_IDLE", idle).env("AUTOTRIM_LOG", "debug").start();
    // Before its first request a server is as quiet as after its last, and has nothing to give back.
    burst(server.port);
    let answered = Instant::now();
    let trim = server.wait_for_line("a trim in the silence", |line| line.is_trim("idle"));
    assert_eq!((trim.number("requests"), trim.number("in_flight")), (6, 0));
    assert!(trim.number("rss_before_kb") >= trim.number("rss_after_kb") + 48 * 1024, "{trim:?}");
    std::thread::sleep(SILENCE.saturating_sub(answered.elapsed()));
    assert_eq!(server.log().event("trim").lines, [trim], "one trim per silence");

    burst(server.port);
    server.wait_for_line("a trim in the second silence", |line| line.is_trim("idle") && line.number("requests") == 12);
    let log = server.stop_and_read_log();
    assert_eq!(log.event("trim").numbers("requests"), [6, 12]);
}

#[test]
fn sync_trims_once_when_quiet() {
    quiet_is_trimmed_once(Worker::Sync, "500ms");
}

#[test]
fn gthread_trims_once_when_quiet() {
    quiet_is_trimmed_once(Worker::Gthread, "500ms");
}

/// gthread's main loop wakes each second: no single wait is as long as the idle time.
#[test]
fn gthread_trims_once_when_quiet_for_longer_than_its_waits() {
    quiet_is_trimmed_once(Worker::Gthread, "1500ms");
}

#[test]
fn gevent_trims_once_when_quiet() {
    quiet_is_trimmed_once(Worker::Gevent, "500ms");
}

#[test]
fn uvicorn_trims_once_when_quiet() {
    quiet_is_trimmed_once(Worker::Uvicorn, "500ms");
}

/// A server that is asked something again and again within the idle time is not quiet.
#[test]
fn a_busy_server_is_not_quiet() {
    let gunicorn = Gunicorn::preloaded(Worker::Sync).env("AUTOTRIM_INTERVAL", "0").env("AUTOTRIM_GROWTH", "0");
    let mut server = gunicorn.env("AUTOTRIM_IDLE", "10s").env("AUTOTRIM_LOG", "debug").start();
    burst(server.port);
    for _ in 0..10 {
        get(server.port, "/small");
        std::thread::sleep(Duration::from_millis(100));
    }
    let log = server.stop_and_read_log();
    assert_eq!(log.event("enabled").lines.len(), 1);
    assert_eq!(log.event("trim").lines, []);
}

/// While a request is open the server is not quiet, and looking for quiet again and again must not keep it awake.
#[test]
fn a_long_request_does_not_keep_the_server_awake() {
    let server = Gunicorn::preloaded(Worker::Gthread).arguments(&["--threads", "4"]).start();
    let marker = server.path("open");
    let path = format!("/small?seconds=4&marker={}", marker.display());
    burst(server.port);
    std::thread::scope(|scope| {
        let slow = scope.spawn(|| get(server.port, &path));
        common::wait_within(common::LIMIT, "the slow request's handler", || marker.exists().then_some(()));
        // Longer than AUTOTRIM_IDLE.
        std::thread::sleep(Duration::from_millis(1500));
        let before = sleeps(server.worker());
        std::thread::sleep(Duration::from_secs(2));
        let times = sleeps(server.worker()) - before;
        assert!(!slow.is_finished(), "the machine is too slow for this test");
        assert!(times < 100, "the main loop slept {times} times in two seconds; it would twice without the library");
    });
}
