//! The signal that asks a process for a trim.

use std::io;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};

use crate::failure::Failure;
use crate::in_force::{Handler, InForce, State};
use crate::target::Target;

/// What must come with it: systemd's "release memory" (its programs take it with SIGRTMIN+18).
const RELEASE_MEMORY: u64 = 0x300;

/// A signal that may be sent to a process: it has said that it takes it, and it does.
pub struct Request {
    signal: i32,
    process: OwnedFd,
}

impl Request {
    /// Refuses wherever the signal could do anything but ask: unhandled it would end the process.
    pub fn prepare(target: &Target) -> Result<Request, Failure> {
        let pid = target.pid;
        // Before anything is looked at: from here on it is this process, and none that gets its number later.
        // SAFETY: pidfd_open(2) takes integers.
        let descriptor = unsafe { libc::syscall(libc::SYS_pidfd_open, pid, 0) };
        if descriptor < 0 {
            return Err(Failure::not_done(format!("process {pid}: {}", io::Error::last_os_error())));
        }
        // SAFETY: just opened, and nobody else's.
        let process = unsafe { OwnedFd::from_raw_fd(descriptor as i32) };
        let name = target.name();
        if target.files.is_none() {
            return Err(Failure::not_done(format!(
                "process {pid} ({name}): not permitted to look at it, so no signal is sent"
            )));
        }
        if target.library().is_none() {
            return Err(Failure::not_done(format!("process {pid} ({name}) does not have the library")));
        }
        let refused = |why: &str| Err(Failure::not_done(format!("process {pid} ({name}) {why}")));
        let options = target.options();
        let Some(signal) = options.as_ref().map(|options| options.signal).filter(|&signal| signal != 0) else {
            return refused("takes no signal for a trim: start it with AUTOTRIM_SIGNAL=SIGRTMIN+18");
        };
        if !options.is_some_and(|options| options.is_active()) {
            return refused("was told by AUTOTRIM_DISABLE or AUTOTRIM_PROGRAMS to take no signal for a trim");
        }
        match target.in_force() {
            Some(InForce { state: State::Retired, .. }) => {
                return refused("has restricted its own system calls (seccomp), and is left alone since");
            }
            Some(InForce { signal_handler: Handler::Taken, .. }) => {
                return refused("was to take a signal for a trim that was ignored, or had a handler, when it started");
            }
            _ => {}
        }
        // Bit 0 is signal 1. The library's handler stays installed where its thread takes the signal.
        if target.status_now().is_ok_and(|status| status.sigcgt >> (signal - 1) & 1 == 1) {
            Ok(Request { signal, process })
        } else {
            refused("was to take a signal for a trim, but handles it no more and would be ended by it")
        }
    }

    /// Sends it.
    pub fn send(&self) -> io::Result<()> {
        /// siginfo_t as queued by a process (include/uapi/asm-generic/siginfo.h, 64 bit).
        #[repr(C)]
        struct Info {
            signal: i32,
            error: i32,
            code: i32,
            padding: i32,
            pid: i32,
            uid: u32,
            value: u64,
            rest: [u64; 12],
        }
        const { assert!(size_of::<Info>() == size_of::<libc::siginfo_t>()) };
        // SAFETY: these take nothing and cannot fail.
        let (pid, uid) = unsafe { (libc::getpid(), libc::getuid()) };
        let info = Info {
            signal: self.signal,
            error: 0,
            code: libc::SI_QUEUE,
            padding: 0,
            pid,
            uid,
            value: RELEASE_MEMORY,
            rest: [0; 12],
        };
        // SAFETY: pidfd_send_signal(2) reads one siginfo_t.
        let sent = unsafe {
            libc::syscall(libc::SYS_pidfd_send_signal, self.process.as_raw_fd(), self.signal, &raw const info, 0)
        };
        if sent == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
    }
}
