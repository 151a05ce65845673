//! The only files: `/proc/self/statm`, read and closed at once, and descriptor 2, written to while it is still
//! the file that it was at start.

use core::ffi::{CStr, c_int, c_void};
use core::mem::MaybeUninit;

use super::signals;
use crate::interpose::{Next, errno, keeping_errno};

type Close = unsafe extern "C" fn(c_int) -> c_int;
type Write = unsafe extern "C" fn(c_int, *const c_void, usize) -> isize;
type Poll = unsafe extern "C" fn(*mut libc::pollfd, libc::nfds_t, c_int) -> c_int;

// SAFETY (all three): close(2), write(2) and poll(2) as libc declares them.
static CLOSE: Next<Close> = unsafe { Next::new(c"close") };
static WRITE: Next<Write> = unsafe { Next::new(c"write") };
static POLL: Next<Poll> = unsafe { Next::new(c"poll") };

const STDERR: c_int = 2;

/// The first bytes of a file, in `buffer`; `None` where it cannot be read.
pub fn read<'a>(path: &CStr, buffer: &'a mut [u8]) -> Option<&'a [u8]> {
    let close = CLOSE.get()?;
    keeping_errno(|| {
        // SAFETY: a C string and plain flags. O_CLOEXEC: a fork+exec in another thread must not inherit it.
        let file = unsafe { libc::open(path.as_ptr(), libc::O_RDONLY | libc::O_CLOEXEC) };
        if file < 0 {
            return None;
        }
        // SAFETY: `buffer` is valid for its length; `file` is ours and is closed here and nowhere else.
        let length = unsafe {
            let length = libc::pread(file, buffer.as_mut_ptr().cast(), buffer.len(), 0);
            close(file);
            length
        };
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
    let mut status = MaybeUninit::<libc::stat>::uninit();
    // SAFETY: `status` is valid for writing, and initialised where fstat returns 0.
    keeping_errno(|| unsafe {
        (libc::fstat(STDERR, status.as_mut_ptr()) == 0).then(|| {
            let status = status.assume_init_ref();
            Identity { device: status.st_dev, inode: status.st_ino }
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
        signals::without_sigpipe(|| {
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
