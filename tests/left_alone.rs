//! Programs that serve nothing are never trimmed: they hold no more memory than without the library.

mod common;

use common::process::clean_environment;
use common::{library, python, servers};
use std::path::Path;
use std::process::Command;

/// More than two runs of one program differ by; what the library used to add was three times as much and more.
const MARGIN_MIB: u64 = 16;

/// What the program says that it holds in the end.
fn left(program: &Path, arguments: &[&str], preloaded: bool) -> u64 {
    let mut command = Command::new(program);
    clean_environment(&mut command).args(arguments).current_dir(servers());
    if preloaded {
        command.env("LD_PRELOAD", library());
    }
    let output = command.output().unwrap_or_else(|problem| panic!("{}: {problem}", program.display()));
    assert!(output.status.success() && output.stderr.is_empty(), "{output:?}");
    String::from_utf8(output.stdout).expect("text").trim().parse().expect("a number")
}

fn holds_no_more(program: &Path, arguments: &[&str]) {
    let (plain, preloaded) = (left(program, arguments, false), left(program, arguments, true));
    assert!(preloaded <= plain + MARGIN_MIB, "{arguments:?}: {preloaded} MiB, {plain} MiB without the library");
}

fn job_holds_no_more(how: &str) {
    holds_no_more(&python(), &["jobs.py", how]);
}

#[test]
fn a_script_holds_no_more_than_without_the_library() {
    job_holds_no_more("blocks");
}

#[test]
fn a_script_with_large_blocks_holds_no_more_than_without_the_library() {
    job_holds_no_more("large_blocks");
}

#[test]
fn a_pool_of_processes_holds_no_more_than_without_the_library() {
    job_holds_no_more("pool");
}

#[test]
fn a_management_command_holds_no_more_than_without_the_library() {
    job_holds_no_more("command");
}

#[test]
fn a_ruby_script_holds_no_more_than_without_the_library() {
    holds_no_more(Path::new("ruby"), &["large_blocks.rb"]);
}
