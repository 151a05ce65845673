//! A server whose connections come past libc is told so, once, after a minute; one that was not needed yet is not.

mod common;
#[path = "common/fixture.rs"]
mod fixture;

use common::gunicorn::{Gunicorn, Worker};
use fixture::Fixture;

/// Both in one test: each lasts as long as the library is patient.
#[test]
fn a_minute_without_a_connection_that_we_see() {
    // A master that listens for ever, and workers that accept nothing for as long.
    let mut unused = Gunicorn::preloaded(Worker::Sync).workers(2).start();
    let fixture = Fixture::compiled("accepts_by_io_uring", &["-luring"]);
    // 700 connections of 100 ms.
    let (outcome, log) =
        fixture.argument("epoll").argument("700").argument("100").env("AUTOTRIM_LOG", "info").preloaded();
    assert!(outcome.status.success(), "{outcome:#?}");
    assert_eq!(outcome.stdout, "700 served\n");
    assert_eq!(log.lines.len(), 1, "{log:#?}");
    let line = &log.lines[0];
    assert_eq!((line.event.as_str(), line.text("try")), ("unseen", "AUTOTRIM_PERIOD"));
    let log = unused.stop_and_read_log();
    assert!(log.lines.is_empty(), "{log:#?}");
}

/// stdio's own calls inside libc pass no hook: the requests are seen, the answers are not.
#[test]
fn answers_that_go_past_us_are_recognised() {
    for kind in ["dprintf", "fprintf"] {
        let log = Fixture::new("answers_by_stdio").argument(kind).is_unchanged();
        let said = log.event("unseen").lines;
        assert_eq!(said.len(), 1, "{kind}: {log:?}");
        assert!(said[0].text("reason").starts_with("answers are sent inside libc"), "{said:?}");
    }
    let log = Fixture::new("answers_by_stdio").argument("write").is_unchanged();
    assert!(log.event("unseen").lines.is_empty());
    assert_eq!(log.event("trim").numbers("requests").last(), Some(&50), "{log:?}");
}
