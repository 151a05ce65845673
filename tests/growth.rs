//! Memory that a request freed goes back to the kernel once anonymous RSS has grown, without waiting for a
//! count.

mod common;

use common::gunicorn::{Gunicorn, Worker};
use common::http::get;
use common::wait_within;

/// What `/fragment` frees, less what noise and survivors may hide.
const FREED_KB: u64 = 48 * 1024;
/// How near to the floor the memory has to come back.
const NEAR_KB: u64 = 8 * 1024;

/// The handler really leaves a heap that stays large by itself; else the tests below would show nothing.
#[test]
fn without_the_library_the_memory_stays() {
    let server = Gunicorn::plain(Worker::Sync).start();
    get(server.port, "/small");
    let before = server.anonymous_kb();
    get(server.port, "/fragment");
    std::thread::sleep(std::time::Duration::from_secs(1));
    let after = server.anonymous_kb();
    assert!(after >= before + FREED_KB, "{before} KB before, {after} KB after");
}

fn growth_is_given_back(worker: Worker) {
    let gunicorn = Gunicorn::preloaded(worker).env("AUTOTRIM_INTERVAL", "0").env("AUTOTRIM_IDLE", "0");
    let mut server = gunicorn.env("AUTOTRIM_GROWTH", "8M").env("AUTOTRIM_LOG", "debug").start();
    for _ in 0..5 {
        get(server.port, "/small");
    }
    let before = server.anonymous_kb();
    get(server.port, "/fragment");
    let trim = server.wait_for_line("a trim for growth", |line| {
        line.is_trim("growth") && line.number("rss_before_kb") >= before + FREED_KB
    });
    let floor = trim.number("rss_after_kb");
    assert!(trim.number("rss_before_kb") >= floor + FREED_KB, "{trim:?}");
    assert!(floor <= before + NEAR_KB, "{before} KB before, {trim:?}");
    wait_within(common::LIMIT, "RssAnon near the floor", || (server.anonymous_kb() <= floor + NEAR_KB).then_some(()));
    // What does not grow is not trimmed again.
    let trims = server.log().event("trim").lines.len();
    for _ in 0..20 {
        get(server.port, "/small");
    }
    let log = server.stop_and_read_log();
    assert_eq!(log.event("trim"), log.trims("growth"));
    assert_eq!(log.event("trim").lines.len(), trims);
}

#[test]
fn sync_gives_growth_back() {
    growth_is_given_back(Worker::Sync);
}

#[test]
fn gthread_gives_growth_back() {
    growth_is_given_back(Worker::Gthread);
}

#[test]
fn gevent_gives_growth_back() {
    growth_is_given_back(Worker::Gevent);
}

#[test]
fn uvicorn_gives_growth_back() {
    growth_is_given_back(Worker::Uvicorn);
}

/// The quick start sets no option: a newcomer's server gives the memory back all the same.
#[test]
fn with_no_option_set_growth_is_given_back() {
    let server = Gunicorn::preloaded(Worker::Gthread).arguments(&["--threads", "8"]).start();
    get(server.port, "/small");
    let before = server.anonymous_kb();
    get(server.port, "/fragment");
    wait_within(common::LIMIT, "RssAnon near where it was", || {
        (server.anonymous_kb() <= before + FREED_KB / 3).then_some(())
    });
}
