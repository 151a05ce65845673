//! AUTOTRIM_GC=java: Java's garbage is collected in quiet, on the library's own thread, where Java is named, and only there.

mod common;

use common::process::own_threads;
use common::script::Script;
use common::{LIMIT, wait_within};
use std::path::Path;
use std::time::Duration;

/// Requests that each leave sixty megabytes of garbage.
const BURST: usize = 4;
/// What a collection gives back at least, of what a burst has left.
const LESS_KB: u64 = 64 * 1024;
/// Each moment is one for a collection.
const EAGER: [(&str, &str); 2] = [("AUTOTRIM_IDLE", "10ms"), ("AUTOTRIM_GROWTH", "256K")];

/// Java with these options, as on a machine of 2 GB, and a log of its own of each collection.
fn java(gc: &str, java_options: &str, arguments: &[&str], environment: &[(&str, &str)]) -> Script {
    let java_options = format!("-XX:MaxRAM=2g -Xlog:gc:file=gc.log {java_options}");
    let asked = [("AUTOTRIM_GC", gc), ("AUTOTRIM_OVERHEAD", "0"), ("JDK_JAVA_OPTIONS", &java_options)];
    let environment = [&asked, environment].concat();
    Script::run(Path::new("java"), "Garbage.java", &[&["0"], arguments].concat(), &environment)
}

fn burst(server: &Script) {
    for _ in 0..BURST {
        assert_eq!(server.get("/garbage").text(), "60000");
    }
}

/// Bursts with some quiet after each, until this is so: Java is asked when it has been there for ten seconds, and RSS has grown since it was last.
fn burst_until(server: &Script, what: &str, quiet: Duration, mut is_so: impl FnMut() -> bool) {
    wait_within(LIMIT, what, || {
        burst(server);
        std::thread::sleep(quiet);
        is_so().then_some(())
    });
}

/// How often somebody has called System.gc(), as Java itself tells.
fn explicit(server: &Script) -> usize {
    server.read("gc.log").matches("System.gc()").count()
}

/// What collections gave back, as the log tells.
fn gave_kb(server: &Script) -> u64 {
    let lines = server.log().collections().lines;
    lines.iter().filter(|line| line.fields.contains_key("gc_kb")).map(|line| line.number("gc_kb")).sum()
}

fn gives_garbage_back(java_options: &str) {
    let server = java("java", java_options, &[], &[]);
    assert_eq!(server.get("/").text(), "fine");
    let mut highest = 0;
    wait_within(LIMIT, "a trim with a collection, and much less memory", || {
        burst(&server);
        highest = highest.max(server.anonymous_kb());
        std::thread::sleep(Duration::from_secs(4));
        (gave_kb(&server) > LESS_KB && server.anonymous_kb() + LESS_KB < highest).then_some(())
    });
    assert!(explicit(&server) > 0, "{}", server.read("gc.log"));
    let log = server.log();
    assert_eq!(log.event("enabled").lines[0].text("gc"), "java");
    assert_eq!(log.collections().lines[0].text("gc"), "java");
    // The one thread that the library has is not attached any more, and does not hold up an exit.
    assert_eq!(own_threads(server.pid()).len(), 1);
    wait_within(LIMIT, "a thread that is not attached", || (server.get("/threads").text() == "false").then_some(()));
}

#[test]
fn g1_gives_garbage_back() {
    gives_garbage_back("-XX:+UseG1GC -Xcheck:jni");
}

/// It takes four collections.
#[test]
fn the_serial_collector_gives_garbage_back() {
    gives_garbage_back("-XX:+UseSerialGC");
}

/// It takes a name: by default Java's garbage is its own matter, and there is no thread.
#[test]
fn nothing_is_collected_where_java_is_not_named_or_there_is_work() {
    let servers = [("auto", "1s"), ("python,node,ruby", "1s"), ("java", "10m")]
        .map(|(gc, idle)| (gc, java(gc, "-XX:+UseG1GC", &[], &[("AUTOTRIM_IDLE", idle)])));
    // Longer than it takes where it comes.
    for _ in 0..5 {
        servers.iter().for_each(|(_, server)| burst(server));
        std::thread::sleep(Duration::from_secs(3));
    }
    for (gc, server) in servers {
        wait_within(LIMIT, "a trim", || (!server.log().event("trim").lines.is_empty()).then_some(()));
        assert_eq!((server.collections(), explicit(&server)), (0, 0), "{gc}: {}", server.read("stderr"));
        assert_eq!(own_threads(server.pid()).len(), usize::from(gc == "java"), "{gc}");
    }
}

#[test]
fn what_the_program_has_switched_off_stays_off() {
    let server = java("java", "-XX:+UseSerialGC -XX:+DisableExplicitGC", &[], &[]);
    burst_until(&server, "a word that it is off", Duration::from_secs(3), || {
        server.log().event("unavailable").lines.iter().any(|line| line.text("what") == "gc")
    });
    assert_eq!((server.collections(), explicit(&server)), (0, 0), "{}", server.read("stderr"));
    assert_eq!(server.get("/").text(), "fine");
}

/// A collection that is asked for may be one that runs beside the program. Then there is time to see the thread, too.
#[test]
fn a_collection_may_be_concurrent() {
    let server = java("java", "-XX:+UseG1GC -XX:+ExplicitGCInvokesConcurrent", &["watch"], &EAGER);
    let tell = || server.get("/tell").text();
    burst_until(&server, "a daemon that is called autotrim", Duration::from_millis(300), || tell().ends_with("daemon"));
    burst_until(&server, "collections", Duration::from_millis(300), || server.collections() >= 3);
    let log = server.read("gc.log");
    assert!(log.contains("Pause Young (Concurrent Start) (System.gc())"), "{log}");
    assert!(!log.contains("Pause Full (System.gc())"), "{log}");
}

/// Whoever collects at that moment, the end comes as ever: by System.exit, with the last thread, by a signal.
#[test]
fn the_program_ends_as_ever() {
    for (path, status) in [("/exit", 7), ("/return", 0), ("", 128 + libc::SIGTERM)] {
        let mut server = java("java", "-XX:+UseSerialGC", &[], &EAGER);
        burst_until(&server, "collections", Duration::from_millis(300), || server.collections() >= 2);
        burst(&server);
        if path.is_empty() {
            server.signal(libc::SIGTERM);
        } else {
            server.get(path);
        }
        assert_eq!(server.wait().code(), Some(status), "{path}: {}", server.read("stderr"));
    }
}
