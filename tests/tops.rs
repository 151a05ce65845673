//! With each trim every arena of glibc's gives back its top, which malloc_trim leaves: of threads that wait for a condition, and of such
//! as have ended. Nothing else of a thread's start, its end or a fork changes.

mod common;
#[path = "common/fixture.rs"]
mod fixture;

use common::log::{Line, Log};
use common::package::file_of;
use fixture::{Fixture, Outcome};

/// What the threads of tests/fixtures/tops.c free, less what may come back by itself.
const FREED_KB: u64 = 64 * 1024;
/// Far more than they keep.
const LIVE_KB: u64 = 16 * 1024;

/// What a run of tops.c held before its threads worked, and at its end.
fn held(outcome: &Outcome) -> (u64, u64) {
    assert!(outcome.status.success(), "{outcome:?}");
    let numbers: Vec<u64> = outcome.stdout.lines().map(|line| line.parse().expect("a number")).collect();
    (numbers[0], numbers[1])
}

fn tells_tops(line: &&Line) -> bool {
    line.fields.contains_key("tops_kb")
}

/// What the tops gave in all trims of a log; `None` where they were not asked.
fn tops_kb(log: &Log) -> Option<u64> {
    let trims = log.event("trim").lines;
    assert!(!trims.is_empty(), "no trim, so nothing shown: {log:?}");
    let tops: Vec<u64> = trims.iter().filter(tells_tops).map(|line| line.number("tops_kb")).collect();
    (!tops.is_empty()).then(|| tops.iter().sum())
}

#[test]
fn without_the_library_tops_stay() {
    for how in ["wait", "end"] {
        let (before, after) = held(&Fixture::new("tops").argument(how).plain());
        assert!(after >= before + FREED_KB, "{how}: {before} KB, {after} KB");
    }
}

fn come_back(fixture: Fixture) {
    let (outcome, log) = fixture.preloaded();
    let (before, after) = held(&outcome);
    assert!(after <= before + LIVE_KB, "{before} KB, {after} KB: {log:?}");
    assert!(tops_kb(&log) >= Some(FREED_KB), "{log:?}");
}

#[test]
fn tops_come_back_of_threads_that_wait_for_a_condition() {
    come_back(Fixture::new("tops").argument("wait"));
}

#[test]
fn tops_come_back_of_threads_that_have_ended() {
    come_back(Fixture::new("tops").argument("end"));
}

/// Nothing but the log is set.
#[test]
fn tops_come_back_by_default() {
    come_back(Fixture::new("tops").argument("rest").by_default());
}

/// They are part of the same trim: its line tells both, and what both have cost.
#[test]
fn what_tops_give_is_part_of_what_the_trim_gives() {
    let log = Fixture::new("tops").argument("wait").preloaded().1;
    for line in log.event("trim").lines.iter().filter(tells_tops) {
        let gave = line.number("rss_before_kb").saturating_sub(line.number("rss_after_kb"));
        assert!(line.number("tops_kb") <= gave + 1024, "{line:?}");
    }
}

#[test]
fn what_the_user_set_for_glibc_wins() {
    for (name, value) in [
        ("MALLOC_TRIM_THRESHOLD_", "60000000"),
        ("MALLOC_TOP_PAD_", "60000000"),
        ("GLIBC_TUNABLES", "glibc.malloc.trim_threshold=60000000"),
        ("AUTOTRIM_TRIM_THRESHOLD", "0"),
    ] {
        let (outcome, log) = Fixture::new("tops").argument("wait").env(name, value).preloaded();
        assert_eq!(tops_kb(&log), None, "{name}={value}");
        let (before, after) = held(&outcome);
        assert!(after >= before + FREED_KB, "{name}={value}: {before} KB, {after} KB");
    }
}

#[test]
fn a_threshold_that_is_asked_for_comes_back_after_each_trim() {
    let (outcome, log) = Fixture::new("tops")
        .argument("again")
        .env("AUTOTRIM_TRIM_THRESHOLD", "64M")
        .env("AUTOTRIM_IDLE", "0")
        .preloaded();
    assert!(tops_kb(&log) >= Some(2 * FREED_KB), "{log:?}");
    assert!(outcome.status.success(), "{outcome:?}");
}

/// To set a threshold stops glibc's dynamic rule. What is left behind is where it ends, so that no buffer that is used again costs its page
/// faults each time; but not in a child that nobody trims.
#[test]
fn thresholds_are_left_where_glibcs_rule_ends() {
    let (outcome, log) = Fixture::new("mapped_blocks").preloaded();
    assert!(tops_kb(&log).is_some(), "no tops, so nothing shown: {log:?}");
    let expected = [
        "child, 200 KB: mapped",
        "child: exit 0",
        "server, 200 KB: of the heap",
        "server, 8000 KB: of the heap",
        "server, 31000 KB: of the heap",
        "server, 33000 KB: mapped",
    ];
    assert_eq!(outcome.stdout.lines().collect::<Vec<_>>(), expected);
}

#[test]
fn a_process_without_threads_has_no_tops_to_ask() {
    assert_eq!(tops_kb(&Fixture::new("flat_heap").is_unchanged_by_trims()), None);
}

#[test]
fn other_allocators_have_no_tops() {
    for (package, file) in [("libjemalloc2", "libjemalloc.so.2"), ("libtcmalloc-minimal4", "libtcmalloc_minimal.so.4")]
    {
        let log = Fixture::new("tops").argument("end").preload_after(file_of(package, file)).preloaded().1;
        assert_eq!(tops_kb(&log), None, "{file}");
    }
}

#[test]
fn threads_start_and_end_as_ever() {
    Fixture::new("thread_starts").is_unchanged_to_the_last_trim();
}

#[test]
fn thousands_of_short_threads_leave_nothing_behind() {
    let log = Fixture::new("short_threads").is_unchanged_to_the_last_trim();
    assert!(tops_kb(&log).is_some(), "no tops, so nothing shown: {log:?}");
}

#[test]
fn children_forked_beside_threads_and_trims_are_whole() {
    let log = Fixture::new("fork_beside_tops").is_unchanged_by_trims();
    assert!(log.pids().len() > 100, "children that trim: {:?}", log.pids());
    let child = *log.pids().last().expect("a child");
    assert!(tops_kb(&log.of(child)).is_some(), "no tops in a child, so nothing shown");
}
