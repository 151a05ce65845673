//! What is told of the arenas of glibc's malloc, and of what each layer gave back.

#[path = "../../tests/common/fixture.rs"]
mod fixture;
mod support;

use std::process::Command;

use fixture::Fixture;
use serde_json::Value;
use support::common;
use support::common::package::file_of;
use support::common::process::{anonymous_kb, children, clean_environment};
use support::common::{LIMIT, library, wait_within};
use support::{Running, autotrim_with};

/// What the threads of tests/fixtures/tops.c free, less what may come back by itself.
const FREED: u64 = 64 << 20;
/// Far more than they keep.
const LIVE: u64 = 16 << 20;
/// Its threads, each of which gets an arena: glibc's limit counts the main one too.
const THREADS: u64 = 8;
const ARENAS: &str = "9";

/// Starts it, to stay and be looked at.
fn threads(environment: &[(&str, &str)]) -> Running {
    let fixture = Fixture::new("tops");
    let mut command = Command::new(fixture.program());
    clean_environment(&mut command).arg("stay").env("MALLOC_ARENA_MAX", ARENAS);
    Running::start(command.envs(environment.iter().copied()))
}

/// The same with the library, which trims at each wait.
fn trimmed(environment: &[(&str, &str)]) -> Running {
    let library = library();
    let mut all = vec![("LD_PRELOAD", library.to_str().expect("a path in UTF-8")), ("AUTOTRIM_INTERVAL", "1")];
    all.extend([("AUTOTRIM_OVERHEAD", "0"), ("AUTOTRIM_DEFER", "0"), ("AUTOTRIM_IDLE", "10ms")]);
    all.extend(environment);
    threads(&all)
}

/// The child that comes when the work is done, and has served.
fn child_of(running: &Running) -> u32 {
    wait_within(LIMIT, "a child", || children(running.pid()).first().copied())
}

fn status(pid: u32) -> Option<Value> {
    let document: Value = serde_json::from_str(&autotrim_with(["status", "--json", &pid.to_string()]).stdout).ok()?;
    document["processes"].get(0).cloned()
}

/// What `autotrim doctor` says of arenas: level and text.
fn doctor(pid: u32) -> Option<(String, String)> {
    let findings = autotrim_with(["doctor", "--json", &pid.to_string()]).json()["findings"].clone();
    let text = |value: &Value| value.as_str().expect("text").to_owned();
    let all = findings.as_array().expect("findings");
    let mut told = all.iter().filter(|finding| finding["subject"] == "arenas");
    let first = told.next().map(|finding| (text(&finding["level"]), text(&finding["text"])));
    assert!(told.next().is_none(), "one line: {findings}");
    first
}

/// The bytes that stand behind these words.
fn bytes_after(text: &str, words: &str) -> u64 {
    let (_, rest) = text.split_once(words).unwrap_or_else(|| panic!("{words:?}: {text}"));
    let number: String = rest.chars().take_while(|letter| letter.is_ascii_digit() || *letter == '.').collect();
    let unit = match rest[number.len()..].chars().next() {
        Some('K') => 1024.0,
        Some('M') => 1024.0 * 1024.0,
        Some('G') => 1024.0 * 1024.0 * 1024.0,
        _ => 1.0,
    };
    (number.parse::<f64>().unwrap_or_else(|_| panic!("{words:?}: {text}")) * unit) as u64
}

#[test]
fn without_the_library_arenas_are_counted_with_what_they_hold() {
    let running = threads(&[]);
    child_of(&running);
    let (level, text) = doctor(running.pid()).expect("a word about arenas");
    assert_eq!(level, "info");
    assert!(text.starts_with(&format!("{THREADS} besides the main one hold ")), "{text}");
    assert!(
        text.ends_with("malloc_trim leaves what is free at the tops of these, and the library gives it back"),
        "{text}"
    );
    let held = bytes_after(&text, " hold ");
    let all = anonymous_kb(running.pid()).expect("RSS") * 1024;
    assert!(held >= FREED && held <= all + LIVE, "{text}, of {all}");
}

