//! Processes come, change and go as without the library: fork, vfork, spawn, exec, daemons, other preloaded objects.

mod common;
#[path = "common/fixture.rs"]
mod fixture;

use fixture::{Fixture, shared_object};

#[test]
fn children_forked_during_trims_are_whole() {
    let log = Fixture::new("fork_during_trims").is_unchanged_by_trims();
    let parent = log.lines[0].pid;
    for child in log.pids().into_iter().filter(|&pid| pid != parent) {
        let counts = log.of(child).event("trim").numbers("requests");
        assert!(counts.iter().all(|&count| count <= 3), "a child counts for itself: {counts:?}");
    }
}

/// What another thread did in malloc when it was cloned stays as it is: a trim would wait for it for ever.
#[test]
fn a_child_cloned_during_a_trim_serves_and_is_not_trimmed() {
    let log = Fixture::new("clone_during_trim").is_unchanged_to_the_last_trim();
    assert_eq!(log.event("trim").pids().len(), 1, "a trim in the child: {log:?}");
}

#[test]
fn a_handler_may_fork() {
    Fixture::new("fork_in_handler").is_unchanged_to_the_last_trim();
}

/// The first child comes after a request was received.
#[test]
fn a_vfork_child_leaves_its_parents_connections_alone() {
    Fixture::new("vfork_close").argument("later").is_unchanged_to_the_last_trim();
}

#[test]
fn a_vfork_child_leaves_connections_alone_that_received_nothing_yet() {
    Fixture::new("vfork_close").argument("first").is_unchanged_to_the_last_trim();
}

#[test]
fn spawned_and_cloned_children_leave_the_parent_alone() {
    Fixture::new("spawn").is_unchanged_to_the_last_trim();
}

#[test]
fn a_child_serves_on_when_its_parent_is_gone() {
    let log = Fixture::new("orphan").is_unchanged_to_the_last_trim();
    let requests: Vec<_> = log.pids().into_iter().map(|pid| log.of(pid).event("trim").numbers("requests")).collect();
    assert!(requests.contains(&vec![1, 2]), "the orphan counts from one: {log:?}");
}

#[test]
fn a_daemons_client_gets_no_log() {
    Fixture::new("daemon").is_unchanged_by_trims();
}

/// Three of the five programs in the chain run under the library, and each counts from one.
#[test]
fn a_chain_of_programs_keeps_what_exec_keeps() {
    let log = Fixture::new("exec_chain").is_unchanged_to_the_last_trim();
    assert_eq!(log.event("enabled").lines.len(), 4);
    assert_eq!(log.event("trim").numbers("requests"), [1, 1, 1, 1, 2]);
}

#[test]
fn calls_before_our_constructor_work() {
    Fixture::new("early_and_late").preload_after(shared_object("other_preload")).is_unchanged_by_trims();
}

#[test]
fn calls_in_constructors_and_destructors_around_ours_work() {
    Fixture::new("early_and_late").preload_before(shared_object("other_preload")).is_unchanged_by_trims();
}

#[test]
fn a_library_may_come_and_go() {
    let fixture = Fixture::new("dlopened").argument(shared_object("plugin"));
    fixture.is_unchanged_to_the_last_trim();
}

/// Fork handlers and a signal's handler would be left behind.
#[test]
fn the_library_itself_cannot_be_unloaded() {
    let plain = Fixture::new("unloaded").argument(common::library()).plain();
    assert_eq!(plain.stdout, "a child: exit 3\n".repeat(3), "{plain:?}");
}
