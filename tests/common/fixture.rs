//! C programs that show one promise each: compiled once, run plain and under the library, compared.
//!
//! A fixture prints a transcript that is the same in every run; what the library changes is a difference.
#![allow(dead_code)]

use super::common::log::{Line, Log};
use super::common::process::{clean_environment, end_with_this_test};
use super::common::{library, root};
use std::ffi::{OsStr, OsString};
use std::hash::{DefaultHasher, Hash, Hasher};
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitStatus, Stdio};
use std::sync::atomic::{AtomicU32, Ordering::Relaxed};

/// Trims at every wait: after each request, on the least growth, in each quiet moment, whatever it costs.
const AGGRESSIVE: [(&str, &str); 6] = [
    ("AUTOTRIM_INTERVAL", "1"),
    ("AUTOTRIM_IDLE", "10ms"),
    ("AUTOTRIM_GROWTH", "64K"),
    ("AUTOTRIM_OVERHEAD", "0"),
    ("AUTOTRIM_DEFER", "0ms"),
    ("AUTOTRIM_LOG", "debug"),
];

/// What a fixture exits with where the machine, and not the library, is at fault.
const LACKING: i32 = 77;

/// What a run left to compare.
#[derive(Debug, PartialEq, Eq)]
pub struct Outcome {
    pub status: ExitStatus,
    pub stdout: String,
    /// All but the library's own lines.
    pub stderr: String,
}

/// A fixture that has been compiled.
pub struct Fixture {
    program: PathBuf,
    arguments: Vec<OsString>,
    environment: Vec<(OsString, OsString)>,
    options: &'static [(&'static str, &'static str)],
    before: Vec<PathBuf>,
    after: Vec<PathBuf>,
    signal: Option<i32>,
}

impl Fixture {
    /// `tests/fixtures/NAME.c`.
    pub fn new(name: &str) -> Self {
        Self::compiled(name, &[])
    }

    /// The same, compiled with further flags.
    pub fn compiled(name: &str, flags: &[&str]) -> Self {
        // A file of its own for each way to compile it: tests run side by side.
        let mut hasher = DefaultHasher::new();
        flags.hash(&mut hasher);
        let output = if flags.is_empty() { name.to_owned() } else { format!("{name}.{:x}", hasher.finish()) };
        Self::of(compile(name, &output, flags))
    }

    /// The same for musl, where it may use what musl lacks (tests/fixtures/musl.h), and the kernel's headers.
    pub fn of_musl(name: &str) -> Self {
        let header = root().join("tests/fixtures/musl.h");
        let header = header.to_str().expect("a path in UTF-8");
        let flags = ["-include", header, "-idirafter", "/usr/include", "-idirafter", "/usr/include/x86_64-linux-gnu"];
        Self::of(compile_by("musl-gcc".into(), name, &format!("{name}.musl"), &flags))
    }

    fn of(program: PathBuf) -> Self {
        let options = &AGGRESSIVE;
        Self { program, arguments: vec![], environment: vec![], options, before: vec![], after: vec![], signal: None }
    }

    /// The program, for where it is run otherwise.
    pub fn path(&self) -> &Path {
        &self.program
    }

    pub fn argument(mut self, argument: impl AsRef<OsStr>) -> Self {
        self.arguments.push(argument.as_ref().to_owned());
        self
    }

    /// Runs with the library's defaults.
    pub fn by_default(self) -> Self {
        Self { options: &[("AUTOTRIM_LOG", "debug")], ..self }
    }

    /// Sets a variable in both runs; one of the library's own replaces the aggressive setting.
    pub fn env(mut self, name: &str, value: impl AsRef<OsStr>) -> Self {
        self.environment.push((name.into(), value.as_ref().to_owned()));
        self
    }

    /// Preloads another object in both runs; under the library in front of it.
    pub fn preload_before(mut self, object: PathBuf) -> Self {
        self.before.push(object);
        self
    }

    /// The same behind the library.
    pub fn preload_after(mut self, object: PathBuf) -> Self {
        self.after.push(object);
        self
    }

    /// A plain run ends by this signal, not with success.
    pub fn ends_by(self, signal: i32) -> Self {
        Self { signal: Some(signal), ..self }
    }

    /// The compiled program.
    pub fn program(&self) -> &Path {
        &self.program
    }

    /// Runs the fixture without the library.
    pub fn plain(&self) -> Outcome {
        self.run(None).0
    }

    /// Runs the fixture under the library; its log too.
    pub fn preloaded(&self) -> (Outcome, Log) {
        self.run(Some(library()))
    }

    /// Both runs come out the same; the library's log.
    pub fn is_unchanged(&self) -> Log {
        self.compared().1
    }

    fn compared(&self) -> (Outcome, Log) {
        let plain = self.plain();
        let (preloaded, log) = self.preloaded();
        let name = self.program.display();
        let as_expected =
            if self.signal.is_some() { plain.status.signal() == self.signal } else { plain.status.success() };
        assert!(as_expected, "{name} fails without the library: {plain:#?}");
        let differences = differences(&plain.stdout, &preloaded.stdout);
        assert!(differences.is_empty(), "{name}: {}\n{differences}{}", preloaded.status, preloaded.stderr);
        assert_eq!(plain, preloaded, "{name}");
        (plain, log)
    }

