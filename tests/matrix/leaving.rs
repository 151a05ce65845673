//! Clients that leave. What the server still answers is the truth: seen in the client's kernel, not derived.

use super::case::Outcome;
use super::common::http::{Connection, request};
use super::running::Running;
use std::time::{Duration, Instant};

/// How many clients do so, one after the other.
const CLIENTS: usize = 3;

/// How often a client tries to leave in time: on a busy machine it is often too late.
const TRIES: usize = 40;

/// In time, so that the server has time to see it before the answer comes, which /slow takes 0.6 s for: counted from when the server
/// began to wait for work, if that is what it goes by (nginx), which on a busy machine is well before it read the request.
pub const IN_TIME: Duration = Duration::from_millis(250);

/// Before the answer.
const BEFORE_THE_ANSWER: Duration = Duration::from_millis(300);

/// Clients that send so much and leave when it was read, at the latest so long after that; the server may answer nevertheless.
fn leaving_after(running: &Running, sent: &[u8], latest: Duration) -> Outcome {
    let leave = || {
        let mut connection = Connection::open(running.port());
        let mut start = Instant::now();
        connection.send(sent);
        if sent.is_empty() {
            std::thread::sleep(SEEN_BY_NOW);
        } else {
            start = running.wait_until_at_work(connection.local_port());
        }
        let in_time = start.elapsed() < latest;
        match connection.answered_after_leaving() {
            // Answered before.
            None => (true, false),
            Some(answered) => (answered, in_time),
        }
    };
    let (mut truth, mut beside, mut in_time) = (0, 0, 0);
    for _ in 0..CLIENTS * TRIES {
        let before = running.settled(running.counts(), |_| true);
        let (answered, was_in_time) = leave();
        running.wait_for_late_answers();
        if was_in_time {
            truth += u64::from(answered);
            in_time += 1;
        } else {
            beside += running.settled(before, |_| true).requests - before.requests;
        }
        if in_time == CLIENTS {
            break;
        }
    }
    assert_eq!(in_time, CLIENTS, "this machine is so busy that no client leaves in time");
    Outcome { truth, beside, answers: vec![format!("{truth} of {CLIENTS} answered")], ..Outcome::default() }
}

/// Long enough for the server to have seen a client that sends nothing.
const SEEN_BY_NOW: Duration = Duration::from_millis(50);

/// Clients that send nothing.
pub fn connect_only(running: &Running) -> Outcome {
    leaving_after(running, b"", Duration::MAX)
}

/// Clients that leave within the header.
pub fn half_header(running: &Running) -> Outcome {
    leaving_after(running, b"GET /small HTTP/1.1\r\nHost: te", Duration::MAX)
}

/// Clients that leave within the body.
pub fn half_body(running: &Running) -> Outcome {
    let whole = request("POST", "/upload", "", &[b'x'; 20_000]);
    leaving_after(running, &whole[..whole.len() - 10_000], Duration::MAX)
}

/// Clients that leave while the server works on the answer.
pub fn gone(running: &Running) -> Outcome {
    leaving_after(running, &request("GET", "/slow", "", b""), IN_TIME)
}

/// Clients that end the connection by a reset meanwhile: no answer can be sent on it.
pub fn reset(running: &Running) -> Outcome {
    let mut late = false;
    for _ in 0..CLIENTS {
        let mut connection = Connection::open(running.port());
        connection.send(&request("GET", "/slow", "", b""));
        let start = running.wait_until_at_work(connection.local_port());
        connection.reset();
        late |= start.elapsed() >= BEFORE_THE_ANSWER;
    }
    // Until the server has tried; while it has not, the request is in flight, and that is waited for.
    std::thread::sleep(Duration::from_millis(700));
    running.wait_for_late_answers();
    Outcome { late, ..Outcome::default() }
}
