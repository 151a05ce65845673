//! Retention, fragmentation or a leak? What the command says of real gunicorn workers, from their memory and from their metrics files.

mod support;

use serde_json::Value;
use std::process::Command;
use std::time::{Duration, Instant};
use support::common::gunicorn::{Gunicorn, Server, Worker};
use support::common::http::Connection;
use support::common::metrics::Metrics;
use support::common::package::file_of;
use support::common::script::Script;
use support::common::{LIMIT, servers, wait_within};
use support::{autotrim, autotrim_with, finish_as_nobody, is_root, open_directory};

/// A worker that has answered so many requests for one path of tests/servers/growing.py, a few more where trims came late, and has
/// trimmed once for each 256 of them.
fn served(server: Gunicorn, path: &str, requests: u64) -> Server {
    let server = server.application("growing:wsgi").trimming_every(256).env("AUTOTRIM_OVERHEAD", "0").start();
    let mut connection = Connection::open(server.port);
    let mut ask = || assert_eq!(connection.get(path).status(), 200);
    (0..requests / 2).for_each(|_| ask());
    // A moment without work, longer than the worker waits for a connection: a collection tells garbage from a leak.
    std::thread::sleep(Duration::from_millis(2_500));
    (requests / 2..requests).for_each(|_| ask());
    let (end, soon) = (Instant::now(), Duration::from_secs(1));
    let trims = || status(server.worker())["trims"].as_u64().expect("trims");
    wait_within(LIMIT, "the last trim", || {
        let is_made = trims() >= requests / 256;
        if !is_made && end.elapsed() > soon {
            ask();
        }
        is_made.then_some(())
    });
    server
}

fn status(pid: u32) -> Value {
    autotrim_with(["status", "--json", &pid.to_string()]).json()["processes"][0].clone()
}

#[test]
fn a_leak_is_named_with_its_rate_and_the_requests_that_show_it() {
    let directory = open_directory();
    let server = Gunicorn::preloaded(Worker::Gthread).env("AUTOTRIM_METRICS_DIR", directory.path());
    let server = served(server, "/leak", 10_240);
    let (worker, process) = (server.worker().to_string(), status(server.worker()));
    let number = |process: &Value, name: &str| process[name].as_u64().unwrap_or_else(|| panic!("{name}: {process}"));
    assert_eq!(process["verdict"], "leak");
    assert!((20_000..23_000).contains(&number(&process, "leak_bytes_per_request")), "{process}");
    assert!(number(&process, "leak_requests") >= 8_192, "{process}");
    let table = autotrim_with(["status", &worker]).stdout;
    assert!(table.contains("leak? 20.") && table.trim_end().ends_with("KB/request"), "{table}");
    let doctor = autotrim_with(["doctor", &worker]);
    assert!(doctor.code == Some(1) && doctor.stdout.contains("leak? Live memory climbs by 20."), "{}", doctor.stdout);
    assert!(doctor.stdout.contains(" requests: no trim can help"), "{}", doctor.stdout);
    let live = number(&process, "live_bytes");
    assert!(live > 200_000_000 && live <= number(&process, "anonymous_bytes"), "{process}");
    assert!(process["free_bytes"].is_u64() && process["verdict_bytes"].is_null(), "{process}");
    if is_root("looking as another user") {
        // Only the file that the process keeps can be read.
        let mut command = autotrim();
        command.args(["status", "--json", "--metrics-dir"]).arg(directory.path()).arg(&worker);
        // The file may be a moment behind, and a trim of a quiet moment may come.
        let (process, written) = wait_within(LIMIT, "the file to have all requests and trims", || {
            let process = status(server.worker());
            let finished = finish_as_nobody(&command);
            assert_eq!((finished.code, finished.stderr.as_str()), (Some(0), ""));
            let written = finished.json()["processes"][0].clone();
            let is_same = ["requests", "trims"].iter().all(|name| written[*name] == process[*name]);
            is_same.then_some((process, written))
        });
        assert_eq!(written["source"], "metrics");
        for name in [
            "program",
            "allocator",
            "requests",
            "trims",
            "trims_by_trigger",
            "reclaimed_bytes",
            "reclaimed_by_layer",
            "floor_bytes",
            "verdict",
            "leak_bytes_per_request",
            "live_bytes",
            "free_bytes",
            "verdict_bytes",
        ] {
            assert_eq!(written[name], process[name], "{name}");
        }
    }
}

