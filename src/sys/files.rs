//! The only files: `/proc/self/statm` and `status`, read and closed at once, those of the cgroup, at start, and descriptor 2,
//! written to while it is still the file that it was at start.

use core::ffi::{CStr, c_int, c_void};
use core::mem::MaybeUninit;

use super::{own, signals};
use crate::interpose::{Next, errno, keeping_errno};
use crate::text::Text;

type Write = unsafe extern "C" fn(c_int, *const c_void, usize) -> isize;
type Poll = unsafe extern "C" fn(*mut libc::pollfd, libc::nfds_t, c_int) -> c_int;

// SAFETY (both): write(2) and poll(2) as libc declares them.
static WRITE: Next<Write> = unsafe { Next::new(c"write") };
static POLL: Next<Poll> = unsafe { Next::new(c"poll") };

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

/// The same of another file.
pub fn read<'a>(path: &CStr, buffer: &'a mut [u8]) -> Option<&'a [u8]> {
    keeping_errno(|| {
        let file = own::SMALL_FILE.open(libc::AT_FDCWD, path, libc::O_RDONLY | libc::O_NOFOLLOW).ok()?;
        // SAFETY: `buffer` is valid for its length. Were the number another file's by now, this would move nothing there.
        let length = unsafe { libc::pread(file, buffer.as_mut_ptr().cast(), buffer.len(), 0) };
        own::SMALL_FILE.close(file);
        buffer.get(..usize::try_from(length).ok()?)
    })
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
    let mut status = MaybeUninit::<libc::stat>::uninit();
    // SAFETY: `status` is valid for writing, and initialised where fstat returns 0.
    keeping_errno(|| unsafe {
        (libc::fstat(file, status.as_mut_ptr()) == 0).then(|| {
            let status = status.assume_init_ref();
            (status.st_dev, status.st_ino)
        })
    })
}

/// Writes `line` to descriptor 2 in one call, if that is still the file `start` and takes it without
/// blocking (a full pipe would stop the host). Raises no SIGPIPE.
pub fn write_stderr(start: Identity, line: &[u8]) {
    let (Some(write), Some(poll)) = (WRITE.get(), POLL.get()) else { return };
    keeping_errno(|| {
        if stderr_identity() != Some(start) {
            return;
        }
        signals::without(libc::SIGPIPE, &mut || {
            let mut ready = libc::pollfd { fd: STDERR, events: libc::POLLOUT, revents: 0 };
            // SAFETY: one pollfd; `line` is valid for its length.
            unsafe {
                if poll(&mut ready, 1, 0) != 1 || ready.revents & libc::POLLOUT == 0 {
                    return false;
                }
                write(STDERR, line.as_ptr().cast(), line.len()) < 0 && errno() == libc::EPIPE
            }
        });
    });
}
