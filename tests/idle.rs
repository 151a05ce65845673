//! A server that has gone quiet gives memory back once, and then sleeps as it would have.

mod common;

use common::gunicorn::{Gunicorn, Server, Worker};
use common::http::get;
use common::log::Line;
use common::process::sleeps;
use std::time::{Duration, Instant};

/// How long the silence is watched: several times the idle time, and several waits of gunicorn's main loops.
const SILENCE: Duration = Duration::from_secs(4);

/// The requests of a burst.
const BURST: u64 = 6;

/// A burst that leaves memory to give back.
fn burst(port: u16) {
    for _ in 1..BURST {
        get(port, "/small");
    }
    get(port, "/fragment");
}

/// On a busy machine there may be a silence within a burst, too: that one's trim tells of fewer requests.
fn trims_after(server: &Server, requests: u64) -> Vec<Line> {
    let trims = server.log().event("trim").lines;
    trims.into_iter().filter(|line| line.number("requests") == requests).collect()
}

fn quiet_is_trimmed_once(worker: Worker, idle: &str) {
    let gunicorn = Gunicorn::preloaded(worker).env("AUTOTRIM_INTERVAL", "0").env("AUTOTRIM_GROWTH", "0");
    let gunicorn = gunicorn.env("AUTOTRIM_IDLE", idle).env("AUTOTRIM_OVERHEAD", "0").env("AUTOTRIM_LOG", "debug");
    let mut server = gunicorn.start();
    // Before its first request a server is as quiet as after its last, and has nothing to give back.
    burst(server.port);
    let answered = Instant::now();
    let silent = |requests| move |line: &Line| line.is_trim("idle") && line.number("requests") == requests;
    let trim = server.wait_for_line("a trim in the silence", silent(BURST));
    assert_eq!(trim.number("in_flight"), 0);
    assert!(trim.number("rss_before_kb") >= trim.number("rss_after_kb") + 48 * 1024, "{trim:?}");
    std::thread::sleep(SILENCE.saturating_sub(answered.elapsed()));
    assert_eq!(trims_after(&server, BURST), [trim], "one trim per silence");

    burst(server.port);
    server.wait_for_line("a trim in the second silence", silent(2 * BURST));
    let log = server.stop_and_read_log();
    assert_eq!(log.event("trim"), log.trims("idle"));
    let requests = log.event("trim").numbers("requests");
    assert!(requests.is_sorted_by(|one, next| one < next), "more than one trim in a silence: {requests:?}");
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

/// A server that is asked something again and again within the idle time is not quiet. Where the machine has not let this client
/// ask in time, the server is right to find it quiet, and is asked anew.
#[test]
fn a_busy_server_is_not_quiet() {
    const IDLE: Duration = Duration::from_secs(2);
    common::wait_within(common::LIMIT, "a client that asks in time", || {
        let gunicorn = Gunicorn::preloaded(Worker::Sync).env("AUTOTRIM_INTERVAL", "0").env("AUTOTRIM_GROWTH", "0");
        let mut server = gunicorn.env("AUTOTRIM_IDLE", "2s").env("AUTOTRIM_LOG", "debug").start();
        let (start, mut asked, mut longest) = (Instant::now(), Instant::now(), Duration::ZERO);
        burst(server.port);
        while start.elapsed() < 3 * IDLE {
            std::thread::sleep(Duration::from_millis(100));
            let before = asked;
            asked = Instant::now();
            get(server.port, "/small");
            // From before one was asked to after the next was answered: no silence was longer.
            longest = longest.max(before.elapsed());
        }
        let trims = server.log().event("trim").lines;
        longest = longest.max(asked.elapsed());
        let log = server.stop_and_read_log();
        assert_eq!(log.event("enabled").lines.len(), 1);
        assert!(trims.is_empty() || longest >= IDLE, "quiet for {longest:?} at most: {trims:?}");
        (longest < IDLE).then_some(())
    });
}

/// While a request is open the server is not quiet, and looking for quiet again and again must not keep it awake.
#[test]
fn a_long_request_does_not_keep_the_server_awake() {
    let server = Gunicorn::preloaded(Worker::Gthread).arguments(&["--threads", "4"]).start();
    burst(server.port);
    server.while_one_is_open(|| {
        // Longer than AUTOTRIM_IDLE.
        std::thread::sleep(Duration::from_millis(1500));
        let before = sleeps(server.worker());
        std::thread::sleep(Duration::from_secs(2));
        let times = sleeps(server.worker()) - before;
        assert!(times < 100, "the main loop slept {times} times in two seconds; it would twice without the library");
    });
}
