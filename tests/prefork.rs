//! gunicorn's life with many processes goes on as without the library: preloading, worker replacement,
//! reload, scaling, stop.
//!
//! Each scenario runs plain and under the library and has to come out the same; what only the library can
//! show comes after.

mod common;

use common::gunicorn::{Gunicorn, Server, Worker};
use common::http::get;
use common::log::Log;
use common::{LIMIT, wait_within};
use std::collections::BTreeSet;
use std::time::Duration;

/// How long a stop or reload may take: well under gunicorn's 15 s waits, so that a signal that got lost
/// shows.
const PROMPT: Duration = Duration::from_secs(8);

/// Runs a scenario without and with the library, expects the same outcome, and returns the library's log.
fn same_as_plain<T: PartialEq + std::fmt::Debug>(
    worker: Worker,
    adapt: impl Fn(Gunicorn) -> Gunicorn,
    scenario: impl Fn(&mut Server) -> T,
) -> Log {
    let outcome = |gunicorn: Gunicorn| {
        let mut server = adapt(gunicorn).start();
        let seen = scenario(&mut server);
        let (exit, took) = server.stop();
        assert!(took < PROMPT, "stopping took {took:?}");
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
            let sent = std::time::Instant::now();
            server.signal(libc::SIGHUP);
            let new = server.wait_for_workers(1, &[old])[0];
            assert!(sent.elapsed() < PROMPT, "the old worker took {:?} to leave", sent.elapsed());
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
    for silence in [Duration::from_millis(200), Duration::from_millis(2000)] {
        for worker in [Worker::Sync, Worker::Uvicorn] {
            let log = same_as_plain(
                worker,
                |gunicorn| gunicorn.env("AUTOTRIM_INTERVAL", "0").env("AUTOTRIM_IDLE", "1s"),
                |server| {
                    get(server.port, "/fragment");
                    std::thread::sleep(silence);
                },
            );
            let trims = log.event("trim").lines.len();
            assert_eq!(trims, usize::from(silence > Duration::from_secs(1)), "{log:?}");
        }
    }
}

#[test]
fn an_interrupted_server_exits_as_without_the_library() {
    let exit = |gunicorn: Gunicorn, signal| {
        let mut server = gunicorn.start();
        get(server.port, "/small");
        let (exit, took) = server.stop_with(signal);
        assert!(took < PROMPT, "stopping took {took:?}");
        exit
    };
    for signal in [libc::SIGINT, libc::SIGQUIT] {
        let plain = exit(Gunicorn::plain(Worker::Sync), signal);
        assert_eq!(plain, exit(Gunicorn::preloaded(Worker::Sync), signal), "signal {signal}");
    }
}
