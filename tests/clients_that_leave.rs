//! A client that leaves before it has an answer is not counted, and is not in flight for ever.

mod common;

use common::gunicorn::{Gunicorn, Worker};
use common::http::{Connection, get, request};

const TIMES: usize = 3;

/// How a client goes: by closing, or so that the server sees a reset.
#[derive(Clone, Copy)]
enum Leave {
    Close,
    Reset,
}

fn leave_after(port: u16, bytes: &[u8], how: Leave) {
    let mut connection = Connection::open(port);
    connection.send(bytes);
    if let Leave::Reset = how {
        // The server has to read the bytes first: a reset throws away what it has not read.
        std::thread::sleep(std::time::Duration::from_millis(50));
        connection.reset();
    }
}

/// With AUTOTRIM_DEFER far beyond the test's patience a trim happens only when nothing is in flight: each
/// line that appears shows that every client that left has been forgotten.
fn clients_that_leave_add_nothing(worker: Worker) {
    let arguments = ["--threads", "4"];
    let gunicorn = Gunicorn::preloaded(worker).arguments(&arguments).trimming_every(1);
    let mut server = gunicorn.env("AUTOTRIM_DEFER", "600s").start();
    let upload = request("POST", "/upload", "", &[b'u'; 10_000]);
    let half_body = &upload[..upload.len() - 5_000];
    let half_header = &upload[..20];
    for round in 1..=2 {
        for _ in 0..TIMES {
            for how in [Leave::Close, Leave::Reset] {
                leave_after(server.port, b"", how);
                leave_after(server.port, half_header, how);
                leave_after(server.port, half_body, how);
            }
        }
        assert_eq!(get(server.port, "/small").text(), "hello");
        let line = server.wait_for_line(&format!("the trim after answer {round}"), |line| {
            line.event == "trim" && line.number("trims") == round
        });
        assert_eq!((line.number("requests"), line.number("in_flight")), (round, 0));
    }
    let log = server.stop_and_read_log();
    assert_eq!(log.event("trim").numbers("requests"), [1, 2]);
}

#[test]
fn sync_forgets_clients_that_leave() {
    clients_that_leave_add_nothing(Worker::Sync);
}

#[test]
fn gthread_forgets_clients_that_leave() {
    clients_that_leave_add_nothing(Worker::Gthread);
}

#[test]
fn gevent_forgets_clients_that_leave() {
    clients_that_leave_add_nothing(Worker::Gevent);
}

#[test]
fn uvicorn_forgets_clients_that_leave() {
    clients_that_leave_add_nothing(Worker::Uvicorn);
}
