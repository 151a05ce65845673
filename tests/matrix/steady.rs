//! A steady load with a trim every ten requests: where the trims happen, and how far apart.

use super::common::log::Log;
use super::http_cases::Client;
use super::place::{Mode, Site};
use super::row::{Distribution, Share, Steady};
use super::running::{Running, Setting};
use super::server::Server;
use std::collections::BTreeMap;
use std::time::Duration;

const OPTIONS: [(&str, &str); 2] = [("AUTOTRIM_INTERVAL", "10"), ("AUTOTRIM_OVERHEAD", "0")];

/// Three clients, 150 requests each, with a pause after each answer.
pub fn http_load(running: &Running) {
    let port = running.port();
    let client = move || {
        let mut client = Client::new(port);
        for _ in 0..150 {
            client.get("/small");
            std::thread::sleep(Duration::from_millis(2));
        }
    };
    let clients: Vec<_> = (0..3).map(|_| std::thread::spawn(client)).collect();
    for client in clients {
        client.join().expect("a client");
    }
}

/// Runs the server under its steady load.
pub fn measure(server: &Server, site: &Site) -> Steady {
    let running = Running::start(server, site, &Setting::preloaded(Mode::Plain, site, &OPTIONS));
    let before = running.counts();
    (server.steady_load)(&running);
    let after = running.settled(before, |_| true);
    let log = running.log().event("trim");
    running.stop();
    let (distance, waits) = (distances(&log), shares(&log));
    Steady { requests: after.requests - before.requests, trims: after.trims - before.trims, distance, waits }
}

/// How far apart the trims of each process were, in requests.
fn distances(log: &Log) -> Option<Distribution> {
    let of = |pid| log.of(pid).numbers("requests").windows(2).map(|pair| pair[1] - pair[0]).collect::<Vec<_>>();
    let mut all: Vec<u64> = log.pids().into_iter().flat_map(of).collect();
    all.sort_unstable();
    let at = |share: usize| all.get((all.len().checked_sub(1)?) * share / 100).copied();
    Some(Distribution { min: at(0)?, median: at(50)?, p90: at(90)?, max: at(100)? })
}

/// How many trims were done at which wait point, on the main thread or another.
fn shares(log: &Log) -> Vec<Share> {
    let mut trims = BTreeMap::new();
    for line in &log.lines {
        let wait = line.fields.get("wait").map_or("", String::as_str);
        let main = line.fields.get("tid").is_some_and(|tid| *tid == line.pid.to_string());
        *trims.entry((wait.to_owned(), if main { "main" } else { "other" })).or_insert(0) += 1;
    }
    let share = |((wait, thread), trims): ((String, &str), u64)| Share { wait, thread: thread.to_owned(), trims };
    let mut shares: Vec<_> = trims.into_iter().map(share).collect();
    shares.sort_by_key(|share| std::cmp::Reverse(share.trims));
    shares
}
