//! Servers in a root directory of scripts/roots, with this machine's /proc. Each test uses a part of it.
#![allow(dead_code)]

use super::common::log::Log;
use super::common::process::{anonymous_kb, children, clean_environment, end_with_this_test, kill_with_children};
use super::common::{LIMIT, free_port, servers, wait_within};
use super::release;
use std::fs::File;
use std::net::TcpStream;
use std::path::Path;
use std::process::{Child, Command, Stdio};

/// How a server is started there, on which port, and whether a child of it serves.
pub type Start = fn(&str) -> (Vec<String>, bool);

/// A server there, which ends with the test.
pub struct Server {
    child: Child,
    directory: tempfile::TempDir,
    pub port: u16,
    has_worker: bool,
}

impl Drop for Server {
    fn drop(&mut self) {
        kill_with_children(&mut self.child);
    }
}

/// Puts the library, as it is released, and these programs of tests/servers into a root directory.
pub fn furnish(root: &Path, programs: &[&str]) {
    let programs = programs.iter().map(|name| servers().join(name));
    for file in programs.chain([release::x86_64()]) {
        release::install(&file, root);
    }
}

impl Server {
    /// Starts one, and waits until it takes connections.
    pub fn start(root: &Path, start: Start, preload: bool, environment: &[(&str, &str)]) -> Server {
        let port = free_port();
        let (program, has_worker) = start(&port.to_string());
        let directory = tempfile::tempdir().expect("a temporary directory");
        let file = |name| File::create(directory.path().join(name)).expect("a file for the output");
        let mut command = Command::new("unshare");
        clean_environment(&mut command)
            .args(["--mount", "sh", "-c", r#"mount --rbind /proc "$0/proc" && exec chroot "$0" "$@""#])
            .arg(root)
            .arg("/usr/bin/env");
        if preload {
            command.arg("LD_PRELOAD=/libautotrim.so");
        }
        command.args(program).env("AUTOTRIM_LOG", "debug").envs(environment.iter().copied()).stdin(Stdio::null());
        command.stdout(file("stdout")).stderr(file("stderr"));
        let child = end_with_this_test(&mut command).spawn().expect("unshare");
        let mut server = Server { child, directory, port, has_worker };
        wait_within(LIMIT, "the server", || {
            assert!(server.child.try_wait().expect("wait").is_none(), "it ended: {}", server.stderr());
            TcpStream::connect(("127.0.0.1", port)).ok()
        });
        server
    }

    /// What it and the library have written.
    pub fn stderr(&self) -> String {
        let bytes = std::fs::read(self.directory.path().join("stderr")).unwrap_or_default();
        String::from_utf8_lossy(&bytes).into_owned()
    }

    /// The library's log so far.
    pub fn log(&self) -> Log {
        Log::read(self.stderr().as_bytes())
    }

    /// The anonymous RSS of the process that serves.
    pub fn anonymous_kb(&self) -> u64 {
        let own = self.child.id();
        let pid = if self.has_worker { children(own).first().copied().unwrap_or(own) } else { own };
        anonymous_kb(pid).expect("RssAnon of the server")
    }
}