    /// Both runs come out the same, and the library trimmed meanwhile: else there would be nothing to see.
    pub fn is_unchanged_by_trims(&self) -> Log {
        self.compared_with_trims().1
    }

    fn compared_with_trims(&self) -> (Outcome, Log) {
        let (plain, log) = self.compared();
        assert!(!log.event("trim").lines.is_empty(), "{}: no trim, so nothing shown", self.program.display());
        (plain, log)
    }

    /// The same, and the last trim counted each of the requests that the fixture says it answered: the library came
    /// through whole.
    pub fn is_unchanged_to_the_last_trim(&self) -> Log {
        let (plain, log) = self.compared_with_trims();
        let requests = plain.stdout.lines().rev().find_map(|line| line.strip_prefix("requests ")?.parse().ok());
        let requests: u64 = requests.expect("a fixture that calls finish()");
        let is_last = |line: &&Line| line.number("requests") == requests && line.number("in_flight") == 0;
        let trims = log.event("trim").lines;
        assert!(trims.iter().any(|line| is_last(&line)), "no trim after request {requests}: {:?}", trims.last());
        log
    }

    fn run(&self, library: Option<PathBuf>) -> (Outcome, Log) {
        let objects: Vec<&Path> = self.before.iter().chain(&library).chain(&self.after).map(PathBuf::as_path).collect();
        let mut command = Command::new(&self.program);
        clean_environment(&mut command)
            .args(&self.arguments)
            .envs(self.options.iter().copied())
            .envs(self.environment.iter().map(|(name, value)| (name, value)))
            .stdin(Stdio::null());
        if !objects.is_empty() {
            let list = objects.iter().map(|object| object.as_os_str()).collect::<Vec<_>>();
            command.env("LD_PRELOAD", list.join(OsStr::new(":")));
        }
        let output = end_with_this_test(&mut command).output().expect("the fixture could not be started");
        let stderr = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(output.status.code() != Some(LACKING), "{}: {stderr}", self.program.display());
        let theirs: String = stderr.split_inclusive('\n').filter(|line| !line.starts_with("autotrim: ")).collect();
        let stdout = String::from_utf8_lossy(&output.stdout).into_owned();
        (Outcome { status: output.status, stdout, stderr: theirs }, Log::read(&output.stderr))
    }
}

/// `tests/fixtures/NAME.c` as a shared object.
pub fn shared_object(name: &str) -> PathBuf {
    shared_object_as(name, &format!("{name}.so"), &[])
}

/// The same, compiled with further flags to a file of this name.
pub fn shared_object_as(name: &str, output: &str, flags: &[&str]) -> PathBuf {
    compile(name, output, &[&["-shared", "-fPIC"], flags].concat())
}

/// Where compiled fixtures are: target/fixtures.
pub fn directory() -> PathBuf {
    let directory = root().join("target/fixtures");
    std::fs::create_dir_all(&directory).expect("a directory for fixtures");
    directory
}

fn compile(name: &str, output: &str, flags: &[&str]) -> PathBuf {
    compile_by(std::env::var_os("CC").unwrap_or("cc".into()), name, output, flags)
}

/// Compiles into target/fixtures. Tests run side by side, so each writes a file of its own and renames it.
fn compile_by(compiler: OsString, name: &str, output: &str, flags: &[&str]) -> PathBuf {
    static NUMBER: AtomicU32 = AtomicU32::new(0);
    let directory = directory();
    let unique = format!("{output}.{}.{}", std::process::id(), NUMBER.fetch_add(1, Relaxed));
    let (made, wanted) = (directory.join(unique), directory.join(output));
    let compiled = Command::new(&compiler)
        .args(["-std=c11", "-D_GNU_SOURCE", "-Wall", "-Wextra", "-Werror", "-O1", "-pthread"])
        .arg("-o")
        .arg(&made)
        .arg(root().join(format!("tests/fixtures/{name}.c")))
        // Libraries come after what needs them.
        .args(flags)
        .status()
        .unwrap_or_else(|error| panic!("{compiler:?}: {error}; scripts/test installs it"));
    assert!(compiled.success(), "{name}.c does not compile");
    std::fs::rename(&made, &wanted).expect("the fixture's place");
    wanted
}

/// The lines in which two transcripts differ.
fn differences(plain: &str, preloaded: &str) -> String {
    let (mut plain, mut preloaded) = (plain.lines(), preloaded.lines());
    let mut found = String::new();
    loop {
        match (plain.next(), preloaded.next()) {
            (None, None) => return found,
            (one, other) if one == other => {}
            (one, other) => {
                let (one, other) = (one.unwrap_or("(ended)"), other.unwrap_or("(ended)"));
                found.push_str(&format!("  plain:     {one}\n  preloaded: {other}\n"));
            }
        }
    }
}
