//! Questions to the kernel about a descriptor. Each leaves errno as it was.

use core::ffi::{CStr, c_int};
use core::mem::{MaybeUninit, size_of};

use super::errno::{fail, keeping_errno};
use super::{files, filter, real, uncancelled};
use crate::decide::MILLISECOND;
use crate::pure::text::{Text, number_of};

/// Whether calls on `descriptor` block: `O_NONBLOCK` is not set.
pub fn is_blocking(descriptor: c_int) -> bool {
    if filter::is_restricted() {
        return is_blocking_by_file(descriptor).unwrap_or(false);
    }
    // SAFETY: F_GETFL takes no third argument.
    let flags = keeping_errno(|| unsafe { libc::fcntl(descriptor, libc::F_GETFL) });
    flags >= 0 && flags & libc::O_NONBLOCK == 0
}

/// The same without fcntl (proc(5), fdinfo).
fn is_blocking_by_file(descriptor: c_int) -> Option<bool> {
    let (mut path, mut buffer) = (Text::<40>::new(), [0u8; 256]);
    path.text("/proc/self/fdinfo/").number(descriptor.unsigned_abs().into()).byte(0);
    let path = CStr::from_bytes_until_nul(path.as_bytes()).ok()?;
    let flags = number_of(filter::field(files::read_at_once(path, &mut buffer)?, b"flags:")?, 8)?;
    Some(flags & libc::O_NONBLOCK as u64 == 0)
}

/// Whether `descriptor` is a connected stream socket: what a server passes to its worker by `SCM_RIGHTS`,
/// and neither a listener, nor a file, nor a datagram socket; nor one of a socketpair, which nobody has accepted (nginx
/// hands its workers each other's).
pub fn is_connected_stream(descriptor: c_int) -> bool {
    // These are not calls that every program makes. Without them, what is received before anything is sent tells.
    if filter::is_restricted() {
        return files::is_socket(descriptor);
    }
    keeping_errno(|| {
        option(descriptor, libc::SO_TYPE) == Some(libc::SOCK_STREAM)
            && option(descriptor, libc::SO_ACCEPTCONN) == Some(0)
            && has_name(descriptor)
            && has_peer(descriptor)
    })
}

/// Whether a call that waits for bytes, or for a connection, would not have to. Where this is no call to make, it would.
pub fn has_input(descriptor: c_int) -> bool {
    !filter::is_restricted() && keeping_errno(|| uncancelled::is_readable(descriptor))
}

/// A time as poll(2) and epoll_wait(2) take it, rounded up.
pub fn milliseconds(nanoseconds: u64) -> c_int {
    c_int::try_from(nanoseconds.div_ceil(MILLISECOND)).unwrap_or(c_int::MAX)
}

/// Waits so long for bytes or a connection, as poll(2) does: a cancellation point, with the caller's mask. Changes errno.
pub fn wait_for_input(descriptor: c_int, nanoseconds: u64) -> c_int {
    let mut entry = libc::pollfd { fd: descriptor, events: libc::POLLIN, revents: 0 };
    let timeout = milliseconds(nanoseconds);
    // SAFETY: one entry, valid for writing.
    real::poll.get().map_or_else(|| fail(libc::ENOSYS), |poll| unsafe { poll(&mut entry, 1, timeout) })
}

/// Whether the socket has a receive timeout (socket(7), SO_RCVTIMEO).
pub fn has_receive_timeout(descriptor: c_int) -> bool {
    if filter::is_restricted() {
        return false;
    }
    let mut timeout = libc::timeval { tv_sec: 0, tv_usec: 0 };
    let mut length = size_of::<libc::timeval>() as libc::socklen_t;
    // SAFETY: `timeout` is valid for writing `length` bytes.
    let result = keeping_errno(|| unsafe {
        libc::getsockopt(descriptor, libc::SOL_SOCKET, libc::SO_RCVTIMEO, (&raw mut timeout).cast(), &mut length)
    });
    result == 0 && (timeout.tv_sec, timeout.tv_usec) != (0, 0)
}

/// Whether `descriptor` is a socket that listens.
pub fn is_listening(descriptor: c_int) -> bool {
    keeping_errno(|| option(descriptor, libc::SO_ACCEPTCONN)) == Some(1)
}

