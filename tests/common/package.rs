//! Files of Debian packages that the tests need (scripts/packages.txt).

use std::path::{Path, PathBuf};
use std::process::Command;

/// Where `package` has put the file of this name; panics where it is not installed.
pub fn file_of(package: &str, name: &str) -> PathBuf {
    let files = Command::new("dpkg-query").args(["--listfiles", package]).output().expect("dpkg-query");
    let files = String::from_utf8(files.stdout).expect("paths");
    let named = files.lines().map(Path::new).find(|path| path.ends_with(name));
    named.unwrap_or_else(|| panic!("{package} is missing: scripts/packages installs it")).to_owned()
}
