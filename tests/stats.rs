//! The exported block of counters: an observer reads what the log tells, and more, without a word to the process.

mod common;

use common::gunicorn::{Gunicorn, Worker};
use common::http::{Connection, get, request};
use common::stats::{Counts, counts, followed};
use common::{LIMIT, wait_within};

#[test]
fn an_observer_reads_requests_in_flight_and_trims() {
    let server = Gunicorn::preloaded(Worker::Gthread).trimming_every(2).env("AUTOTRIM_OVERHEAD", "0").start();
    let worker = server.worker();
    assert_eq!(counts(worker), None, "before the first connection");
    let until = |wanted: Counts| wait_within(LIMIT, "the counts", || (counts(worker) == Some(wanted)).then_some(()));
    for _ in 0..4 {
        get(server.port, "/small");
    }
    until(Counts { requests: 4, in_flight: 0, trims: 2 });
    let mut slow = Connection::open(server.port);
    let upload = request("POST", "/upload", "", &[b'u'; 1000]);
    slow.send(&upload[..upload.len() - 1]);
    until(Counts { requests: 4, in_flight: 1, trims: 2 });
    assert_eq!(followed(worker), Some(1));
    drop(slow);
    until(Counts { requests: 4, in_flight: 0, trims: 2 });
    wait_within(LIMIT, "the connection's end", || (followed(worker) == Some(0)).then_some(()));
    assert_eq!(counts(server.master()), None, "the master accepts nothing");
}
