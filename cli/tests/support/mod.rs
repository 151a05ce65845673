//! What the command's tests share, on top of what the library's tests share: the command itself, and programs that wait.
#![allow(dead_code)]

#[path = "../../../tests/common/mod.rs"]
pub mod common;
pub mod findings;
pub mod group;

use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};

#[allow(unused_imports)]
pub use common::opened::{copy, open_copy, open_directory, script};

use common::process::{clean_environment, end_with_this_test, has_mapped};
use common::{LIMIT, wait_within};
use serde_json::Value;

/// A user and group without any rights, that nobody is: others may run servers as `nobody`.
pub const NO_USER: u32 = 59999;

/// The command under test, in an environment of its own.
pub fn autotrim() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_autotrim"));
    end_with_this_test(clean_environment(&mut command)).stdin(Stdio::null());
    command
}

/// `autotrim run` with the library under test.
pub fn run() -> Command {
    run_with(&common::library())
}

/// The same with this library. Of one in a private place, as a clone's may be, it has something to say to root.
pub fn run_with(library: &Path) -> Command {
    let mut command = autotrim();
    command.arg("run").arg("--library").arg(library);
    command
}

/// Runs a command to its end as another user, who sees only what everybody sees: copies of what it needs.
pub fn finish_as_nobody(command: &Command) -> Finished {
    let directory = open_directory();
    let visible = |path: &OsStr| {
        let path = Path::new(path);
        let is_ours = path == Path::new(env!("CARGO_BIN_EXE_autotrim")) || path == common::library();
        if is_ours { open_copy(path, directory.path()) } else { path.to_owned() }
    };
    let mut other = Command::new("setpriv");
    end_with_this_test(clean_environment(&mut other))
        .args(as_nobody())
        .arg(visible(command.get_program()))
        .args(command.get_args().map(visible))
        .stdin(Stdio::null());
    finish(&mut other)
}

/// What setpriv is told.
fn as_nobody() -> [String; 3] {
    [format!("--reuid={NO_USER}"), format!("--regid={NO_USER}"), "--clear-groups".into()]
}

/// A command that runs this program as another user.
pub fn as_another_user(program: &Path) -> Command {
    let mut command = Command::new("setpriv");
    clean_environment(&mut command).args(as_nobody()).arg(program);
    command
}

/// What a finished command left.
pub struct Finished {
    pub code: Option<i32>,
    pub stdout: String,
    pub stderr: String,
}

impl Finished {
    /// Asserts the exit code, and that stderr has all of these words.
    #[track_caller]
    pub fn says(&self, code: i32, words: &[&str]) -> &Self {
        let missing: Vec<_> = words.iter().filter(|word| !self.stderr.contains(**word)).collect();
        assert!(
            missing.is_empty() && self.code == Some(code),
            "{missing:?} {:?}: {}{}",
            self.code,
            self.stdout,
            self.stderr
        );
        self
    }

    /// The JSON on stdout.
    #[track_caller]
    pub fn json(&self) -> Value {
        serde_json::from_str(&self.stdout).unwrap_or_else(|error| panic!("{error}: {}{}", self.stdout, self.stderr))
    }
}

/// Runs a command to its end.
pub fn finish(command: &mut Command) -> Finished {
    let Output { status, stdout, stderr } = command.output().expect("the command could not be started");
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).expect("UTF-8");
    Finished { code: status.code(), stdout: text(stdout), stderr: text(stderr) }
}

/// `autotrim` with these arguments, to its end.
pub fn autotrim_with<A: AsRef<OsStr>>(arguments: impl IntoIterator<Item = A>) -> Finished {
    finish(autotrim().args(arguments))
}

/// A program that runs until the test ends.
pub struct Running(Child);

impl Running {
    /// Starts it.
    pub fn start(command: &mut Command) -> Self {
        let command = end_with_this_test(command).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        Self(command.spawn().expect("the program could not be started"))
    }

    /// Its process id.
    pub fn pid(&self) -> u32 {
        self.0.id()
    }

    /// Whether it has not ended.
    pub fn is_alive(&mut self) -> bool {
        self.0.try_wait().expect("wait").is_none()
    }

    /// Waits until it has executed `program` and waits there: until then it is a copy of the test, or being loaded.
    pub fn has_become(self, program: &Path) -> Self {
        let program = program.canonicalize().expect("the program");
        wait_within(LIMIT, "the program", || {
            let process = procfs::process::Process::new(self.pid() as i32).ok()?;
            (process.exe().ok()? == program && process.stat().ok()?.state == 'S').then_some(())
        });
        self
    }

    /// Waits until this library is mapped into it.
    pub fn has_loaded(self, library: &Path) -> Self {
        wait_within(LIMIT, "the library", || has_mapped(self.pid(), library).then_some(()));
        self
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Compiles a C program that waits for a signal.
pub fn waiting_program(directory: &Path, compiler: &str, flags: &[&str]) -> PathBuf {
    let (source, program) = (directory.join("wait.c"), directory.join(format!("wait-{compiler}")));
    std::fs::write(&source, "#include <unistd.h>\nint main(void) { for (;;) pause(); }\n").expect("the source");
    let compiled = Command::new(compiler).args(flags).arg("-o").args([&program, &source]).status();
    assert!(compiled.expect("a C compiler").success(), "{compiler} {flags:?}");
    program
}

/// Compiles a Go program: with `import "C"` a dynamic one, as most that use C libraries are.
pub fn go_program(directory: &Path, text: &str) -> PathBuf {
    let (source, program) = (directory.join("program.go"), directory.join("program-go"));
    std::fs::write(&source, text).expect("the source");
    let mut compiler = Command::new("go");
    compiler
        .args(["build", "-ldflags=-s -w", "-o"])
        .args([&program, &source])
        .env("GOFLAGS", "")
        .env("CGO_ENABLED", "1");
    compiler.env("GOCACHE", directory.join("cache")).env("GOPATH", directory.join("path"));
    assert!(compiler.status().expect("go").success());
    program
}

/// Whether the test runs as root, as what it shows needs; says so where not.
pub fn is_root(what: &str) -> bool {
    // SAFETY: takes nothing and cannot fail.
    let root = unsafe { libc::getuid() } == 0;
    if !root {
        eprintln!("skipped: {what} needs root");
    }
    root
}
