//! The process restricts its own system calls, and is left alone.

use core::ffi::c_ulong;

use super::thread;
use crate::decide::skips::Skip;
use crate::own::{descriptors, process, runtime};
use crate::pure::connection::Event;
use crate::reclaim::duty;
use crate::sys::errno::{Failure, keeping_errno};
use crate::tell::{log, metrics};
use crate::watch::tasks;

/// Whether a process that sets this seccomp mode means it. With no filter at all, or a mode that there is not, it only asks.
pub fn installs(mode: c_ulong, filter: c_ulong) -> bool {
    mode == c_ulong::from(libc::SECCOMP_MODE_STRICT) || mode == c_ulong::from(libc::SECCOMP_MODE_FILTER) && filter != 0
}

/// A process that restricts its own system calls (seccomp(2)) may be killed for any of ours: nothing more is done, once it has. In
/// the child of a vfork, which has its parent's memory, nothing is done anyway.
#[inline(never)]
pub fn restricting<R: Failure + PartialOrd>(installs: bool, next: impl Fn() -> R) -> R {
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

/// The process is about to restrict its own system calls: what the restriction may forbid is done now, and nothing more is begun
/// until [`retire`] or [`resume`]. Said once, if the process has served.
fn prepare_to_retire() {
    let Some(runtime) = runtime::runtime() else { return };
    log::retired();
    metrics::remove();
    duty::give_up();
    runtime::pause();
    thread::stop(&runtime.options);
}

/// It did: from here on this process, and what it forks, is left alone: descriptors are forgotten, so that no hook has
/// anything to do, and no new one is followed.
fn retire() {
    runtime::end();
    process::with(|process| process.stats.skip(Skip::Filter));
    descriptors::apply_to_range(0, u32::MAX, Event::Forgotten, |_| {});
    process::with(|process| process.hints.clear());
    tasks::retire();
}

/// It could not: all goes on.
fn resume() {
    runtime::resume();
    if runtime::runtime().is_some() {
        metrics::resume();
        thread::resume();
        log::resumed();
    }
}
