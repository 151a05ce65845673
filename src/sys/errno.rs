//! The calling thread's errno, and how libc's functions fail.

use core::ffi::c_int;

/// What a hook returns when there is no function behind it: −1, with errno = ENOSYS.
pub trait Failure {
    /// The value −1.
    const FAILED: Self;
}

impl Failure for c_int {
    const FAILED: c_int = -1;
}

impl Failure for isize {
    const FAILED: isize = -1;
}

impl Failure for i64 {
    const FAILED: i64 = -1;
}

/// Sets errno, and returns −1 as libc's functions do.
#[cold]
#[inline(never)]
pub fn fail<R: Failure>(code: c_int) -> R {
    set_errno(code);
    R::FAILED
}

/// The calling thread's errno.
pub fn errno() -> c_int {
    // SAFETY: libc returns a pointer that is valid for the life of the thread.
    unsafe { *libc::__errno_location() }
}

/// Sets the calling thread's errno.
pub fn set_errno(code: c_int) {
    // SAFETY: as in `errno`.
    unsafe { *libc::__errno_location() = code }
}

/// Runs `work`, which may call into libc, and leaves errno as it was.
pub fn keeping_errno<R>(work: impl FnOnce() -> R) -> R {
    let before = errno();
    let result = work();
    set_errno(before);
    result
}
