//! Programs that begin under a seccomp filter which allows them what they call themselves, and nothing else: the library calls
//! nothing else either, and still trims.

mod common;
#[path = "common/fixture.rs"]
mod fixture;

use common::http::get;
use common::log::Log;
use common::opened::{open_copy, open_directory};
use common::process::{children, clean_environment, end_with_this_test, own_threads, send_signal};
use common::stats::counts;
use common::{LIMIT, free_port, library, python, servers, wait_within};
use fixture::Fixture;
use std::collections::BTreeSet;
use std::ffi::OsString;
use std::io::{BufRead, BufReader};
use std::os::unix::fs::PermissionsExt;
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::sync::OnceLock;
use tempfile::TempDir;

/// What a filter does with what it does not allow.
const ACTIONS: [&str; 3] = ["kill", "EPERM", "ENOSYS"];

const EAGER: [(&str, &str); 5] = [
    ("AUTOTRIM_INTERVAL", "1"),
    ("AUTOTRIM_IDLE", "10ms"),
    ("AUTOTRIM_GROWTH", "64K"),
    ("AUTOTRIM_OVERHEAD", "0"),
    ("AUTOTRIM_LOG", "debug"),
];

/// What malloc and free may call at any time, and what systemd allows everything (systemd.exec(5), @default), as far as it
/// matters.
const ALWAYS: [i64; 8] = [
    libc::SYS_brk,
    libc::SYS_mmap,
    libc::SYS_munmap,
    libc::SYS_mremap,
    libc::SYS_mprotect,
    libc::SYS_madvise,
    libc::SYS_execve,
    libc::SYS_getpid,
];

/// A command under strace, which writes down the numbers of all system calls.
fn traced(command: &[OsString], output: &Path) -> Command {
    let mut strace = Command::new("strace");
    clean_environment(&mut strace)
        .args(["-f", "-n", "-qq", "-o"])
        .arg(output)
        .args(["/usr/bin/env", "A=b"])
        .args(command);
    end_with_this_test(&mut strace).stdin(Stdio::null());
    strace
}

/// The numbers that [`traced`] has written.
fn calls_in(output: &Path) -> BTreeSet<i64> {
    let text = std::fs::read(output).expect("strace is missing: scripts/test installs it");
    let text = String::from_utf8_lossy(&text);
    let number = |line: &str| line.split_once('[')?.1.split_once(']')?.0.trim().parse().ok();
    text.lines().filter_map(number).chain(ALWAYS).collect()
}

/// The library where every user may read it: PostgreSQL's gives up root.
fn opened_library() -> PathBuf {
    static OPENED: OnceLock<(TempDir, PathBuf)> = OnceLock::new();
    let (_, path) = OPENED.get_or_init(|| {
        let directory = open_directory();
        let copy = open_copy(&library(), directory.path());
        (directory, copy)
    });
    path.clone()
}

/// A command under a filter, with the library.
fn filtered(action: &str, kind: &str, calls: impl IntoIterator<Item = i64>, command: &[OsString]) -> Command {
    let mut run = Command::new(Fixture::new("filter_before_exec").program());
    clean_environment(&mut run).args([action, kind]).args(calls.into_iter().map(|number| number.to_string()));
    run.args(["--", "/usr/bin/env"]).arg(format!("LD_PRELOAD={}", opened_library().display())).args(command);
    end_with_this_test(run.envs(EAGER).stdin(Stdio::null()));
    run
}

fn python_server(selector: &str) -> Vec<OsString> {
    vec![python().into(), servers().join("filtered.py").into(), selector.into()]
}

/// It runs to its good end, and trims.
fn serves(output: &Output) {
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{}: {stderr}", output.status);
    assert_eq!(String::from_utf8_lossy(&output.stdout), "6 answers\n", "{stderr}");
    let log = Log::read(&output.stderr);
    assert_eq!(log.event("enabled").lines.len(), 1, "{stderr}");
    assert!(!log.event("trim").lines.is_empty(), "{stderr}");
}

/// What the library calls where nothing is known of a filter, and this program does not.
const OURS: [i64; 8] = [
    libc::SYS_epoll_pwait,
    libc::SYS_epoll_pwait2,
    libc::SYS_ppoll,
    libc::SYS_process_vm_readv,
    libc::SYS_sigaltstack,
    libc::SYS_rt_sigpending,
    libc::SYS_rt_sigtimedwait,
    libc::SYS_getpeername,
];

