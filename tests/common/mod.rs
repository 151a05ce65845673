//! What the tests share: the library under test, real gunicorn servers, a small HTTP client and a reader of
//! the log.
//!
//! Each file under `tests/` is a crate of its own and uses a part of this, so unused items are no news here.
#![allow(dead_code)]

pub mod gunicorn;
pub mod http;
pub mod log;
pub mod metrics;
pub mod opened;
pub mod package;
pub mod process;
pub mod script;
pub mod stats;

use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU16, Ordering::Relaxed};
use std::time::{Duration, Instant};

/// How long a test waits for something that should happen at once, on however busy a machine; only a failing test waits as
/// long.
pub const LIMIT: Duration = Duration::from_secs(120);

/// The library's directory; the command's tests, in a package below it, use this too.
pub fn root() -> &'static Path {
    let mut directories = Path::new(env!("CARGO_MANIFEST_DIR")).ancestors();
    directories.find(|directory| directory.join("tests/servers").is_dir()).expect("tests/servers")
}

/// The directory of the Python programs that the tests start.
pub fn servers() -> PathBuf {
    root().join("tests/servers")
}

/// The built library: `AUTOTRIM_LIBRARY`, or the release build of this package, made now if it is not up to
/// date.
///
/// The harness builds it because `cargo test` builds no cdylib.
pub fn library() -> PathBuf {
    static LIBRARY: OnceLock<PathBuf> = OnceLock::new();
    LIBRARY.get_or_init(find_or_build_library).clone()
}

fn find_or_build_library() -> PathBuf {
    if let Some(path) = std::env::var_os("AUTOTRIM_LIBRARY") {
        let path = PathBuf::from(path);
        assert!(path.is_file(), "AUTOTRIM_LIBRARY names {}, which is no file", path.display());
        return path;
    }
    let target = root().join("target");
    let cargo = std::env::var_os("CARGO").unwrap_or("cargo".into());
    let built = Command::new(cargo)
        .args(["build", "--release", "--quiet", "--target-dir"])
        .arg(&target)
        .current_dir(root())
        .status()
        .expect("cargo could not be started");
    assert!(built.success(), "cargo build --release failed");
    target.join("release/libautotrim.so")
}

/// The Python interpreter of the virtual environment with gunicorn and its workers.
pub fn python() -> PathBuf {
    let path = std::env::var_os("AUTOTRIM_PYTHON").map_or_else(|| root().join(".venv/bin/python"), PathBuf::from);
    assert!(path.is_file(), "{} is missing: run scripts/test, which makes it", path.display());
    path
}

/// Where Node finds a set of packages of npm's, which scripts/npm installs.
pub fn npm(set: &str) -> PathBuf {
    let script = Command::new(root().join("scripts/npm")).arg(set).stderr(Stdio::inherit()).output().expect("bash");
    assert!(script.status.success(), "scripts/npm {set} failed");
    let printed = String::from_utf8(script.stdout).expect("a path");
    PathBuf::from(printed.lines().last().expect("a path as the last line"))
}

/// Asks `probe` every few milliseconds until it answers; panics with `what` when it has not within `limit`.
pub fn wait_within<T>(limit: Duration, what: &str, mut probe: impl FnMut() -> Option<T>) -> T {
    let start = Instant::now();
    loop {
        if let Some(found) = probe() {
            return found;
        }
        assert!(start.elapsed() < limit, "waited {limit:?} in vain for {what}");
        std::thread::sleep(Duration::from_millis(10));
    }
}

/// A port that is free now. Below the kernel's ephemeral ports, so that no outgoing connection takes it meanwhile.
pub fn free_port() -> u16 {
    const FIRST: u16 = 10_000;
    const NUMBER: u16 = 20_000;
    static NEXT: AtomicU16 = AtomicU16::new(0);
    let start = (std::process::id() as u16).wrapping_mul(37);
    let free = (0..NUMBER)
        .map(|_| FIRST + start.wrapping_add(NEXT.fetch_add(1, Relaxed)) % NUMBER)
        .find(|&port| TcpListener::bind(("127.0.0.1", port)).is_ok());
    free.expect("a free port")
}
