//! open, read, write, poll and close by syscall(2), which is no cancellation point.
//!
//! libc's own are, even where cancellation is disabled: for the time of the call glibc makes it asynchronous
//! (nptl/cancellation.c), and a request that was sent before it was disabled then ends the thread in the middle of our work.
//! All of them set errno as libc's do.

use core::ffi::{CStr, c_int, c_long, c_short};
use core::ptr;

use crate::sys::errno::fail;
use crate::sys::real;

/// openat(2), for this process alone: the descriptor.
pub fn open(directory: c_int, path: &CStr, flags: c_int) -> c_int {
    let Some(syscall) = real::syscall.get() else { return fail(libc::ENOSYS) };
    let flags = c_long::from(flags | libc::O_CLOEXEC);
    // SAFETY: a C string, plain flags and a mode.
    unsafe {
        syscall(libc::SYS_openat, c_long::from(directory), path.as_ptr() as c_long, flags, 0o600 as c_long) as c_int
    }
}

/// The first bytes of an open file; `None` where they cannot be read.
pub fn read_from_start(file: c_int, buffer: &mut [u8]) -> Option<&[u8]> {
    read_at(file, buffer, 0)
}

/// The bytes from `offset` on.
pub fn read_at(file: c_int, buffer: &mut [u8], offset: usize) -> Option<&[u8]> {
    let syscall = real::syscall.get()?;
    // SAFETY: `buffer` is valid for its length. Were the number another file's by now, this would move nothing there.
    let length = unsafe {
        syscall(
            libc::SYS_pread64,
            c_long::from(file),
            buffer.as_mut_ptr() as c_long,
            buffer.len() as c_long,
            offset as c_long,
        )
    };
    buffer.get(..usize::try_from(length).ok()?)
}

/// write(2).
pub fn write(file: c_int, bytes: &[u8]) -> isize {
    let Some(syscall) = real::syscall.get() else { return fail(libc::ENOSYS) };
    // SAFETY: `bytes` is valid for its length.
    unsafe { syscall(libc::SYS_write, c_long::from(file), bytes.as_ptr() as c_long, bytes.len() as c_long) as isize }
}

/// Whether a descriptor takes bytes now.
pub fn is_writable(file: c_int) -> bool {
    is_ready(file, libc::POLLOUT)
}

/// Whether a descriptor has bytes, or a connection, now.
pub fn is_readable(file: c_int) -> bool {
    is_ready(file, libc::POLLIN)
}

/// poll(2), or where the kernel has none, ppoll(2).
fn is_ready(file: c_int, events: c_short) -> bool {
    let Some(syscall) = real::syscall.get() else { return false };
    let mut entry = libc::pollfd { fd: file, events, revents: 0 };
    let entry = ptr::from_mut(&mut entry);
    // SAFETY: one entry, valid for writing; no mask, and a time of zero.
    unsafe {
        #[cfg(target_arch = "x86_64")]
        let ready = syscall(libc::SYS_poll, entry as c_long, 1 as c_long, 0 as c_long);
        #[cfg(target_arch = "aarch64")]
        let ready = {
            let none = libc::timespec { tv_sec: 0, tv_nsec: 0 };
            syscall(libc::SYS_ppoll, entry as c_long, 1 as c_long, ptr::from_ref(&none) as c_long, 0 as c_long)
        };
        ready == 1 && (*entry).revents & events != 0
    }
}

/// close(2) of a descriptor that is ours.
pub fn close(file: c_int) {
    if let Some(syscall) = real::syscall.get() {
        // SAFETY: takes a number.
        unsafe { syscall(libc::SYS_close, c_long::from(file)) };
    }
}
