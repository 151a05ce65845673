//! The command beside a library of another version: what both know is told, what one lacks is not guessed.

mod support;

use std::path::Path;
use std::process::Command;

use serde_json::{Value, json};
use support::{Running, autotrim_with, open_directory, waiting_program};

/// A library with a block of so many bytes, in which each counter is 0 but for what the first of them and some at its end tell: what the
/// tops gave (2 MB), what pools gave (3 MB), how many arenas there are (7), what the tops gave in the first trim (5 MB), and behind what
/// is not asked for here that a trim has been due for a while. Of what is in force it tells that it acts.
const LIBRARY: &str = r#"
#include <stdint.h>
#include <string.h>
#include <time.h>
#include <unistd.h>
static struct { int32_t pid, none; uint64_t words[1024]; } block;
static struct { uint32_t numbers[4]; char version[16], allocator[48], options[2048]; } in_force;
static unsigned char connection;
static uintptr_t connections;
struct directory { char magic[8]; uint32_t version, size; void *block; unsigned char *first; uintptr_t *number;
                   void *in_force; uint64_t in_force_size; };
struct directory autotrim_stats = { "autotrim", VERSION, SIZE, &block, &connection, &connections, &in_force, sizeof in_force };
__attribute__((constructor)) static void begin(void)
{
    uint64_t *word = block.words;
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    uint64_t time = (now.tv_sec - 3) * 1000000000ULL;
    block.pid = getpid();
    word[0] = 41;             /* requests */
    word[3] = 1;              /* since when */
    word[4] = 1;              /* trims */
    word[10] = 10 << 20;      /* reclaimed */
    memcpy(&word[344], (uint64_t[]){2 << 20, 3 << 20, 7, 5 << 20}, 32);
    word[411] = 1 << 20;      /* what Java gave */
    word[412] = 30 << 20;     /* live */
    word[413] = 4 << 20;      /* free */
    word[415 + 5] = 6;        /* locked memory */
    /* When it was decided last; a trim for growth, which is due and waits for its budget; what comes next: never, and at 50. */
    memcpy(&word[455 + 4], (uint64_t[]){time, 2, time, 2, 50, -1, -1}, 56);
    /* When garbage was collected last, and what that brought. */
    memcpy(&word[466], (uint64_t[]){time, 12 << 20}, 16);
    in_force.numbers[0] = 1;
    in_force.numbers[1] = 1;
    strcpy(in_force.version, "9.8.7");
    /* What no command knows; and what is wrong. */
    memcpy(in_force.options, OPTIONS, sizeof OPTIONS);
}
"#;
/// An option of which this command knows nothing is in force, and one that nobody knows was set.
const OPTIONS: &str =
    r#""AUTOTRIM_GROWTH=16M\0AUTOTRIM_OF_TOMORROW=1\0AUTOTRIM_SIGNAL=52\0\0AUTOTRIM_IDLE=soon\0AUTOTRIM_IDEL=\0""#;

/// The block of the library that had no layers.
const OLD: usize = 2760;
/// That of one that knew nothing of Java, and that of one that did not tell what is in force.
const WITH_LAYERS: usize = OLD + 8 * (3 + 64);
const WITH_JAVA: usize = WITH_LAYERS + 8;
/// That of one that did not tell of the last collection.
const IN_FORCE: usize = WITH_JAVA + 8 * (3 + 40 + 11);
/// The present one's, and that of one with more.
const PRESENT: usize = IN_FORCE + 8 * 2;
const LATER: usize = PRESENT + 64;

/// A process with such a library.
fn process(directory: &Path, version: u32, size: usize) -> Running {
    let (source, library) = (directory.join("library.c"), directory.join("libautotrim.so"));
    std::fs::write(&source, LIBRARY).expect("the source");
    let mut compiler = Command::new("cc");
    compiler.args([
        "-shared",
        "-fPIC",
        &format!("-DVERSION={version}"),
        &format!("-DSIZE={size}"),
        &format!("-DOPTIONS={OPTIONS}"),
        "-o",
    ]);
    assert!(compiler.args([&library, &source]).status().expect("cc").success());
    let program = waiting_program(directory, "cc", &[]);
    Running::start(Command::new(&program).env("LD_PRELOAD", &library)).has_become(&program)
}

/// What the command says of one with such a block: JSON, and what is to be said beside it.
fn status_and_notes(size: usize) -> (Value, String) {
    let directory = open_directory();
    let running = process(directory.path(), 1, size);
    let finished = autotrim_with(["status", "--json", &running.pid().to_string()]);
    assert_eq!(finished.code, Some(0), "{}", finished.stderr);
    (finished.json()["processes"][0].clone(), finished.stderr)
}

/// The texts of the doctor's findings on a subject.
fn doctor(size: usize, subject: &str) -> Vec<String> {
    let directory = open_directory();
    let running = process(directory.path(), 1, size);
    let findings = autotrim_with(["doctor", "--json", &running.pid().to_string()]).json()["findings"].clone();
    let findings = findings.as_array().expect("findings").iter().filter(|finding| finding["subject"] == subject);
    findings.map(|finding| finding["text"].as_str().expect("a text").to_owned()).collect()
}

