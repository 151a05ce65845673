//! The small servers in tests/servers, under the library: started, talked to, always ended.

use super::http::{Answer, get};
use super::log::{Line, Log};
use super::process::{anonymous_kb, clean_environment, end_with_this_test, send_signal};
use super::{LIMIT, library, python, servers, wait_within};
use std::fs::File;
use std::path::Path;
use std::process::{Child, Command, ExitStatus, Stdio};
use tempfile::TempDir;

/// A running server. Its program prints its port first.
pub struct Script {
    child: Child,
    directory: TempDir,
    pub port: u16,
}

impl Script {
    /// Starts a program of tests/servers with these arguments and environment variables.
    pub fn start(program: &str, arguments: &[&str], environment: &[(&str, &str)]) -> Self {
        Self::run(&python(), program, arguments, environment)
    }

    /// The same of a program in another language.
    pub fn run(interpreter: &Path, program: &str, arguments: &[&str], environment: &[(&str, &str)]) -> Self {
        Self::run_with(interpreter, &[], program, arguments, environment)
    }

    /// The same with options for the interpreter.
    pub fn run_with(
        interpreter: &Path,
        options: &[&str],
        program: &str,
        arguments: &[&str],
        environment: &[(&str, &str)],
    ) -> Self {
        let directory = tempfile::tempdir().expect("a temporary directory");
        let file = |name| File::create(directory.path().join(name)).expect("a file for the output");
        let mut command = Command::new(interpreter);
        clean_environment(&mut command)
            .args(options)
            .arg(servers().join(program))
            .args(arguments)
            .current_dir(directory.path())
            .env("LD_PRELOAD", library())
            .env("AUTOTRIM_LOG", "debug")
            .envs(environment.iter().copied())
            .stdin(Stdio::null())
            .stdout(file("stdout"))
            .stderr(file("stderr"));
        let child = end_with_this_test(&mut command).spawn().expect("the server could not be started");
        let mut script = Self { child, directory, port: 0 };
        script.port = wait_within(LIMIT, "the server's port", || script.read("stdout").lines().next()?.parse().ok());
        script
    }

    /// A GET on a connection of its own.
    pub fn get(&self, path: &str) -> Answer {
        get(self.port, path)
    }

    /// The server's process id.
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// The text of a file in the server's directory; `stdout` and `stderr` are there.
    pub fn read(&self, name: &str) -> String {
        String::from_utf8_lossy(&self.read_bytes(name)).into_owned()
    }

    /// Such a file that holds no text.
    pub fn read_bytes(&self, name: &str) -> Vec<u8> {
        std::fs::read(self.directory.path().join(name)).unwrap_or_default()
    }

    /// The library's log so far.
    pub fn log(&self) -> Log {
        Log::read(self.read("stderr").as_bytes())
    }

    /// How many trims tell of a collection of garbage before them.
    pub fn collections(&self) -> usize {
        self.log().collections().lines.len()
    }

    /// The server's anonymous RSS.
    pub fn anonymous_kb(&self) -> u64 {
        anonymous_kb(self.pid()).expect("RssAnon of the server")
    }

    /// Waits until the log holds a line that `wanted` accepts, and returns the first.
    pub fn wait_for_line(&self, what: &str, wanted: impl Fn(&Line) -> bool) -> Line {
        wait_within(LIMIT, what, || self.log().lines.into_iter().find(|line| wanted(line)))
    }

    /// Sends the server a signal.
    pub fn signal(&self, signal: i32) {
        send_signal(self.pid(), signal);
    }

    /// Waits for the server's end.
    pub fn wait(&mut self) -> ExitStatus {
        wait_within(LIMIT, "the server's end", || self.child.try_wait().expect("wait"))
    }
}

impl Drop for Script {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
