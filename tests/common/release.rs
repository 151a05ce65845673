//! The release builds, made by the scripts that anyone makes them with. Each test uses a part of it.
#![allow(dead_code)]

use super::common::root;
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::sync::OnceLock;

/// The library as it is released: scripts/build-release.
pub fn x86_64() -> PathBuf {
    static LIBRARY: OnceLock<PathBuf> = OnceLock::new();
    LIBRARY.get_or_init(|| path_from("scripts/build-release")).clone()
}

/// The same for 64-bit ARM: scripts/build-aarch64.
pub fn aarch64() -> PathBuf {
    static LIBRARY: OnceLock<PathBuf> = OnceLock::new();
    LIBRARY.get_or_init(|| path_from("scripts/build-aarch64")).clone()
}

/// The path that a script prints as its last line. The script says on stderr what it lacks.
pub fn path_from(script: &str) -> PathBuf {
    let output = Command::new(root().join(script)).stderr(Stdio::inherit()).output().expect("bash");
    assert!(output.status.success(), "{script} failed; scripts/test installs what it needs");
    let stdout = String::from_utf8(output.stdout).expect("a path");
    PathBuf::from(stdout.lines().last().expect("a path as the last line"))
}
