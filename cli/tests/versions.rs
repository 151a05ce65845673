//! The command beside a library of another version: what both know is told, what one lacks is not guessed.

mod support;

use std::path::Path;
use std::process::Command;

use serde_json::Value;
use support::{Running, autotrim_with, open_directory, waiting_program};

/// A library with a block of so many bytes, in which each counter is 1 but for some at its end: what the tops gave (2), what pools
/// gave (3), how many arenas there are (7), what the tops gave in the first trim (5), and what Java gave (1).
const LIBRARY: &str = r#"
#include <stdint.h>
#include <string.h>
#include <unistd.h>
static struct { int32_t pid, none; uint64_t words[1024]; } block;
static unsigned char connection;
static uintptr_t connections;
struct directory { char magic[8]; uint32_t version, size; void *block; unsigned char *first; uintptr_t *number; };
struct directory autotrim_stats = { "autotrim", VERSION, SIZE, &block, &connection, &connections };
__attribute__((constructor)) static void begin(void)
{
    uint64_t *word = block.words;
    block.pid = getpid();
    word[0] = 41;             /* requests */
    word[3] = 1;              /* since when */
    word[4] = 1;              /* trims */
    word[10] = 10 << 20;      /* reclaimed */
    memcpy(&word[344], (uint64_t[]){2 << 20, 3 << 20, 7, 5 << 20}, 32);
    word[344 + 3 + 64] = 1 << 20;
}
"#;

/// The block of the library that had no layers.
const OLD: usize = 2760;
/// That of one that knew nothing of Java.
const WITHOUT_JAVA: usize = OLD + 8 * (3 + 64);
/// The present one's, and that of one with more.
const PRESENT: usize = WITHOUT_JAVA + 8;
const LATER: usize = PRESENT + 64;

/// A process with such a library.
fn process(directory: &Path, version: u32, size: usize) -> Running {
    let (source, library) = (directory.join("library.c"), directory.join("libautotrim.so"));
    std::fs::write(&source, LIBRARY).expect("the source");
    let mut compiler = Command::new("cc");
    compiler.args(["-shared", "-fPIC", &format!("-DVERSION={version}"), &format!("-DSIZE={size}"), "-o"]);
    assert!(compiler.args([&library, &source]).status().expect("cc").success());
    let program = waiting_program(directory, "cc", &[]);
    Running::start(Command::new(&program).env("LD_PRELOAD", &library)).has_become(&program)
}

fn status(size: usize) -> Value {
    let directory = open_directory();
    let running = process(directory.path(), 1, size);
    autotrim_with(["status", "--json", &running.pid().to_string()]).json()["processes"][0].clone()
}

#[test]
fn an_older_library_is_read_without_what_it_lacks() {
    for size in [OLD, WITHOUT_JAVA - 8] {
        let process = status(size);
        assert_eq!((process["requests"].as_u64(), process["reclaimed_bytes"].as_u64()), (Some(41), Some(10 << 20)));
        assert_eq!(process["reclaimed_by_layer"], serde_json::json!({}), "{size}");
        assert_eq!(process["recent_trims"][0]["tops_bytes"], Value::Null, "{size}");
    }
    assert_eq!(status(OLD)["arenas"], Value::Null);
}

#[test]
fn the_present_library_and_a_later_one_are_read_as_far_as_they_are_known() {
    for (size, java) in [(WITHOUT_JAVA, 0), (PRESENT, 1), (LATER, 1)] {
        let process = status(size);
        assert_eq!(process["requests"], 41, "{process}");
        let expected = serde_json::json!({
            "malloc": (5 - java) << 20, "tops": 2 << 20, "pools": 3 << 20, "java": java << 20
        });
        assert_eq!(process["reclaimed_by_layer"], expected, "{size}");
        assert_eq!((&process["arenas"], &process["recent_trims"][0]["tops_bytes"]), (&7.into(), &(5 << 20).into()));
    }
}

#[test]
fn a_block_of_another_layout_is_named() {
    let directory = open_directory();
    let running = process(directory.path(), 2, PRESENT);
    let finished = autotrim_with(["status", &running.pid().to_string()]);
    finished.says(1, &["its library is another version than this command (block 2)"]);
}
