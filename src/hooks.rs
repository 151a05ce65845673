//! THE list of interposed functions, which are this library's only exports, and what each kind does.
//!
//! A call on a descriptor that is not followed costs a load, a compare and a jump. Nothing in a hook
//! allocates, panics or waits for a lock, and no value that would need dropping is alive across the real call:
//! a cancelled thread unwinds through it.

use core::ffi::{c_int, c_long, c_uint, c_ulong, c_void};
use core::hint::black_box;

use libc::{
    epoll_event, fd_set, iovec, mmsghdr, msghdr, nfds_t, off_t, off64_t, pollfd, sa_family_t, sigset_t, size_t,
    sockaddr, socklen_t, ssize_t, timespec, timeval,
};

use crate::allocator::settings;
use crate::connection::State;
use crate::descriptors::{self, is_followed};
use crate::interpose::{Failure, Next, errno, fail, hooks, keeping_errno};
use crate::sys::{self, memory, sockets, threads};
use crate::wait::calls::{self, Own, milliseconds};
use crate::wait::{self, Point};
use crate::{
    ancillary, background, duty, garbage, observe, prepare_to_retire, process, resume, retire, runtime, tasks, trim,
    unseen,
};

mod numbers;
mod sent;
use numbers::{calling, is_ours};
use sent::*;

