//! The library in programs of musl: the same file, and the program notices nothing. What its trims give back there, which is what runtimes
//! hold, is measured by scripts/measure-musl: it needs a runtime of musl.

mod common;
#[path = "common/fixture.rs"]
mod fixture;

use fixture::Fixture;

fn with(name: &str, arguments: &[&str]) -> Fixture {
    arguments.iter().fold(Fixture::of_musl(name), |fixture, argument| fixture.argument(argument))
}

/// Each, with its arguments, is the same to its last request.
fn all_are_unchanged(fixtures: &[(&str, &[&str])]) {
    for (name, arguments) in fixtures {
        let log = with(name, arguments).is_unchanged_to_the_last_trim();
        assert_eq!(log.lines[0].text("allocator"), "musl", "{name}");
    }
}

#[test]
fn every_call_is_counted() {
    all_are_unchanged(&[("counted_calls", &[]), ("counting_rules", &[])]);
    Fixture::of_musl("scm_rights").is_unchanged_by_trims();
}

/// musl's select tells nothing of the time that is left, and so it does with the library.
#[test]
fn waits_are_what_they_were() {
    for name in ["cut_wait", "select_wide"] {
        Fixture::of_musl(name).env("AUTOTRIM_IDLE", "60ms").is_unchanged_to_the_last_trim();
    }
    all_are_unchanged(&[("blocks_no_more", &[]), ("receive_timeout", &[])]);
}

#[test]
fn handlers_are_what_they_were() {
    all_are_unchanged(&[
        ("calls_in_handler", &[]),
        ("signal_context", &[]),
        ("longjmp", &["blocked"]),
        ("fork_in_handler", &[]),
    ]);
}

#[test]
fn forks_are_what_they_were() {
    Fixture::of_musl("fork_during_trims").is_unchanged_by_trims();
    all_are_unchanged(&[("vfork_close", &["later"]), ("spawn", &[]), ("orphan", &[]), ("exec_chain", &[])]);
    Fixture::of_musl("daemon").is_unchanged_by_trims();
}

#[test]
fn a_thread_of_our_own_does_no_harm() {
    let directory = tempfile::tempdir().expect("a directory");
    let fifo = directory.path().join("fifo");
    let made = std::process::Command::new("mkfifo").arg(&fifo).status().expect("mkfifo");
    assert!(made.success());
    let fixture = Fixture::of_musl("fork_beside_thread").env("AUTOTRIM_PERIOD", "1ms");
    let log = fixture.env("AUTOTRIM_PRESSURE", &fifo).env("AUTOTRIM_INTERVAL", "0").is_unchanged();
    assert!(log.trims("period").lines.len() > 100, "{log:?}");
}

#[test]
fn limits_and_descriptors_are_what_they_were() {
    all_are_unchanged(&[
        ("descriptors_reused", &[]),
        ("close_range_all", &["syscall"]),
        ("no_proc", &[]),
        ("limits", &["descriptors"]),
        ("seccomp_probes", &[]),
    ]);
}
