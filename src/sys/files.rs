//! The only files: `/proc/self/statm` and a few more of `/proc/self`, read and closed at once, those of the cgroup, at start, and
//! descriptor 2, written to while it is still the file that it was at start.

use core::ffi::{CStr, c_int};
use core::mem::MaybeUninit;

use super::{filter, own, signals, uncancelled};
use crate::interpose::{errno, keeping_errno};
use crate::text::Text;

const STDERR: c_int = 2;

/// Anonymous RSS and its kin, in pages.
const STATM: &CStr = c"/proc/self/statm";
/// What is locked and what is swapped out, among others.
const STATUS: &CStr = c"/proc/self/status";

/// The path of an open file, as far as it fits.
pub fn target(file: c_int, buffer: &mut [u8]) -> Option<&[u8]> {
    let mut link = Text::<32>::new();
    link.text("/proc/self/fd/").number(file.unsigned_abs().into()).byte(0);
    // SAFETY: `link` ends with a zero byte; `buffer` is valid for its length.
    let length = unsafe { libc::readlink(link.as_bytes().as_ptr().cast(), buffer.as_mut_ptr().cast(), buffer.len()) };
    buffer.get(..usize::try_from(length).ok()?)
}

/// The first bytes of `/proc/self/statm` in `buffer`; `None` where it cannot be read.
pub fn read_statm(buffer: &mut [u8]) -> Option<&[u8]> {
    read(STATM, buffer)
}

/// The same of `/proc/self/status`.
pub fn read_status(buffer: &mut [u8]) -> Option<&[u8]> {
    read(STATUS, buffer)
}

/// Another thread may fork meanwhile, so the descriptor is known as ours. Who filters system calls may not allow what that takes.
fn read<'a>(path: &CStr, buffer: &'a mut [u8]) -> Option<&'a [u8]> {
    if filter::is_restricted() {
        return read_at_once(path, buffer);
    }
    keeping_errno(|| {
        let file = own::SMALL_FILE.open(libc::AT_FDCWD, path, libc::O_RDONLY | libc::O_NOFOLLOW).ok()?;
        let read = uncancelled::read_from_start(file, buffer);
        own::SMALL_FILE.close(file);
        read
    })
}

/// The first bytes of a small file; `None` where it cannot be read.
pub fn read_at_once<'a>(path: &CStr, buffer: &'a mut [u8]) -> Option<&'a [u8]> {
    keeping_errno(|| read_and_close(open(path)?, buffer))
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

fn status(file: c_int) -> Option<libc::stat> {
    let mut status = MaybeUninit::<libc::stat>::uninit();
    // SAFETY: `status` is valid for writing, and initialised where fstat returns 0.
    keeping_errno(|| unsafe { (libc::fstat(file, status.as_mut_ptr()) == 0).then(|| status.assume_init()) })
}

/// Writes `line` to descriptor 2 in one call, if that is still the file `start` and takes it without
/// blocking (a full pipe would stop the host). Raises no SIGPIPE.
pub fn write_stderr(start: Identity, line: &[u8]) {
    keeping_errno(|| {
        if stderr_identity() != Some(start) {
            return;
        }
        if filter::is_restricted() {
            return write_by_other_calls(line);
        }
        signals::without(libc::SIGPIPE, &mut || {
            uncancelled::is_writable(STDERR) && uncancelled::write(STDERR, line) < 0 && errno() == libc::EPIPE
        });
    });
}

/// The same where nothing is to be called but what every program calls, and so not poll: a regular file takes a line at once,
/// and others are opened anew, so as not to block; where nobody reads from a pipe, or it is a socket, that fails.
fn write_by_other_calls(line: &[u8]) {
    let Some(status) = status(STDERR) else { return };
    if status.st_mode & libc::S_IFMT == libc::S_IFREG {
        uncancelled::write(STDERR, line);
        return;
    }
    let file =
        uncancelled::open(libc::AT_FDCWD, c"/proc/self/fd/2", libc::O_WRONLY | libc::O_NONBLOCK | libc::O_NOCTTY);
    if file >= 0 {
        uncancelled::write(file, line);
        uncancelled::close(file);
    }
}
