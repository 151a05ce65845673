//! The log goes to descriptor 2 only while that is the file it was at start: never into a data file or to a client.

mod common;

use common::script::Script;

const REQUESTS: usize = 3;

/// Runs tests/servers/replaced_stderr.py, checks that it served, and returns it.
fn served_with(how: &str) -> Script {
    let arguments = [how, "data", &REQUESTS.to_string()];
    let mut server =
        Script::start("replaced_stderr.py", &arguments, &[("AUTOTRIM_INTERVAL", "1"), ("AUTOTRIM_OVERHEAD", "0")]);
    for _ in 0..REQUESTS {
        assert_eq!(server.get("/path").text(), "/path");
    }
    assert!(server.wait().success(), "{}", server.read("stderr"));
    assert_eq!(server.read("data"), "served\n".repeat(REQUESTS));
    server
}

/// The data file and what the client got are as they should be, and the file that was stderr at start is empty.
fn nothing_of_ours_is_written(how: &str) {
    assert_eq!(served_with(how).read("stderr"), "");
}

/// Else the tests below would show nothing.
#[test]
fn a_server_with_its_own_stderr_logs_there() {
    let log = served_with("kept").log();
    assert_eq!(log.event("enabled").lines.len(), 1);
    assert_eq!(log.trims("requests").numbers("requests"), [1, 2, 3]);
}

#[test]
fn a_data_file_opened_as_descriptor_2_gets_nothing() {
    nothing_of_ours_is_written("reopened");
}

#[test]
fn a_data_file_put_over_descriptor_2_gets_nothing() {
    nothing_of_ours_is_written("duplicated");
}

/// The client refuses an answer with anything before, in or after it.
#[test]
fn a_connection_that_became_descriptor_2_gets_nothing() {
    nothing_of_ours_is_written("connection");
}

#[test]
fn a_closed_descriptor_2_is_left_closed() {
    nothing_of_ours_is_written("closed");
}