hooks! {
    // A connection is opened, or will be.
    fn listen(fd: c_int, backlog: c_int) -> c_int
        = |next| listening(next());
    fn bind(fd: c_int, address: *const sockaddr, length: socklen_t) -> c_int
        = |next| bound(fd, address, length, next());
    fn accept(listener: c_int, address: *mut sockaddr, length: *mut socklen_t) -> c_int
        = if process::has_reason() || descriptors::is_any_no_listener() => |next| accepting_stopped(listener, next),
        else |connection| accepted(connection);
    fn accept4(listener: c_int, address: *mut sockaddr, length: *mut socklen_t, flags: c_int) -> c_int
        = if process::has_reason() || descriptors::is_any_no_listener() => |next| accepting_stopped(listener, next),
        else |connection| accepted(connection);

    // Bytes are received.
    fn recv(fd: c_int, buffer: *mut c_void, size: size_t, flags: c_int) -> ssize_t
        = if is_followed(fd) => |next| receiving(fd, flags, next);
    fn recvfrom(fd: c_int, buffer: *mut c_void, size: size_t, flags: c_int, address: *mut sockaddr,
                length: *mut socklen_t) -> ssize_t
        = if is_followed(fd) => |next| receiving(fd, flags, next);
    fn recvmsg(fd: c_int, message: *mut msghdr, flags: c_int) -> ssize_t
        = if is_followed(fd) => |next| with_ancillary(message, receiving(fd, flags, next)),
        else |received| with_ancillary(message, received);
    fn read(fd: c_int, buffer: *mut c_void, size: size_t) -> ssize_t
        = if is_followed(fd) => |next| receiving(fd, 0, next);
    fn readv(fd: c_int, vector: *const iovec, count: c_int) -> ssize_t
        = if is_followed(fd) => |next| receiving(fd, 0, next);
    #[undeclared] fn __read(fd: c_int, buffer: *mut c_void, size: size_t) -> ssize_t
        = if is_followed(fd) => |next| receiving_by(fd, 0, &next);
    fn preadv2(fd: c_int, vector: *const iovec, count: c_int, offset: off_t, flags: c_int) -> ssize_t
        = if is_followed(fd) => |next| receiving_by(fd, as_receive_flags(flags), &next);
    #[undeclared] fn preadv64v2(fd: c_int, vector: *const iovec, count: c_int, offset: off64_t, flags: c_int) -> ssize_t
        = if is_followed(fd) => |next| receiving_by(fd, as_receive_flags(flags), &next);
    fn recvmmsg(fd: c_int, messages: *mut mmsghdr, room: c_uint, flags: c_int, timeout: *mut timespec) -> c_int
        = if is_followed(fd) => |next| receiving_messages(fd, messages, flags, next);
    #[undeclared] fn __recv_chk(fd: c_int, buffer: *mut c_void, size: size_t, room: size_t, flags: c_int) -> ssize_t
        = if is_followed(fd) => |next| receiving_by(fd, flags, &next);
    #[undeclared] fn __recvfrom_chk(fd: c_int, buffer: *mut c_void, size: size_t, room: size_t, flags: c_int,
                                 address: *mut sockaddr, length: *mut socklen_t) -> ssize_t
        = if is_followed(fd) => |next| receiving_by(fd, flags, &next);
    #[undeclared] fn __read_chk(fd: c_int, buffer: *mut c_void, size: size_t, room: size_t) -> ssize_t
        = if is_followed(fd) => |next| receiving_by(fd, 0, &next);

    // Bytes are sent.
    fn send(fd: c_int, buffer: *const c_void, size: size_t, flags: c_int) -> ssize_t
        = if is_followed(fd) => |next| sent_bytes(fd, buffer, next());
    fn sendto(fd: c_int, buffer: *const c_void, size: size_t, flags: c_int, address: *const sockaddr,
              length: socklen_t) -> ssize_t
        = if is_followed(fd) => |next| sent_bytes(fd, buffer, next());
    fn sendmsg(fd: c_int, message: *const msghdr, flags: c_int) -> ssize_t
        = if is_followed(fd) => |next| sent_message(fd, message, next());
    fn write(fd: c_int, buffer: *const c_void, size: size_t) -> ssize_t
        = if is_followed(fd) => |next| sent_bytes(fd, buffer, next());
    fn writev(fd: c_int, vector: *const iovec, count: c_int) -> ssize_t
        = if is_followed(fd) => |next| sent_vector(fd, vector, count as usize, next());
    #[undeclared] fn __send(fd: c_int, buffer: *const c_void, size: size_t, flags: c_int) -> ssize_t
        = if is_followed(fd) => |next| sent_bytes_by(fd, buffer, next());
    #[undeclared] fn __write(fd: c_int, buffer: *const c_void, size: size_t) -> ssize_t
        = if is_followed(fd) => |next| sent_bytes_by(fd, buffer, next());
    fn pwritev2(fd: c_int, vector: *const iovec, count: c_int, offset: off_t, flags: c_int) -> ssize_t
        = if is_followed(fd) => |next| sent_vector_by(fd, vector, count as usize, next());
    #[undeclared] fn pwritev64v2(fd: c_int, vector: *const iovec, count: c_int, offset: off64_t, flags: c_int) -> ssize_t
        = if is_followed(fd) => |next| sent_vector_by(fd, vector, count as usize, next());
    fn sendmmsg(fd: c_int, messages: *mut mmsghdr, count: c_uint, flags: c_int) -> c_int
        = if is_followed(fd) => |next| sent_messages(fd, messages, next());
    fn sendfile(out: c_int, file: c_int, offset: *mut off_t, size: size_t) -> ssize_t
        = if is_followed(out) => |next| sent_unseen(out, next());
    fn sendfile64(out: c_int, file: c_int, offset: *mut off64_t, size: size_t) -> ssize_t
        = if is_followed(out) => |next| sent_unseen(out, next());
    // The libc crate knows off64_t as loff_t here.
    fn splice(from: c_int, from_offset: *mut off64_t, to: c_int, to_offset: *mut off64_t, size: size_t,
              flags: c_uint) -> ssize_t
        = if is_followed(from) || is_followed(to) => |next| sent_unseen(to, receiving(from, 0, next));

    // A descriptor ceases to be a connection. Never a wait point: handlers and vfork children close too.
    fn close(fd: c_int) -> c_int
        = if is_followed(fd) => |next| closing(fd, next);
    #[undeclared] fn __close(fd: c_int) -> c_int
        = if is_followed(fd) => |next| closing(fd, next);
    fn close_range(first: c_uint, last: c_uint, flags: c_int) -> c_int
        = if descriptors::is_any_from(first) => |next| closing_range(first, last, flags, next);
    fn dup2(from: c_int, to: c_int) -> c_int
        = if is_followed(to) => |next| duplicating(from, to, next);
    #[undeclared] fn __dup2(from: c_int, to: c_int) -> c_int
        = if is_followed(to) => |next| duplicating(from, to, next);
    fn dup3(from: c_int, to: c_int, flags: c_int) -> c_int
        = if is_followed(to) => |next| duplicating(from, to, next);
    fn connect(fd: c_int, address: *const sockaddr, length: socklen_t) -> c_int
        = if is_followed(fd) => |next| connecting(fd, next), else |result| connected(fd, result);
    #[undeclared] fn __connect(fd: c_int, address: *const sockaddr, length: socklen_t) -> c_int
        = if is_followed(fd) => |next| connecting(fd, next);
    // libuv (Node, uvloop) closes this way. Six arguments, whatever was passed, as libc's own does.
    #[variadic] fn syscall(number: c_long, a: c_long, b: c_long, c: c_long, d: c_long, e: c_long, f: c_long) -> c_long
        = if is_ours(number, a) => |next| calling(number, [a, b, c, d], next);

    // The program sets up malloc itself.
    fn mallopt(parameter: c_int, value: c_int) -> c_int
        = |next| setting_up(parameter, next);

    // The process is about to restrict its own system calls.
    #[variadic] fn prctl(option: c_int, a: c_ulong, b: c_ulong, c: c_ulong, d: c_ulong) -> c_int
        = if option == libc::PR_SET_SECCOMP => |next| restricting(installs(a, b), next);

    // The thread is about to wait for work.
    fn epoll_wait(epoll: c_int, events: *mut epoll_event, room: c_int, timeout: c_int) -> c_int
        = if process::has_reason() => |next| calls::epoll(Own::Plain, move || milliseconds(timeout), epoll, events, room, NO_MASK, next);
    fn epoll_pwait(epoll: c_int, events: *mut epoll_event, room: c_int, timeout: c_int, mask: *const sigset_t) -> c_int
        = if process::has_reason() => |next| calls::epoll(Own::Masked, move || milliseconds(timeout), epoll, events, room, mask, next);
    fn epoll_pwait2(epoll: c_int, events: *mut epoll_event, room: c_int, timeout: *const timespec,
                    mask: *const sigset_t) -> c_int
        = if process::has_reason() => |next| calls::epoll2(timeout, epoll, events, room, mask, next);
    fn poll(fds: *mut pollfd, count: nfds_t, timeout: c_int) -> c_int
        = if process::has_reason() => |next| calls::poll(Own::Plain, move || milliseconds(timeout), fds, count, NO_MASK, next);
    fn ppoll(fds: *mut pollfd, count: nfds_t, timeout: *const timespec, mask: *const sigset_t) -> c_int
        = if process::has_reason() => |next| calls::poll(Own::Masked, move || calls::seconds(timeout), fds, count, mask, next);
    fn select(count: c_int, reads: *mut fd_set, writes: *mut fd_set, errors: *mut fd_set,
              timeout: *mut timeval) -> c_int
        = if process::has_reason() => |next| calls::select(count, [reads, writes, errors], timeout, next);
    fn pselect(count: c_int, reads: *mut fd_set, writes: *mut fd_set, errors: *mut fd_set, timeout: *const timespec,
               mask: *const sigset_t) -> c_int
        = if process::has_reason() => |next| calls::pselect(count, [reads, writes, errors], timeout, mask, next);
    #[undeclared] fn __poll(fds: *mut pollfd, count: nfds_t, timeout: c_int) -> c_int
        = if process::has_reason() => |next| polling_by(fds, count, timeout, &next);
    #[undeclared] fn __select(count: c_int, reads: *mut fd_set, writes: *mut fd_set, errors: *mut fd_set,
              timeout: *mut timeval) -> c_int
        = if process::has_reason() => |next| selecting_by(count, [reads, writes, errors], timeout, &next);
    // With _FORTIFY_SOURCE; `room` is the size of the array in bytes. Where it is too small, libc's own aborts.
    #[undeclared] fn __poll_chk(fds: *mut pollfd, count: nfds_t, timeout: c_int, room: size_t) -> c_int
        = if process::has_reason() => |next| calls::poll(Own::Plain, move || calls::fitting(count, room, milliseconds(timeout)), fds, count, NO_MASK, next);
    #[undeclared] fn __ppoll_chk(fds: *mut pollfd, count: nfds_t, timeout: *const timespec, mask: *const sigset_t,
                              room: size_t) -> c_int
        = if process::has_reason() => |next| calls::poll(Own::Masked, move || calls::fitting(count, room, calls::seconds(timeout)), fds, count, mask, next);
}

