//! A descriptor ceases to be a connection.

use core::ffi::{c_int, c_uint};

use crate::sys::errno::keeping_errno;
use crate::sys::threads;
use crate::watch::observe;

/// Around close.
#[inline(always)]
pub fn closing(fd: c_int, next: impl Fn() -> c_int) -> c_int {
    observe::forgotten(fd);
    next()
}

/// Around close_range.
#[inline(always)]
pub fn closing_range(first: c_uint, last: c_uint, flags: c_int, next: impl Fn() -> c_int) -> c_int {
    // With CLOEXEC they are closed at exec, if ever; with UNSHARE in a copy of the table that this thread alone has from then
    // on (close_range(2)): it is about to become something else, and the others serve on.
    let flags = flags as c_uint;
    let elsewhere = flags & libc::CLOSE_RANGE_UNSHARE != 0 && keeping_errno(threads::count) != Some(1);
    if flags & libc::CLOSE_RANGE_CLOEXEC == 0 && !elsewhere {
        observe::range_forgotten(first, last);
    }
    next()
}

/// Another file takes the number over at once, if the call succeeds: no other thread can own it in between.
#[inline(always)]
pub fn duplicating(from: c_int, to: c_int, next: impl Fn() -> c_int) -> c_int {
    let result = next();
    if result >= 0 && from != to {
        observe::forgotten(to);
    }
    result
}
