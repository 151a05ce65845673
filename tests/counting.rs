//! Every answered request is counted once, whatever the worker class: trims by count fall exactly where they
//! should.

mod common;

use common::gunicorn::{Gunicorn, Server, Worker};
use common::http::{Connection, get, post_after_continue};

const INTERVAL: u32 = 5;
const REQUESTS: u32 = 20;

/// Sends the requests through `send`, waiting for the due trim after every fifth, and checks the whole log.
///
/// A trim happens at the first wait point after the answer; without the wait a busy machine could answer a
/// sixth request first.
fn trims_after_every_fifth_request(worker: Worker, mut send: impl FnMut(&Server)) {
    let mut server = Gunicorn::preloaded(worker).trimming_every(INTERVAL).start();
    let pid = server.worker();
    for sent in 1..=REQUESTS {
        send(&server);
        if sent % INTERVAL == 0 {
            server.wait_for_line(&format!("the trim after request {sent}"), |line| {
                line.event == "trim" && line.number("requests") >= u64::from(sent)
            });
        }
    }
    // An open connection would hold up a graceful stop.
    drop(send);
    let log = server.stop_and_read_log();
    let trims = log.of(pid).event("trim");
    assert_eq!(trims.numbers("requests"), [5, 10, 15, 20]);
    assert_eq!(trims.numbers("trims"), [1, 2, 3, 4]);
    for trim in &trims.lines {
        assert_eq!((trim.text("trigger"), trim.number("in_flight")), ("requests", 0), "{trim:?}");
        assert!(trim.number("rss_before_kb") > 0 && trim.number("rss_after_kb") > 0, "{trim:?}");
        trim.number("took_us");
    }
    assert_eq!(log.event("trim"), trims, "another process trims too");
}

fn counts_a_connection_per_request(worker: Worker) {
    trims_after_every_fifth_request(worker, |server| assert_eq!(get(server.port, "/small").text(), "hello"));
}

fn counts_requests_on_one_connection(worker: Worker) {
    let mut connection = None;
    trims_after_every_fifth_request(worker, move |server| {
        let connection = connection.get_or_insert_with(|| Connection::open(server.port));
        assert_eq!(connection.get("/small").text(), "hello");
    });
}

#[test]
fn sync_counts_a_connection_per_request() {
    counts_a_connection_per_request(Worker::Sync);
}

#[test]
fn gthread_counts_a_connection_per_request() {
    counts_a_connection_per_request(Worker::Gthread);
}

#[test]
fn gevent_counts_a_connection_per_request() {
    counts_a_connection_per_request(Worker::Gevent);
}

#[test]
fn uvicorn_counts_a_connection_per_request() {
    counts_a_connection_per_request(Worker::Uvicorn);
}

// gunicorn's sync worker closes every connection, so it has no such test.

#[test]
fn gthread_counts_requests_on_one_connection() {
    counts_requests_on_one_connection(Worker::Gthread);
}

#[test]
fn gevent_counts_requests_on_one_connection() {
    counts_requests_on_one_connection(Worker::Gevent);
}

#[test]
fn uvicorn_counts_requests_on_one_connection() {
    counts_requests_on_one_connection(Worker::Uvicorn);
}

/// `100 Continue` is sent before the body is read and answers nothing: each upload still counts once.
#[test]
fn an_interim_answer_is_not_counted() {
    for worker in [Worker::Sync, Worker::Uvicorn] {
        let body = vec![b'u'; 100_000];
        trims_after_every_fifth_request(worker, |server| {
            assert_eq!(post_after_continue(server.port, "/upload", &body).text(), "100000");
        });
    }
}

/// Two workers count apart, and together they count what was answered.
fn two_workers_count_every_request(worker: Worker) {
    const CLIENTS: u64 = 4;
    const EACH: u64 = 100;
    let mut server = Gunicorn::preloaded(worker).workers(2).trimming_every(1).env("AUTOTRIM_OVERHEAD", "0").start();
    std::thread::scope(|scope| {
        for _ in 0..CLIENTS {
            scope.spawn(|| (0..EACH).for_each(|_| assert_eq!(get(server.port, "/small").status(), 200)));
        }
    });
    let sum = |log: &common::log::Log| -> u64 {
        let last = |pid| log.of(pid).event("trim").numbers("requests").last().copied().unwrap_or(0);
        log.pids().into_iter().map(last).sum()
    };
    server.wait_for_log("counts that add up", |log| (sum(log) >= CLIENTS * EACH).then_some(()));
    let log = server.stop_and_read_log();
    assert_eq!(sum(&log), CLIENTS * EACH);
    for pid in log.pids() {
        let counts = log.of(pid).event("trim").numbers("requests");
        assert!(counts.is_sorted_by(|one, next| one < next), "{pid}: {counts:?}");
    }
}

#[test]
fn two_sync_workers_count_every_request() {
    two_workers_count_every_request(Worker::Sync);
}

#[test]
fn two_gthread_workers_count_every_request() {
    two_workers_count_every_request(Worker::Gthread);
}

#[test]
fn two_gevent_workers_count_every_request() {
    two_workers_count_every_request(Worker::Gevent);
}

#[test]
fn two_uvicorn_workers_count_every_request() {
    two_workers_count_every_request(Worker::Uvicorn);
}
