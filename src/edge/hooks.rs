//! THE list of interposed functions, which are this library's only exports, and what each kind does.
//!
//! A call on a descriptor that is not followed costs a load, a compare and a jump. Nothing in a hook
//! allocates, panics or waits for a lock, and no value that would need dropping is alive across the real call:
//! a cancelled thread unwinds through it.

use core::arch::naked_asm;
use core::ffi::{c_int, c_long, c_uint, c_ulong, c_void};

use libc::{
    epoll_event, fd_set, iovec, mmsghdr, msghdr, nfds_t, off_t, off64_t, pollfd, pthread_attr_t, pthread_t, sigset_t,
    size_t, sockaddr, socklen_t, ssize_t, timespec, timeval,
};

use super::calls::{self, NO_MASK, NOBODY, Own, milliseconds, polling_by, selecting_by};
use super::closed::{closing, closing_range, duplicating};
use super::interpose::hooks;
use super::numbers::{calling, is_ours};
use super::opened::{accepted, accepting_stopped, bound, connecting, listening};
use super::received::{as_receive_flags, receiving, receiving_by, receiving_messages, with_ancillary};
use super::retire::{installs, restricting};
use super::sent::{sent_bytes, sent_bytes_by, sent_message, sent_messages, sent_unseen, sent_vector, sent_vector_by};
use super::starting::starting;
use crate::allocator::settings::setting_up;
use crate::allocator::tops;
use crate::own::descriptors::{self, is_followed};
use crate::sys::next::Next;
use crate::sys::real::Run;
use crate::watch::{has_reason, has_reason_to_act, tasks};

