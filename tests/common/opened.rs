//! Places and files that every user may read, for servers that give up root: a clone under a home of mode 0700 they cannot
//! enter, so what they need of it is copied. And programs that are executed right after they were written.

use super::{library, servers};
use std::fs::Permissions;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use tempfile::TempDir;

/// A directory that every user may look into, on a path that every user may go; removed with the value.
pub fn open_directory() -> TempDir {
    let candidates = [std::env::temp_dir(), "/tmp".into(), "/var/tmp".into()];
    let place =
        candidates.iter().find(|place| is_open(place)).expect("a temporary directory that every user may enter");
    let directory = tempfile::tempdir_in(place).expect("a temporary directory");
    open_to_all(directory.path());
    directory
}

/// Whether every user may go through this directory and all above it.
fn is_open(directory: &Path) -> bool {
    let may_go = |part: &Path| part.metadata().is_ok_and(|part| part.permissions().mode() & 0o001 != 0);
    directory.canonicalize().is_ok_and(|directory| directory.ancestors().all(may_go))
}

/// Lets every user into a directory that is the test's own.
pub fn open_to_all(directory: &Path) {
    std::fs::set_permissions(directory, Permissions::from_mode(0o755)).expect("the directory's mode");
}

/// What servers that may run as another user need of the clone, in an opened directory that it is to go with.
pub struct Opened {
    /// The library under test.
    pub library: PathBuf,
    /// The directory tests/servers.
    pub servers: PathBuf,
}

impl Opened {
    /// Copies it.
    pub fn within(directory: &Path) -> Self {
        let copied = Command::new("cp").arg("-R").arg(servers()).arg(directory).status();
        assert!(copied.is_ok_and(|status| status.success()), "tests/servers could not be copied");
        let servers = directory.join(servers().file_name().expect("a name"));
        let opened = Command::new("chmod").args(["-R", "a+rX"]).arg(&servers).status();
        assert!(opened.is_ok_and(|status| status.success()), "{} could not be opened", servers.display());
        Self { library: open_copy(&library(), directory), servers }
    }
}

/// A copy of a library or program in an opened directory, for every user to read and execute.
pub fn open_copy(file: &Path, directory: &Path) -> PathBuf {
    copy(file, &directory.join(file.file_name().expect("a file name")), 0o755)
}

/// A copy of a file, with this mode.
///
/// Another process makes it. If this one did, a child that another of its threads forks meanwhile would have the copy open for
/// writing until its own execve, and whoever executes the copy in that moment gets ETXTBSY.
pub fn copy(file: &Path, to: &Path, mode: u32) -> PathBuf {
    let installed = Command::new("install").arg("--mode").arg(format!("{mode:o}")).args([file, to]).output();
    let installed = installed.expect("install (coreutils)");
    assert!(installed.status.success(), "{}", String::from_utf8_lossy(&installed.stderr));
    to.to_owned()
}

/// An executable script; never open for writing in this process, either.
pub fn script(path: &Path, text: &str) -> PathBuf {
    let draft = tempfile::NamedTempFile::new().expect("a temporary file");
    std::fs::write(draft.path(), text).expect("a script");
    copy(draft.path(), path, 0o755)
}
