//! Sockets that look like a server's and are none: a client's connection, made for it by another process, and the kernel's
//! cryptography.

mod common;
#[path = "common/fixture.rs"]
mod fixture;

use common::process::{clean_environment, end_with_this_test};
use common::{LIMIT, free_port, library, wait_within};
use fixture::Fixture;
use std::net::TcpStream;
use std::path::Path;
use std::process::{Child, Command, Output, Stdio};

/// OpenSSH's server on a port of its own, for whoever has the key in its directory.
struct Sshd {
    process: Child,
    directory: tempfile::TempDir,
    port: u16,
}

impl Sshd {
    fn start() -> Sshd {
        let directory = tempfile::tempdir().expect("a directory");
        let path = |name: &str| directory.path().join(name).display().to_string();
        for key in ["host", "user"] {
            let made = Command::new("ssh-keygen").args(["-q", "-t", "ed25519", "-N", "", "-f", &path(key)]).status();
            assert!(made.expect("ssh-keygen").success());
        }
        // Where the server would put its own away from what it serves.
        let _ = std::fs::create_dir_all("/run/sshd");
        let port = free_port();
        let settings = [
            format!("Port {port}"),
            "ListenAddress 127.0.0.1".into(),
            format!("HostKey {}", path("host")),
            format!("AuthorizedKeysFile {}", path("user.pub")),
            "StrictModes no".into(),
            "UsePAM no".into(),
            "PermitRootLogin yes".into(),
            "PidFile none".into(),
        ];
        std::fs::write(path("settings"), settings.join("\n") + "\n").expect("the settings");
        let log = std::fs::File::create(path("log")).expect("a log");
        let mut command = Command::new("/usr/sbin/sshd");
        clean_environment(&mut command).args(["-D", "-e", "-f", &path("settings")]).stdin(Stdio::null()).stderr(log);
        let process = end_with_this_test(&mut command).spawn().expect("/usr/sbin/sshd (openssh-server)");
        let server = Sshd { process, directory, port };
        wait_within(LIMIT, "sshd", || TcpStream::connect(("127.0.0.1", port)).ok());
        server
    }

    /// The client, whose connection comes from `nc -F` (netcat-openbsd) by SCM_RIGHTS.
    fn ask(&self, preload: Option<&Path>) -> Output {
        let path = |name: &str| self.directory.path().join(name).display().to_string();
        let mut command = Command::new("ssh");
        clean_environment(&mut command).args(["-F", "none", "-i", &path("user"), "-o", "ProxyUseFdpass=yes"]);
        command.arg("-o").arg(format!("ProxyCommand=nc -F 127.0.0.1 {}", self.port));
        command.arg("-o").arg(format!("UserKnownHostsFile={}", path("known")));
        command.args(["-o", "StrictHostKeyChecking=no", "-o", "BatchMode=yes", "-o", "LogLevel=ERROR", "localhost"]);
        command.arg("echo hello; head -c 3000000 /dev/zero | wc -c; cat");
        if let Some(library) = preload {
            command.env("LD_PRELOAD", library).env("AUTOTRIM_LOG", "debug");
            command.env("AUTOTRIM_INTERVAL", "1").env("AUTOTRIM_OVERHEAD", "0");
        }
        end_with_this_test(&mut command).stdin(Stdio::null()).output().expect("ssh")
    }
}

impl Drop for Sshd {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// ssh's ProxyUseFdpass: the connection is the client's, though it did not connect.
#[test]
fn a_client_whose_connection_was_passed_to_it_writes_nothing() {
    let server = Sshd::start();
    let plain = server.ask(None);
    let log = || std::fs::read_to_string(server.directory.path().join("log")).unwrap_or_default();
    assert_eq!(String::from_utf8_lossy(&plain.stdout), "hello\n3000000\n", "{plain:?} {}", log());
    let preloaded = server.ask(Some(&library()));
    assert_eq!((plain.status, plain.stdout, plain.stderr), (preloaded.status, preloaded.stdout, preloaded.stderr));
}

/// A worker to which connections are passed serves them: it receives first.
#[test]
fn a_server_whose_connections_were_passed_to_it_counts() {
    let log = Fixture::new("scm_rights").is_unchanged_by_trims();
    assert!(!log.event("enabled").lines.is_empty(), "{log:?}");
}

#[test]
fn the_kernels_cryptography_is_no_client() {
    // SAFETY: plain numbers.
    if unsafe { libc::socket(libc::AF_ALG, libc::SOCK_SEQPACKET, 0) } < 0 {
        return eprintln!("SKIPPED: the kernel has no AF_ALG (CONFIG_CRYPTO_USER_API_HASH)");
    }
    let log = Fixture::new("kernel_crypto").is_unchanged();
    assert_eq!(log.lines, []);
}
