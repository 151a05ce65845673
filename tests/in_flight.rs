//! A due trim waits until nothing is in flight, but not for longer than AUTOTRIM_DEFER.

mod common;

use common::gunicorn::{Gunicorn, Server, Worker};
use common::http::{Answer, get};
use common::{LIMIT, wait_within};
use std::thread::ScopedJoinHandle;

const INTERVAL: u32 = 3;

fn server(defer: &str) -> Server {
    let gunicorn = Gunicorn::preloaded(Worker::Gthread).arguments(&["--threads", "4"]);
    gunicorn.trimming_every(INTERVAL).env("AUTOTRIM_DEFER", defer).start()
}

/// Opens a request that takes so many seconds, and runs `meanwhile` while its handler is at work.
fn while_one_is_open(server: &Server, seconds: u32, meanwhile: impl FnOnce(&ScopedJoinHandle<'_, Answer>)) -> Answer {
    let marker = server.path("open");
    let path = format!("/small?seconds={seconds}&marker={}", marker.display());
    std::thread::scope(|scope| {
        let slow = scope.spawn(|| get(server.port, &path));
        wait_within(LIMIT, "the slow request's handler", || marker.exists().then_some(()));
        meanwhile(&slow);
        slow.join().expect("the slow request")
    })
}

#[test]
fn a_due_trim_waits_for_an_open_request() {
    const OTHERS: u64 = 6;
    let mut server = server("600s");
    let answer = while_one_is_open(&server, 4, |slow| {
        // Due after the third; each further one brings the main loop past its wait point.
        for _ in 0..OTHERS {
            assert_eq!(get(server.port, "/small").status(), 200);
            std::thread::sleep(std::time::Duration::from_millis(200));
        }
        assert_eq!(server.log().event("trim").lines, [], "trimmed under an open request");
        assert!(!slow.is_finished(), "the machine is too slow for this test");
    });
    assert_eq!(answer.text(), "hello");
    let trim = server.wait_for_line("the trim after the slow answer", |line| line.event == "trim");
    // All seven requests had been answered, so the trim came after the slow one.
    assert_eq!((trim.text("trigger"), trim.number("requests")), ("requests", OTHERS + 1));
    assert_eq!(trim.number("in_flight"), 0);
    let log = server.stop_and_read_log();
    assert_eq!(log.event("trim").lines, [trim], "waiting does not pile trims up");
}

#[test]
fn a_due_trim_does_not_wait_longer_than_it_may() {
    let mut server = server("300ms");
    let answer = while_one_is_open(&server, 6, |slow| {
        for _ in 0..INTERVAL {
            assert_eq!(get(server.port, "/small").status(), 200);
        }
        let trim = server.wait_for_line("the trim under an open request", |line| line.event == "trim");
        assert!(!slow.is_finished(), "the trim waited for the slow request");
        assert_eq!((trim.text("trigger"), trim.number("requests")), ("requests", u64::from(INTERVAL)));
        assert_eq!(trim.number("in_flight"), 1);
    });
    assert_eq!(answer.text(), "hello");
    let log = server.stop_and_read_log();
    assert_eq!(log.event("trim").numbers("requests"), [3]);
}