#[test]
fn a_process_of_one_thread_has_the_main_arena_alone() {
    let running = Running::start(Command::new("sleep").arg("600"));
    let text = wait_within(LIMIT, "a word about arenas", || Some(doctor(running.pid())?.1));
    assert_eq!(text, "the main one alone, whose top malloc_trim gives back");
}

#[test]
fn each_layer_tells_what_it_gave_back_and_a_forked_child_begins_anew() {
    let running = trimmed(&[]);
    let child = child_of(&running);
    let process = status(running.pid()).expect("a process");
    let layers = |process: &Value| {
        let layers = process["reclaimed_by_layer"].as_object().expect("layers").clone();
        assert_eq!(layers.keys().collect::<Vec<_>>(), ["java", "malloc", "pools", "tops"]);
        assert_eq!(layers.values().filter_map(Value::as_u64).sum::<u64>(), process["reclaimed_bytes"], "{process}");
        layers["tops"].as_u64().expect("bytes")
    };
    let tops = layers(&process);
    assert!(tops >= FREED, "{process}");
    assert_eq!(process["arenas"], THREADS + 1, "{process}");
    let recent = process["recent_trims"].as_array().expect("trims");
    let of_recent: u64 = recent.iter().map(|trim| trim["tops_bytes"].as_u64().expect("bytes")).sum();
    assert!(of_recent <= tops && (recent.len() == 64 || of_recent == tops), "{process}");

    let (level, text) = doctor(running.pid()).expect("a word about arenas");
    assert_eq!(level, "good", "{text}");
    assert!(text.starts_with(&format!("{THREADS} besides the main one hold ")), "{text}");
    assert!(text.contains("; a trim reaches all; the last ") && text.ends_with(" from tops"), "{text}");
    assert!(bytes_after(&text, " hold ") <= LIVE, "{text}");
    let found = autotrim_with(["doctor", &running.pid().to_string()]).stdout;
    assert!(bytes_after(&found, ", of it ") >= FREED && found.contains(" from the tops of arenas in "), "{found}");

    // Its arenas are its own, and so is what it gave back.
    let process = wait_within(LIMIT, "a trim of the child", || {
        status(child).filter(|process| process["trims"].as_u64() > Some(0))
    });
    assert!(layers(&process) <= LIVE, "{process}");
    assert_eq!(process["arenas"], THREADS + 1, "{process}");
    assert!(process["recent_trims"].as_array().expect("trims").len() < recent.len(), "{process}");
}

#[test]
fn tops_that_no_trim_reaches_are_worth_a_note() {
    let running = trimmed(&[("AUTOTRIM_TRIM_THRESHOLD", "0")]);
    child_of(&running);
    let process = status(running.pid()).expect("a process");
    assert_eq!((process["arenas"].as_u64(), process["reclaimed_by_layer"]["tops"].as_u64()), (Some(1), Some(0)));
    let (level, text) = doctor(running.pid()).expect("a word about arenas");
    assert_eq!(level, "warning", "{text}");
    assert!(text.contains(&format!("; a trim reaches 1 of all {};", THREADS + 1)), "{text}");
    assert!(text.contains("AUTOTRIM_TRIM_THRESHOLD=0") && bytes_after(&text, " hold ") >= FREED, "{text}");
}

/// Other heaps than ours, or other mallocs: what looks like a heap would be none.
#[test]
fn what_cannot_be_known_is_not_told() {
    let jemalloc = file_of("libjemalloc2", "libjemalloc.so.2");
    for (name, value) in
        [("GLIBC_TUNABLES", "glibc.malloc.hugetlb=2"), ("LD_PRELOAD", jemalloc.to_str().expect("a path in UTF-8"))]
    {
        let running = threads(&[(name, value)]);
        child_of(&running);
        assert_eq!(doctor(running.pid()), None, "{name}={value}");
    }
    // What a trim reaches the library knows itself.
    let running = trimmed(&[("GLIBC_TUNABLES", "glibc.malloc.hugetlb=1")]);
    child_of(&running);
    assert!(doctor(running.pid()).is_some_and(|(_, text)| text.contains("; a trim reaches ")));
}
