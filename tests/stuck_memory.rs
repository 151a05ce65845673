//! Memory that becomes free when no request is answered goes back all the same: after the answer, beside probes, by pushing, by
//! receiving, between tasks, and what start has left. No option is set but the log's.

mod common;
#[path = "common/fixture.rs"]
mod fixture;

use common::http::Connection;
use common::process::{anonymous_kb, children};
use common::script::Script;
use common::{LIMIT, wait_within};
use fixture::Fixture;
use std::io::Write;
use std::net::{TcpListener, TcpStream};
use std::time::Duration;

/// What a piece of work holds, of which a few blocks stay.
const HELD_KB: u64 = 150 * 1024;
/// A process that holds less has given it back: an interpreter, and the heap around what stays.
const TIDY_KB: u64 = 60 * 1024;

/// Waits until a process has let go of so many pieces of work, and then until it holds little.
fn comes_back(script: &Script, pieces: usize, pid: u32) {
    // After the port.
    let done = || script.read("stdout").lines().skip(1).count();
    wait_within(LIMIT, "the work's end", || (done() >= pieces).then_some(()));
    wait_within(LIMIT, "the memory that it held", || {
        let kb = anonymous_kb(pid).expect("a process that runs");
        (kb < TIDY_KB).then_some(())
    });
}

fn anonymous(script: &Script) -> u64 {
    anonymous_kb(script.pid()).expect("a server that runs")
}

/// Without the library it stays, or the tests below would show nothing.
#[test]
fn without_the_library_it_stays() {
    let server = Script::start("stuck.py", &["serve"], &[("AUTOTRIM_DISABLE", "1")]);
    server.get("/after");
    wait_within(LIMIT, "the work's end", || server.read("stdout").lines().nth(1).map(|_| ()));
    std::thread::sleep(Duration::from_secs(3));
    assert!(anonymous(&server) > HELD_KB, "{} KB", anonymous(&server));
}

#[test]
fn after_the_answer() {
    let server = Script::start("stuck.py", &["serve"], &[]);
    for pieces in 1..=2 {
        server.get("/after");
        wait_within(LIMIT, "the work's beginning", || (anonymous(&server) > HELD_KB).then_some(()));
        comes_back(&server, pieces, server.pid());
    }
}

/// Two requests a second for a server that works on a third for six.
#[test]
fn after_a_slow_request_beside_probes() {
    let server = Script::start("stuck.py", &["serve"], &[]);
    server.get("/ok");
    std::thread::scope(|scope| {
        let slow = scope.spawn(|| server.get("/slow"));
        while !slow.is_finished() {
            server.get("/ok");
            std::thread::sleep(Duration::from_millis(400));
        }
        // They go on.
        let done = std::sync::atomic::AtomicBool::new(false);
        std::thread::scope(|scope| {
            scope.spawn(|| {
                while !done.load(std::sync::atomic::Ordering::Relaxed) {
                    server.get("/ok");
                    std::thread::sleep(Duration::from_millis(400));
                }
            });
            comes_back(&server, 1, server.pid());
            done.store(true, std::sync::atomic::Ordering::Relaxed);
        });
    });
}

/// A hundred clients that begin a request and never end it change nothing.
#[test]
fn after_the_answer_beside_clients_that_never_ask() {
    let server = Script::start("stuck.py", &["serve"], &[]);
    let half: Vec<_> = (0..100)
        .map(|_| {
            let mut client = TcpStream::connect(("127.0.0.1", server.port)).expect("a connection");
            client.write_all(b"GET / HTTP/1.1\r\nHo").expect("half a request");
            client
        })
        .collect();
    server.get("/after");
    wait_within(LIMIT, "the work's beginning", || (anonymous(&server) > HELD_KB).then_some(()));
    comes_back(&server, 1, server.pid());
    drop(half);
}

#[test]
fn what_start_has_left() {
    let server = Script::start("stuck.py", &["serve", "start"], &[]);
    server.get("/ok");
    wait_within(LIMIT, "the memory that start has left", || (anonymous(&server) < TIDY_KB).then_some(()));
}

#[test]
fn what_start_has_left_before_anybody_asks() {
    let server = Script::start("stuck.py", &["serve", "start"], &[]);
    wait_within(LIMIT, "the memory that start has left", || (anonymous(&server) < TIDY_KB).then_some(()));
}

#[test]
fn by_pushing() {
    let server = Script::start("stuck.py", &["push"], &[]);
    let client = TcpStream::connect(("127.0.0.1", server.port)).expect("a connection");
    comes_back(&server, 6, server.pid());
    drop(client);
}

#[test]
fn by_receiving() {
    let server = Script::start("stuck.py", &["receive"], &[]);
    let mut client = Connection::open(server.port);
    for pieces in 1..=3 {
        client.send(b"a line\n");
        comes_back(&server, pieces, server.pid());
    }
}

