//! A cgroup for tests.

use std::path::{Path, PathBuf};
use std::process::Command;

use super::Running;
use super::common::{LIMIT, wait_within};

/// A cgroup of its own for memory, at the root of the hierarchy; `None` where there can be none.
pub struct Group(PathBuf);

impl Group {
    /// A new one.
    pub fn new() -> Option<Group> {
        let name = format!("autotrim-test-{}", std::process::id());
        let of = |root: &str| {
            let group = Path::new(root).join(&name);
            std::fs::create_dir(&group).ok()?;
            // Not there where the hierarchy does not account memory.
            let group = Group(group);
            group.0.join("memory.stat").exists().then_some(group)
        };
        of("/sys/fs/cgroup/memory").or_else(|| of("/sys/fs/cgroup"))
    }

    /// Its directory.
    pub fn path(&self) -> &Path {
        &self.0
    }

    /// Runs a command in it.
    pub fn start(&self, command: &str) -> Running {
        let line = format!("echo $$ > {}/cgroup.procs && {command}", self.0.display());
        Running::start(Command::new("sh").args(["-c", &line]))
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        wait_within(LIMIT, "the end of its processes", || std::fs::remove_dir(&self.0).ok());
    }
}
