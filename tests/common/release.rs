//! The release builds, made by the scripts that anyone makes them with. Each test uses a part of it.
#![allow(dead_code)]

use super::common::root;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU32, Ordering::Relaxed};

/// The library as it is released: scripts/build-release.
pub fn x86_64() -> PathBuf {
    static LIBRARY: OnceLock<PathBuf> = OnceLock::new();
    LIBRARY.get_or_init(|| path_from("scripts/build-release")).clone()
}

/// The same for 64-bit ARM.
pub fn aarch64() -> PathBuf {
    static LIBRARY: OnceLock<PathBuf> = OnceLock::new();
    LIBRARY.get_or_init(|| path_from("scripts/build-release aarch64-unknown-linux-gnu")).clone()
}

/// The root directory of the newest Debian.
pub fn sid() -> PathBuf {
    path_from("scripts/roots sid").join("sid")
}

/// The path that a script, with its arguments, prints as its last line. The script says on stderr what it lacks.
pub fn path_from(script: &str) -> PathBuf {
    let mut words = script.split(' ');
    let mut command = Command::new(root().join(words.next().expect("a script")));
    let output = command.args(words).stderr(Stdio::inherit()).output().expect("bash");
    assert!(output.status.success(), "{script} failed; scripts/test installs what it needs");
    let stdout = String::from_utf8(output.stdout).expect("a path");
    PathBuf::from(stdout.lines().last().expect("a path as the last line"))
}

/// Puts a file into a root directory of scripts/roots, at once: a test beside this one may run the one that is there.
pub fn install(file: &Path, root: &Path) {
    // Tests of one process run beside each other, too.
    static COUNT: AtomicU32 = AtomicU32::new(0);
    let name = file.file_name().expect("a file name").to_string_lossy();
    let new = root.join(format!("{name}.{}.{}", std::process::id(), COUNT.fetch_add(1, Relaxed)));
    fs::copy(file, &new).expect("copy");
    fs::rename(&new, root.join(&*name)).expect("rename");
}
