//! gunicorn's life with many processes goes on as without the library: preloading, worker replacement,
//! reload, scaling, stop.
//!
//! Each scenario runs plain and under the library and has to come out the same; what only the library can
//! show comes after.

mod common;

use common::gunicorn::{Gunicorn, Server, Worker};
use common::http::get;
use common::log::Log;
use common::process::{anonymous_kb, has_mapped};
use common::{LIMIT, library, wait_within};
use std::collections::BTreeSet;
use std::time::Duration;

/// Runs a scenario without and with the library, expects the same outcome, and returns the library's log.
fn same_as_plain<T: PartialEq + std::fmt::Debug>(
    worker: Worker,
    adapt: impl Fn(Gunicorn) -> Gunicorn,
    scenario: impl Fn(&mut Server) -> T,
) -> Log {
    let outcome = |gunicorn: Gunicorn| {
        let mut server = adapt(gunicorn).start();
        let seen = scenario(&mut server);
        let exit = server.stop();
        let complaints = server.stderr().contains("Traceback");
        ((seen, exit, complaints), server.log())
    };
    let (plain, _) = outcome(Gunicorn::plain(worker));
    let (preloaded, log) = outcome(Gunicorn::preloaded(worker).trimming_every(1));
    assert_eq!(plain, preloaded);
    assert!(plain.1.success(), "{:?}", plain.1);
    each_is_enabled_once(&log);
    log
}

fn pid_of_answer(server: &Server) -> u32 {
    get(server.port, "/pid").text().parse().expect("a process id")
}

/// The library was at work, and every process that logs has one enabled line.
fn each_is_enabled_once(log: &Log) {
    assert!(!log.lines.is_empty(), "the library did nothing");
    for pid in log.pids() {
        assert_eq!(log.of(pid).event("enabled").lines.len(), 1, "{pid}: {log:?}");
    }
}

#[test]
fn a_preloaded_application_is_served() {
    same_as_plain(
        Worker::Gthread,
        |gunicorn| gunicorn.workers(2).arguments(&["--preload"]),
        |server| (0..20).map(|_| get(server.port, "/small").text()).collect::<Vec<_>>(),
    );
}

/// The master, which serves nobody, as well as its workers, before anybody asks.
#[test]
fn what_a_preloaded_application_leaves_free_goes_back_everywhere() {
    const LEFT_KB: u64 = 200 * 1000;
    const TIDY_KB: u64 = LEFT_KB / 3;
    let started =
        |gunicorn: Gunicorn| gunicorn.application("started:wsgi").workers(2).arguments(&["--preload"]).start();
    let held = |pid| anonymous_kb(pid).expect("a process that runs");
    let plain = started(Gunicorn::plain(Worker::Sync));
    assert!(held(plain.master()) > LEFT_KB, "there is nothing to give back: {} KB", held(plain.master()));
    let server = started(Gunicorn::preloaded(Worker::Sync));
    for pid in [&[server.master()][..], &server.workers()].concat() {
        wait_within(LIMIT, "the memory that start has left", || (held(pid) < TIDY_KB).then_some(()));
    }
}

#[test]
fn replaced_workers_count_for_themselves() {
    const EACH: u64 = 10;
    let log = same_as_plain(
        Worker::Sync,
        |gunicorn| gunicorn.arguments(&["--max-requests", "10"]),
        |server| {
            let pids: Vec<u32> = (0..35).map(|_| pid_of_answer(server)).collect();
            pids.iter().collect::<BTreeSet<_>>().len()
        },
    );
    assert_eq!(log.pids().len(), 4, "workers that answered: {log:?}");
    for pid in log.pids() {
        let counts = log.of(pid).event("trim").numbers("requests");
        assert!(counts.iter().all(|&count| count <= EACH), "{pid}: {counts:?}");
    }
}

#[test]
fn a_reload_brings_new_workers() {
    let workers = std::cell::RefCell::new(Vec::new());
    let log = same_as_plain(
        Worker::Sync,
        |gunicorn| gunicorn,
        |server| {
            let old = pid_of_answer(server);
            server.signal(libc::SIGHUP);
            let new = server.wait_for_workers(1, &[old])[0];
            workers.replace(vec![old, new]);
            (pid_of_answer(server) == new, server.workers().len())
        },
    );
    assert_eq!(log.pids().into_iter().collect::<BTreeSet<_>>(), workers.into_inner().into_iter().collect());
}

#[test]
fn workers_come_and_go_by_signal() {
    let log = same_as_plain(
        Worker::Gthread,
        |gunicorn| gunicorn,
        |server| {
            let first = pid_of_answer(server);
            server.signal(libc::SIGTTIN);
            let two = server.wait_for_workers(2, &[]);
            server.signal(libc::SIGTTOU);
            // gunicorn ends the oldest.
            let left = server.wait_for_workers(1, &[first]);
            (two.contains(&left[0]), pid_of_answer(server) == left[0])
        },
    );
    assert_eq!(log.pids().len(), 2);
}

#[test]
fn a_graceful_stop_lets_an_open_request_finish() {
    for worker in [Worker::Sync, Worker::Gthread, Worker::Gevent, Worker::Uvicorn] {
        same_as_plain(
            worker,
            |gunicorn| gunicorn,
            |server| {
                let marker = server.path("open");
                let path = format!("/small?seconds=1&marker={}", marker.display());
                std::thread::scope(|scope| {
                    let slow = scope.spawn(|| get(server.port, &path));
                    wait_within(LIMIT, "the request's handler", || marker.exists().then_some(()));
                    server.signal(libc::SIGTERM);
                    slow.join().expect("the open request").text()
                })
            },
        );
    }
}

/// The first wait of a silence is cut in two by AUTOTRIM_IDLE: a signal ends the server in the first part as
/// in the second.
#[test]
fn a_stop_is_prompt_before_and_after_the_trim_in_a_silence() {
    for (idle, trims) in [("600s", 0), ("1s", 1)] {
        for worker in [Worker::Sync, Worker::Uvicorn] {
            let log = same_as_plain(
                worker,
                |gunicorn| gunicorn.env("AUTOTRIM_INTERVAL", "0").env("AUTOTRIM_IDLE", idle),
                |server| {
                    get(server.port, "/fragment");
                    std::thread::sleep(Duration::from_millis(200));
                    if trims > 0 && has_mapped(server.master(), &library()) {
                        server.wait_for_line("a trim in the silence", |line| line.is_trim("idle"));
                    }
                },
            );
            assert_eq!(log.event("trim").lines.len(), trims, "{log:?}");
        }
    }
}

#[test]
fn an_interrupted_server_exits_as_without_the_library() {
    let exit = |gunicorn: Gunicorn, signal| {
        let mut server = gunicorn.start();
        get(server.port, "/small");
        server.stop_with(signal)
    };
    for signal in [libc::SIGINT, libc::SIGQUIT] {
        let plain = exit(Gunicorn::plain(Worker::Sync), signal);
        assert_eq!(plain, exit(Gunicorn::preloaded(Worker::Sync), signal), "signal {signal}");
    }
}
