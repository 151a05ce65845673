//! A server that always has a next client never waits for one; it is trimmed all the same.

mod common;

use common::gunicorn::{Gunicorn, Worker};
use common::http::get;

const CLIENTS: usize = 4;
const REQUESTS: usize = 50;
const INTERVAL: usize = 10;

#[test]
fn a_sync_worker_is_trimmed() {
    let gunicorn = Gunicorn::preloaded(Worker::Sync).trimming_every(INTERVAL as u32).env("AUTOTRIM_OVERHEAD", "0");
    let mut server = gunicorn.start();
    std::thread::scope(|scope| {
        for _ in 0..CLIENTS {
            // Each request takes long enough for the other clients to be there when it is answered.
            scope.spawn(|| {
                (0..REQUESTS).for_each(|_| assert_eq!(get(server.port, "/small?seconds=0.005").status(), 200))
            });
        }
    });
    let trims = server.stop_and_read_log().trims("requests").lines.len();
    // A trim comes at the first wait point after the tenth request, so that some come later.
    let due = CLIENTS * REQUESTS / INTERVAL;
    assert!((due / 2..=due).contains(&trims), "{trims} trims of {due}");
}
