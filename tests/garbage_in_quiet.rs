//! AUTOTRIM_GC=auto, which is the default: CPython's cyclic garbage is collected where it is quiet and a trim has left much, and only there.

mod common;

use common::gunicorn::{Gunicorn, Server, Worker};
use common::http::{Connection, get};
use common::script::Script;
use common::{LIMIT, process, wait_within};
use std::time::Duration;

/// What a burst leaves as garbage, a megabyte a request.
const BURST: u64 = 40;
/// Less than that by far, more than what comes by chance.
const LITTLE_KB: u64 = 12 * 1024;

fn gunicorn(worker: Worker) -> Gunicorn {
    Gunicorn::preloaded(worker).env("AUTOTRIM_LOG", "debug")
}

/// Full collections, as the program counts them.
fn collections(server: &Server) -> u64 {
    let text = get(server.port, "/garbage/tell").text();
    text.split(' ').next().and_then(|number| number.parse().ok()).expect("a number")
}

/// How many trims tell of a collection.
fn told(server: &Server) -> usize {
    server.log().collections().lines.len()
}

/// Leaves garbage, and waits until quiet has been used.
fn burst(server: &Server) {
    (0..BURST).for_each(|_| drop(get(server.port, "/garbage")));
    let before = server.log().trims("idle").lines.len();
    wait_within(LIMIT, "a trim in quiet", || (server.log().trims("idle").lines.len() > before).then_some(()));
}

fn gives_garbage_back(server: Server) {
    get(server.port, "/garbage");
    let before = server.anonymous_kb();
    for round in 1..=2 {
        burst(&server);
        wait_within(LIMIT, "RSS near where it was", || (server.anonymous_kb() < before + LITTLE_KB).then_some(()));
        wait_within(LIMIT, "a line of the log for it", || (told(&server) >= round).then_some(()));
    }
    assert_eq!(server.log().event("enabled").lines[0].text("gc"), "auto");
    assert_eq!(server.log().collections().lines[0].text("gc"), "python");
}

#[test]
fn gthread_gives_garbage_back() {
    gives_garbage_back(gunicorn(Worker::Gthread).arguments(&["--threads", "4"]).start());
}

#[test]
fn uvicorn_gives_garbage_back() {
    gives_garbage_back(gunicorn(Worker::Uvicorn).start());
}

/// Its main thread waits for half of its timeout at a time.
#[test]
fn sync_gives_garbage_back() {
    gives_garbage_back(gunicorn(Worker::Sync).arguments(&["--timeout", "4"]).start());
}

#[test]
fn gevent_gives_garbage_back() {
    gives_garbage_back(gunicorn(Worker::Gevent).start());
}

/// While there is work, and where that is wanted, garbage is CPython's own matter.
#[test]
fn nothing_is_collected_where_it_is_off_or_there_is_work() {
    let off = gunicorn(Worker::Gthread).env("AUTOTRIM_GC", "off").arguments(&["--threads", "4"]).start();
    burst(&off);
    // Longer than the trim in quiet and a turn of the main thread.
    std::thread::sleep(Duration::from_secs(4));
    assert_eq!((collections(&off), told(&off)), (0, 0));

    let busy = gunicorn(Worker::Gthread).env("AUTOTRIM_IDLE", "30s").arguments(&["--threads", "4"]).start();
    for _ in 0..BURST {
        get(busy.port, "/garbage");
        std::thread::sleep(Duration::from_millis(50));
    }
    wait_within(LIMIT, "a trim", || (!busy.log().event("trim").lines.is_empty()).then_some(()));
    assert_eq!((collections(&busy), told(&busy)), (0, 0));
}

/// What the last collection has left is in use: a burst without garbage asks for no other.
#[test]
fn where_trims_are_enough_nothing_is_collected_again() {
    let server = gunicorn(Worker::Gthread).arguments(&["--threads", "4"]).start();
    burst(&server);
    wait_within(LIMIT, "a collection", || (told(&server) >= 1).then_some(()));
    let counted = collections(&server);
    for _ in 0..3 {
        let trims = server.log().event("trim").lines.len();
        (0..20).for_each(|_| drop(get(server.port, "/fragment")));
        wait_within(LIMIT, "a trim", || (server.log().event("trim").lines.len() > trims).then_some(()));
        std::thread::sleep(Duration::from_secs(3));
    }
    assert_eq!(collections(&server), counted, "{}", server.stderr());
}

