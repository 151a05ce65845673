//! Bytes are received, and before that, perhaps, waited for.

use core::ffi::c_int;
use core::hint::black_box;

use libc::{mmsghdr, msghdr, ssize_t};

use super::calls::NOBODY;
use super::{blocking, thread};
use crate::own::descriptors;
use crate::own::process;
use crate::own::runtime::runtime;
use crate::own::waits::Point;
use crate::pure::ancillary;
use crate::sys::errno::{fail, keeping_errno};
use crate::sys::{self, sockets};
use crate::watch::observe;

/// Around a receive on a followed descriptor, which returns to `caller`.
#[inline(always)]
pub fn receiving(fd: c_int, flags: c_int, caller: usize, next: impl Fn() -> ssize_t) -> ssize_t {
    if flags & (libc::MSG_PEEK | libc::MSG_ERRQUEUE) != 0 {
        return next();
    }
    if descriptors::may_be_waited_for(fd) && may_stop() {
        return receiving_stopped(fd, flags, caller, next);
    }
    received(fd, next())
}

/// Whether a receive that may wait is to be looked at. Event loops have just waited elsewhere, and looked there. In a process without a
/// page only marked descriptors come here: of the few reads with which a worker waits for its tasks none is passed over.
#[inline(always)]
fn may_stop() -> bool {
    process::get().is_none_or(|process| !process.waits.has_just_polled() && process.hints.any())
}

/// The same, once for all that few programs call: a copy of it in each of those hooks would only make the library larger.
#[inline(never)]
pub fn receiving_by(fd: c_int, flags: c_int, next: &dyn Fn() -> ssize_t) -> ssize_t {
    receiving(fd, flags, NOBODY, next)
}

#[cold]
#[inline(never)]
fn receiving_stopped(fd: c_int, flags: c_int, caller: usize, next: impl Fn() -> ssize_t) -> ssize_t {
    if before_receiving(fd, flags, caller) { fail(libc::EINTR) } else { received(fd, next()) }
}

/// Java's blocking servers and php-fpm wait for the next request in no other call. Returns whether the call is to fail
/// with EINTR.
#[inline(never)]
fn before_receiving(fd: c_int, flags: c_int, caller: usize) -> bool {
    if descriptors::is_marked(fd) {
        keeping_errno(thread::at_read);
        return flags & libc::MSG_DONTWAIT == 0 && blocking::before_task(fd, caller);
    }
    flags & libc::MSG_DONTWAIT == 0 && blocking::before(fd, (Point::Receive, caller))
}

#[inline(always)]
fn received(fd: c_int, received: ssize_t) -> ssize_t {
    if received <= 0 {
        return received;
    }
    observe::received(fd, received, || received_seldom(fd, received))
}

#[inline(never)]
fn received_seldom(fd: c_int, received: ssize_t) -> ssize_t {
    if descriptors::is_marked(fd) {
        keeping_errno(thread::at_read);
    } else {
        observe::received_seldom(fd);
    }
    // That it returns what it was given is not to be known: the caller would keep a copy.
    black_box(received)
}

/// After a message that may have brought descriptors.
#[inline(always)]
pub fn with_ancillary(message: *const msghdr, received: ssize_t) -> ssize_t {
    // SAFETY: the call succeeded, and its last act was to write this field.
    if received >= 0 && unsafe { (*message).msg_controllen } != 0 { brought(message, received) } else { received }
}

#[inline(never)]
fn brought(message: *const msghdr, received: ssize_t) -> ssize_t {
    if runtime().is_some() {
        follow_brought(message);
    }
    // That it returns what it was given is not to be known: the caller would keep a copy.
    black_box(received)
}

fn follow_brought(message: *const msghdr) {
    // SAFETY: the call succeeded: the kernel has just filled so much of the control buffer, and told so in the header.
    let control = unsafe { sys::slice_at((*message).msg_control.cast::<u8>(), (*message).msg_controllen) };
    ancillary::descriptors(control, |brought| {
        if sockets::is_connected_stream(brought) {
            observe::brought(brought);
        }
    });
}

/// The flags of preadv2(2), as far as they say whether the call waits.
#[inline(always)]
pub fn as_receive_flags(flags: c_int) -> c_int {
    if flags & libc::RWF_NOWAIT != 0 { libc::MSG_DONTWAIT } else { 0 }
}

/// Around recvmmsg.
#[inline(never)]
pub fn receiving_messages(fd: c_int, messages: *mut mmsghdr, flags: c_int, next: impl Fn() -> c_int) -> c_int {
    let peeks = flags & (libc::MSG_PEEK | libc::MSG_ERRQUEUE) != 0;
    if !peeks && may_stop() && before_receiving(fd, flags, NOBODY) {
        return fail(libc::EINTR);
    }
    let count = next();
    // The end of a stream is a message too, of no bytes.
    // SAFETY: so many messages were received, so the kernel has filled the first.
    if !peeks && count > 0 && unsafe { (*messages).msg_len } > 0 {
        received(fd, count as ssize_t);
    }
    count
}
