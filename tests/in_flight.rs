//! A due trim waits until nothing is in flight, but not for longer than AUTOTRIM_DEFER.

mod common;

use common::gunicorn::{Gunicorn, Server, Worker};
use common::http::get;

const INTERVAL: u32 = 3;

fn server(defer: &str) -> Server {
    let gunicorn = Gunicorn::preloaded(Worker::Gthread).arguments(&["--threads", "4"]);
    gunicorn.trimming_every(INTERVAL).env("AUTOTRIM_DEFER", defer).start()
}

#[test]
fn a_due_trim_waits_for_an_open_request() {
    const OTHERS: u64 = 6;
    let mut server = server("600s");
    let answer = server.while_one_is_open(|| {
        // Due after the third; each further one brings the main loop past its wait point.
        for _ in 0..OTHERS {
            assert_eq!(get(server.port, "/small").status(), 200);
            std::thread::sleep(std::time::Duration::from_millis(200));
        }
        assert_eq!(server.log().event("trim").lines, [], "trimmed under an open request");
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
    let answer = server.while_one_is_open(|| {
        for _ in 0..INTERVAL {
            assert_eq!(get(server.port, "/small").status(), 200);
        }
        let trim = server.wait_for_line("the trim under an open request", |line| line.event == "trim");
        assert_eq!((trim.text("trigger"), trim.number("requests")), ("requests", u64::from(INTERVAL)));
        assert_eq!(trim.number("in_flight"), 1);
    });
    assert_eq!(answer.text(), "hello");
    let log = server.stop_and_read_log();
    assert_eq!(log.event("trim").numbers("requests"), [3]);
}
