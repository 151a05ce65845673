//! `autotrim`: starts servers under `libautotrim.so`, and shows from outside what it does in them.
//!
//! - [`run`] starts a program with the library; [`program`], [`image`] and [`access`] tell beforehand whether that can work.
//! - [`status`], [`trim`], [`plot`] and [`doctor`] look at processes that run: [`target`] finds the library in one, [`block`]
//!   reads its counters out of the other process's memory, and [`in_force`] the options there; [`metrics`] reads the files it writes;
//!   [`reasons`] has words for why no trim comes; [`heaps`] knows the arenas of glibc's malloc, [`composition`] what else memory
//!   consists of, as [`smaps`] and [`pages`] show it.
//! - [`attempt`] has a process trim that was not prepared for it, by a [`debugger`].
//! - [`generate`] writes the manual pages and the completions, from the command line and the [`tables`] of `docs/`.
//! - What processes have and say of themselves is not trusted: [`maps`], [`elf`], [`root`] and [`variables`] read it, a little at
//!   a time, and [`terminal`] is the only way out.
//!
//! What the library defines is included from its own source and not repeated: options, policy, the layout of the block.
#![deny(missing_docs, clippy::print_stdout, clippy::print_stderr)]

// The library's own, all of it pure: no copy that could drift.
#[allow(dead_code)]
#[path = "../../src/decide.rs"]
mod decide;
#[allow(dead_code)]
#[path = "../../src/options.rs"]
mod options;
#[allow(dead_code)]
#[path = "../../src/pure.rs"]
mod pure;
// Pure but for registers.
#[allow(dead_code, unused_imports)]
#[path = "../../src/sys/handler/frame.rs"]
mod frame;

mod access;
mod allocator;
mod arguments;
mod attempt;
mod block;
mod cgroup;
mod composition;
mod debugger;
mod doctor;
mod elf;
mod environment;
mod failure;
mod generate;
mod glibc;
mod heaps;
mod image;
mod in_force;
mod maps;
mod memory;
mod metrics;
mod pages;
mod plot;
mod program;
mod reasons;
mod root;
mod run;
mod sanitizer;
mod signal;
mod smaps;
mod sockets;
mod status;
mod tables;
mod target;
mod terminal;
mod texts;
mod trim;
mod tunables;
mod units;
mod variables;
mod waits;

use std::process::ExitCode;

use arguments::{Arguments, Command};
use clap::Parser;
use failure::Failure;

fn main() -> ExitCode {
    let arguments = Arguments::try_parse().unwrap_or_else(|error| terminal::usage(&error));
    let outcome = match arguments.command {
        Command::Run(arguments) => run::run(&arguments),
        Command::Status(arguments) => with_usual_pipes(|| status::status(&arguments)),
        Command::Trim(arguments) => with_usual_pipes(|| trim::trim(&arguments)),
        Command::Doctor(arguments) => with_usual_pipes(|| doctor::doctor(&arguments)),
        Command::Plot(arguments) => with_usual_pipes(|| plot::plot(&arguments)),
        Command::Generate { directory } => generate::generate(&directory),
    };
    outcome.unwrap_or_else(|failure: Failure| {
        terminal::complain(&failure.to_string());
        failure.code()
    })
}

/// Ends silently, as other tools do, when the reader of our output has gone (`autotrim status | head -1`).
fn with_usual_pipes<T>(work: impl FnOnce() -> T) -> T {
    // SAFETY: the default action; no other thread runs.
    unsafe { libc::signal(libc::SIGPIPE, libc::SIG_DFL) };
    work()
}