#[test]
fn retention_is_told_from_a_leak() {
    let server = served(Gunicorn::preloaded(Worker::Gthread), "/fragment", 2_560);
    let process = status(server.worker());
    assert_eq!((process["verdict"].as_str(), process["leak_bytes_per_request"].as_u64()), (Some("retention"), None));
    let doctor = autotrim_with(["doctor", &server.worker().to_string()]);
    assert!(doctor.code == Some(0) && doctor.stdout.contains("retention: memory grows, and trims bring it back"));
}

/// With a malloc that does not tell what is live, nobody may say that it is no leak: this is one.
#[test]
fn a_leak_of_another_malloc_is_not_said_to_be_none() {
    let directory = open_directory();
    let program = directory.path().join("growing");
    let mut compiler = Command::new("g++");
    compiler.args(["-std=c++17", "-O2", "-pthread", "-o"]).args([&program, &servers().join("growing.cpp")]);
    compiler.arg("-Wl,--no-as-needed").arg(file_of("libjemalloc2", "libjemalloc.so.2"));
    assert!(compiler.status().expect("g++ (scripts/packages.txt)").success());
    let by_count = [("AUTOTRIM_INTERVAL", "256"), ("AUTOTRIM_GROWTH", "0"), ("AUTOTRIM_OVERHEAD", "0")];
    let server = Script::run(&program, "growing.cpp", &["0"], &by_count);
    let mut connection = Connection::open(server.port);
    (0..3_072).for_each(|_| assert_eq!(connection.get("/leak/16384").status(), 200));
    let process = wait_within(LIMIT, "the verdict", || {
        Some(status(server.pid())).filter(|process| process["verdict"] == "growth")
    });
    assert_eq!((process["allocator"].as_str(), process["live_bytes"].as_u64()), (Some("jemalloc"), None), "{process}");
    let doctor = autotrim_with(["doctor", &server.pid().to_string()]).stdout;
    assert!(
        doctor.contains("jemalloc does not tell what is live: it may be a cache that fills, or a leak"),
        "{doctor}"
    );
    assert!(!doctor.contains("no leak"), "{doctor}");
    let line = server.wait_for_line("growth", |line| line.event == "growth");
    assert!(line.text("reason").contains("does not tell whether that is a leak"), "{line:?}");
}

/// 200,000 blocks of 700 bytes, of which every fourth stays: tests/servers/growing.cpp.
#[test]
fn fragmentation_is_told_with_its_size_and_what_helps() {
    let directory = open_directory();
    let program = directory.path().join("growing");
    let mut compiler = Command::new("g++");
    compiler.args(["-std=c++17", "-O2", "-pthread", "-o"]).arg(&program).arg(servers().join("growing.cpp"));
    assert!(compiler.status().expect("g++ (scripts/packages.txt)").success());
    let by_count = [("AUTOTRIM_INTERVAL", "256"), ("AUTOTRIM_GROWTH", "0"), ("AUTOTRIM_OVERHEAD", "0")];
    let metrics = directory.path().to_str().expect("a path");
    let environment = [&by_count[..], &[("AUTOTRIM_METRICS_DIR", metrics)]].concat();
    let server = Script::run(&program, "growing.cpp", &["0"], &environment);
    let mut connection = Connection::open(server.port);
    assert_eq!(connection.get("/threads/3").status(), 200);
    (0..3_072).for_each(|_| assert_eq!(connection.get("/fragment").status(), 200));
    let process = wait_within(LIMIT, "the verdict", || {
        Some(status(server.pid())).filter(|process| process["verdict"] == "fragmented")
    });
    let bytes = process["verdict_bytes"].as_u64().unwrap_or_else(|| panic!("{process}"));
    assert!((80 << 20..120 << 20).contains(&bytes), "{process}");
    let table = autotrim_with(["status", &server.pid().to_string()]).stdout;
    assert!(table.contains("fragmented 1"), "{table}");
    let doctor = autotrim_with(["doctor", &server.pid().to_string()]);
    for text in ["free but in use by neighbours, in 4 arenas", "MALLOC_ARENA_MAX=1", "--max-requests"] {
        assert!(doctor.stdout.contains(text), "{text}: {}", doctor.stdout);
    }
    let metrics = Metrics::of(directory.path(), server.pid()).expect("metrics");
    assert_eq!(metrics.label("autotrim_verdict", "verdict"), "fragmented");
    assert_eq!(metrics.value("autotrim_outside_growth_bytes", None), 0.0);
    assert!(metrics.value("autotrim_fragmented_bytes", None) >= f64::from(80 << 20));
}