fn is_unharmed(selector: &str) {
    let command = python_server(selector);
    let directory = tempfile::tempdir().expect("a temporary directory");
    let output = directory.path().join("calls");
    assert!(traced(&command, &output).stdout(Stdio::null()).status().is_ok_and(|status| status.success()));
    let run = |command: &mut Command| command.output().expect("filter_before_exec");
    for action in ACTIONS {
        serves(&run(&mut filtered(action, "allow", calls_in(&output), &command)));
        serves(&run(&mut filtered(action, "refuse", OURS, &command)));
    }
}

#[test]
fn a_server_that_waits_in_epoll_is_unharmed() {
    is_unharmed("EpollSelector");
}

#[test]
fn a_server_that_waits_in_poll_is_unharmed() {
    is_unharmed("PollSelector");
}

#[test]
fn a_server_that_waits_in_select_is_unharmed() {
    is_unharmed("SelectSelector");
}

/// A server that runs until it is told to end.
struct Running {
    child: Child,
    /// The server itself; strace is its parent.
    pid: u32,
}

impl Drop for Running {
    fn drop(&mut self) {
        send_signal(self.pid, libc::SIGKILL);
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Starts a server whose stderr goes to a file, has `client` talk to it, which learns its pid, and ends it by `signal`; what it wrote.
fn run(mut command: Command, is_traced: bool, port: u16, signal: i32, client: &dyn Fn(u32)) -> Vec<u8> {
    let directory = tempfile::tempdir().expect("a temporary directory");
    let stderr = directory.path().join("stderr");
    let file = std::fs::File::create(&stderr).expect("a file");
    command.stdout(Stdio::null()).stderr(file);
    let mut child = command.spawn().unwrap_or_else(|problem| panic!("{command:?}: {problem}"));
    let text = || std::fs::read(&stderr).expect("its stderr");
    let ready = || std::net::TcpStream::connect(("127.0.0.1", port)).ok();
    let alive = child.try_wait().expect("the server").is_none();
    assert!(alive, "{}", String::from_utf8_lossy(&text()));
    drop(wait_within(LIMIT, "the server's port", ready));
    let pid = if is_traced { children(child.id())[0] } else { child.id() };
    let mut running = Running { child, pid };
    client(pid);
    send_signal(pid, signal);
    let status = wait_within(LIMIT, "the server's end", || running.child.try_wait().expect("the server"));
    let text = text();
    let is_told = status.success() || status.signal() == Some(signal);
    assert!(is_told, "{status}: {}", String::from_utf8_lossy(&text));
    text
}

/// The server under a list of what it calls itself, by each action.
fn is_unharmed_by_its_own_list(command: &[OsString], port: u16, signal: i32, client: &dyn Fn(u32)) {
    let directory = tempfile::tempdir().expect("a temporary directory");
    let output = directory.path().join("calls");
    run(traced(command, &output), true, port, signal, client);
    for action in ACTIONS {
        let stderr = run(filtered(action, "allow", calls_in(&output), command), false, port, signal, client);
        let text = String::from_utf8_lossy(&stderr);
        assert!(!text.contains("SIGSYS") && !text.contains("signal 31"), "{action}: {text}");
        // How many come depends on who is faster: a process that has its next request already does not wait.
        assert!(!Log::read(&stderr).event("trim").lines.is_empty(), "{action}: {text}");
    }
}

/// What an option asks for by name needs calls of its own, which nearly every filter allows: one thread, and no more of them with each wait.
#[test]
fn a_process_has_one_thread_for_its_period() {
    let command = [python().into(), servers().join("worker.py").into(), "compute".into()];
    let mut worker = filtered("kill", "refuse", [libc::SYS_ptrace], &command);
    worker.env("AUTOTRIM_PERIOD", "1s").stdout(Stdio::piped()).stderr(Stdio::null());
    let mut child = worker.spawn().expect("filter_before_exec");
    let mut lines = BufReader::new(child.stdout.take().expect("its stdout")).lines();
    let running = Running { pid: child.id(), child };
    assert!(lines.any(|line| line.expect("a line") == "computing"), "it has waited for six seconds, a tenth at a time");
    wait_within(LIMIT, "a thread", || (!own_threads(running.pid).is_empty()).then_some(()));
    assert_eq!(own_threads(running.pid).len(), 1);
}

fn gunicorn(worker: &str) {
    let port = free_port();
    let command = ["-m", "gunicorn", "--worker-class", worker, "--threads", "2", "--bind"];
    let mut command: Vec<OsString> = [python().into()].into_iter().chain(command.map(OsString::from)).collect();
    command.extend([format!("127.0.0.1:{port}").into(), "--chdir".into(), servers().into(), "app:wsgi".into()]);
    is_unharmed_by_its_own_list(&command, port, libc::SIGTERM, &|_| {
        for path in ["/small", "/big", "/chunked", "/file", "/fragment", "/small", "/small"] {
            assert_eq!(get(port, path).status(), 200, "{path}");
        }
    });
}

#[test]
fn gunicorns_sync_worker_is_unharmed() {
    gunicorn("sync");
}

#[test]
fn gunicorns_threaded_worker_is_unharmed() {
    gunicorn("gthread");
}

#[test]
fn postgresql_is_unharmed() {
    let place = tempfile::tempdir().expect("a temporary directory");
    let versions = std::fs::read_dir("/usr/lib/postgresql").expect("PostgreSQL is missing: scripts/test installs it");
    let programs = versions.flatten().map(|entry| entry.path().join("bin")).max().expect("PostgreSQL");
    let (data, port) = (place.path().join("data"), free_port());
    let as_nobody = |program: &str| -> Vec<OsString> {
        let setpriv = ["setpriv", "--reuid", "65534", "--regid", "65534", "--clear-groups", "--"];
        setpriv.into_iter().map(OsString::from).chain([programs.join(program).into()]).collect()
    };
    std::fs::create_dir(&data).expect("a directory");
    std::os::unix::fs::chown(&data, Some(65534), Some(65534)).expect("this test needs root");
    std::fs::set_permissions(place.path(), std::fs::Permissions::from_mode(0o755)).expect("its permissions");
    let initdb = as_nobody("initdb");
    let mut made = Command::new(&initdb[0]);
    clean_environment(&mut made).args(&initdb[1..]).args(["--no-sync", "--auth", "trust", "--username", "test", "-D"]);
    let made = made.arg(&data).output().expect("initdb");
    assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
    let mut command = as_nobody("postgres");
    command.extend(["-D".into(), data.into(), "-p".into(), port.to_string().into(), "-h".into(), "127.0.0.1".into()]);
    command.extend(["-k", "", "-c", "fsync=off", "-c", "logging_collector=off"].map(OsString::from));
    is_unharmed_by_its_own_list(&command, port, libc::SIGINT, &|_| {
        let mut psql = Command::new(programs.join("psql"));
        clean_environment(&mut psql).args(["-q", "-t", "-A", "-h", "127.0.0.1", "-U", "test", "-d", "postgres"]);
        psql.arg("-p").arg(port.to_string());
        for query in [
            "SELECT 42",
            "CREATE TEMP TABLE t AS SELECT generate_series(1, 9999) n",
            "SELECT sum(n) FROM generate_series(1, 8) n",
        ] {
            // It is not to have the next one before it waits for it.
            psql.args(["-c", query, "-c", "\\! sleep 0.2"]);
        }
        // It takes connections before it is ready for them.
        let output = wait_within(LIMIT, "PostgreSQL", || {
            let output = psql.output().expect("psql");
            (!String::from_utf8_lossy(&output.stderr).contains("is starting up")).then_some(output)
        });
        assert_eq!(String::from_utf8_lossy(&output.stdout), "42\n36\n", "{output:?}");
    });
}

/// Its primary hands each connection to a worker, which may not be asked whose it is.
#[test]
fn nodes_cluster_is_counted() {
    let port = free_port();
    let mut command: Vec<OsString> = vec!["node".into(), servers().join("node.js").into(), "http".into()];
    command.extend([port.to_string().into(), servers().into(), "cluster".into()]);
    // libuv waits in epoll_pwait itself.
    let refused = || OURS.into_iter().filter(|&call| call != libc::SYS_epoll_pwait);
    for action in ACTIONS {
        run(filtered(action, "refuse", refused(), &command), false, port, libc::SIGTERM, &|primary| {
            for _ in 0..20 {
                assert_eq!(get(port, "/small").status(), 200);
            }
            let counted =
                || children(primary).into_iter().filter_map(counts).map(|counts| counts.requests).sum::<u64>();
            // An answer is counted when it has left.
            wait_within(LIMIT, "20 counted requests", || (counted() == 20).then_some(()));
        });
    }
}

/// Nobody has told that there is a filter: what is refused is not seen by the program, and not tried again.
#[test]
fn refused_calls_are_not_seen() {
    for error in ["ENOSYS", "EPERM"] {
        Fixture::new("refused_calls").argument(error).is_unchanged_to_the_last_trim();
    }
}
