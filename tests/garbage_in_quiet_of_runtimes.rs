//! AUTOTRIM_GC: Node's garbage is collected where it is quiet and a trim has left much, or before each trim in quiet, and only there.

mod common;

use common::script::Script;
use common::{LIMIT, wait_within};
use std::path::Path;
use std::time::Duration;

/// What a burst leaves as garbage: some megabytes each, of which V8 keeps 30 and more.
const BURST: usize = 12;
/// Less than that by far, more than what comes by chance.
const LITTLE_KB: u64 = 12 * 1024;

fn node(gc: &str, arguments: &[&str], environment: &[(&str, &str)]) -> Script {
    let environment = [&[("AUTOTRIM_GC", gc)], environment].concat();
    Script::run(Path::new("node"), "garbage.js", &[&["0"], arguments].concat(), &environment)
}

fn burst(server: &Script) {
    for _ in 0..BURST {
        assert_eq!(server.get("/garbage").text(), "20000");
    }
}

/// How many of the program's objects were finalized, as its callback counts them.
fn finalized(server: &Script) -> usize {
    let text = server.get("/tell").text();
    text.trim().split(' ').nth(1).and_then(|number| number.parse().ok()).expect("two numbers")
}

fn gives_garbage_back(server: &Script, gc: &str) {
    server.get("/");
    let before = server.anonymous_kb();
    for round in 1..=2 {
        burst(server);
        wait_within(LIMIT, "a trim with a collection", || (server.collections() >= round).then_some(()));
        wait_within(LIMIT, "RSS near where it was", || (server.anonymous_kb() < before + LITTLE_KB).then_some(()));
        // The callbacks came, in their own time: the program would have aborted within JavaScript.
        wait_within(LIMIT, "all to be finalized", || (finalized(server) >= BURST * round).then_some(()));
        assert_eq!(server.get("/").text(), "fine");
    }
    assert_eq!(server.log().event("enabled").lines[0].text("gc"), gc);
    assert_eq!(server.log().collections().lines[0].text("gc"), "node");
}

#[test]
fn node_gives_garbage_back() {
    gives_garbage_back(&node("auto", &[], &[]), "auto");
}

#[test]
fn node_gives_garbage_back_by_its_name() {
    gives_garbage_back(&node("python,node", &[], &[]), "python,node");
}

/// Each thread looks after its own: the worker is asked, too, if it comes by, and nothing happens to it.
#[test]
fn node_gives_garbage_back_beside_a_worker() {
    gives_garbage_back(&node("auto", &["worker"], &[]), "auto");
}

/// By default, and while there is work, garbage is V8's own matter.
#[test]
fn nothing_is_collected_where_nobody_asks_or_there_is_work() {
    for (gc, idle) in [("off", "1s"), ("python", "1s"), ("auto", "60s"), ("node", "60s")] {
        let server = node(gc, &[], &[("AUTOTRIM_IDLE", idle)]);
        server.get("/");
        burst(&server);
        // Longer than it takes where it comes.
        std::thread::sleep(Duration::from_secs(4));
        wait_within(LIMIT, "a trim", || (!server.log().event("trim").lines.is_empty()).then_some(()));
        // V8 may have collected by itself meanwhile: it has timers of its own.
        assert_eq!(server.collections(), 0, "{gc}: {}", server.read("stderr"));
    }
}

/// Without a budget and with hardly a pause each moment is one for a collection: answers stay what they are.
#[test]
fn many_collections_change_no_answer() {
    let environment = [("AUTOTRIM_IDLE", "10ms"), ("AUTOTRIM_OVERHEAD", "0"), ("AUTOTRIM_INTERVAL", "1")];
    let mut server = node("node", &["worker"], &environment);
    let mut bursts = 0;
    wait_within(LIMIT, "thirty bursts and five collections", || {
        assert_eq!(server.get("/garbage").text(), "20000");
        bursts += 1;
        std::thread::sleep(Duration::from_millis(if bursts < 30 { 80 } else { 300 }));
        (bursts >= 30 && server.collections() >= 5).then_some(())
    });
    assert_eq!(server.get("/").text(), "fine");
    server.get("/end");
    assert_eq!(server.wait().code(), Some(7), "{}", server.read("stderr"));
}

/// Each has an isolate of its own, which ends with it, whoever is asked to collect at that moment.
#[test]
fn workers_may_end_at_any_time() {
    let environment = [("AUTOTRIM_IDLE", "10ms"), ("AUTOTRIM_OVERHEAD", "0"), ("AUTOTRIM_INTERVAL", "1")];
    let server = node("node", &[], &environment);
    let workers = || server.get("/worker").text().parse::<usize>().expect("a number");
    let mut begun = 0;
    // The machine decides when some are asked in between; later rounds leave more time for it.
    wait_within(LIMIT, "forty workers and five collections", || {
        workers();
        begun += 1;
        std::thread::sleep(Duration::from_millis(if begun < 40 { 40 } else { 300 }));
        (begun >= 40 && server.collections() >= 5).then_some(())
    });
    wait_within(LIMIT, "the workers' ends", || (workers() >= begun).then_some(()));
}