const NO_MASK: *const sigset_t = core::ptr::null();

// What is followed, and nothing else, goes through the functions below. The common case of each keeps across the real call
// no more of the caller's arguments than it needs after it; the rest is apart.

fn listening(result: c_int) -> c_int {
    if result == 0 {
        unseen::listening();
        duty::listening(trim::may_act);
    }
    result
}

fn setting_up(parameter: c_int, next: impl Fn() -> c_int) -> c_int {
    settings::program_sets(parameter);
    next()
}

/// AF_ALG's accept(2) brings no connection: a handle to the kernel's cryptography, whose answers are read.
fn bound(fd: c_int, address: *const sockaddr, length: socklen_t, result: c_int) -> c_int {
    let family = || memory::read(address.cast::<sa_family_t>()).map(c_int::from);
    if result == 0 && length as usize >= size_of::<sa_family_t>() && family() == Some(libc::AF_ALG) {
        descriptors::note_no_listener(fd);
    }
    result
}

#[inline(always)]
fn accepting_stopped(listener: c_int, next: impl Fn() -> c_int) -> c_int {
    if wait::before_blocking(listener, Point::Accept) {
        return fail(libc::EINTR);
    }
    let connection = next();
    garbage::after_accept(connection);
    accepted_on(listener, connection)
}

