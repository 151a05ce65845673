//! AUTOTRIM_GC=python: CPython's cyclic garbage is collected before a trim, and only then; the program notices nothing else.

mod common;
#[path = "common/fixture.rs"]
mod fixture;

use common::gunicorn::{Gunicorn, Server, Worker};
use common::http::get;
use common::process::clean_environment;
use common::script::Script;
use common::{LIMIT, free_port, library, servers, wait_within};
use fixture::Fixture;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

/// Requests between trims, of which each leaves 1 MB.
const INTERVAL: u64 = 20;
/// What all but a few of one interval's requests leave.
const LEFT_KB: u64 = 15 * 1024;

fn gunicorn(worker: Worker, gc: &str) -> Gunicorn {
    Gunicorn::preloaded(worker).trimming_every(INTERVAL as u32).env("AUTOTRIM_OVERHEAD", "0").env("AUTOTRIM_GC", gc)
}

/// What `/garbage/tell` says: full collections, finalizers that found what they should, and all finalizers.
fn told(server: &Server) -> [u64; 3] {
    let text = get(server.port, "/garbage/tell").text();
    let numbers: Vec<u64> = text.split(' ').map(|number| number.parse().expect("a number")).collect();
    numbers.try_into().expect("three numbers")
}

/// How many lines of the log tell of a collection.
fn collections(server: &Server) -> u64 {
    server.log().collections().lines.len() as u64
}

/// An interval's requests, and then so many trims.
fn answer_until(server: &Server, path: &str, trims: usize) {
    (0..INTERVAL).for_each(|_| drop(get(server.port, path)));
    server.wait_for_log("a trim", |log| (log.event("trim").lines.len() >= trims).then_some(()));
}

fn is_collected(server: Server) {
    get(server.port, "/garbage");
    let before = server.anonymous_kb();
    for round in 1..=3 {
        (0..INTERVAL).for_each(|_| drop(get(server.port, "/garbage")));
        // Some moments without work, and work that goes on: the next collection takes what came after the last one.
        wait_within(LIMIT, "a trim after a collection, and RSS near where it was", || {
            get(server.port, "/small");
            (collections(&server) >= round && server.anonymous_kb() < before + LEFT_KB / 2).then_some(())
        });
    }
    let [counted, ..] = told(&server);
    wait_within(LIMIT, "a line for each collection", || (collections(&server) >= counted).then_some(()));
    // The last request may have been the one that makes another one due.
    assert!(collections(&server) <= counted + 1, "{counted} collections: {}", server.stderr());
    assert_eq!(server.log().event("enabled").lines[0].text("gc"), "python");
}

#[test]
fn sync_collects_before_it_trims() {
    is_collected(gunicorn(Worker::Sync, "python").start());
}

/// It then waits in select before each accept.
#[test]
fn sync_with_two_listeners_collects_before_it_trims() {
    is_collected(gunicorn(Worker::Sync, "python").arguments(&["--bind", "unix:second"]).start());
}

#[test]
fn gthread_collects_before_it_trims() {
    is_collected(gunicorn(Worker::Gthread, "python").arguments(&["--threads", "4"]).start());
}

#[test]
fn gevent_collects_before_it_trims() {
    is_collected(gunicorn(Worker::Gevent, "python").start());
}

#[test]
fn uvicorn_collects_before_it_trims() {
    is_collected(gunicorn(Worker::Uvicorn, "python").start());
}

/// Else the tests above would show nothing.
#[test]
fn without_the_option_garbage_stays() {
    for gc in ["off", "ruby"] {
        let server = gunicorn(Worker::Sync, gc).start();
        get(server.port, "/garbage");
        let before = server.anonymous_kb();
        (1..=3).for_each(|trims| answer_until(&server, "/garbage", trims));
        let now = server.anonymous_kb();
        assert!(now > before + 3 * LEFT_KB, "{before} KB before, {now} KB now");
        assert_eq!((told(&server), collections(&server)), ([0, 0, 0], 0));
        // Ruby's garbage was asked for, and there is no Ruby.
        assert_eq!(server.log().event("unavailable").lines.len(), usize::from(gc == "ruby"));
    }
}

