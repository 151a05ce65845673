//! No call's result tells that the library is there: errno, results and times are those of a run without it.
//!
//! Each fixture (a C program in tests/fixtures, which says what it shows) runs plain and under the library at its
//! most eager, and prints the same. Most are servers to themselves, so that the library trims meanwhile.

mod common;
#[path = "common/fixture.rs"]
mod fixture;

use fixture::Fixture;

#[test]
fn nothing_is_left_of_the_constructor() {
    assert!(Fixture::new("start").is_unchanged().lines.is_empty());
}

#[test]
fn errno_is_what_the_call_left() {
    Fixture::new("errno_kept").is_unchanged_by_trims();
}

#[test]
fn what_an_epoll_tells_once_is_handed_out() {
    for call in ["2", "3", "4"] {
        Fixture::new("told_once").argument(call).is_unchanged_by_trims();
        Fixture::new("told_once").argument(call).by_default().env("AUTOTRIM_IDLE", "10ms").is_unchanged();
    }
}

#[test]
fn bad_masks_are_left_to_the_kernel() {
    Fixture::new("bad_pointers").argument("masks").is_unchanged_by_trims();
}

#[test]
fn bad_sets_are_left_to_the_kernel() {
    Fixture::new("bad_pointers").argument("sets").is_unchanged_by_trims();
}

#[test]
fn a_bad_timeout_is_left_to_the_kernel() {
    Fixture::new("bad_pointers").argument("timeout").is_unchanged_by_trims();
}

#[test]
fn bad_buffers_are_left_to_the_kernel() {
    Fixture::new("bad_pointers").argument("buffers").is_unchanged_by_trims();
}

const FORTIFIED: [&str; 2] = ["-O2", "-D_FORTIFY_SOURCE=2"];

#[test]
fn fortified_calls_are_the_same() {
    Fixture::compiled("fortified", &FORTIFIED).argument("good").is_unchanged_to_the_last_trim();
}

#[test]
fn a_fortified_call_still_aborts() {
    let fixture = Fixture::compiled("fortified", &FORTIFIED).argument("overflow").ends_by(libc::SIGABRT);
    fixture.is_unchanged_by_trims();
}

#[test]
fn select_takes_wide_sets() {
    Fixture::new("select_wide").env("AUTOTRIM_IDLE", "60ms").is_unchanged_to_the_last_trim();
}

#[test]
fn select_looks_no_further_than_the_kernel() {
    let fixture = Fixture::new("select_end_of_page").argument("edge").env("AUTOTRIM_IDLE", "100ms");
    fixture.is_unchanged_to_the_last_trim();
}

#[test]
fn select_leaves_the_memory_behind_its_sets_alone() {
    let fixture = Fixture::new("select_end_of_page").argument("neighbour").env("AUTOTRIM_IDLE", "100ms");
    fixture.is_unchanged_to_the_last_trim();
}

#[test]
fn a_wait_cut_after_a_trim_is_one_wait() {
    Fixture::new("cut_wait").env("AUTOTRIM_IDLE", "60ms").is_unchanged_to_the_last_trim();
}

/// The trim comes between the two parts: no other trigger is on.
#[test]
fn a_wait_cut_by_a_trim_is_one_wait() {
    let fixture = Fixture::new("cut_wait").env("AUTOTRIM_IDLE", "60ms");
    let log = fixture.env("AUTOTRIM_INTERVAL", "0").env("AUTOTRIM_GROWTH", "0").is_unchanged_by_trims();
    assert!(log.trims("idle").lines.len() >= 5, "{log:?}");
}

#[test]
fn a_descriptor_that_blocks_no_more_makes_nobody_wait() {
    Fixture::new("blocks_no_more").is_unchanged_to_the_last_trim();
    // Nothing is due: the calls that block are watched for the quiet that may follow.
    Fixture::new("blocks_no_more").by_default().is_unchanged();
}

#[test]
fn receive_timeouts_are_kept() {
    Fixture::new("receive_timeout").is_unchanged_to_the_last_trim();
}

#[test]
fn what_is_no_answer_to_a_request_is_not_counted() {
    Fixture::new("counting_rules").is_unchanged_to_the_last_trim();
}

#[test]
fn a_passed_connection_counts_where_it_is_served() {
    let log = Fixture::new("scm_rights").is_unchanged_by_trims();
    assert_eq!(log.event("trim").numbers("requests"), [1, 2, 3, 4, 5, 6]);
}

#[test]
fn nothing_is_trimmed_on_a_stack_that_is_too_small() {
    let log = Fixture::new("small_stack").argument("6").is_unchanged_to_the_last_trim();
    assert_eq!(log.event("trim").lines.len(), 1, "{log:?}");
    assert_eq!(log.event("unavailable").lines[0].text("what"), "stack");
}

#[test]
fn a_small_stack_is_large_enough() {
    let log = Fixture::new("small_stack").argument("24").is_unchanged_to_the_last_trim();
    assert!(log.event("trim").lines.len() >= 8, "{log:?}");
}

/// By whatever call, under whatever name, and with interim responses in front of them.
#[test]
fn every_answer_counts_once() {
    Fixture::new("counted_calls").is_unchanged_to_the_last_trim();
}
