//! A process that forks while it serves keeps its counts, and the child begins with none.

mod common;

use common::http::Connection;
use common::script::Script;

/// A server that trims, and so logs its counts, after each request.
fn server(how: &str) -> Script {
    let options =
        [("AUTOTRIM_INTERVAL", "1"), ("AUTOTRIM_GROWTH", "0"), ("AUTOTRIM_IDLE", "0"), ("AUTOTRIM_OVERHEAD", "0")];
    Script::start("forking.py", &[how], &options)
}

#[test]
fn parent_and_child_count_apart() {
    let mut server = server("between");
    for _ in 0..2 + 3 + 2 {
        assert_eq!(server.get("/").text(), "/");
    }
    assert!(server.wait().success(), "{}", server.read("stderr"));
    let log = server.log();
    let pids = log.pids();
    assert_eq!(pids.len(), 2, "{log:?}");
    for pid in pids {
        let of_pid = log.of(pid);
        let expected: &[u64] = if pid == server.pid() { &[1, 2, 3, 4] } else { &[1, 2, 3] };
        assert_eq!(of_pid.event("trim").numbers("requests"), expected);
        assert_eq!(of_pid.event("trim").numbers("trims"), expected);
        assert_eq!(of_pid.event("enabled").lines.len(), 1);
        assert!(of_pid.event("trim").numbers("in_flight").iter().all(|&number| number == 0));
    }
}

/// PostgreSQL's way: the connection that the parent accepted is followed in the child; the parent has served nothing.
#[test]
fn a_child_counts_on_a_connection_that_its_parent_accepted() {
    let mut server = server("connection");
    let mut connection = Connection::open(server.port);
    for _ in 0..3 {
        assert_eq!(connection.get("/").text(), "/");
    }
    drop(connection);
    assert!(server.wait().success(), "{}", server.read("stderr"));
    let log = server.log();
    assert_eq!(log.pids().len(), 1, "{log:?}");
    assert_ne!(log.pids(), [server.pid()], "the parent served nothing");
    assert_eq!(log.event("enabled").lines.len(), 1);
    assert_eq!(log.event("trim").numbers("requests"), [1, 2, 3]);
}
