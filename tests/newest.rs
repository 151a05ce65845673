//! The newest systems: servers of Debian sid, with its glibc, Python, Node and Ruby, counted, trimmed, and in quiet with what their runtimes
//! hold given back. scripts/newest runs it: what is newest today may not be what it was when a change was made, so no other test does.

mod common;
#[path = "common/elsewhere.rs"]
mod elsewhere;
#[path = "common/release.rs"]
mod release;

use common::http::get;
use common::{LIMIT, wait_within};
use elsewhere::{Server, Start};
use std::path::PathBuf;

const TRIMS_BY_COUNT: [(&str, &str); 4] =
    [("AUTOTRIM_INTERVAL", "5"), ("AUTOTRIM_GROWTH", "0"), ("AUTOTRIM_IDLE", "0"), ("AUTOTRIM_OVERHEAD", "0")];

fn sid() -> PathBuf {
    let root = release::sid();
    elsewhere::furnish(
        &root,
        &["app.py", "garbage.py", "heap.py", "objects.py", "json_tree.py", "garbage.js", "garbage.rb"],
    );
    root
}

fn gunicorn(port: &str) -> (Vec<String>, bool) {
    let bind = format!("127.0.0.1:{port}");
    let words = ["gunicorn", "--bind", &bind, "--threads", "2", "--chdir", "/", "json_tree:application"];
    (words.map(str::to_owned).to_vec(), true)
}

fn uvicorn(port: &str) -> (Vec<String>, bool) {
    let words = ["python3", "-m", "uvicorn", "--port", port, "--app-dir", "/", "app:asgi"];
    (words.map(str::to_owned).to_vec(), false)
}

fn node(port: &str) -> (Vec<String>, bool) {
    (["node", "/garbage.js", port].map(str::to_owned).to_vec(), false)
}

fn puma(port: &str) -> (Vec<String>, bool) {
    (["ruby", "/garbage.rb", port].map(str::to_owned).to_vec(), false)
}

/// Trims by count fall exactly where they should.
fn counts_every_request(start: Start) {
    let server = Server::start(&sid(), start, true, &TRIMS_BY_COUNT);
    for sent in 1..=20 {
        assert_eq!(get(server.port, "/small").status(), 200);
        if sent % 5 == 0 {
            wait_within(LIMIT, "the trim that is due", || {
                let counts = server.log().trims("requests").numbers("requests");
                (counts.last() == Some(&sent)).then_some(())
            });
        }
    }
    let log = server.log();
    assert_eq!(log.trims("requests").numbers("requests"), [5, 10, 15, 20], "{}", server.stderr());
    let events = ["unavailable", "disabled", "verdict"].map(|event| log.event(event).lines.len());
    assert_eq!(events, [0; 3], "{}", server.stderr());
}

/// After a burst, and in quiet, it has at most so many percent of what the same server has without the library.
fn gives_back(start: Start, path: &str, requests: usize, percent: u64) {
    let burst = |server: &Server| (0..requests).for_each(|_| assert_eq!(get(server.port, path).status(), 200));
    let plain = Server::start(&sid(), start, false, &[]);
    burst(&plain);
    std::thread::sleep(std::time::Duration::from_secs(5));
    let held = plain.anonymous_kb();
    drop(plain);
    let server = Server::start(&sid(), start, true, &[]);
    burst(&server);
    wait_within(LIMIT, &format!("{percent} % of {held} KB"), || {
        (server.anonymous_kb() < held * percent / 100).then_some(())
    });
    eprintln!("{held} KB plain, {} KB with the library", server.anonymous_kb());
    assert_eq!(server.log().event("unavailable").lines, []);
}

#[test]
#[ignore = "scripts/newest runs it"]
fn every_request_is_counted() {
    for start in [gunicorn as Start, uvicorn, node, puma] {
        counts_every_request(start);
    }
}

#[test]
#[ignore = "scripts/newest runs it"]
fn python_gives_back_pools_and_garbage() {
    gives_back(gunicorn, "/1", 4, 75);
}

#[test]
#[ignore = "scripts/newest runs it"]
fn node_gives_back_garbage() {
    gives_back(node, "/garbage", 12, 50);
}

#[test]
#[ignore = "scripts/newest runs it"]
fn puma_gives_back_garbage() {
    gives_back(puma, "/garbage", 3, 75);
}