/// Also where the budget allowed no collection while there was work.
#[test]
fn quiet_leaves_no_garbage() {
    let gunicorn = gunicorn(Worker::Gthread, "python").arguments(&["--threads", "4"]);
    let server = gunicorn.env("AUTOTRIM_OVERHEAD", "20").env("AUTOTRIM_IDLE", "500ms").start();
    get(server.port, "/garbage");
    let before = server.anonymous_kb();
    (0..5 * INTERVAL).for_each(|_| drop(get(server.port, "/garbage")));
    wait_within(LIMIT, "RSS near where it was", || (server.anonymous_kb() < before + LEFT_KB).then_some(()));
    // The trim comes after the collection.
    wait_within(LIMIT, "a trim after a collection", || (collections(&server) >= 1).then_some(()));
}

/// What a burst leaves that the budget allows no collection of is garbage, and no leak.
#[test]
fn garbage_is_not_called_a_leak() {
    const OVERHEAD: u64 = 2;
    // What may be spent at once, which trims may have before a collection may come again.
    const BURST: Duration = Duration::from_millis(100);
    let gunicorn = Gunicorn::preloaded(Worker::Sync).env("AUTOTRIM_GC", "python").env("AUTOTRIM_LOG", "debug");
    let server = gunicorn.env("AUTOTRIM_GROWTH", "16M").env("AUTOTRIM_OVERHEAD", OVERHEAD.to_string()).start();
    get(server.port, "/garbage/slow");
    let (mut collecting, mut requests) = (Duration::ZERO, 0);
    loop {
        get(server.port, "/garbage");
        requests += 1;
        // The worker is to come to a wait.
        std::thread::sleep(Duration::from_millis(5));
        let trims = server.log().event("trim");
        let collections = trims.collections();
        if requests >= 600 && trims.lines.len() >= collections.lines.len() + 10 {
            break;
        }
        assert!(requests < 6_000, "the budget is spent: {trims:?}");
        let took = Duration::from_micros(collections.numbers("gc_us").iter().sum());
        // After a collection trims have to be affordable again, and another one not yet.
        std::thread::sleep((took - collecting).saturating_sub(BURST * 9 / 10) * 100 / OVERHEAD as u32);
        collecting = took;
    }
    assert_eq!(server.log().event("leak").lines, []);
}

/// gc.disable() is a decision of the program's.
#[test]
fn what_the_program_has_disabled_stays_so() {
    let server = gunicorn(Worker::Sync, "python").start();
    get(server.port, "/garbage/disable");
    (1..=2).for_each(|trims| answer_until(&server, "/garbage", trims));
    assert_eq!((told(&server), collections(&server)), ([0, 0, 0], 0));
}

fn finalizers_run(worker: Worker, does: &str) {
    const FINALIZERS: u64 = 5;
    let mut server = gunicorn(worker, "python").start();
    for _ in 0..FINALIZERS {
        get(server.port, &format!("/garbage/finalizer?does={does}"));
    }
    (0..INTERVAL).for_each(|_| drop(get(server.port, "/small")));
    wait_within(LIMIT, "a trim after a collection", || (collections(&server) >= 1).then_some(()));
    assert_eq!(told(&server)[1..], [FINALIZERS, FINALIZERS], "{}", server.stderr());
    // It goes on as before; and the children have collected for themselves, which nobody asked them to say.
    (0..INTERVAL).for_each(|_| drop(get(server.port, "/small")));
    wait_within(LIMIT, "another one", || (collections(&server) >= 2).then_some(()));
    let worker = server.worker();
    let log = server.stop_and_read_log();
    assert_eq!(log.event("trim").pids(), [worker]);
    assert!(!server.stderr().contains("Traceback"), "{}", server.stderr());
}

