//! The configuration files of tests/servers, filled in for one start of a server. Each test uses a part of this.
#![allow(dead_code)]

use super::matrix::Place;
use std::os::unix::fs::chown;
use std::path::{Path, PathBuf};
use std::process::Command;

/// Debian's user and group without rights.
const NOBODY: u32 = 65534;

/// Whether the test runs as root, as in CI: some servers then change their user, others refuse to start.
pub fn is_root() -> bool {
    // SAFETY: no preconditions.
    unsafe { libc::geteuid() == 0 }
}

/// Writes tests/servers/NAME into the server's own directory, each `{name}` replaced by its value; its path there.
///
/// Known everywhere: port, backend, directory, site. A name without a value is a mistake.
pub fn filled(place: &Place, name: &str, values: &[(&str, &str)]) -> PathBuf {
    let mut text = std::fs::read_to_string(place.servers.join(name)).expect("a configuration file");
    let path = |path: &Path| path.to_str().expect("a path in UTF-8").to_owned();
    let known = [
        ("port", place.port.to_string()),
        ("backend", place.backend.to_string()),
        ("directory", path(place.directory())),
        ("site", path(&place.site)),
        ("scripts", path(&place.servers)),
    ];
    let given = values.iter().map(|&(name, value)| (name, value.to_owned()));
    for (name, value) in known.into_iter().chain(given) {
        text = text.replace(&format!("{{{name}}}"), &value);
    }
    let is_name = |part: &&str| part.split('}').next().is_some_and(|name| is_word(name) && part.contains('}'));
    let left: Vec<_> = text.split('{').skip(1).filter(is_name).collect();
    assert!(left.is_empty(), "{name}: no value for {left:?}");
    place.write(name, text)
}

fn is_word(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_lowercase() || byte == b'_' || byte.is_ascii_digit())
}

/// A program that refuses to run as root, and a file tree that is to be its own.
pub fn without_rights(program: impl AsRef<Path>, own: &Path) -> Command {
    if !is_root() {
        return Command::new(program.as_ref());
    }
    chown(own, Some(NOBODY), Some(NOBODY)).expect("give a directory away");
    // setpriv becomes the program. A change of user clears the signal that ends it with this test: set again.
    let mut command = Command::new("setpriv");
    let id = NOBODY.to_string();
    command.args(["--reuid", &id, "--regid", &id, "--clear-groups", "--pdeathsig", "TERM", "--"]);
    command.arg(program.as_ref());
    command
}

/// What a program prints, on either output; panics where it is missing.
pub fn printed(program: &str, arguments: &[&str]) -> String {
    let output = Command::new(program).args(arguments).output();
    let output = output.unwrap_or_else(|problem| panic!("{program} {arguments:?}: {problem} (scripts/packages.txt)"));
    String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).trim().to_owned()
}
