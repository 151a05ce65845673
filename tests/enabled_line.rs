//! A process says that it is under the library when it first answers, once; every other process is silent.

mod common;

use common::gunicorn::{Gunicorn, Worker};
use common::http::{Connection, get};
use common::log::Log;
use std::collections::BTreeSet;

/// Sends requests, several at a time so that all workers get some; the processes that answered.
fn answered_by(port: u16) -> BTreeSet<u32> {
    let ask = || get(port, "/pid?seconds=0.3").text().parse().expect("a process id");
    std::thread::scope(|scope| {
        let requests: Vec<_> = (0..6).map(|_| scope.spawn(ask)).collect();
        requests.into_iter().map(|request| request.join().expect("an answer")).collect()
    })
}

#[test]
fn each_process_that_answers_says_so_once() {
    for worker in [Worker::Sync, Worker::Uvicorn] {
        let mut server = Gunicorn::preloaded(worker).workers(2).start();
        let mut answered = BTreeSet::new();
        while answered.len() < 2 {
            answered.extend(answered_by(server.port));
        }
        let log = server.stop_and_read_log();
        let enabled: Vec<u32> = log.event("enabled").lines.iter().map(|line| line.pid).collect();
        assert_eq!(enabled.len(), 2, "{log:?}");
        assert_eq!(enabled.into_iter().collect::<BTreeSet<_>>(), answered);
        assert!(!answered.contains(&server.master()));
        assert_eq!(log.lines.len(), 2, "nothing else at the default level: {log:?}");
        for line in &log.lines {
            assert_eq!(line.program, "gunicorn");
            assert_eq!(line.number("interval"), 1024);
            let cpus = std::thread::available_parallelism().expect("a number").get() as u64;
            assert!((1..=cpus).contains(&line.number("arenas")), "{line:?}");
            assert!(line.text("allocator").starts_with("glibc-2."), "{line:?}");
            assert_eq!(line.text("version"), env!("CARGO_PKG_VERSION"));
        }
    }
}

/// Workers that answered nothing have nothing to say, though clients came and left; neither has the master.
#[test]
fn a_server_that_answers_nothing_is_silent() {
    let mut server = Gunicorn::preloaded(Worker::Gthread).workers(2).env("AUTOTRIM_LOG", "debug").start();
    for bytes in [&b""[..], b"GET /small HT"] {
        Connection::open(server.port).send(bytes);
    }
    std::thread::sleep(std::time::Duration::from_millis(1500));
    assert_eq!(server.stop_and_read_log().lines, []);
}

/// The library's log of a server with these options that has answered some requests.
fn log_with(options: &[(&str, &str)]) -> Log {
    let mut gunicorn = Gunicorn::preloaded(Worker::Sync);
    for (name, value) in options {
        gunicorn = gunicorn.env(name, *value);
    }
    let mut server = gunicorn.start();
    for _ in 0..5 {
        assert_eq!(get(server.port, "/small").text(), "hello");
    }
    server.stop_and_read_log()
}

const EACH_REQUEST: (&str, &str) = ("AUTOTRIM_INTERVAL", "1");
const DEBUG: (&str, &str) = ("AUTOTRIM_LOG", "debug");

#[test]
fn with_every_trigger_off_nothing_is_said() {
    let off = [("AUTOTRIM_INTERVAL", "0"), ("AUTOTRIM_GROWTH", "0"), ("AUTOTRIM_IDLE", "0"), DEBUG];
    assert_eq!(log_with(&off).lines, []);
}

#[test]
fn a_disabled_library_is_silent() {
    assert_eq!(log_with(&[EACH_REQUEST, DEBUG, ("AUTOTRIM_DISABLE", "1")]).lines, []);
}

#[test]
fn the_log_has_levels() {
    let events = |level| -> Vec<String> {
        let log = log_with(&[EACH_REQUEST, ("AUTOTRIM_IDLE", "0"), ("AUTOTRIM_LOG", level)]);
        log.lines.into_iter().map(|line| line.event).collect()
    };
    assert_eq!(events("off"), [""; 0]);
    assert_eq!(events("error"), [""; 0]);
    assert_eq!(events("warn"), [""; 0]);
    assert_eq!(events("info"), ["enabled"]);
    let debug = events("debug");
    assert_eq!(debug.iter().filter(|event| *event == "enabled").count(), 1, "{debug:?}");
    assert!(debug.iter().any(|event| event == "trim"), "{debug:?}");
}

#[test]
fn only_the_programs_named_are_acted_in() {
    let enabled = |programs| {
        let log = log_with(&[EACH_REQUEST, DEBUG, ("AUTOTRIM_PROGRAMS", programs)]);
        assert!(!log.event("enabled").lines.is_empty() || log.lines.is_empty(), "{log:?}");
        !log.lines.is_empty()
    };
    assert!(!enabled("nginx"));
    assert!(!enabled("*,!gunicorn*"));
    assert!(enabled("nginx,gunicorn"));
    assert!(enabled("g?nicorn,!nginx"));
}
