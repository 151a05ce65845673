//! Small files of `/proc/self`, and those of the cgroup, read and closed at once; and what kind of file a descriptor refers to.

use core::ffi::{CStr, c_int};
use core::mem::MaybeUninit;

use super::errno::keeping_errno;
use super::uncancelled;
use crate::pure::text::Text;

/// The standard error stream.
pub const STDERR: c_int = 2;

/// The path of an open file, as far as it fits.
pub fn target(file: c_int, buffer: &mut [u8]) -> Option<&[u8]> {
    let mut link = Text::<32>::new();
    link.text("/proc/self/fd/").number(file.unsigned_abs().into()).byte(0);
    // SAFETY: `link` ends with a zero byte; `buffer` is valid for its length.
    let length = unsafe { libc::readlink(link.as_bytes().as_ptr().cast(), buffer.as_mut_ptr().cast(), buffer.len()) };
    buffer.get(..usize::try_from(length).ok()?)
}

/// The first bytes of a small file; `None` where it cannot be read.
pub fn read_at_once<'a>(path: &CStr, buffer: &'a mut [u8]) -> Option<&'a [u8]> {
    keeping_errno(|| read_and_close(open(path)?, buffer))
}

/// The first that `find` finds in a file which it gets in pieces.
pub fn read_in_pieces<R>(path: &CStr, buffer: &mut [u8], find: impl FnMut(&[u8]) -> Option<R>) -> Option<R> {
    keeping_errno(|| {
        let file = open(path)?;
        let found = pieces(file, buffer, find);
        uncancelled::close(file);
        found
    })
}

/// The same of a file that is open.
pub fn pieces<R>(file: c_int, buffer: &mut [u8], mut find: impl FnMut(&[u8]) -> Option<R>) -> Option<R> {
    let (mut offset, mut found) = (0usize, None);
    while found.is_none()
        && let Some(piece) = uncancelled::read_at(file, buffer, offset).filter(|piece| !piece.is_empty())
    {
        offset = offset.saturating_add(piece.len());
        found = find(piece);
    }
    found
}

/// The calling thread's /proc/PID/task/TID/status, to be read later.
pub struct Status(c_int);

impl Status {
    /// `None` where it cannot be opened.
    pub fn open() -> Option<Status> {
        keeping_errno(|| open(c"/proc/thread-self/status")).map(Status)
    }

    /// What it says now.
    pub fn read(self, buffer: &mut [u8]) -> Option<&[u8]> {
        keeping_errno(|| read_and_close(self.0, buffer))
    }
}

fn open(path: &CStr) -> Option<c_int> {
    let file = uncancelled::open(libc::AT_FDCWD, path, libc::O_RDONLY);
    (file >= 0).then_some(file)
}

fn read_and_close(file: c_int, buffer: &mut [u8]) -> Option<&[u8]> {
    let read = uncancelled::read_from_start(file, buffer);
    uncancelled::close(file);
    read
}

/// Which file a descriptor refers to.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Identity {
    device: u64,
    inode: u64,
}

/// The file behind descriptor 2, or `None` where it is closed.
pub fn stderr_identity() -> Option<Identity> {
    identity(STDERR).map(|(device, inode)| Identity { device, inode })
}

/// The device and inode of the file behind a descriptor.
pub fn identity(file: c_int) -> Option<(u64, u64)> {
    status(file).map(|status| (status.st_dev, status.st_ino))
}

/// Whether a descriptor is a socket.
pub fn is_socket(file: c_int) -> bool {
    status(file).is_some_and(|status| status.st_mode & libc::S_IFMT == libc::S_IFSOCK)
}

/// Whether a descriptor is what tasks come from: a socket, a pipe or a FIFO, a terminal.
pub fn is_source(file: c_int) -> bool {
    let kind = status(file).map_or(0, |status| status.st_mode & libc::S_IFMT);
    matches!(kind, libc::S_IFSOCK | libc::S_IFIFO | libc::S_IFCHR)
}

/// What fstat(2) says.
pub fn status(file: c_int) -> Option<libc::stat> {
    let mut status = MaybeUninit::<libc::stat>::uninit();
    // SAFETY: `status` is valid for writing, and initialised where fstat returns 0.
    keeping_errno(|| unsafe { (libc::fstat(file, status.as_mut_ptr()) == 0).then(|| status.assume_init()) })
}
