//! The packages, places to install them in, and what they have to do there.
#![allow(dead_code)]

use super::common::http::get;
use super::common::log::Log;
use super::common::process::{children, clean_environment, end_with_this_test, send_signal};
use super::common::{LIMIT, python, root, servers, wait_within};
use super::release;
use serde_json::Value;
use std::collections::BTreeSet;
use std::fs::File;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use tempfile::TempDir;

/// The packages of an architecture, made by scripts/package for this test alone.
pub struct Packages(TempDir);

impl Packages {
    pub fn make(architecture: &str) -> Self {
        let directory = tempfile::tempdir().expect("a temporary directory");
        let mut package = Command::new(root().join("scripts/package"));
        package.args(["--architecture", architecture]).arg(directory.path());
        finish(package.stderr(Stdio::inherit()));
        Self(directory)
    }

    pub fn path(&self) -> &Path {
        self.0.path()
    }

    pub fn with_ending(&self, ending: &str) -> PathBuf {
        let files = std::fs::read_dir(self.0.path()).expect("the packages");
        let mut paths = files.map(|file| file.expect("a file").path());
        paths.find(|path| path.to_string_lossy().ends_with(ending)).unwrap_or_else(|| panic!("no {ending}"))
    }
}

/// Runs a program to its good end; its stdout.
pub fn finish(command: &mut Command) -> String {
    let name = format!("{command:?}");
    let output = command.stdin(Stdio::null()).output().unwrap_or_else(|problem| panic!("{name}: {problem}"));
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    let (stdout, stderr) = (text(&output.stdout), text(&output.stderr));
    assert!(output.status.success(), "{name}: {}\n{stdout}{stderr}", output.status);
    stdout
}

/// Where a package is installed.
pub enum Place {
    /// A Debian system of its own, which nothing was done to but its installation.
    Debian(TempDir),
    /// A virtual environment of Python.
    Environment(TempDir),
    /// A Debian system for 64-bit ARM, and the process whose namespaces its programs run in.
    Foreign(TempDir, Child),
}

impl Place {
    pub fn debian() -> Self {
        let fresh = release::path_from("scripts/roots").join("bookworm");
        let place = Self::Debian(tempfile::tempdir().expect("a temporary directory"));
        finish(Command::new("cp").args(["--archive", "--no-target-directory"]).arg(fresh).arg(place.path()));
        // What the test looks for are files that this would leave out.
        std::fs::remove_file(place.path().join("etc/dpkg/dpkg.cfg.d/quick")).expect("dpkg's configuration");
        place
    }

    pub fn environment() -> Self {
        let place = Self::Environment(tempfile::tempdir().expect("a temporary directory"));
        finish(Command::new(python()).args(["-m", "venv"]).arg(place.path()));
        place
    }

    pub fn foreign() -> Self {
        let fresh = release::path_from("scripts/roots").join("bookworm-arm64");
        let system = tempfile::tempdir().expect("a temporary directory");
        finish(Command::new("cp").args(["--archive", "--no-target-directory"]).arg(fresh).arg(system.path()));
        let mut first = Command::new("unshare");
        first.args(["--user", "--map-root-user", "--mount"]).arg(root().join("scripts/enter-foreign")).arg("aarch64");
        // It ends with its stdin, which is this test's.
        first.arg(system.path()).args(["/bin/sh", "-c", "echo ready; exec cat"]);
        let mut first = first.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().expect("unshare");
        let mut line = String::new();
        BufReader::new(first.stdout.take().expect("a pipe")).read_line(&mut line).expect("its stdout");
        assert_eq!(line, "ready\n", "needs Linux 6.7 and what scripts/packages installs");
        Self::Foreign(system, first)
    }

    pub fn path(&self) -> &Path {
        let (Self::Debian(directory) | Self::Environment(directory) | Self::Foreign(directory, _)) = self;
        directory.path()
    }

    /// A program of this place, found as its users find it.
    pub fn command(&self, program: &str) -> Command {
        let mut command;
        match self {
            Self::Debian(directory) => {
                // With a /proc that goes with the program.
                command = Command::new("unshare");
                clean_environment(&mut command).arg("--mount-proc").arg("--root").arg(directory.path());
                command.args(["--wd", "/srv"]).arg(program);
                command.env("PATH", "/usr/local/bin:/usr/bin:/bin:/usr/sbin:/sbin");
            }
            Self::Environment(directory) => {
                command = Command::new(directory.path().join("bin").join(program));
                clean_environment(&mut command).current_dir(directory.path().join("srv"));
                // As `bin/activate` does.
                let path = std::env::var("PATH").expect("PATH");
                command.env("PATH", format!("{}:{path}", directory.path().join("bin").display()));
            }
            Self::Foreign(_, first) => {
                command = Command::new("nsenter");
                clean_environment(&mut command).args(["--user", "--preserve-credentials", "--mount", "--root"]);
                command.args(["--wdns=/srv", "--target"]).arg(first.id().to_string()).arg(program);
                command.env("PATH", "/usr/local/bin:/usr/bin:/bin:/usr/sbin:/sbin");
            }
        }
        command
    }

