//! What was sent is looked at after the call, and only where it may be interim responses to a pending request. The caller's
//! memory may be gone by then (its file truncated, its pages unmapped), so the kernel is asked first.

use core::ffi::{c_int, c_void};

use libc::{iovec, mmsghdr, msghdr, ssize_t};

use crate::pure::connection::{HEAD, Interim, STATUS};
use crate::sys::memory;
use crate::watch::observe;

/// An interim response has a status and some fields, and no content.
const LONGEST_HEAD: usize = 8192;

/// After a send of one buffer.
#[inline(always)]
pub fn sent_bytes(fd: c_int, buffer: *const c_void, sent: ssize_t) -> ssize_t {
    if sent <= 0 {
        return sent;
    }
    observe::sent(fd, sent, || is_looked_at(sent), || sent_bytes_seldom(fd, buffer, sent))
}

#[inline(never)]
fn sent_bytes_seldom(fd: c_int, buffer: *const c_void, sent: ssize_t) -> ssize_t {
    observe::sent_seldom(fd, sent, || {
        let mut interim = Interim::new();
        is_looked_at(sent)
            && may_be_interim(buffer)
            && read_bytes(&mut interim, buffer, sent as usize)
            && interim.answers_nothing()
    })
}

/// After a send of several parts, in order.
#[inline(always)]
pub fn sent_vector(fd: c_int, vector: *const iovec, count: usize, sent: ssize_t) -> ssize_t {
    if sent <= 0 {
        return sent;
    }
    observe::sent(fd, sent, || is_looked_at(sent), || sent_vector_seldom(fd, vector, count, sent))
}

#[inline(never)]
fn sent_vector_seldom(fd: c_int, vector: *const iovec, count: usize, sent: ssize_t) -> ssize_t {
    observe::sent_seldom(fd, sent, || is_looked_at(sent) && is_interim_vector(vector, count, sent as usize))
}

/// After a send of a message.
#[inline(always)]
pub fn sent_message(fd: c_int, message: *const msghdr, sent: ssize_t) -> ssize_t {
    if sent <= 0 {
        return sent;
    }
    observe::sent(fd, sent, || is_looked_at(sent), || sent_message_seldom(fd, message, sent))
}

#[inline(never)]
fn sent_message_seldom(fd: c_int, message: *const msghdr, sent: ssize_t) -> ssize_t {
    observe::sent_seldom(fd, sent, || {
        is_looked_at(sent)
            && memory::read(message)
                .is_some_and(|message| is_interim_vector(message.msg_iov, message.msg_iovlen, sent as usize))
    })
}

// The same, once for all that few programs call.

#[inline(never)]
pub fn sent_bytes_by(fd: c_int, buffer: *const c_void, sent: ssize_t) -> ssize_t {
    sent_bytes(fd, buffer, sent)
}

#[inline(never)]
pub fn sent_vector_by(fd: c_int, vector: *const iovec, count: usize, sent: ssize_t) -> ssize_t {
    sent_vector(fd, vector, count, sent)
}

#[inline(never)]
pub fn sent_message_by(fd: c_int, message: *const msghdr, sent: ssize_t) -> ssize_t {
    sent_message(fd, message, sent)
}

/// After a send of several messages, whose lengths the kernel has written.
#[inline(never)]
pub fn sent_messages(fd: c_int, messages: *const mmsghdr, count: c_int) -> c_int {
    if count <= 0 {
        return count;
    }
    let are_interim = || {
        let (mut interim, mut sent) = (Interim::new(), 0usize);
        let read = |index| {
            let Some(message) = memory::read(messages.wrapping_add(index)) else { return false };
            sent = sent.saturating_add(message.msg_len as usize);
            let header = message.msg_hdr;
            sent <= LONGEST_HEAD
                && read_vector(&mut interim, header.msg_iov, header.msg_iovlen, message.msg_len as usize)
        };
        memory::may_ask() && (0..count as usize).all(read) && interim.answers_nothing()
    };
    observe::sent(fd, count as ssize_t, memory::may_ask, || observe::sent_seldom(fd, count as ssize_t, are_interim))
        as c_int
}

/// A file's bytes: no head of an answer is sent this way.
#[inline(never)]
pub fn sent_unseen(fd: c_int, sent: ssize_t) -> ssize_t {
    if sent > 0 { observe::sent_seldom(fd, sent, || false) } else { sent }
}

/// Whether so many bytes can be interim responses and nothing else. Where nobody can be asked what can be read (under valgrind), none
/// are.
#[inline(always)]
fn is_looked_at(sent: ssize_t) -> bool {
    (HEAD..=LONGEST_HEAD).contains(&(sent as usize)) && memory::may_ask()
}

/// Whether an answer's status can be interim, by its first digit: it settles the matter for nearly every answer.
#[inline(never)]
fn may_be_interim(head: *const c_void) -> bool {
    let digit = head.cast::<u8>().wrapping_add(STATUS);
    // SAFETY: the kernel has just read it.
    memory::is_readable(digit) && unsafe { *digit == b'1' }
}

fn is_interim_vector(vector: *const iovec, count: usize, sent: usize) -> bool {
    let mut interim = Interim::new();
    read_vector(&mut interim, vector, count, sent) && interim.answers_nothing()
}

/// Reads the `sent` bytes that the kernel has read of these parts, in order, up to an answer; false where they are gone.
fn read_vector(interim: &mut Interim, vector: *const iovec, count: usize, mut sent: usize) -> bool {
    for index in 0..count {
        if sent == 0 {
            break;
        }
        let Some(part) = memory::read(vector.wrapping_add(index)) else { return false };
        let length = part.iov_len.min(sent);
        if !read_bytes(interim, part.iov_base, length) {
            return false;
        }
        sent -= length;
    }
    true
}

/// Reads so many bytes, up to an answer; false where they are gone.
fn read_bytes(interim: &mut Interim, bytes: *const c_void, length: usize) -> bool {
    let (mut piece, mut done) = ([0u8; 64], 0);
    while done < length && !interim.has_answer() {
        let Some(wanted) = piece.get_mut(..(length - done).min(64)) else { return false };
        if !memory::read_into(bytes.cast::<u8>().wrapping_add(done), wanted) {
            return false;
        }
        interim.read(wanted);
        done += wanted.len();
    }
    true
}
