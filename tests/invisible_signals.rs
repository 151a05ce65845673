//! Signals and cancellation come as without the library: at every hooked call, blocked in it, and in the middle of
//! a trim.

mod common;
#[path = "common/fixture.rs"]
mod fixture;

use common::gunicorn::{Gunicorn, Server, Worker};
use common::http::get;
use common::log::Line;
use common::process::{children, send_signal};
use common::{LIMIT, wait_within};
use fixture::Fixture;
use std::time::Duration;

fn interrupted(how: &str, signal: i32) {
    Fixture::new("interrupted").argument(how).argument(signal.to_string()).is_unchanged_to_the_last_trim();
}

#[test]
fn a_signal_ends_or_restarts_a_blocked_call() {
    interrupted("blocked", libc::SIGUSR1);
}

#[test]
fn a_signal_during_a_trim_ends_that_wait() {
    interrupted("held", libc::SIGUSR1);
}

/// The calls by their numbers in waits.h: epoll_wait, epoll_pwait, poll, select.
#[test]
fn a_signal_at_the_cut_of_a_wait_ends_it() {
    for call in ["2", "3", "0", "5"] {
        let fixture = Fixture::new("signals_at_the_cut").argument(call).by_default();
        fixture.env("AUTOTRIM_IDLE", "10ms").is_unchanged();
    }
}

/// gunicorn's master ends a worker that hangs with SIGABRT, and a handler takes it.
#[test]
fn sigabrt_during_a_trim_ends_that_wait() {
    interrupted("held", libc::SIGABRT);
}

#[test]
fn a_real_time_signal_during_a_trim_ends_that_wait() {
    interrupted("held", 40);
}

/// Blocked in the first part of a wait that is cut in two.
#[test]
fn a_cancelled_thread_ends_in_the_first_part_of_its_wait() {
    let fixture = Fixture::new("cancel").argument("blocked").env("AUTOTRIM_IDLE", "600s");
    fixture.is_unchanged_to_the_last_trim();
}

#[test]
fn a_cancelled_thread_ends_in_the_second_part_of_its_wait() {
    Fixture::new("cancel").argument("blocked").is_unchanged_to_the_last_trim();
}

#[test]
fn a_thread_cancelled_during_a_trim_ends_in_that_wait() {
    Fixture::new("cancel").argument("held").is_unchanged_to_the_last_trim();
}

#[test]
fn a_thread_cancelled_asynchronously_during_a_trim_ends_in_that_wait() {
    Fixture::new("cancel").argument("held asynchronous").is_unchanged_to_the_last_trim();
}

#[test]
fn asynchronous_cancellation_is_harmless() {
    Fixture::new("cancel_async").is_unchanged_to_the_last_trim();
}

#[test]
fn a_handler_may_leave_a_blocked_call_by_longjmp() {
    Fixture::new("longjmp").argument("blocked").is_unchanged_to_the_last_trim();
}

#[test]
fn a_handler_may_leave_by_longjmp_after_a_trim() {
    Fixture::new("longjmp").argument("held").is_unchanged_to_the_last_trim();
}

#[test]
fn a_flood_of_signals_is_handled() {
    Fixture::new("signals_flood").is_unchanged_by_trims();
}

#[test]
fn handlers_may_receive_answer_and_close() {
    Fixture::new("calls_in_handler").is_unchanged_to_the_last_trim();
}

#[test]
fn a_handler_sees_the_mask_of_the_thread_it_interrupts_in_accept_and_recv() {
    Fixture::new("signal_context").is_unchanged_to_the_last_trim();
}

/// Has the worker end by SIGTERM in the middle of a trim at its select, which otherwise lasts much longer than a test waits.
fn stop_worker(server: &Server) {
    get(server.port, "/maze");
    get(server.port, "/small");
    let worker = server.worker();
    // The answer is out, and the trim that follows takes 75 ms.
    std::thread::sleep(Duration::from_millis(10));
    send_signal(worker, libc::SIGTERM);
    wait_within(LIMIT, "the worker's end", || (!children(server.master()).contains(&worker)).then_some(()));
}

#[test]
fn sigterm_during_a_trim_ends_an_idle_gunicorn_worker() {
    stop_worker(&Gunicorn::plain(Worker::Sync).start());
    // On a busy machine the signal may come before the trim has begun: then there was nothing to interrupt.
    let mut logs = Vec::new();
    for _ in 0..20 {
        let server = Gunicorn::preloaded(Worker::Sync).trimming_every(1).start();
        stop_worker(&server);
        let log = server.log();
        let long = |line: &&Line| line.number("requests") == 2 && line.number("took_us") > 40_000;
        if log.event("trim").lines.iter().filter(long).count() == 1 {
            return;
        }
        logs.push(log);
    }
    panic!("no long trim to interrupt: {logs:?}");
}
