//! Where a handler runs that may have interrupted malloc, nothing is trimmed; where none does, whatever is blocked, all is.

mod common;
#[path = "common/fixture.rs"]
mod fixture;

use fixture::Fixture;

/// The handlers come when an even number of requests is answered; the last one is even, too, and no handler's.
fn trims_in_no_handler(how: &str) {
    let log = Fixture::new("waits_in_handler").argument(how).is_unchanged_to_the_last_trim();
    let mut requests = log.event("trim").numbers("requests");
    requests.pop();
    assert!(requests.len() >= 8, "{how}: {requests:?}");
    assert!(requests.iter().all(|requests| requests % 2 == 1), "{how}: trims in a handler: {requests:?}");
}

#[test]
fn nothing_is_trimmed_in_a_handler_that_interrupted_libc() {
    trims_in_no_handler("plain");
}

#[test]
fn nothing_is_trimmed_in_a_handler_whose_signal_is_not_blocked() {
    trims_in_no_handler("nodefer");
}

#[test]
fn nothing_is_trimmed_in_a_handler_that_unblocked_its_signal() {
    trims_in_no_handler("unblocked");
}

#[test]
fn nothing_is_trimmed_in_a_handler_on_an_alternate_stack() {
    trims_in_no_handler("alternate");
}

#[test]
fn nothing_is_trimmed_in_a_handler_that_interrupted_another() {
    trims_in_no_handler("nested");
}

#[test]
fn nothing_is_trimmed_in_a_handler_on_another_thread() {
    trims_in_no_handler("thread");
}

#[test]
fn a_handler_left_by_siglongjmp_is_none_any_more() {
    let log = Fixture::new("waits_in_handler").argument("left").is_unchanged_to_the_last_trim();
    assert!(log.event("trim").lines.len() >= 8, "{log:?}");
}

/// A stack of no thread's: whether there is a handler cannot be known.
#[test]
fn nothing_is_trimmed_on_a_stack_that_is_not_known() {
    let log = Fixture::new("waits_in_handler").argument("coroutine").is_unchanged_to_the_last_trim();
    let mut requests = log.event("trim").numbers("requests");
    requests.pop();
    assert!(requests.iter().all(|requests| requests % 2 == 1), "{log:?}");
}

fn is_trimmed(left: &str) {
    let log = Fixture::new("blocks_most_signals").argument(left).is_unchanged_to_the_last_trim();
    // After the request that made it a server, in each wait of both rounds, and in the last one.
    assert!(log.event("trim").lines.len() >= 15, "{log:?}");
}

#[test]
fn a_thread_that_blocks_all_but_a_few_signals_is_trimmed() {
    is_trimmed("TERM and INT");
}

#[test]
fn a_thread_that_blocks_all_signals_is_trimmed() {
    is_trimmed("none");
}

#[test]
fn a_thread_that_blocks_a_fault_is_trimmed() {
    is_trimmed("all but SEGV");
}
