//! AUTOTRIM_SIGNAL: one trim on demand, and no call of the program interrupted by it.

mod common;
#[path = "common/fixture.rs"]
mod fixture;

use common::gunicorn::{Gunicorn, Server, Worker};
use common::http::get;
use common::process::{own_threads, queue_signal, send_signal};
use common::{LIMIT, wait_within};
use fixture::Fixture;
use std::time::Duration;

/// systemd's convention: SIGRTMIN+18, and the value that asks to release memory.
const COMMON_SIGNAL: i32 = 34 + 18;
const RELEASE_MEMORY: usize = 0x300;

/// A server that trims on a signal only, and its worker.
fn server(signal: &str, defer: &str) -> (Server, u32) {
    let gunicorn = Gunicorn::preloaded(Worker::Sync).trimming_every(0).env("AUTOTRIM_SIGNAL", signal);
    let server = gunicorn.env("AUTOTRIM_DEFER", defer).start();
    get(server.port, "/fragment");
    let worker = server.worker();
    (server, worker)
}

fn with_thread(signal: &str, defer: &str) -> (Server, u32) {
    let (server, worker) = server(signal, defer);
    wait_within(LIMIT, "a thread", || (!own_threads(worker).is_empty()).then_some(()));
    (server, worker)
}

fn trims(server: &Server) -> usize {
    server.log().event("trim").lines.len()
}

/// Waits for so many trims, all on the signal; the last one. None is left to the worker's next wait: its select sleeps longer.
fn wait_for_trims(server: &Server, number: usize) -> common::log::Line {
    let lines = server.wait_for_log("a trim", |log| {
        let trims = log.event("trim").lines;
        (trims.len() >= number).then_some(trims)
    });
    assert!(lines.len() == number && lines.iter().all(|line| line.is_trim("signal")), "{lines:?}");
    lines[number - 1].clone()
}

#[test]
fn an_idle_worker_trims_on_systemds_signal() {
    let (mut server, worker) = with_thread("SIGRTMIN+18", "500ms");
    queue_signal(worker, COMMON_SIGNAL, RELEASE_MEMORY);
    let trim = wait_for_trims(&server, 1);
    assert!(trim.number("rss_before_kb") > trim.number("rss_after_kb") + 40_000, "{trim:?}");
    queue_signal(worker, COMMON_SIGNAL, RELEASE_MEMORY);
    wait_for_trims(&server, 2);
    // Without the value, or with another, it asks for something else (systemd: a log level, a log target).
    send_signal(worker, COMMON_SIGNAL);
    for value in [0, 0x100, 0x107, 0x200, 0x301] {
        queue_signal(worker, COMMON_SIGNAL, value);
    }
    std::thread::sleep(Duration::from_secs(1));
    assert_eq!(trims(&server), 2);
    assert!(server.stop().success(), "{}", server.stderr());
}

/// On a busy machine a worker may be a second old, and have its thread, before the signal comes: then another one is asked.
#[test]
fn a_worker_that_has_no_thread_yet_trims_too() {
    wait_within(LIMIT, "a worker that has trimmed and has no thread", || {
        let (server, worker) = server("52", "500ms");
        queue_signal(worker, COMMON_SIGNAL, RELEASE_MEMORY);
        wait_for_trims(&server, 1);
        own_threads(worker).is_empty().then_some(())
    });
}

#[test]
fn the_master_trims_too() {
    let (server, worker) = with_thread("SIGRTMIN+18", "500ms");
    queue_signal(server.master(), COMMON_SIGNAL, RELEASE_MEMORY);
    let trim = wait_for_trims(&server, 1);
    assert_eq!((trim.pid, server.workers()), (server.master(), vec![worker]));
}

/// An open request is waited for, but no longer than AUTOTRIM_DEFER.
#[test]
fn a_trim_waits_for_an_open_request() {
    for (defer, in_flight) in [("600s", 0), ("500ms", 1)] {
        let (server, worker) = with_thread("SIGRTMIN+18", defer);
        let answer = server.while_one_is_open(|| {
            queue_signal(worker, COMMON_SIGNAL, RELEASE_MEMORY);
            if in_flight == 1 {
                wait_for_trims(&server, 1);
            } else {
                std::thread::sleep(Duration::from_secs(1));
                assert_eq!(trims(&server), 0, "trimmed under an open request");
            }
        });
        assert_eq!(answer.text(), "hello");
        let trim = wait_for_trims(&server, 1);
        assert_eq!(trim.number("in_flight"), in_flight, "{trim:?}");
    }
}

/// gunicorn takes SIGUSR1 itself, to open its logs again, and after us: it wins.
#[test]
fn the_programs_own_handler_wins() {
    let (mut server, worker) = with_thread("SIGUSR1", "500ms");
    for _ in 0..5 {
        send_signal(worker, libc::SIGUSR1);
        std::thread::sleep(Duration::from_millis(100));
    }
    assert_eq!(get(server.port, "/pid").text(), worker.to_string());
    assert_eq!(trims(&server), 0, "{}", server.stderr());
    assert!(server.stop().success());
}

fn fixture(how: &str) -> common::log::Log {
    let fixture = Fixture::new("signal_beside_thread").argument(how).env("AUTOTRIM_SIGNAL", "SIGUSR2");
    fixture.env("AUTOTRIM_INTERVAL", "0").env("AUTOTRIM_GROWTH", "0").env("AUTOTRIM_IDLE", "0").is_unchanged()
}

/// Neither a wait nor accept, recv, or a lock: the thread takes the signal, or the kernel starts the call again.
#[test]
fn no_call_is_interrupted() {
    let log = fixture("waits");
    assert!(log.trims("signal").lines.len() >= 10, "{log:?}");
}

/// A handler installed later interrupts every call, on the threads of the program alone, and misses no signal.
#[test]
fn a_handler_that_comes_later_interrupts_every_call() {
    assert_eq!(fixture("handler").event("trim").lines, []);
}

/// Whoever started the program has said what the signal is to do: nothing. The log says that no trim will come of it.
#[test]
fn a_signal_that_is_ignored_from_the_start_stays_so() {
    let fixture = Fixture::new("ignored_signal").argument("first");
    let log = fixture.env("AUTOTRIM_SIGNAL", "SIGUSR2").is_unchanged_to_the_last_trim();
    let said = log.event("unavailable").lines;
    assert_eq!(said.len(), 1, "{log:?}");
    assert_eq!(said[0].text("what"), "signal");
    assert_eq!(log.trims("signal").lines, []);
}
