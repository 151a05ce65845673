//! What AUTOTRIM_ARENAS and AUTOTRIM_TRIM_THRESHOLD set in glibc's malloc, when and where, seen from inside a real Python.

mod common;

use common::process::clean_environment;
use common::{library, python, servers};
use std::process::Command;
use std::thread::available_parallelism;

/// How malloc is set up in a process (`tests/servers/malloc_setup.py`).
#[derive(Debug, PartialEq, Eq)]
struct Setup {
    /// The arenas that many threads share.
    arenas: usize,
    /// See there; glibc begins with low ones.
    thresholds: String,
}

/// What runs the program: on all CPUs, or on one.
const ONE_CPU: &[&str] = &["taskset", "--cpu-list", "0"];
const ALL_CPUS: &[&str] = &["env"];

fn setup(library: bool, on: &[&str], how: &str, settings: &[(&str, &str)]) -> Setup {
    let mut command = Command::new(on[0]);
    clean_environment(&mut command).args(&on[1..]).arg(python()).arg(servers().join("malloc_setup.py")).arg(how);
    command.env("AUTOTRIM_LOG", "off").envs(settings.iter().copied());
    if library {
        command.env("LD_PRELOAD", self::library());
    }
    let output = command.output().expect("python");
    assert!(output.status.success() && output.stderr.is_empty(), "{output:?}");
    let text = String::from_utf8(output.stdout).expect("text");
    let (arenas, thresholds) = text.trim().split_once(' ').expect("two words");
    Setup { arenas: arenas.parse().expect("a number"), thresholds: thresholds.to_owned() }
}

fn preloaded(on: &[&str], how: &str) -> Setup {
    setup(true, on, how, &[])
}

/// In a process that has served, on one CPU.
fn serving_with(settings: &[(&str, &str)]) -> Setup {
    setup(true, ONE_CPU, "serve", settings)
}

/// As many arenas as a process that serves has at most.
fn most_arenas() -> usize {
    match available_parallelism().expect("a number").get() {
        1 => 1,
        cpus => cpus + 1,
    }
}

/// More arenas, as many as glibc likes, and no thresholds.
fn glibcs_own(setup: &Setup) -> bool {
    setup.arenas > most_arenas() && setup.thresholds == "low"
}

fn with(arenas: usize, thresholds: &str) -> Setup {
    Setup { arenas, thresholds: thresholds.to_owned() }
}

#[test]
fn nothing_is_set_in_a_process_that_serves_nothing() {
    let plain = setup(false, ALL_CPUS, "start", &[]);
    assert!(glibcs_own(&plain), "{plain:?}");
    assert_eq!(preloaded(ALL_CPUS, "start"), plain);
    assert_eq!(preloaded(ONE_CPU, "start"), setup(false, ONE_CPU, "start", &[]));
}

#[test]
fn where_it_serves_there_are_hardly_more_arenas_than_cpus() {
    let most = most_arenas();
    for how in ["listen", "serve"] {
        let setup = preloaded(ALL_CPUS, how);
        assert!((1..=most).contains(&setup.arenas), "{how}: {setup:?}, at most {most}");
        assert_eq!(preloaded(ONE_CPU, how).arenas, 1);
    }
}

/// malloc_trim does not release the tops of other arenas than the first: beside those the trim threshold is lower.
#[test]
fn thresholds_are_highest_where_one_arena_or_one_thread_answers() {
    assert_eq!(preloaded(ONE_CPU, "listen"), with(1, "low"));
    assert_eq!(preloaded(ONE_CPU, "serve"), with(1, "high"));
    assert_eq!(preloaded(ONE_CPU, "serve_beside_a_thread").thresholds, "high");
    assert_eq!(preloaded(ALL_CPUS, "serve").thresholds, "high");
    for how in ["serve_beside_a_thread", "thread_comes_later"] {
        // With the second request there is a trim.
        let beside = setup(true, ALL_CPUS, how, &[("AUTOTRIM_INTERVAL", "2")]);
        let expected = if available_parallelism().expect("a number").get() == 1 { "high" } else { "middle" };
        assert_eq!(beside.thresholds, expected, "{how}: {beside:?}");
    }
}

