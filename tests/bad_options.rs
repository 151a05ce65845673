//! A value that does not parse costs a warning and the default is used; the server serves.

mod common;

use common::gunicorn::{Gunicorn, Server, Worker};
use common::http::get;
use common::log::{Line, Log};
use std::ffi::OsString;
use std::os::unix::ffi::OsStringExt;

/// One line per process that warns, at least one in all; returns them.
fn warnings(log: &Log, variable: &str) -> Vec<Line> {
    let about = |line: &Line| line.event == "option_invalid" && line.text("variable") == variable;
    let lines: Vec<Line> = log.lines.iter().filter(|line| about(line)).cloned().collect();
    let mut pids: Vec<u32> = lines.iter().map(|line| line.pid).collect();
    pids.sort_unstable();
    pids.dedup();
    assert_eq!(pids.len(), lines.len(), "one warning per process: {lines:?}");
    assert!(!lines.is_empty(), "no warning about {variable}: {log:?}");
    lines
}

fn serves(server: &Server) {
    for _ in 0..3 {
        assert_eq!(get(server.port, "/small").text(), "hello");
    }
}

fn bad_interval_is_replaced_by_the_default(value: impl Into<OsString>) -> Vec<Line> {
    let mut server = Gunicorn::preloaded(Worker::Sync).env("AUTOTRIM_INTERVAL", value).start();
    serves(&server);
    let log = server.stop_and_read_log();
    let lines = warnings(&log, "AUTOTRIM_INTERVAL");
    for line in &lines {
        assert_eq!(line.text("using"), "1024");
        assert!(!line.text("expected").is_empty());
        line.text("value");
    }
    let enabled = log.event("enabled");
    assert_eq!(enabled.numbers("interval"), [1024]);
    assert_eq!(log.lines.len(), lines.len() + 1, "{log:?}");
    lines
}

#[test]
fn a_word_for_a_number() {
    let lines = bad_interval_is_replaced_by_the_default("abc");
    assert_eq!(lines[0].text("value"), "abc");
}

#[test]
fn a_negative_number() {
    let lines = bad_interval_is_replaced_by_the_default("-1");
    assert_eq!(lines[0].text("value"), "-1");
}

#[test]
fn a_number_beyond_every_integer() {
    let lines = bad_interval_is_replaced_by_the_default("1e9999");
    assert_eq!(lines[0].text("value"), "1e9999");
    bad_interval_is_replaced_by_the_default("99999999999999999999999999999999");
}

#[test]
fn an_empty_value() {
    let lines = bad_interval_is_replaced_by_the_default("");
    assert_eq!(lines[0].text("value"), "");
}

/// The log's reader refuses lines of more than 1 KB, so this also shows that the value is cut.
#[test]
fn a_value_of_four_kilobytes() {
    bad_interval_is_replaced_by_the_default("7".repeat(4096));
}

/// The log's reader refuses lines that are not UTF-8.
#[test]
fn a_value_that_is_not_text() {
    bad_interval_is_replaced_by_the_default(OsString::from_vec(b"\xff\xfe12\x80".to_vec()));
}

/// A value cannot forge a line, end its own quotes, or bring control characters into the log.
#[test]
fn a_value_that_would_forge_a_line() {
    let forged = "1\" x=\"\\\nautotrim: pid=1 program=init event=enabled\x1b[2J";
    let mut server = Gunicorn::preloaded(Worker::Sync).env("AUTOTRIM_INTERVAL", forged).start();
    serves(&server);
    let worker = server.worker();
    let log = server.stop_and_read_log();
    warnings(&log, "AUTOTRIM_INTERVAL");
    assert_eq!(log.event("enabled").pids(), [worker]);
    assert!(!server.stderr().contains('\x1b'), "an escape character reached the log");
}

/// Each option has its own reader and its own warning.
#[test]
fn every_option_checks_its_value() {
    let bad = [
        ("AUTOTRIM_JITTER", "some"),
        ("AUTOTRIM_GROWTH", "8Q"),
        ("AUTOTRIM_IDLE", "soon"),
        ("AUTOTRIM_TRIM_THRESHOLD", "-128K"),
        ("AUTOTRIM_OVERHEAD", "much"),
        ("AUTOTRIM_DEFER", "1 fortnight"),
        ("AUTOTRIM_PAD", "K"),
        ("AUTOTRIM_ARENAS", "many"),
        ("AUTOTRIM_LOG", "loud"),
    ];
    let mut gunicorn = Gunicorn::preloaded(Worker::Gthread);
    for (variable, value) in bad {
        gunicorn = gunicorn.env(variable, value);
    }
    let mut server = gunicorn.start();
    serves(&server);
    let log = server.stop_and_read_log();
    for (variable, value) in bad {
        for line in warnings(&log, variable) {
            assert_eq!(line.text("value"), value, "{line:?}");
            assert!(!line.text("expected").is_empty() && !line.text("using").is_empty(), "{line:?}");
        }
    }
    assert_eq!(log.event("enabled").lines.len(), 1);
}

/// One line for each process that warns and each variable; the nearest option where one is near.
#[test]
fn every_misspelt_option_is_told_with_the_nearest() {
    let misspelt = [
        ("AUTOTRIM_INTERVALL", Some("AUTOTRIM_INTERVAL")),
        ("AUTOTRIM_OVERHED", Some("AUTOTRIM_OVERHEAD")),
        ("autotrim_idle", Some("AUTOTRIM_IDLE")),
        ("AUTOTRIM_COLOUR", None),
    ];
    let start = Gunicorn::preloaded(Worker::Sync).env("AUTOTRIM_LIBRARY", "/the/command's/own");
    let mut server = misspelt.iter().fold(start, |gunicorn, (name, _)| gunicorn.env(name, "5")).start();
    serves(&server);
    let log = server.stop_and_read_log();
    let lines = log.event("option_unknown").lines;
    let processes = log.event("option_unknown").pids().len();
    for (name, nearest) in misspelt {
        let about: Vec<_> = lines.iter().filter(|line| line.text("variable") == name).collect();
        assert_eq!(about.len(), processes, "{name}: {log:?}");
        for line in about {
            assert_eq!(line.fields.get("did_you_mean").map(String::as_str), nearest, "{line:?}");
        }
    }
    assert_eq!((lines.len(), processes), (misspelt.len(), 1), "{log:?}");
    assert_eq!(log.event("enabled").numbers("interval"), [1024]);
}

/// More than the library remembers: it says how many.
#[test]
fn a_hundred_misspelt_options_are_told_in_a_few_lines() {
    let mut gunicorn = Gunicorn::preloaded(Worker::Sync);
    for number in 0..100 {
        gunicorn = gunicorn.env(&format!("AUTOTRIM_{number}_{}", "X".repeat(300)), "5");
    }
    let mut server = gunicorn.start();
    serves(&server);
    let lines = server.stop_and_read_log().event("option_unknown").lines;
    let more: u64 = lines.iter().filter(|line| line.fields.contains_key("more")).map(|line| line.number("more")).sum();
    assert!(lines.len() < 30, "{} lines", lines.len());
    assert_eq!(lines.iter().filter(|line| line.fields.contains_key("variable")).count() as u64 + more, 100);
}

/// AUTOTRIM_LOG=error leaves warnings out.
#[test]
fn a_warning_obeys_the_log_level() {
    let gunicorn = Gunicorn::preloaded(Worker::Sync).env("AUTOTRIM_INTERVAL", "abc");
    let mut server = gunicorn.env("AUTOTRIM_LOG", "error").start();
    serves(&server);
    assert_eq!(server.stop_and_read_log().lines, []);
}