#[test]
fn an_older_library_is_read_without_what_it_lacks() {
    for size in [OLD, WITH_LAYERS - 8, WITH_LAYERS, WITH_JAVA, IN_FORCE - 8] {
        let (process, notes) = status_and_notes(size);
        assert_eq!((process["requests"].as_u64(), process["reclaimed_bytes"].as_u64()), (Some(41), Some(10 << 20)));
        for unknown in ["in_force", "due", "next", "growth_from_bytes", "decided_ago_seconds", "why_not"] {
            assert_eq!(process[unknown], Value::Null, "{size} {unknown}");
        }
        assert_eq!((&process["skipped"], &process["library_is"]), (&json!({}), &json!("older")), "{size}");
        assert!(notes.contains("1 of 1 processes have an older library than this command"), "{notes}");
        if size < WITH_LAYERS {
            assert_eq!(process["reclaimed_by_layer"], json!({}), "{size}");
            assert_eq!(process["recent_trims"][0]["tops_bytes"], Value::Null, "{size}");
        }
    }
    assert_eq!(status_and_notes(IN_FORCE).0["last_collection_bytes"], Value::Null);
    assert_eq!(status_and_notes(OLD).0["arenas"], Value::Null);
    assert_eq!(status_and_notes(WITH_LAYERS).0["live_bytes"], Value::Null);
    let version = doctor(WITH_LAYERS, "version");
    assert!(version.len() == 1 && version[0].contains("is older than this command"), "{version:?}");
}

#[test]
fn the_present_library_and_a_later_one_are_read_as_far_as_they_are_known() {
    for (size, is) in [(PRESENT, "same"), (LATER, "newer")] {
        let (process, notes) = status_and_notes(size);
        assert_eq!((&process["requests"], &process["library_is"]), (&json!(41), &json!(is)), "{process}");
        let expected = json!({"malloc": 4 << 20, "tops": 2 << 20, "pools": 3 << 20, "java": 1 << 20});
        assert_eq!(process["reclaimed_by_layer"], expected, "{size}");
        assert_eq!((&process["arenas"], &process["recent_trims"][0]["tops_bytes"]), (&7.into(), &(5 << 20).into()));
        assert_eq!((&process["live_bytes"], &process["free_bytes"]), (&(30 << 20).into(), &(4 << 20).into()));
        assert_eq!(process["skipped"], json!({"locked": 6}));
        assert_eq!(process["last_collection_bytes"], json!(12 << 20));
        assert!(process["last_collection_ago_seconds"].as_f64() >= Some(3.0), "{process}");
        let due = &process["due"];
        assert_eq!((&due["trigger"], &due["waits_for"]), (&json!("growth"), &json!("overhead")), "{process}");
        assert!(due["for_seconds"].as_f64() >= Some(3.0) && process["decided_ago_seconds"].as_f64() >= Some(3.0));
        assert_eq!(process["next"], json!({"at_requests": 50, "look_in_seconds": null, "in_seconds": null}));
        assert_eq!(process["why_not"], "budget");
        let in_force = &process["in_force"];
        let state = ["state", "version", "signal_handler"].map(|name| in_force[name].as_str().expect("text"));
        assert_eq!(state, ["active", "9.8.7", "installed"]);
        let options = json!({"AUTOTRIM_GROWTH": "16M", "AUTOTRIM_OF_TOMORROW": "1", "AUTOTRIM_SIGNAL": "52"});
        assert_eq!(in_force["options"], options);
        assert_eq!(notes.contains("1 of 1 processes have a newer library"), is == "newer", "{notes}");
    }
}

/// Not by the environment, which has none of it.
#[test]
fn the_doctor_tells_what_is_in_force_and_what_is_wrong() {
    for (size, unknown) in [(PRESENT, 1), (LATER, 0)] {
        let options = doctor(size, "options");
        let has = |text: &str| options.iter().filter(|said| said.contains(text)).count();
        assert_eq!(has("AUTOTRIM_GROWTH=16M AUTOTRIM_OF_TOMORROW=1 AUTOTRIM_SIGNAL=52"), 1, "{options:?}");
        assert_eq!(has("AUTOTRIM_IDLE=soon is not a duration"), 1, "{options:?}");
        // A newer library may know of it.
        assert_eq!(has("did you mean AUTOTRIM_IDLE?"), unknown, "{options:?}");
    }
    let version = doctor(LATER, "version");
    assert!(version.len() == 1 && version[0].contains("the library 9.8.7 is newer than this command"), "{version:?}");
    let skipped = doctor(PRESENT, "skipped");
    assert!(skipped.len() == 1 && skipped[0].starts_with("6 × memory is locked"), "{skipped:?}");
    let next = doctor(PRESENT, "next");
    assert!(next.len() == 1 && next[0].starts_with("a trim (growth) has been due for "), "{next:?}");
    assert!(next[0].contains("the budget was spent"), "{next:?}");
}

#[test]
fn a_block_of_another_layout_is_named() {
    let directory = open_directory();
    let running = process(directory.path(), 2, PRESENT);
    let finished = autotrim_with(["status", &running.pid().to_string()]);
    finished.says(1, &["its library is another version than this command (block 2)"]);
}
