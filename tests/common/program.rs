//! A real program and its work: does it hold, soon afterwards, little more than what a forced malloc_trim leaves? Each test file uses a part of it.
#![allow(dead_code)]

use crate::common::process::{anonymous_kb, clean_environment, end_with_this_test, kill_with_children, until_old};
use crate::common::{LIMIT, free_port, library, python, servers, wait_within};
use crate::forced_trim::force_trim;
use std::any::Any;
use std::fs::File;
use std::io::Write;
use std::net::TcpStream;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};
use tempfile::TempDir;

/// How soon after the work a program is looked at.
const SOON: Duration = Duration::from_secs(2);
/// As much longer it may take where the machine is busy; only a failing test waits as long.
const LATE: Duration = Duration::from_secs(30);
/// Longer than a trim, during which memory goes little by little.
const TRIM: Duration = Duration::from_millis(500);
/// What may come and go with a look at it.
const SLACK_KB: u64 = 2 * 1024;
/// Clients that begin a request and never end it.
pub const SLOW_CLIENTS: usize = 100;

/// What keeps a piece of work's surroundings as they are while the program is looked at: connections, probes.
pub type Kept = Box<dyn Any>;

/// One program, and its work.
pub struct Program<'a> {
    pub name: &'static str,
    pub command: &'a dyn Fn(&Place) -> Command,
    /// Does the work, to its end.
    pub work: &'a dyn Fn(&Running) -> Kept,
    /// How a request begins, where the program listens.
    pub half_a_request: Option<&'static [u8]>,
}

/// Where a program runs.
pub struct Place<'a> {
    pub directory: &'a Path,
    pub port: u16,
}

/// A program that runs until this is dropped.
pub struct Running {
    child: Child,
    pub directory: TempDir,
    pub port: u16,
}

impl Running {
    pub fn start(program: &Program, preloaded: bool) -> Self {
        let directory = tempfile::tempdir().expect("a temporary directory");
        let port = free_port();
        let file = |name| File::create(directory.path().join(name)).expect("a file for the output");
        let mut command = (program.command)(&Place { directory: directory.path(), port });
        command.current_dir(directory.path()).stdin(Stdio::null()).stdout(file("stdout")).stderr(file("stderr"));
        if preloaded {
            command.env("LD_PRELOAD", library()).env("AUTOTRIM_LOG", "debug");
        }
        let child = end_with_this_test(&mut command).spawn();
        let child = child.unwrap_or_else(|problem| panic!("{}: {problem} (scripts/packages.txt)", program.name));
        let running = Self { child, directory, port };
        if program.half_a_request.is_some() {
            wait_within(LIMIT, "the server's port", || TcpStream::connect(("127.0.0.1", port)).ok());
        }
        running
    }

    pub fn read(&self, name: &str) -> String {
        let bytes = std::fs::read(self.directory.path().join(name)).unwrap_or_default();
        String::from_utf8_lossy(&bytes).into_owned()
    }

    /// The process with the memory: the one that has made reports, or else the first.
    pub fn pid(&self) -> u32 {
        self.read("reports").lines().last().map_or(self.child.id(), |pid| pid.parse().expect("a process id"))
    }

    pub fn anonymous(&self) -> u64 {
        anonymous_kb(self.pid()).expect("a program that runs")
    }

    /// Waits until it is so old that the library looks at it.
    pub fn wait_until_old(&self) {
        std::thread::sleep(until_old(self.child.id()));
    }

    /// A client that begins a request and never ends it.
    pub fn slow_client(&self, program: &Program) -> TcpStream {
        let mut client = TcpStream::connect(("127.0.0.1", self.port)).expect("a connection");
        client.write_all(program.half_a_request.unwrap_or_default()).expect("half a request");
        client
    }

    /// Waits until so many reports have been made.
    pub fn wait_for_reports(&self, number: usize) {
        wait_within(LIMIT, "a report", || (self.read("reports").lines().count() >= number).then_some(()));
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        kill_with_children(&mut self.child);
    }
}

/// What a program holds so long after its work, and what it cannot do without by malloc's own word.
pub struct Held {
    kb: u64,
    needed_kb: u64,
}

impl Held {
    /// Does the work beside so many slow clients, waits, and looks.
    fn after(program: &Program, preloaded: bool, slow_clients: usize, wait: impl Fn(&Running)) -> Self {
        let running = Running::start(program, preloaded);
        let slow: Vec<_> = (0..slow_clients).map(|_| running.slow_client(program)).collect();
        let kept = (program.work)(&running);
        let end = Instant::now();
        wait(&running);
        let (kb, after) = (running.anonymous(), end.elapsed());
        // What is kept is part of what is needed.
        force_trim(running.pid());
        let needed_kb = running.anonymous();
        let library = if preloaded { "with the library" } else { "plain" };
        eprintln!(
            "{}, {library}, {slow_clients} slow clients: {kb} KB after {after:?}, {needed_kb} KB after a forced trim\n{}",
            program.name,
            running.read("stderr")
        );
        // First of all: a process that is stopped answers no probe.
        drop(running);
        drop((kept, slow));
        Self { kb, needed_kb }
    }

    fn is_little(&self) -> bool {
        self.kb <= self.needed_kb * 13 / 10 + SLACK_KB
    }
}

/// A program that by itself holds half as much again as it needs gives that back under the library, whoever else is connected.
pub fn gives_back(program: &Program) {
    let slow_clients = if program.half_a_request.is_some() { &[0, SLOW_CLIENTS][..] } else { &[0] };
    for &slow_clients in slow_clients {
        let plain = Held::after(program, false, slow_clients, |_| std::thread::sleep(SOON));
        let ours = Held::after(program, true, slow_clients, |running| {
            std::thread::sleep(SOON);
            let end = Instant::now() + LATE;
            let settled = || {
                let before = running.anonymous();
                std::thread::sleep(TRIM);
                let held = Held { kb: running.anonymous(), needed_kb: plain.needed_kb };
                held.is_little() && held.kb.abs_diff(before) < 256
            };
            while !settled() && Instant::now() < end {}
        });
        // What a trim leaves at the top of an arena is now more and now less.
        let needed_kb = plain.needed_kb.min(ours.needed_kb);
        assert!(2 * plain.kb >= 3 * needed_kb, "{}: without the library it holds little", program.name);
        assert!(ours.is_little(), "{}: {} KB, {} KB needed", program.name, ours.kb, ours.needed_kb);
    }
}

/// A program of the virtual environment, on an application in tests/servers.
pub fn of_the_environment(name: &str) -> Command {
    let mut command = Command::new(python().with_file_name(name));
    clean_environment(&mut command).env("PYTHONPATH", servers());
    command
}