    /// The command starts a gunicorn under the library, which counts and trims, and the command shows that; and it goes on while the
    /// package is installed anew.
    #[track_caller]
    pub fn assert_serves(&self, install_again: impl FnOnce()) {
        let directory = self.path().join("srv");
        std::fs::create_dir_all(&directory).expect("a directory");
        std::fs::copy(servers().join("hello.py"), directory.join("app.py")).expect("a copy");
        let mut command = self.command("autotrim");
        command.args(["run", "--interval=5", "--growth=0", "--idle=0", "--overhead=0", "--log=debug", "--"]);
        command.args(["gunicorn", "--bind=127.0.0.1:0", "--workers=1", "app:wsgi"]);
        let server = Server::start(&mut command, &directory.join("stderr"));
        for _ in 0..20 {
            assert_eq!(get(server.port, "/").text(), "hello");
        }
        let worker = children(server.child.id())[0].to_string();
        if let Self::Foreign(..) = self {
            // The emulator shows other processes as they are outside, so that the command finds no library in them: the log tells.
            wait_within(LIMIT, "a trim after 20 requests", || {
                let log = Log::read(server.stderr().as_bytes());
                log.trims("requests").numbers("requests").contains(&20).then_some(())
            });
            install_again();
            for _ in 0..20 {
                assert_eq!(get(server.port, "/").text(), "hello");
            }
            assert_eq!(children(server.child.id())[0].to_string(), worker, "it is the same worker");
            return;
        }
        // The last is counted a moment after its answer; a trim comes when the worker waits and five were answered.
        wait_within(LIMIT, "20 requests and a trim in `autotrim status`", || {
            let shown = finish(self.command("autotrim").args(["status", "--json", &worker]));
            let shown: Value = serde_json::from_str(&shown).expect("JSON");
            let process = &shown["processes"][0];
            (process["requests"] == 20 && process["trims"].as_u64()? >= 1).then_some(())
        });
        let log = Log::read(server.stderr().as_bytes());
        assert_eq!(log.pids(), [worker.parse::<u32>().expect("a pid")], "{log:?}");
        let replaced = || {
            let shown = finish(self.command("autotrim").args(["status", "--json", &worker]));
            serde_json::from_str::<Value>(&shown).expect("JSON")["processes"][0]["library_replaced"].clone()
        };
        assert_eq!(replaced(), false);
        install_again();
        // The old file is gone, and the process has what it had.
        assert_eq!(replaced(), true);
        for _ in 0..20 {
            assert_eq!(get(server.port, "/").text(), "hello");
        }
        assert_eq!(children(server.child.id())[0].to_string(), worker, "it is the same worker");
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        if let Self::Foreign(_, first) = self {
            drop(first.stdin.take());
            let _ = first.wait();
        }
    }
}

/// A gunicorn; its master is the process that `autotrim run` was.
struct Server {
    child: Child,
    port: u16,
    stderr: PathBuf,
}

impl Server {
    fn start(command: &mut Command, stderr: &Path) -> Self {
        let output = File::create(stderr).expect("a file for the output");
        let child = end_with_this_test(command).stdin(Stdio::null()).stderr(output).spawn().expect("the server");
        let mut server = Self { child, port: 0, stderr: stderr.to_owned() };
        server.port = wait_within(LIMIT, "the server's port", || {
            let stderr = server.stderr();
            let (_, address) = stderr.split_once("Listening at: http://127.0.0.1:")?;
            address.split_once(' ')?.0.parse().ok()
        });
        server
    }

    fn stderr(&self) -> String {
        String::from_utf8_lossy(&std::fs::read(&self.stderr).expect("its stderr")).into_owned()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let workers = children(self.child.id());
        workers.into_iter().for_each(|worker| send_signal(worker, libc::SIGKILL));
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Manual pages and completions where `prefix` has them, for every subcommand and shell.
#[track_caller]
pub fn assert_documented(prefix: &Path, files: &[&str]) {
    for file in files {
        let length = std::fs::metadata(prefix.join(file)).unwrap_or_else(|problem| panic!("{file}: {problem}")).len();
        assert!(length > 0, "{file}");
    }
}

/// What .deb and .rpm have in the same places.
pub const DOCUMENTATION: [&str; 10] = [
    "usr/share/man/man1/autotrim.1.gz",
    "usr/share/man/man1/autotrim-run.1.gz",
    "usr/share/man/man1/autotrim-status.1.gz",
    "usr/share/man/man7/libautotrim.7.gz",
    "usr/share/doc/autotrim/README.md",
    "usr/share/doc/autotrim/CHANGELOG.md",
    "usr/share/doc/autotrim/docs/options.md",
    "usr/share/doc/autotrim/examples/systemd/gunicorn.service.d/autotrim.conf",
    "usr/share/doc/autotrim/monitoring/rules.yaml",
    "usr/share/doc/autotrim/monitoring/dashboard.json",
];

/// What is installed in a system.
pub fn files(root: &Path) -> String {
    let mut find = Command::new("find");
    find.args(["usr", "etc", "!", "-name", "__pycache__", "!", "-name", "*.pyc", "!", "-name", "ld.so.cache*"]);
    finish(find.current_dir(root)).lines().map(str::to_owned).collect::<BTreeSet<_>>().into_iter().collect()
}
