//! A client cannot tell: every answer is the same, byte for byte, with the library and without it.

mod common;

use common::gunicorn::{Gunicorn, Worker};
use common::http::{Answer, Connection, get, post};

const UPLOAD: usize = 1024 * 1024;

/// One answer of each kind, by name, and the number of trims among them.
fn answers(gunicorn: Gunicorn) -> (Vec<(&'static str, Answer)>, usize) {
    let mut server = gunicorn.arguments(&["--threads", "4"]).start();
    let port = server.port;
    let upload: Vec<u8> = (0..UPLOAD).map(|index| (index * 7 % 251) as u8).collect();
    let mut kept = Connection::open(port);
    let answers = vec![
        ("small", get(port, "/small")),
        ("5 MiB", get(port, "/big")),
        ("upload", post(port, "/upload", &upload)),
        ("chunked", get(port, "/chunked")),
        ("file", get(port, "/file")),
        ("404", get(port, "/nowhere")),
        ("500", get(port, "/500")),
        ("keep-alive", kept.get("/small")),
    ];
    drop(kept);
    let trims = server.stop_and_read_log().event("trim").lines.len();
    assert_eq!(server.stdout(), "");
    (answers, trims)
}

fn answers_are_identical(worker: Worker) {
    let (plain, _) = answers(Gunicorn::plain(worker));
    // A trim after each answer: where it could disturb one, it does.
    let gunicorn = Gunicorn::preloaded(worker).trimming_every(1).env("AUTOTRIM_OVERHEAD", "0");
    let (preloaded, trims) = answers(gunicorn);
    assert!(trims > 0, "the library did nothing");
    for ((name, plain), (_, preloaded)) in plain.iter().zip(&preloaded) {
        assert_eq!(plain.head_without_date(), preloaded.head_without_date(), "{name}");
        assert!(plain.body == preloaded.body, "{name}: the bodies differ");
    }
    // That the answers are the intended ones, and not twice the same error page.
    let statuses: Vec<u16> = plain.iter().map(|(_, answer)| answer.status()).collect();
    assert_eq!(statuses, [200, 200, 200, 200, 200, 404, 500, 200]);
    assert_eq!(plain[1].1.body.len(), 5 * 1024 * 1024);
    assert_eq!(plain[2].1.text(), UPLOAD.to_string());
    assert_eq!(plain[3].1.header("Transfer-Encoding").as_deref(), Some("chunked"));
}

#[test]
fn sync_answers_are_identical() {
    answers_are_identical(Worker::Sync);
}

#[test]
fn gthread_answers_are_identical() {
    answers_are_identical(Worker::Gthread);
}

#[test]
fn gevent_answers_are_identical() {
    answers_are_identical(Worker::Gevent);
}

#[test]
fn uvicorn_answers_are_identical() {
    answers_are_identical(Worker::Uvicorn);
}