/// A worker gets its first task when it is old enough to be looked at, and is tidy before it gets the next.
fn between_tasks(how: &str) {
    let source = TcpListener::bind(("127.0.0.1", 0)).expect("a port");
    let port = source.local_addr().expect("an address").port().to_string();
    let worker = Script::start("stuck.py", &["tasks", how, &port], &[("AUTOTRIM_LOG", "info")]);
    let (mut worker_side, _) = source.accept().expect("a worker");
    std::thread::sleep(Duration::from_secs(6));
    for pieces in 1..=3 {
        worker_side.write_all(b"t").expect("a task");
        comes_back(&worker, pieces, worker.pid());
    }
    assert_eq!(worker.read("stderr"), "", "it serves nobody, and says nothing");
}

#[test]
fn between_tasks_that_are_received() {
    between_tasks("recv");
}

#[test]
fn between_tasks_that_are_polled_for() {
    between_tasks("poll");
}

/// Its only task comes when it is young, and it waits in the same call for ever.
fn after_the_only_task(how: &str) {
    let source = TcpListener::bind(("127.0.0.1", 0)).expect("a port");
    let port = source.local_addr().expect("an address").port().to_string();
    let worker = Script::start("stuck.py", &["tasks", how, &port], &[("AUTOTRIM_LOG", "info")]);
    let (mut worker_side, _) = source.accept().expect("a worker");
    worker_side.write_all(b"t").expect("a task");
    comes_back(&worker, 1, worker.pid());
    assert_eq!(worker.read("stderr"), "", "it serves nobody, and says nothing");
}

#[test]
fn after_the_only_task_that_is_received() {
    after_the_only_task("recv");
}

#[test]
fn after_the_only_task_that_is_polled_for() {
    after_the_only_task("poll");
}

#[test]
fn between_tasks_that_come_by_a_pipe() {
    let pool = Script::start("stuck.py", &["pipe", "read"], &[("AUTOTRIM_LOG", "info")]);
    let child = wait_within(LIMIT, "the child", || children(pool.pid()).first().copied());
    for pieces in 1..=3 {
        comes_back(&pool, pieces, child);
    }
    assert_eq!(pool.read("stderr"), "", "it serves nobody, and says nothing");
}

#[test]
fn after_the_only_task_that_comes_by_a_pipe() {
    let pool = Script::start("stuck.py", &["pipe", "once"], &[("AUTOTRIM_LOG", "info")]);
    let child = wait_within(LIMIT, "the child", || children(pool.pid()).first().copied());
    comes_back(&pool, 1, child);
}

fn blocking_server(mode: &str) {
    let server = Fixture::new("blocking_server").argument(mode).by_default();
    assert_eq!(server.preloaded().0.stdout, format!("{mode}: grew, tidy\n"));
}

/// Without the library it stays.
#[test]
fn a_blocking_server_alone_holds_it() {
    let server = Fixture::new("blocking_server").argument("loop");
    assert_eq!(server.plain().stdout, "loop: grew, held\n");
}

#[test]
fn by_a_server_that_blocks_in_accept() {
    blocking_server("loop");
}

#[test]
fn by_threads_that_block_for_their_clients() {
    blocking_server("keep");
}

#[test]
fn by_threads_that_have_ended() {
    blocking_server("leave");
}

#[test]
fn by_threads_that_have_ended_beside_an_acceptor_that_polls() {
    blocking_server("poll");
}

/// As a database's do: whether they or the acceptor come first to their polls, the acceptor watches in its own.
#[test]
fn by_threads_that_have_ended_and_polled_for_their_clients() {
    blocking_server("each");
}

/// The acceptor sleeps in accept since before the first request, and whoever works ends in no wait.
#[test]
fn by_threads_whose_clients_came_before_they_asked() {
    blocking_server("early");
}

/// Threads that poll for their clients are no event loop, whose accept need not be watched.
#[test]
fn by_threads_that_poll_while_another_blocks_in_accept() {
    blocking_server("late");
}

#[test]
fn a_request_that_is_there_already_goes_first() {
    let server = Fixture::new("request_in_the_socket_buffer").by_default();
    // Three trims of 200 MB within a second are more than the default pays for where the machine is slow.
    let server = server.env("AUTOTRIM_IDLE", "0").env("AUTOTRIM_OVERHEAD", "0");
    let line = "told with the memory held, then trimmed\n";
    assert_eq!(server.preloaded().0.stdout, line.repeat(3));
}

/// Sixty intervals of requests, in which nothing can have become free.
#[test]
fn what_brings_nothing_is_not_done_again_and_again() {
    let (_, log) = Fixture::new("flat_heap").by_default().preloaded();
    let trims = log.event("trim").lines;
    assert!((1..20).contains(&trims.len()), "{trims:?}");
    let (_, log) = Fixture::new("flat_heap").by_default().env("AUTOTRIM_INTERVAL", "1024").preloaded();
    assert!(log.trims("requests").lines.len() >= 55, "one for each, where they are asked for");
}

#[test]
fn a_due_trim_wakes_nobody_again_and_again() {
    let (outcome, _) = Fixture::new("due_and_in_flight").by_default().preloaded();
    let sleeps: u64 =
        outcome.stderr.trim().strip_prefix("sleeps ").and_then(|text| text.parse().ok()).expect("a number");
    assert!(sleeps <= 150, "{sleeps} sleeps in 50 waits");
}
