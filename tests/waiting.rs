//! A wait in which a trim happens is one wait to the caller: as long as asked, ended by what would have ended it.

mod common;

use common::http::Connection;
use common::script::Script;
use std::time::Duration;

/// Waits that are cut in two for AUTOTRIM_IDLE, by the names that tests/servers/waiting.py gives them.
const CUT: [&str; 3] = ["select", "poll", "epoll"];

/// A server that trims in silence only, and only after so long.
fn with_idle(how: &str, idle: &str) -> Script {
    let options = [("AUTOTRIM_INTERVAL", "0"), ("AUTOTRIM_GROWTH", "0"), ("AUTOTRIM_IDLE", idle)];
    Script::start("waiting.py", &[how], &options)
}

/// A server that has so much to walk through that a trim takes 40 ms, and trims after each request.
fn with_long_trims(how: &str) -> Script {
    let options =
        [("AUTOTRIM_INTERVAL", "1"), ("AUTOTRIM_GROWTH", "0"), ("AUTOTRIM_IDLE", "0"), ("AUTOTRIM_OVERHEAD", "0")];
    Script::start("waiting.py", &[how], &options)
}

fn fragment(server: &Script) {
    assert_eq!(server.get("/fragment").text(), "/fragment");
}

fn wait_for_idle_trim(server: &Script) {
    server.wait_for_line("a trim in the silence", |line| line.is_trim("idle"));
}

/// SIGTERM ends the server, which otherwise waits for ever or for 600 s, as it would have without the library.
fn ends_at_once(mut server: Script) {
    server.signal(libc::SIGTERM);
    let exit = server.wait();
    assert!(exit.success(), "{exit}: {}", server.read("stderr"));
}

/// How long a wait of 1.5 s lasted that was cut for a trim in a silence, and only for that.
fn timed_wait(how: &str) -> Option<f64> {
    let server = with_idle(how, "300ms");
    fragment(&server);
    assert_eq!(server.get("/timed").text(), "/timed");
    wait_for_idle_trim(&server);
    let printed = common::wait_within(common::LIMIT, "the end of the timed wait", || {
        server.read("stdout").lines().nth(1).map(str::to_owned)
    });
    let (seconds, brought) = printed.split_once(' ').expect("two numbers");
    let seconds: f64 = seconds.parse().expect("seconds");
    assert!(seconds >= 1.49, "{how}: 1.5 s became {seconds} s");
    assert_eq!(brought, "0", "{how}: nothing happened in that time");
    // The trim was in that wait, not after it, nor in a silence before it, of which a busy machine makes some.
    let trims = server.log().trims("idle").numbers("requests");
    assert!(trims.iter().all(|&requests| requests <= 2), "{how}: {trims:?}");
    (trims == [2]).then_some(seconds)
}

/// A busy machine ends some waits late, but not all of them.
#[test]
fn a_cut_wait_lasts_as_long_as_asked() {
    for how in CUT {
        common::wait_within(common::LIMIT, "a wait of 1.5 s that lasts no longer", || {
            timed_wait(how).filter(|&seconds| seconds < 1.75)
        });
    }
}

#[test]
fn a_request_ends_a_cut_wait_in_either_part() {
    for how in CUT {
        let server = with_idle(how, "300ms");
        fragment(&server);
        assert_eq!(server.get("/first-part").text(), "/first-part");
        wait_for_idle_trim(&server);
        assert_eq!(server.get("/second-part").text(), "/second-part");
        ends_at_once(server);
    }
}

#[test]
fn a_signal_ends_the_first_part_of_a_cut_wait() {
    for how in CUT {
        let server = with_idle(how, "600s");
        fragment(&server);
        std::thread::sleep(Duration::from_millis(200));
        ends_at_once(server);
    }
}

#[test]
fn a_signal_ends_the_second_part_of_a_cut_wait() {
    for how in CUT {
        let server = with_idle(how, "300ms");
        fragment(&server);
        wait_for_idle_trim(&server);
        ends_at_once(server);
    }
}

/// The signal comes some 20 ms into a trim of at least 40 ms. (If it comes before or after it, the test shows less.)
fn a_signal_during_a_trim_ends_the_wait(how: &str) {
    let server = with_long_trims(how);
    assert_eq!(server.get("/maze").text(), "/maze");
    server.wait_for_line("the trim after the maze", |line| line.event == "trim");
    assert_eq!(server.get("/").text(), "/");
    std::thread::sleep(Duration::from_millis(20));
    ends_at_once(server);
}

#[test]
fn a_signal_during_a_trim_ends_select() {
    a_signal_during_a_trim_ends_the_wait("select");
}

#[test]
fn a_signal_during_a_trim_ends_poll() {
    a_signal_during_a_trim_ends_the_wait("poll");
}

#[test]
fn a_signal_during_a_trim_ends_epoll() {
    a_signal_during_a_trim_ends_the_wait("epoll");
}

#[test]
fn a_signal_during_a_trim_ends_accept() {
    a_signal_during_a_trim_ends_the_wait("accept");
}

/// A blocking server waits for the next request of a connection in the receive itself.
#[test]
fn a_signal_during_a_trim_ends_recv() {
    let server = with_long_trims("recv");
    let mut connection = Connection::open(server.port);
    for path in ["/maze", "/"] {
        assert_eq!(connection.get(path).text(), path);
        if path == "/maze" {
            server.wait_for_line("the trim after the maze", |line| line.event == "trim");
        }
    }
    std::thread::sleep(Duration::from_millis(20));
    ends_at_once(server);
}
