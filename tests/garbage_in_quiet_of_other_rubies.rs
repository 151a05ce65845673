//! AUTOTRIM_GC: garbage comes back in quiet in the oldest and the newest Ruby, too, those of other Debian systems; garbage_in_quiet_of_ruby.rs has this
//! system's, and newest.rs sid's.

mod common;
#[path = "common/elsewhere.rs"]
mod elsewhere;
#[path = "common/release.rs"]
mod release;

use common::http::get;
use common::{LIMIT, wait_within};
use elsewhere::{Server, Start};
use std::time::Duration;

/// Nobody waits for the budget, however long a collection takes on a busy machine.
const AT_ANY_PRICE: [(&str, &str); 1] = [("AUTOTRIM_OVERHEAD", "0")];
/// Requests that each leave some tens of megabytes of garbage.
const BURST: usize = 3;
/// So many may still be named on some stack, which Ruby looks through for whatever may be one of its objects.
const NAMED: usize = 2;
/// Longer than quiet must last, so that to ask does not put it off.
const BETWEEN: Duration = Duration::from_secs(3);
/// What a collection and its trim give back at least, of what a burst has left: Ruby keeps a part of its heap.
const LESS_KB: u64 = 16 * 1024;

fn puma(port: &str) -> (Vec<String>, bool) {
    (["ruby", "/garbage.rb", port].map(str::to_owned).to_vec(), false)
}

fn warmed_up(port: &str) -> (Vec<String>, bool) {
    (["ruby", "/garbage.rb", port, "warmup"].map(str::to_owned).to_vec(), false)
}

fn interrupted(port: &str) -> (Vec<String>, bool) {
    (["ruby", "/garbage.rb", port, "interrupts"].map(str::to_owned).to_vec(), false)
}

fn in_event_loop(port: &str) -> (Vec<String>, bool) {
    (["ruby", "/garbage.rb", port, "nio4r"].map(str::to_owned).to_vec(), false)
}

fn server(suite: &str, start: Start, environment: &[(&str, &str)]) -> Server {
    let root = release::path_from("scripts/roots").join(suite);
    elsewhere::furnish(&root, &["garbage.rb"]);
    Server::start(&root, start, true, environment)
}

/// Full collections, objects that were finalized, waits that were interrupted.
fn tell(server: &Server) -> [usize; 3] {
    let text = get(server.port, "/tell").text();
    let numbers: Vec<usize> = text.split_whitespace().map(|number| number.parse().expect("a number")).collect();
    numbers.try_into().expect("three numbers")
}

fn collections(server: &Server) -> usize {
    server.log().collections().lines.len()
}

fn gives_garbage_back(server: &Server) {
    assert_eq!(get(server.port, "/").text(), "fine");
    for round in 1..=2 {
        let mut highest = 0;
        for _ in 0..BURST {
            assert_eq!(get(server.port, "/garbage").text(), "100000");
            highest = highest.max(server.anonymous_kb());
        }
        wait_within(LIMIT, "a trim with a collection", || (collections(server) >= round).then_some(()));
        wait_within(LIMIT, "much less than in the burst", || (server.anonymous_kb() + LESS_KB < highest).then_some(()));
        // On a busy machine there may have been quiet, and a collection, before the burst was over.
        wait_within(LIMIT, "all but what is named is finalized", || {
            let [_, finalized, _] = tell(server);
            std::thread::sleep(BETWEEN);
            (finalized + NAMED >= BURST * round).then_some(())
        });
        assert_eq!(get(server.port, "/").text(), "fine");
    }
    assert_eq!(server.log().collections().lines[0].text("gc"), "ruby");
}

/// Threads are interrupted all the time in waits like those in which others collect, and in which they collect themselves.
fn interrupts_leave_a_wait_as_ever(suite: &str) {
    let environment =
        [("AUTOTRIM_GC", "ruby"), ("AUTOTRIM_IDLE", "10ms"), ("AUTOTRIM_OVERHEAD", "0"), ("AUTOTRIM_INTERVAL", "1")];
    let server = server(suite, interrupted, &environment);
    let mut bursts = 0;
    wait_within(LIMIT, "thirty bursts, thirty collections and a thousand interrupts", || {
        assert_eq!(get(server.port, "/little").text(), "5000");
        bursts += 1;
        std::thread::sleep(Duration::from_millis(80));
        let [_, _, interrupted] = tell(&server);
        (bursts >= 30 && collections(&server) >= 30 && interrupted >= 1000).then_some(())
    });
    assert_eq!(get(server.port, "/").text(), "fine");
}

/// The main thread waits in nio4r's event loop without an end: what comes while garbage is collected, or just before, runs its trap at once.
fn signals_are_seen_in_an_event_loop(suite: &str) {
    let environment =
        [("AUTOTRIM_GC", "ruby"), ("AUTOTRIM_IDLE", "10ms"), ("AUTOTRIM_OVERHEAD", "0"), ("AUTOTRIM_INTERVAL", "1")];
    let server = server(suite, in_event_loop, &environment);
    wait_within(LIMIT, "thirty collections", || {
        assert_eq!(get(server.port, "/little").text(), "5000");
        std::thread::sleep(Duration::from_millis(60));
        let [_, _, late] = tell(&server);
        assert_eq!(late, 0);
        (collections(&server) >= 30).then_some(())
    });
}

#[test]
fn signals_are_seen_in_an_event_loop_of_ruby_2_7() {
    signals_are_seen_in_an_event_loop("bullseye");
}

#[test]
fn signals_are_seen_in_an_event_loop_of_ruby_3_3() {
    signals_are_seen_in_an_event_loop("trixie");
}

#[test]
fn ruby_2_7_of_debian_bullseye_gives_garbage_back() {
    gives_garbage_back(&server("bullseye", puma, &AT_ANY_PRICE));
}

#[test]
fn ruby_3_3_of_debian_trixie_gives_garbage_back() {
    gives_garbage_back(&server("trixie", puma, &AT_ANY_PRICE));
}

/// What Process.warmup has made old, compacted and given back is the beginning of what comes in quiet: a collection among old objects gives back what came after.
#[test]
fn a_heap_that_was_warmed_up_gives_garbage_back() {
    gives_garbage_back(&server("trixie", warmed_up, &AT_ANY_PRICE));
}

#[test]
fn interrupts_leave_a_wait_as_ever_in_ruby_2_7() {
    interrupts_leave_a_wait_as_ever("bullseye");
}

#[test]
fn interrupts_leave_a_wait_as_ever_in_ruby_3_3() {
    interrupts_leave_a_wait_as_ever("trixie");
}