#[inline(always)]
fn accepted(connection: c_int) -> c_int {
    if connection >= 0 { opened(connection) } else { connection }
}

fn accepted_on(listener: c_int, connection: c_int) -> c_int {
    if descriptors::is_no_listener(listener) { connection } else { accepted(connection) }
}

#[inline(never)]
fn opened(connection: c_int) -> c_int {
    observe::opened(connection);
    connection
}

#[inline(always)]
fn receiving(fd: c_int, flags: c_int, next: impl Fn() -> ssize_t) -> ssize_t {
    if flags & (libc::MSG_PEEK | libc::MSG_ERRQUEUE) != 0 {
        return next();
    }
    if process::has_reason() {
        return receiving_stopped(fd, flags, next);
    }
    received(fd, next())
}

#[inline(never)]
fn polling_by(fds: *mut pollfd, count: nfds_t, timeout: c_int, next: &dyn Fn() -> c_int) -> c_int {
    calls::poll(Own::Plain, move || milliseconds(timeout), fds, count, NO_MASK, next)
}

#[inline(never)]
fn selecting_by(count: c_int, sets: [*mut fd_set; 3], timeout: *mut timeval, next: &dyn Fn() -> c_int) -> c_int {
    calls::select(count, sets, timeout, next)
}

/// The same, once for all that few programs call: a copy of it in each of those hooks would only make the library larger.
#[inline(never)]
fn receiving_by(fd: c_int, flags: c_int, next: &dyn Fn() -> ssize_t) -> ssize_t {
    receiving(fd, flags, next)
}

