//! What AUTOTRIM_ARENAS and AUTOTRIM_TRIM_THRESHOLD set in glibc's malloc at start, seen from inside a real Python.

mod common;

use common::process::clean_environment;
use common::{library, python, servers};
use std::process::Command;

/// Where blocks lie: one of another thread, and one of a mebibyte, which glibc at first maps apart.
const GLIBCS_OWN: &str = "thread elsewhere\nmebibyte elsewhere\n";
const ONE_ARENA: &str = "thread heap\nmebibyte elsewhere\n";
const ONE_ARENA_AND_HIGH_THRESHOLDS: &str = "thread heap\nmebibyte heap\n";

fn setup(library: bool, settings: &[(&str, &str)]) -> String {
    let mut command = Command::new(python());
    clean_environment(&mut command).arg(servers().join("malloc_setup.py")).envs(settings.iter().copied());
    if library {
        command.env("LD_PRELOAD", self::library());
    }
    let output = command.output().expect("python");
    assert!(output.status.success() && output.stderr.is_empty(), "{output:?}");
    String::from_utf8(output.stdout).expect("text")
}

#[test]
fn the_defaults_are_one_arena_and_high_thresholds() {
    assert_eq!(setup(false, &[]), GLIBCS_OWN);
    assert_eq!(setup(true, &[]), ONE_ARENA_AND_HIGH_THRESHOLDS);
}

#[test]
fn thresholds_are_left_alone_where_nobody_watches_growth() {
    assert_eq!(setup(true, &[("AUTOTRIM_GROWTH", "0")]), ONE_ARENA);
    assert_eq!(setup(true, &[("AUTOTRIM_TRIM_THRESHOLD", "0")]), ONE_ARENA);
}

#[test]
fn thresholds_are_left_alone_where_there_are_more_arenas() {
    assert_eq!(setup(true, &[("AUTOTRIM_ARENAS", "0")]), GLIBCS_OWN);
    assert_eq!(setup(true, &[("AUTOTRIM_ARENAS", "4")]), GLIBCS_OWN);
}

#[test]
fn what_is_asked_for_is_set() {
    let threads = setup(true, &[("AUTOTRIM_ARENAS", "0"), ("AUTOTRIM_TRIM_THRESHOLD", "8M")]);
    assert!(threads.ends_with("mebibyte heap\n"), "{threads}");
    assert_eq!(setup(true, &[("AUTOTRIM_ARENAS", "1")]), ONE_ARENA);
}

#[test]
fn what_the_user_set_for_glibc_wins() {
    for (name, value, expected) in [
        ("MALLOC_ARENA_MAX", "8", GLIBCS_OWN),
        ("GLIBC_TUNABLES", "glibc.malloc.arena_max=8", GLIBCS_OWN),
        ("MALLOC_TRIM_THRESHOLD_", "131072", ONE_ARENA),
        ("MALLOC_MMAP_THRESHOLD_", "131072", ONE_ARENA),
        ("MALLOC_TOP_PAD_", "65536", ONE_ARENA),
        ("MALLOC_MMAP_MAX_", "1000", ONE_ARENA),
        ("GLIBC_TUNABLES", "glibc.malloc.tcache_count=7:glibc.malloc.mmap_threshold=131072", ONE_ARENA),
    ] {
        assert_eq!(setup(true, &[(name, value)]), expected, "{name}={value}");
    }
}
