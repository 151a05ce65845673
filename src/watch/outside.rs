//! What is asked for from outside: memory pressure and a signal, which a thread of our own takes where there is one.

use core::ffi::c_int;
use core::sync::atomic::Ordering::Relaxed;

use crate::decide::rules::{Asked, Rules};
use crate::options::Options;
use crate::own::in_force;
use crate::own::process::{self, Process};
use crate::own::runtime::{Runtime, runtime};
use crate::sys::signals::{self, Mask, Shield};
use crate::sys::threads;

/// Memory is short.
pub const PRESSURE: u8 = 1;
/// `AUTOTRIM_SIGNAL` came.
pub const SIGNAL: u8 = 2;

/// Instead of the thread's id: there will be none, or it has not yet begun.
pub const NO_MORE: i32 = -1;

/// Whether an option asks for any of this, or for the thread: wait points matter before the first request too.
pub fn is_wanted() -> bool {
    runtime().is_some_and(Runtime::needs_thread)
}

/// The rules as a wait point sees them: time is the thread's to watch where there is one.
pub fn rules_at_wait_point(process: &Process, rules: &Rules) -> Rules {
    match process.outside.thread.load(Relaxed) {
        thread if thread > 0 => Rules { period: 0, ..*rules },
        _ => *rules,
    }
}

/// What was asked for since the last call.
pub fn take_asked(process: &Process) -> Asked {
    let asked = process.outside.asked.swap(0, Relaxed);
    Asked { pressure: asked & PRESSURE != 0, signal: asked & SIGNAL != 0 }
}

/// Whether the thread takes the signal, so that it need not interrupt a wait.
pub fn takes_signal(process: &Process) -> bool {
    process.outside.listens.load(Relaxed)
}

/// Whose the handler of `AUTOTRIM_SIGNAL` is by now, for who looks from outside.
pub fn note_handler(options: &Options) {
    if options.signal != 0 {
        in_force::handler_is_ours(signals::is_installed(options.signal));
    }
}

/// The mask for a wait: the caller's, with our signal blocked where the thread takes it. A handler of the program's own is
/// to interrupt as ever.
#[inline(never)]
pub fn mask_for_wait(process: &Process, shield: &Shield) -> Mask {
    match runtime() {
        Some(runtime) if takes_signal(process) && signals::is_installed(runtime.options.signal) => {
            shield.mask_with(runtime.options.signal)
        }
        _ => shield.mask,
    }
}

/// `AUTOTRIM_SIGNAL` came, on whatever thread: in its handler.
pub fn asked_by_signal() {
    process::with(|process| {
        // A vfork child has its parent's memory, but its own signals.
        if process.is_mine() {
            ask(process, SIGNAL);
            wake(process);
        }
    });
}

/// Asks for a trim.
pub fn ask(process: &Process, what: u8) {
    process.outside.asked.fetch_or(what, Relaxed);
    process.hints.now();
}

/// Wakes the thread, if there is one.
pub fn wake(process: &Process) {
    let thread = process.outside.thread.load(Relaxed);
    if let Some(runtime) = runtime().filter(|_| thread > 0) {
        threads::signal(thread, signal_of_thread(&runtime.options));
    }
}

/// The signal that wakes the thread: without `AUTOTRIM_SIGNAL` one that does nothing where it goes astray.
pub fn signal_of_thread(options: &Options) -> c_int {
    if options.signal != 0 { options.signal } else { libc::SIGURG }
}