#[test]
fn finalizers_may_wait() {
    finalizers_run(Worker::Sync, "wait");
    finalizers_run(Worker::Uvicorn, "wait");
}

#[test]
fn finalizers_may_fork() {
    finalizers_run(Worker::Sync, "fork");
}

/// A collection that takes long delays a signal's handler by no more than itself, as in any Python program.
#[test]
fn a_server_can_be_stopped_during_a_collection() {
    let mut server = gunicorn(Worker::Sync, "python").start();
    let marker = server.path("collecting");
    get(server.port, &format!("/garbage/fill?mark={}", marker.display()));
    (0..INTERVAL).for_each(|_| drop(get(server.port, "/small")));
    wait_within(LIMIT, "the beginning of a collection", || marker.exists().then_some(()));
    let exit = server.stop();
    assert!(exit.success(), "{exit}: {}", server.stderr());
}

/// Nothing but one line where there is no CPython.
#[test]
fn node_is_left_as_it_is() {
    let port = free_port();
    let directory = tempfile::tempdir().expect("a directory");
    let file = |name| std::fs::File::create(directory.path().join(name)).expect("a file");
    let mut command = Command::new("node");
    clean_environment(&mut command)
        .args([servers().join("node.js").to_str().expect("a path"), "http", &port.to_string()])
        .arg(directory.path())
        .env("LD_PRELOAD", library())
        .envs([("AUTOTRIM_GC", "python"), ("AUTOTRIM_INTERVAL", "5"), ("AUTOTRIM_LOG", "debug")])
        .stdin(Stdio::null())
        .stdout(file("stdout"))
        .stderr(file("stderr"));
    let mut node = common::process::end_with_this_test(&mut command).spawn().expect("node could not be started");
    let read = |name| std::fs::read(directory.path().join(name)).expect("the output");
    wait_within(LIMIT, "Node", || read("stdout").starts_with(b"ready").then_some(()));
    let start = Instant::now();
    let log = || common::log::Log::read(&read("stderr"));
    while log().event("trim").lines.len() < 3 {
        get(port, "/small");
        assert!(start.elapsed() < LIMIT, "no trims: {:?}", log());
    }
    node.kill().expect("kill");
    node.wait().expect("wait");
    let said: Vec<_> = log().event("unavailable").lines.iter().map(|line| line.text("what").to_owned()).collect();
    assert_eq!(said, ["gc"]);
    assert_eq!(log().collections().lines, []);
}

/// The pending call runs on the main thread: where that never waits in a call that we see, trims go without and say so.
#[test]
fn a_main_thread_that_only_sleeps_is_left_alone() {
    let options = [("AUTOTRIM_GC", "python"), ("AUTOTRIM_INTERVAL", "5"), ("AUTOTRIM_OVERHEAD", "0")];
    let server = Script::start("in_a_thread.py", &[], &options);
    (0..20).for_each(|_| drop(server.get("/")));
    wait_within(LIMIT, "four trims", || (server.log().event("trim").lines.len() >= 4).then_some(()));
    assert_eq!(server.log().event("unavailable").lines.len(), 1);
    assert_eq!(server.log().collections().lines, []);
}

/// Where a thread waits in C, a library may hold a lock that a finalizer needs: it must not run there.
#[test]
fn no_finalizer_runs_within_a_wait() {
    let flags = ["-rdynamic", "-l:libpython3.11.so.1.0"];
    let log = Fixture::compiled("python_under_lock", &flags).env("AUTOTRIM_GC", "python").is_unchanged_by_trims();
    let with = log.collections().lines.len();
    assert!(with >= 3, "{log:?}");
}

/// A program that starts and ends the interpreter, twice, serves with it and without it.
#[test]
fn an_interpreter_that_ends_is_left_alone() {
    let fixture = Fixture::compiled("embeds_python", &["-l:libpython3.11.so.1.0"]).env("AUTOTRIM_GC", "python");
    let log = fixture.is_unchanged_by_trims();
    let with = log.collections().lines.len();
    assert!(with >= 2, "one collection in each life: {log:?}");
}
