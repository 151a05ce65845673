//! Whether a user may read the library: what the kernel asks of each directory on its path, and of the file. The dynamic
//! linker reads a preload with the rights that a program is executed with, and goes on without one that it may not read.

use std::fmt::{self, Display};
use std::fs::Metadata;
use std::io;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};

use procfs::process::Status;

/// Bits of a mode (inode(7)): read a file, go through a directory.
const READ: u32 = 0o4;
const SEARCH: u32 = 0o1;

/// Whose rights count.
pub enum User {
    /// Every user without rights of its own: neither root, nor the owner, nor in the group.
    Any,
    /// This one.
    One {
        /// By the ids that decide about files.
        user: u32,
        /// Its groups.
        groups: Vec<u32>,
    },
}

impl User {
    /// The user that a process is.
    pub fn of(status: &Status) -> Self {
        let groups = status.groups.iter().copied().chain([status.fgid]).collect();
        User::One { user: status.fuid, groups }
    }

    /// Whether the kernel grants this bit. Access lists, which may grant more to some, are not looked at.
    fn may(&self, bit: u32, file: &Metadata) -> bool {
        let mode = file.permissions().mode();
        let shift = match self {
            User::One { user: 0, .. } => return true,
            User::One { user, .. } if *user == file.uid() => 6,
            User::One { groups, .. } if groups.contains(&file.gid()) => 3,
            User::One { .. } | User::Any => 0,
        };
        mode >> shift & bit != 0
    }
}

/// What a user may not read or go through.
pub struct Closed {
    path: PathBuf,
    mode: u32,
}

impl Display for Closed {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "{} has mode {:04o}", self.path.display(), self.mode & 0o7777)
    }
}

/// The first part of an absolute path that keeps `user` from the file at its end; `look` is how we look at a path.
pub fn closed(file: &Path, user: &User, look: impl Fn(&Path) -> io::Result<Metadata>) -> Option<Closed> {
    let mut parts: Vec<&Path> = file.ancestors().collect();
    parts.reverse();
    parts.into_iter().find_map(|part| {
        let found = look(part).ok()?;
        let bit = if found.is_dir() { SEARCH } else { READ };
        (!user.may(bit, &found)).then(|| Closed { path: part.to_owned(), mode: found.permissions().mode() })
    })
}

/// What keeps users other than root from a library that a program started by root is to have; nothing where we are not root, as
/// then no program that we start can become another user and have a preload.
pub fn closed_to_others(library: &Path) -> Option<String> {
    // SAFETY: takes nothing and cannot fail.
    if unsafe { libc::geteuid() } != 0 {
        return None;
    }
    // The path as it is named, and where links in it lead.
    let paths = [Some(library.to_owned()), library.canonicalize().ok()];
    let closed = paths.iter().flatten().find_map(|path| closed(path, &User::Any, |part| part.metadata()))?;
    let library = library.display();
    Some(format!(
        "other users may not read {library} ({closed}): what is executed after a change of the user goes without it"
    ))
}
