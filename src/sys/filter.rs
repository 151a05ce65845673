//! A seccomp filter that was there before this program began: a container runtime's, systemd's `SystemCallFilter`.
//!
//! What it allows cannot be asked for, and may be no more than what the program itself needs; what it does not allow may be
//! death. So where there is one, nothing is called but what the program, or malloc in it, calls anyway. And where there is
//! none that we know of, what the kernel or somebody in between refuses is not tried again.

use core::sync::atomic::{AtomicBool, AtomicU8, Ordering::Relaxed};

use super::errno::errno;
use super::files;
use crate::pure::text::number;

/// Calls of ours that stand in for one of the program's.
#[derive(Clone, Copy)]
#[repr(u8)]
pub enum Call {
    /// For epoll_wait.
    EpollPwait = 1,
    /// For poll.
    Ppoll = 2,
    /// For select.
    Pselect = 4,
}

/// Of these, the ones that were refused, and the ones that the program makes.
static REFUSED: AtomicU8 = AtomicU8::new(0);
static OWN: AtomicU8 = AtomicU8::new(0);

/// Whether there was a filter before the program: not asked yet, no, or yes.
static FILTERED: AtomicU8 = AtomicU8::new(UNASKED);
const UNASKED: u8 = 0;
const FREE: u8 = 1;
const RESTRICTED: u8 = 2;

/// Whether nothing is to be called but what the program calls anyway. Asked at the first connection, or when the program
/// begins to listen: most programs never do. Where /proc is not mounted, nothing is known of a filter.
#[inline]
pub fn is_restricted() -> bool {
    match FILTERED.load(Relaxed) {
        UNASKED => look() == RESTRICTED,
        known => known == RESTRICTED,
    }
}

#[cold]
#[inline(never)]
fn look() -> u8 {
    let mut buffer = [0u8; 4096];
    let status = files::read_at_once(c"/proc/self/status", &mut buffer).unwrap_or_default();
    let found = if is_filtered(status) { RESTRICTED } else { FREE };
    OWN.fetch_or(made_by_libc(), Relaxed);
    FILTERED.store(found, Relaxed);
    found
}

/// Whether the process of this /proc/PID/status is under a filter (proc(5), Seccomp).
fn is_filtered(status: &[u8]) -> bool {
    field(status, b"Seccomp:") == Some(b"2")
}

/// The value of a line of /proc/PID/status.
pub fn field<'a>(status: &'a [u8], name: &[u8]) -> Option<&'a [u8]> {
    let line = status.split(|&byte| byte == b'\n').find_map(|line| line.strip_prefix(name))?;
    Some(line.trim_ascii())
}

/// What libc's epoll_wait, poll and select are themselves: newer architectures have no other calls, and select(2) is the
/// p-variant since all its timeouts are of 64 bits (glibc sysdeps/unix/sysv/linux/select.c).
fn made_by_libc() -> u8 {
    if cfg!(target_arch = "aarch64") {
        return u8::MAX;
    }
    if HAS_64_BIT_TIME.load(Relaxed) { Call::Pselect as u8 } else { 0 }
}

/// For the constructor: glibc's version.
pub fn prepare(version: &[u8]) {
    HAS_64_BIT_TIME.store(has_64_bit_time(version), Relaxed);
}

static HAS_64_BIT_TIME: AtomicBool = AtomicBool::new(false);

/// Whether glibc's version is at least 2.36, where that was seen.
fn has_64_bit_time(version: &[u8]) -> bool {
    let minor = version.strip_prefix(b"2.").map(|rest| rest.split(|byte| !byte.is_ascii_digit()).next());
    minor.flatten().and_then(number).is_some_and(|minor| minor >= 36)
}

/// The program makes this call itself.
pub fn makes(call: Call) {
    OWN.fetch_or(call as u8, Relaxed);
}

/// Whether a call may stand in for the program's.
pub fn allows(call: Call) -> bool {
    REFUSED.load(Relaxed) & call as u8 == 0 && (!is_restricted() || OWN.load(Relaxed) & call as u8 != 0)
}

/// After `call` failed: whether it was refused as a whole, and is not tried again. None of them has these errors.
pub fn refused(call: Call) -> bool {
    let refused = matches!(errno(), libc::ENOSYS | libc::EPERM);
    if refused {
        REFUSED.fetch_or(call as u8, Relaxed);
    }
    refused
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_mode_2_is_a_filter() {
        assert!(is_filtered(b"Name:\tx\nNoNewPrivs:\t1\nSeccomp:\t2\nSeccomp_filters:\t1\n"));
        assert!(!is_filtered(b"Name:\tx\nSeccomp:\t0\n"));
        assert!(!is_filtered(b"Name:\tSeccomp:\t2\n"));
        assert!(!is_filtered(b""));
    }

    #[test]
    fn versions_of_glibc_are_compared_as_numbers() {
        assert!([&b"2.36"[..], b"2.41", b"2.100", b"2.36.9000"].iter().all(|version| has_64_bit_time(version)));
        assert!(![&b"2.17"[..], b"2.4", b"3", b"", b"2."].iter().any(|version| has_64_bit_time(version)));
    }
}