/// The port that an IPv4 or IPv6 socket is bound to; never 0.
pub fn local_port(descriptor: c_int) -> Option<u16> {
    // Of both families the port is in the same place, and an IPv4 address is the shorter one.
    let mut address = MaybeUninit::<libc::sockaddr_storage>::zeroed();
    let mut length = size_of::<libc::sockaddr_storage>() as libc::socklen_t;
    // SAFETY: `address` is valid for writing `length` bytes, aligned for every family, and zero is a valid value of it.
    let (family, port) = unsafe {
        if keeping_errno(|| libc::getsockname(descriptor, address.as_mut_ptr().cast(), &mut length)) != 0 {
            return None;
        }
        let address = address.as_ptr().cast::<libc::sockaddr_in>();
        (c_int::from((*address).sin_family), u16::from_be((*address).sin_port))
    };
    (matches!(family, libc::AF_INET | libc::AF_INET6) && port != 0).then_some(port)
}

/// Whether the kernel has sent bytes of a TCP connection's own (tcp(7), TCP_INFO); false of other sockets, and before Linux 4.19.
pub fn has_sent(descriptor: c_int) -> bool {
    !filter::is_restricted() && counters(descriptor).is_ok_and(|(_, sent)| sent.is_some_and(|sent| sent > 0))
}

/// Who made a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Maker {
    /// This side, by connect(2).
    Ourselves,
    /// The other side; we accepted it.
    Peer,
    /// The kernel does not tell.
    Unknown,
}

/// Who made a TCP connection; others count as accepted. Whoever connects has sent a SYN, which the kernel counts among the
/// bytes that were acknowledged, but not among those that were sent (net/ipv4/tcp_input.c, tcp_snd_una_update).
pub fn maker(descriptor: c_int) -> Maker {
    if filter::is_restricted() {
        return Maker::Unknown;
    }
    match counters(descriptor) {
        Ok((acknowledged, Some(sent))) if acknowledged > sent => Maker::Ourselves,
        Ok((_, Some(_))) | Err(()) => Maker::Peer,
        Ok((_, None)) => Maker::Unknown,
    }
}

/// Bytes of a TCP connection that were acknowledged, and that were sent, which the kernel tells since Linux 4.19. An error for
/// another socket.
fn counters(descriptor: c_int) -> Result<(u64, Option<u64>), ()> {
    /// `tcpi_bytes_acked` and `tcpi_bytes_sent` in `struct tcp_info` (include/uapi/linux/tcp.h), which grows at its end: its
    /// words.
    const ACKNOWLEDGED: usize = 15;
    const SENT: usize = 25;
    let mut info = [0u64; SENT + 1];
    let mut length = size_of_val(&info) as libc::socklen_t;
    // SAFETY: `info` is valid for writing `length` bytes.
    let result = keeping_errno(|| unsafe {
        libc::getsockopt(descriptor, libc::IPPROTO_TCP, libc::TCP_INFO, info.as_mut_ptr().cast(), &mut length)
    });
    if result != 0 {
        return Err(());
    }
    Ok((info[ACKNOWLEDGED], (length as usize == size_of_val(&info)).then_some(info[SENT])))
}

fn option(descriptor: c_int, name: c_int) -> Option<c_int> {
    let mut value: c_int = 0;
    let mut length = size_of::<c_int>() as libc::socklen_t;
    // SAFETY: `value` is valid for writing `length` bytes.
    let result = unsafe { libc::getsockopt(descriptor, libc::SOL_SOCKET, name, (&raw mut value).cast(), &mut length) };
    (result == 0).then_some(value)
}

/// Whether it is bound. What accept returns has the listener's name, also in AF_UNIX.
fn has_name(descriptor: c_int) -> bool {
    let mut address = MaybeUninit::<libc::sockaddr_storage>::uninit();
    let mut length = size_of::<libc::sockaddr_storage>() as libc::socklen_t;
    // SAFETY: `address` is valid for writing `length` bytes; it is not read.
    let result = unsafe { libc::getsockname(descriptor, address.as_mut_ptr().cast(), &mut length) };
    // An unnamed one has a family and nothing else (unix(7)).
    result == 0 && length as usize > size_of::<libc::sa_family_t>()
}

fn has_peer(descriptor: c_int) -> bool {
    let mut address = MaybeUninit::<libc::sockaddr_storage>::uninit();
    let mut length = size_of::<libc::sockaddr_storage>() as libc::socklen_t;
    // SAFETY: `address` is valid for writing `length` bytes; it is not read.
    unsafe { libc::getpeername(descriptor, address.as_mut_ptr().cast(), &mut length) == 0 }
}