#[cold]
#[inline(never)]
fn receiving_stopped(fd: c_int, flags: c_int, next: impl Fn() -> ssize_t) -> ssize_t {
    if before_receiving(fd, flags) { fail(libc::EINTR) } else { received(fd, next()) }
}

/// Java's blocking servers and php-fpm wait for the next request in no other call. Returns whether the call is to fail
/// with EINTR.
#[inline(never)]
fn before_receiving(fd: c_int, flags: c_int) -> bool {
    if descriptors::is_marked(fd) {
        keeping_errno(background::at_read);
        return flags & libc::MSG_DONTWAIT == 0 && wait::before_task(fd);
    }
    let waits_for_client = flags & libc::MSG_DONTWAIT == 0 && descriptors::state(fd) == State::Idle;
    waits_for_client && wait::before_blocking(fd, Point::Receive)
}

#[inline(always)]
fn received(fd: c_int, received: ssize_t) -> ssize_t {
    if received > 0 { observe::received(fd, received) } else { received }
}

#[inline(always)]
fn with_ancillary(message: *const msghdr, received: ssize_t) -> ssize_t {
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
fn as_receive_flags(flags: c_int) -> c_int {
    if flags & libc::RWF_NOWAIT != 0 { libc::MSG_DONTWAIT } else { 0 }
}

#[inline(never)]
fn receiving_messages(fd: c_int, messages: *mut mmsghdr, flags: c_int, next: impl Fn() -> c_int) -> c_int {
    let peeks = flags & (libc::MSG_PEEK | libc::MSG_ERRQUEUE) != 0;
    if !peeks && process::has_reason() && before_receiving(fd, flags) {
        return fail(libc::EINTR);
    }
    let count = next();
    // The end of a stream is a message too, of no bytes.
    // SAFETY: so many messages were received, so the kernel has filled the first.
    if !peeks && count > 0 && unsafe { (*messages).msg_len } > 0 {
        observe::received(fd, count as ssize_t);
    }
    count
}

#[inline(always)]
fn closing(fd: c_int, next: impl Fn() -> c_int) -> c_int {
    observe::forgotten(fd);
    next()
}

#[inline(always)]
fn closing_range(first: c_uint, last: c_uint, flags: c_int, next: impl Fn() -> c_int) -> c_int {
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
fn duplicating(from: c_int, to: c_int, next: impl Fn() -> c_int) -> c_int {
    let result = next();
    if result >= 0 && from != to {
        observe::forgotten(to);
    }
    result
}

/// Who connects is a client: the number was closed behind our back and is used anew.
#[inline(always)]
fn connecting(fd: c_int, next: impl Fn() -> c_int) -> c_int {
    let result = next();
    if result == 0 || errno() == libc::EINPROGRESS {
        observe::forgotten(fd);
    }
    result
}

/// What a client of others reads may be its tasks.
#[inline(never)]
fn connected(fd: c_int, result: c_int) -> c_int {
    if result == 0 || errno() == libc::EINPROGRESS {
        tasks::connected(fd);
    }
    result
}

/// Whether a process that sets this seccomp mode means it. With no filter at all, or a mode that there is not, it only asks.
fn installs(mode: c_ulong, filter: c_ulong) -> bool {
    mode == c_ulong::from(libc::SECCOMP_MODE_STRICT) || mode == c_ulong::from(libc::SECCOMP_MODE_FILTER) && filter != 0
}

/// A process that restricts its own system calls (seccomp(2)) may be killed for any of ours: nothing more is done, once it has. In
/// the child of a vfork, which has its parent's memory, nothing is done anyway.
#[inline(never)]
fn restricting<R: Failure + PartialOrd>(installs: bool, next: impl Fn() -> R) -> R {
    if !installs || process::is_borrowed() {
        return next();
    }
    keeping_errno(prepare_to_retire);
    let result = next();
    if result > R::FAILED {
        retire()
    } else {
        keeping_errno(resume)
    }
    result
}
