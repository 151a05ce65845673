//! A connection is opened, or will be.

use core::ffi::c_int;

use libc::{sa_family_t, sockaddr, socklen_t};

use super::blocking;
use super::calls::NOBODY;
use crate::own::descriptors;
use crate::own::waits::Point;
use crate::reclaim::duty;
use crate::sys::errno::{errno, fail};
use crate::sys::memory;
use crate::watch::{observe, tasks, unseen};

/// After listen.
pub fn listening(result: c_int) -> c_int {
    if result == 0 {
        unseen::listening();
        tasks::listening();
        duty::listening();
    }
    result
}

/// AF_ALG's accept(2) brings no connection: a handle to the kernel's cryptography, whose answers are read.
pub fn bound(fd: c_int, address: *const sockaddr, length: socklen_t, result: c_int) -> c_int {
    let family = || memory::read(address.cast::<sa_family_t>()).map(c_int::from);
    if result == 0 && length as usize >= size_of::<sa_family_t>() && family() == Some(libc::AF_ALG) {
        descriptors::note_no_listener(fd);
    }
    result
}

/// Before and after an accept that has a reason to look.
#[inline(always)]
pub fn accepting_stopped(listener: c_int, next: impl Fn() -> c_int) -> c_int {
    if blocking::before(listener, (Point::Accept, NOBODY)) {
        return fail(libc::EINTR);
    }
    let connection = next();
    blocking::after_accept(connection);
    accepted_on(listener, connection)
}

/// After any other.
#[inline(always)]
pub fn accepted(connection: c_int) -> c_int {
    if connection >= 0 { opened(connection) } else { connection }
}

/// The same, by a listener that is looked at first.
pub fn accepted_on(listener: c_int, connection: c_int) -> c_int {
    if descriptors::is_no_listener(listener) { connection } else { accepted(connection) }
}

#[inline(never)]
fn opened(connection: c_int) -> c_int {
    observe::opened(connection);
    connection
}

/// Who connects is a client: the number was closed behind our back and is used anew.
#[inline(always)]
pub fn connecting(fd: c_int, next: impl Fn() -> c_int) -> c_int {
    let result = next();
    if result == 0 || errno() == libc::EINPROGRESS {
        observe::forgotten(fd);
    }
    result
}