/// Ruby has most of its memory from malloc, and pays more for what free gives back between trims than that holds.
#[test]
fn thresholds_are_highest_in_ruby() {
    let thresholds = |library: bool| {
        let mut command = Command::new("ruby");
        clean_environment(&mut command).arg(servers().join("malloc_setup.rb")).env("AUTOTRIM_LOG", "off");
        if library {
            command.env("LD_PRELOAD", self::library());
        }
        let output = command.output().expect("ruby");
        assert!(output.status.success() && output.stderr.is_empty(), "{output:?}");
        String::from_utf8(output.stdout).expect("text")
    };
    assert_eq!((thresholds(false), thresholds(true)), ("low\n".to_owned(), "high\n".to_owned()));
}

/// Buffers that are used again and again are taken back by page faults each time that free gives them back.
#[test]
fn where_page_faults_are_many_the_threshold_is_raised() {
    let setup = setup(true, ALL_CPUS, "buffers", &[("AUTOTRIM_INTERVAL", "2")]);
    let expected = if available_parallelism().expect("a number").get() == 1 { "high" } else { "raised" };
    assert_eq!(setup.thresholds, expected, "{setup:?}");
}

#[test]
fn a_child_of_a_server_has_no_high_thresholds_until_it_serves_itself() {
    for how in ["child_waits", "child_reads"] {
        assert_eq!(preloaded(ALL_CPUS, how).thresholds, "low", "{how}");
    }
    assert_eq!(preloaded(ALL_CPUS, "child_serves").thresholds, "high");
}

#[test]
fn a_process_that_the_library_retires_from_is_glibcs_again() {
    let plain = setup(false, ALL_CPUS, "filter", &[]);
    assert!(glibcs_own(&plain), "{plain:?}");
    assert_eq!(preloaded(ALL_CPUS, "filter"), plain);
}

#[test]
fn what_the_program_sets_itself_is_left_as_it_is() {
    let plain = setup(false, ALL_CPUS, "own", &[]);
    assert_eq!(plain, with(7, "low"));
    assert_eq!(preloaded(ALL_CPUS, "own"), plain);
}

#[test]
fn thresholds_are_left_alone_where_nobody_watches_growth() {
    assert_eq!(serving_with(&[("AUTOTRIM_GROWTH", "0")]), with(1, "low"));
    assert_eq!(serving_with(&[("AUTOTRIM_TRIM_THRESHOLD", "0")]), with(1, "low"));
}

#[test]
fn thresholds_are_left_alone_where_arenas_are_a_matter_of_the_user() {
    assert!(glibcs_own(&serving_with(&[("AUTOTRIM_ARENAS", "0")])));
    assert_eq!(serving_with(&[("AUTOTRIM_ARENAS", "4")]), with(4, "low"));
}

/// A number is what a user asks for, wherever the library is loaded.
#[test]
fn what_is_asked_for_is_set_at_start() {
    let at_start = |settings: &[(&str, &str)]| setup(true, ALL_CPUS, "start", settings);
    assert_eq!(at_start(&[("AUTOTRIM_TRIM_THRESHOLD", "8M")]).thresholds, "middle");
    assert_eq!(at_start(&[("AUTOTRIM_TRIM_THRESHOLD", "64M")]).thresholds, "high");
    assert_eq!(at_start(&[("AUTOTRIM_ARENAS", "1")]), with(1, "low"));
}

#[test]
fn what_the_user_set_for_glibc_wins() {
    for (name, value) in [("MALLOC_ARENA_MAX", "8"), ("GLIBC_TUNABLES", "glibc.malloc.arena_max=8")] {
        assert_eq!(serving_with(&[(name, value)]), with(8, "low"), "{name}={value}");
    }
    for (name, value) in [
        ("MALLOC_TRIM_THRESHOLD_", "131072"),
        ("MALLOC_MMAP_THRESHOLD_", "131072"),
        ("MALLOC_TOP_PAD_", "65536"),
        ("MALLOC_MMAP_MAX_", "1000"),
        ("GLIBC_TUNABLES", "glibc.malloc.tcache_count=7:glibc.malloc.mmap_threshold=131072"),
    ] {
        assert_eq!(serving_with(&[(name, value)]), with(1, "low"), "{name}={value}");
    }
}