/// A probe every half second costs next to nothing: it is quiet beside them.
#[test]
fn garbage_goes_back_beside_probes() {
    let server = gunicorn(Worker::Gthread).arguments(&["--threads", "4"]).start();
    get(server.port, "/garbage");
    let before = server.anonymous_kb();
    (0..BURST).for_each(|_| drop(get(server.port, "/garbage")));
    let probe = || {
        collections(&server);
        std::thread::sleep(Duration::from_millis(500));
    };
    let is_collected = || told(&server) >= 1 && server.anonymous_kb() < before + LITTLE_KB;
    wait_within(LIMIT, "RSS near where it was", || {
        probe();
        is_collected().then_some(())
    });
}

/// A collection writes into each object: a worker would have copies of what it shares with its master.
#[test]
fn a_child_that_shares_most_of_its_memory_is_left_alone() {
    let worker =
        |ballast: &str| gunicorn(Worker::Gthread).env("BALLAST", ballast).arguments(&["--threads", "4"]).start();
    let (sharing, alone) = (worker("200"), worker("0"));
    burst(&sharing);
    burst(&alone);
    wait_within(LIMIT, "a collection where little is shared", || (told(&alone) >= 1).then_some(()));
    std::thread::sleep(Duration::from_secs(3));
    assert_eq!((collections(&sharing), told(&sharing)), (0, 0));
    // Nor is the master, whose copies would be as many: it serves nobody, and is looked at when it is old.
    std::thread::sleep(process::until_old(sharing.master()) + Duration::from_secs(4));
    assert_eq!(told(&sharing), 0, "{}", sharing.stderr());
}

/// It is nobody's wish: where no main thread comes by nothing is said.
#[test]
fn a_main_thread_that_never_comes_by_is_no_matter() {
    let options = [("AUTOTRIM_GC", "auto"), ("AUTOTRIM_INTERVAL", "5"), ("AUTOTRIM_OVERHEAD", "0")];
    let server = Script::start("in_a_thread.py", &[], &options);
    (0..20).for_each(|_| drop(server.get("/")));
    wait_within(LIMIT, "four trims", || (server.log().event("trim").lines.len() >= 4).then_some(()));
    assert!(server.log().event("unavailable").lines.is_empty());
}

/// A main thread that waits without an end collects in its wait, which goes on as if nothing had been; signals run their handlers
/// at once, before, during and after.
fn signals_are_seen(wait: &str) {
    let environment = [("AUTOTRIM_IDLE", "10ms"), ("AUTOTRIM_OVERHEAD", "0")];
    let server = Script::start("signalled.py", &["0", wait], &environment);
    let mut kept = (wait == "read").then(|| Connection::open(server.port));
    let mut get = |path| match &mut kept {
        Some(connection) => connection.get(path).text(),
        None => server.get(path).text(),
    };
    wait_within(LIMIT, "twenty collections and a thousand signals", || {
        assert_eq!(get("/garbage"), "left");
        std::thread::sleep(Duration::from_millis(60));
        let told: Vec<u64> = get("/tell").split_whitespace().map(|number| number.parse().expect("a number")).collect();
        let [sent, late, collections] = told[..] else { panic!("three numbers") };
        assert_eq!(late, 0, "of {sent} signals, with {collections} collections");
        (sent >= 1000 && collections >= 20).then_some(())
    });
}

#[test]
fn signals_are_seen_in_epoll() {
    signals_are_seen("epoll");
}

#[test]
fn signals_are_seen_in_poll() {
    signals_are_seen("poll");
}

#[test]
fn signals_are_seen_in_select() {
    signals_are_seen("select");
}

#[test]
fn signals_are_seen_in_read() {
    signals_are_seen("read");
}