hooks! {
    // A connection is opened, or will be.
    fn listen(fd: c_int, backlog: c_int) -> c_int
        = |next| listening(next());
    fn bind(fd: c_int, address: *const sockaddr, length: socklen_t) -> c_int
        = |next| bound(fd, address, length, next());
    fn accept(listener: c_int, address: *mut sockaddr, length: *mut socklen_t) -> c_int
        = if has_reason_to_act() || descriptors::is_any_no_listener() => |next| accepting_stopped(listener, next),
        else |connection| accepted(connection);
    fn accept4(listener: c_int, address: *mut sockaddr, length: *mut socklen_t, flags: c_int) -> c_int
        = if has_reason_to_act() || descriptors::is_any_no_listener() => |next| accepting_stopped(listener, next),
        else |connection| accepted(connection);

    // Bytes are received.
    fn recv(fd: c_int, buffer: *mut c_void, size: size_t, flags: c_int) -> ssize_t
        = if is_followed(fd) => |next| receiving(fd, flags, NOBODY, next);
    fn recvfrom(fd: c_int, buffer: *mut c_void, size: size_t, flags: c_int, address: *mut sockaddr,
                length: *mut socklen_t) -> ssize_t
        = if is_followed(fd) => |next| receiving(fd, flags, NOBODY, next);
    fn recvmsg(fd: c_int, message: *mut msghdr, flags: c_int) -> ssize_t
        = if is_followed(fd) => |next| with_ancillary(message, receiving(fd, flags, NOBODY, next)),
        else |received| with_ancillary(message, received);
    fn read(fd: c_int, buffer: *mut c_void, size: size_t) @caller("rcx", "x3") -> ssize_t
        = if is_followed(fd) => |next| receiving(fd, 0, caller, next);
    fn readv(fd: c_int, vector: *const iovec, count: c_int) -> ssize_t
        = if is_followed(fd) => |next| receiving(fd, 0, NOBODY, next);
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
        = if is_followed(from) || is_followed(to) => |next| sent_unseen(to, receiving(from, 0, NOBODY, next));

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
        = if is_followed(fd) || tasks::connecting(fd) => |next| connecting(fd, next);
    #[undeclared] fn __connect(fd: c_int, address: *const sockaddr, length: socklen_t) -> c_int
        = if is_followed(fd) => |next| connecting(fd, next);
    // libuv (Node, uvloop) closes this way. Six arguments, whatever was passed, as libc's own does.
    #[variadic] fn syscall(number: c_long, a: c_long, b: c_long, c: c_long, d: c_long, e: c_long, f: c_long) -> c_long
        = if is_ours(number, a) => |next| calling(number, [a, b, c, d], next);

    // The program sets up malloc itself.
    fn mallopt(parameter: c_int, value: c_int) -> c_int
        = |next| setting_up(parameter, value, next);

    // The program starts a thread.
    fn pthread_create(thread: *mut pthread_t, attributes: *const pthread_attr_t, run: Run, argument: *mut c_void) -> c_int
        = if tops::is_planting() => |next| starting(thread, attributes, run, argument, next);

    // The process is about to restrict its own system calls.
    #[variadic] fn prctl(option: c_int, a: c_ulong, b: c_ulong, c: c_ulong, d: c_ulong) -> c_int
        = if option == libc::PR_SET_SECCOMP => |next| restricting(installs(a, b), next);

    // The thread is about to wait for work: not where the timeout is 0.
    fn epoll_wait(epoll: c_int, events: *mut epoll_event, room: c_int, timeout: c_int) @caller("r8", "x4") -> c_int
        = if timeout != 0 && has_reason() => |next| calls::epoll(Own::Plain, timeout, epoll, events, room, NO_MASK, caller, next);
    fn epoll_pwait(epoll: c_int, events: *mut epoll_event, room: c_int, timeout: c_int, mask: *const sigset_t) -> c_int
        = if timeout != 0 && has_reason() => |next| calls::epoll(Own::Masked, timeout, epoll, events, room, mask, NOBODY, next);
    fn epoll_pwait2(epoll: c_int, events: *mut epoll_event, room: c_int, timeout: *const timespec,
                    mask: *const sigset_t) -> c_int
        = if has_reason() => |next| calls::epoll2(timeout, epoll, events, room, mask, next);
    fn poll(fds: *mut pollfd, count: nfds_t, timeout: c_int) @caller("rcx", "x3") -> c_int
        = if timeout != 0 && has_reason() => |next| calls::poll(Own::Plain, true, move || milliseconds(timeout), fds, count, NO_MASK, caller, next);
    fn ppoll(fds: *mut pollfd, count: nfds_t, timeout: *const timespec, mask: *const sigset_t) @caller("r8", "x4") -> c_int
        = if has_reason() => |next| calls::poll(Own::Masked, false, move || calls::seconds(timeout), fds, count, mask, caller, next);
    fn select(count: c_int, reads: *mut fd_set, writes: *mut fd_set, errors: *mut fd_set,
              timeout: *mut timeval) @caller("r9", "x5") -> c_int
        = if has_reason() => |next| calls::select(count, [reads, writes, errors], timeout, caller, next);
    fn pselect(count: c_int, reads: *mut fd_set, writes: *mut fd_set, errors: *mut fd_set, timeout: *const timespec,
               mask: *const sigset_t) -> c_int
        = if has_reason() => |next| calls::pselect(count, [reads, writes, errors], timeout, mask, next);
    #[undeclared] fn __poll(fds: *mut pollfd, count: nfds_t, timeout: c_int) -> c_int
        = if timeout != 0 && has_reason() => |next| polling_by(fds, count, timeout, &next);
    #[undeclared] fn __select(count: c_int, reads: *mut fd_set, writes: *mut fd_set, errors: *mut fd_set,
              timeout: *mut timeval) -> c_int
        = if has_reason() => |next| selecting_by(count, [reads, writes, errors], timeout, &next);
    // With _FORTIFY_SOURCE; `room` is the size of the array in bytes. Where it is too small, libc's own aborts.
    #[undeclared] fn __poll_chk(fds: *mut pollfd, count: nfds_t, timeout: c_int, room: size_t) -> c_int
        = if timeout != 0 && has_reason() => |next| calls::poll(Own::Plain, true, move || calls::fitting(count, room, milliseconds(timeout)), fds, count, NO_MASK, NOBODY, next);
    #[undeclared] fn __ppoll_chk(fds: *mut pollfd, count: nfds_t, timeout: *const timespec, mask: *const sigset_t,
                              room: size_t) @caller("r9", "x5") -> c_int
        = if has_reason() => |next| calls::poll(Own::Masked, false, move || calls::fitting(count, room, calls::seconds(timeout)), fds, count, mask, caller, next);
}
