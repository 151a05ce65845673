//! `autotrim plot` draws RSS and the floor of a real server over its requests.

mod support;

use support::common::gunicorn::{Gunicorn, Worker};
use support::common::http::get;
use support::common::{LIMIT, wait_within};
use support::{autotrim, autotrim_with, finish, finish_as_nobody, is_root, open_directory};

#[test]
fn a_server_that_has_trimmed_is_drawn_as_png_and_svg() {
    let server = Gunicorn::preloaded(Worker::Gthread).trimming_every(1).env("AUTOTRIM_OVERHEAD", "0").start();
    let (directory, pid) = (open_directory(), server.worker().to_string());
    let output = |name: &str| directory.path().join(name).display().to_string();
    let draw = |name: &str| autotrim_with(["plot", &pid, "-o", &output(name)]);
    assert_eq!(get(server.port, "/fragment").status(), 200);
    wait_within(LIMIT, "the first trim", || draw("early.png").stderr.contains("often enough").then_some(()));
    draw("early.png").says(1, &["often enough"]);
    assert!(!directory.path().join("early.png").exists());
    (0..5).for_each(|_| assert_eq!(get(server.port, "/fragment").status(), 200));
    wait_within(LIMIT, "three trims", || {
        let finished = draw("rss.svg");
        let drawn = finished.code == Some(0) && std::fs::read_to_string(output("rss.svg")).ok()?.contains("\n6\n");
        drawn.then_some(())
    });
    let svg = std::fs::read_to_string(output("rss.svg")).expect("the SVG");
    for text in ["requests", "anonymous RSS, MiB", "floor: after each trim", &format!("gunicorn, pid {pid}")] {
        assert!(svg.contains(text), "{text}: {svg}");
    }
    assert_eq!(draw("rss.png").code, Some(0));
    let png = std::fs::read(output("rss.png")).expect("the PNG");
    assert!(png.starts_with(b"\x89PNG\r\n\x1a\n") && png.ends_with(b"IEND\xaeB`\x82"));
    assert_eq!(png[16..24], [960u32.to_be_bytes(), 540u32.to_be_bytes()].concat()[..], "its size");
    draw("rss.gif").says(2, &["neither .png nor .svg"]);
    draw("no/such/place.svg").says(1, &["place.svg"]);
    // Without a name: one of its own, and nothing else is written over.
    let unnamed = finish(autotrim().args(["plot", &pid]).current_dir(directory.path()));
    assert_eq!((unnamed.code, unnamed.stdout), (Some(0), format!("rss-{pid}.png\n")));
    assert_eq!(std::fs::read(output("rss.png")).expect("the PNG"), png);
}

#[test]
fn a_process_that_may_not_be_read_is_not_drawn() {
    if !is_root("looking as another user") {
        return;
    }
    let server = Gunicorn::preloaded(Worker::Sync).start();
    finish_as_nobody(autotrim().args(["plot", &server.worker().to_string()])).says(1, &["not permitted"]);
}

#[test]
fn a_process_without_the_library_is_not_drawn() {
    let server = Gunicorn::plain(Worker::Sync).start();
    autotrim_with(["plot", &server.worker().to_string()]).says(1, &["does not have the library"]);
}
