//! Calls by their numbers: `syscall(SYS_…)` does what the function of that name does.

use core::ffi::{c_int, c_long, c_uint, c_ulong, c_void};

use libc::{iovec, mmsghdr, msghdr, ssize_t};

use super::closed::closing_range;
use super::opened::accepted_on;
use super::received::{receiving_by, receiving_messages, with_ancillary};
use super::retire::{installs, restricting};
use super::sent::{sent_bytes_by, sent_message_by, sent_messages, sent_unseen, sent_vector_by};
use crate::own::descriptors::is_followed;
use crate::watch::observe;

/// Which system calls by their numbers are ours to see: none; those on a followed descriptor, their first argument; all.
const CLASSES: [u8; 512] = {
    let on_followed = [
        libc::SYS_read,
        libc::SYS_readv,
        libc::SYS_recvfrom,
        libc::SYS_recvmsg,
        libc::SYS_recvmmsg,
        libc::SYS_write,
        libc::SYS_writev,
        libc::SYS_sendto,
        libc::SYS_sendmsg,
        libc::SYS_sendmmsg,
        libc::SYS_sendfile,
        libc::SYS_close,
    ];
    let always = [libc::SYS_accept, libc::SYS_accept4, libc::SYS_close_range, libc::SYS_seccomp, libc::SYS_prctl];
    let (mut classes, mut index) = ([NOT_OURS; 512], 0);
    while index < on_followed.len() {
        classes[on_followed[index] as usize] = ON_FOLLOWED;
        index += 1;
    }
    index = 0;
    while index < always.len() {
        classes[always[index] as usize] = ALWAYS;
        index += 1;
    }
    classes
};
const NOT_OURS: u8 = 0;
const ON_FOLLOWED: u8 = 1;
const ALWAYS: u8 = 2;

/// Whether a system call made by its number is ours to see.
#[inline(always)]
pub fn is_ours(number: c_long, a: c_long) -> bool {
    // As 32 bits, so that the compiler asks for close first and alone.
    if number as c_int == libc::SYS_close as c_int {
        return is_followed(a as c_int);
    }
    match CLASSES.get(number as usize) {
        Some(&ON_FOLLOWED) => is_followed(a as c_int),
        Some(&ALWAYS) => true,
        _ => false,
    }
}

#[inline(always)]
pub fn calling(number: c_long, [a, b, c, d]: [c_long; 4], next: impl Fn() -> c_long) -> c_long {
    let fd = a as c_int;
    match number {
        libc::SYS_read | libc::SYS_readv => return receiving_by(fd, 0, &|| next() as ssize_t) as c_long,
        libc::SYS_recvfrom => return receiving_by(fd, d as c_int, &|| next() as ssize_t) as c_long,
        libc::SYS_recvmsg => {
            return with_ancillary(b as *const msghdr, receiving_by(fd, c as c_int, &|| next() as ssize_t)) as c_long;
        }
        libc::SYS_recvmmsg => {
            return receiving_messages(fd, b as *mut mmsghdr, d as c_int, || next() as c_int) as c_long;
        }
        libc::SYS_write | libc::SYS_sendto => {
            return sent_bytes_by(fd, b as *const c_void, next() as ssize_t) as c_long;
        }
        libc::SYS_writev => return sent_vector_by(fd, b as *const iovec, c as usize, next() as ssize_t) as c_long,
        libc::SYS_sendmsg => return sent_message_by(fd, b as *const msghdr, next() as ssize_t) as c_long,
        libc::SYS_sendmmsg => return sent_messages(fd, b as *const mmsghdr, next() as c_int) as c_long,
        libc::SYS_sendfile => return sent_unseen(fd, next() as ssize_t) as c_long,
        libc::SYS_accept | libc::SYS_accept4 => return accepted_on(fd, next() as c_int) as c_long,
        libc::SYS_close => observe::forgotten(fd),
        libc::SYS_close_range => {
            return closing_range(a as c_uint, b as c_uint, c as c_int, || next() as c_int) as c_long;
        }
        // The first two operations are the modes that prctl knows, by numbers of their own; others only ask.
        libc::SYS_seccomp => return restricting(a < 2 && installs(a as c_ulong + 1, c as c_ulong), next),
        libc::SYS_prctl if a == c_long::from(libc::PR_SET_SECCOMP) => {
            return restricting(installs(b as c_ulong, c as c_ulong), next);
        }
        _ => {}
    }
    next()
}
