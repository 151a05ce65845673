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
            assert!((1..=cpus + 1).contains(&line.number("arenas")), "{line:?}");
            assert!(line.text("allocator").starts_with("glibc-2."), "{line:?}");
            assert_eq!(line.text("version"), env!("CARGO_PKG_VERSION"));
        }
    }
}

/// Workers that answered nothing have nothing to say, though clients came and left; neither has the master.
#[test]
fn a_server_that_answers_nothing_is_silent() {
    let mut server = Gunicorn::preloaded(Worker::Gthread).workers(2).start();
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
    for on in ["1", "yes", "true", "ON"] {
        assert_eq!(log_with(&[EACH_REQUEST, DEBUG, ("AUTOTRIM_DISABLE", on)]).lines, [], "{on}");
    }
    for off in ["0", "no", "False", ""] {
        let log = log_with(&[EACH_REQUEST, DEBUG, ("AUTOTRIM_DISABLE", off)]);
        assert_eq!(log.event("enabled").lines.len(), 1, "{off:?}: {log:?}");
        assert_eq!(log.event("option_invalid").lines, [], "{off:?}");
    }
}

/// As people write them; the line tells what the library made of it, in one way.
#[test]
fn values_are_understood_as_people_write_them() {
    let enabled = |options: &[(&str, &str)]| {
        let log = log_with(options);
        assert_eq!(log.lines.len(), 1, "nothing but the one line: {log:?}");
        log.event("enabled").lines[0].clone()
    };
    let line = enabled(&[
        ("AUTOTRIM_INTERVAL", "off"),
        ("AUTOTRIM_GROWTH", "8MB, 2.5%"),
        ("AUTOTRIM_IDLE", "1.5s"),
        ("AUTOTRIM_PERIOD", "1h"),
        ("AUTOTRIM_SIGNAL", "rtmin+2"),
        ("AUTOTRIM_OVERHEAD", "0.5"),
        ("AUTOTRIM_PAD", "1MiB"),
        ("AUTOTRIM_DEFER", "100ms"),
        ("AUTOTRIM_JITTER", "OFF"),
        ("AUTOTRIM_LOG", "Info"),
    ]);
    for (field, value) in [
        ("interval", "0"),
        ("growth", "8M,2.5%"),
        ("idle", "1500ms"),
        ("period", "3600s"),
        ("signal", "36"),
        ("overhead", "0.5"),
        ("pad", "1M"),
        ("defer", "100ms"),
    ] {
        assert_eq!(line.text(field), value, "{line:?}");
    }
    assert!(!line.fields.contains_key("jitter"), "what is as by default is not told: {line:?}");
    let line = enabled(&[("AUTOTRIM_GROWTH", "off"), ("AUTOTRIM_IDLE", "off"), ("AUTOTRIM_SIGNAL", "RTMIN+18")]);
    assert_eq!((line.text("growth"), line.text("idle"), line.text("signal")), ("0", "0", "52"));
    assert_eq!(log_with(&[("AUTOTRIM_LOG", "warning")]).lines, [], "it is a level, and enabled is above it");
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
