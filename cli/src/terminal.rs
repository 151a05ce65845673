//! The only way to stdout and stderr. Names, paths and texts come from other processes and their files, and a terminal does what
//! control characters say: none of them gets there, whatever is told, failures too.
#![allow(clippy::print_stdout, clippy::print_stderr)]

use std::io::{Write, stderr, stdout};

use serde::Serialize;

use crate::units::{is_harmless, printable};

/// A line of what was asked for.
pub fn say(line: &str) {
    println!("{}", printable(line));
}

/// What else is to be said, in a line or several.
pub fn complain(text: &str) {
    eprintln!("autotrim: {}", lines(text));
}

/// A question, of several lines perhaps, behind which the answer is typed.
pub fn ask(question: &str) {
    eprint!("{}", lines(question));
    let _ = stderr().flush();
}

/// A document, in one line.
pub fn json(document: &impl Serialize) {
    let text = serde_json::to_string(document).expect("text keys");
    println!("{}", escaped(&text));
}

/// Text with colours, whose parts are printable already.
pub fn draw(text: &str) {
    let mut stdout = stdout().lock();
    // A terminal that has gone ends us by SIGPIPE or SIGHUP.
    let _ = stdout.write_all(text.as_bytes()).and_then(|()| stdout.flush());
}

/// What clap says of wrong usage, which repeats what was typed.
pub fn usage(error: &clap::Error) -> ! {
    let text = error.render().to_string();
    if text.lines().all(|line| line.chars().all(is_harmless)) {
        error.exit();
    }
    let lines: String = text.lines().map(|line| printable(line) + "\n").collect();
    let _ = stderr().lock().write_all(lines.as_bytes());
    std::process::exit(error.exit_code());
}

/// Printable but for the ends of lines.
fn lines(text: &str) -> String {
    text.split('\n').map(printable).collect::<Vec<_>>().join("\n")
}

/// In JSON control characters are in strings alone, where each may be written by its number. serde_json does so with the ASCII ones
/// below the space.
fn escaped(text: &str) -> String {
    let of = |character: char| match is_harmless(character) {
        true => character.to_string(),
        false => format!("\\u{:04x}", u32::from(character)),
    };
    if text.chars().all(is_harmless) { text.to_owned() } else { text.chars().map(of).collect() }
}
