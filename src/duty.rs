//! When trimming is our duty, and glibc's malloc set up for that, and when it is glibc's own again.
//!
//! Ours: from the first wait after a process's first answer; the number of arenas is limited when it begins to listen, before it
//! starts the threads that answer. glibc's: in a child that such a process has forked, until that serves itself, and
//! where the library retires. A change takes malloc's lock, so it is made only where a trim may be: `may_act` tells.

use core::sync::atomic::Ordering::Relaxed;

use crate::allocator::settings::{self, Settings};
use crate::hints::Reason;
use crate::interpose::keeping_errno;
use crate::process::{self, Process};
use crate::sys::memory;
use crate::sys::signals::{self, Shield};
use crate::{descriptors, runtime};

/// Whether malloc may be touched here ([`crate::trim::may_act`]).
type MayAct = fn(&Process, &Shield) -> bool;

fn settings() -> Option<&'static Settings> {
    runtime()?.allocator.as_ref().ok()?.settings()
}

/// A socket of this process listens.
pub fn listening(may_act: MayAct) {
    if let Some(settings) = settings().filter(|settings| settings.has_arenas_to_limit()) {
        shielded(may_act, || settings.limit_arenas());
    }
}

/// At a wait point, under `shield`. Of a process that has only received, or whose memory is locked, nothing is known to come.
pub fn at_wait_point(process: &Process, shield: &Shield, may_act: MayAct) {
    let serves = process.stats.requests.load(Relaxed) > 0 && !process.locked.load(Relaxed);
    if serves
        && let Some(settings) = settings().filter(|settings| settings.has_something_to_take_over())
        && may_act(process, shield)
    {
        settings.take_over(is_alone());
    }
}

/// After a trim: threads that answer may have come meanwhile.
pub fn trimmed() {
    if let Some(settings) = settings().filter(|settings| settings.is_for_one_thread() && !is_alone()) {
        settings.share();
    }
}

fn is_alone() -> bool {
    memory::threads() == Some(1)
}

/// In a forked child, whose page is wiped: it looks at its next wait or read whether anything is to be put back. Not here: a
/// handler that interrupted malloc may have forked, and a child that is about to execute another program has no use for it.
pub fn in_forked_child(process: &Process) {
    if settings::has_thresholds() {
        process.hints.add(Reason::Inherited);
        descriptors::mark();
    }
}

/// At a wait or a read of a process that has served nothing: what it has inherited goes back; whether it did just now.
pub fn at_wait_of_child(process: &Process, may_act: MayAct) -> bool {
    let inherits = settings::has_thresholds() && !process.has_begun();
    if inherits {
        shielded(may_act, settings::put_back_thresholds);
    }
    if inherits && !settings::has_thresholds() {
        process.hints.remove(Reason::Inherited);
        return true;
    }
    false
}

/// The library retires. It may be followed by a filter of system calls: this is before.
pub fn give_up(may_act: MayAct) {
    if let Some(settings) = settings() {
        shielded(may_act, || settings.put_back());
    }
}

/// A trim brought nothing, since memory is locked: trims will be few.
pub fn despair() {
    settings::put_back_thresholds();
}

fn shielded(may_act: MayAct, work: impl FnOnce()) {
    process::with(|process| {
        keeping_errno(|| {
            let shield = signals::shield();
            if may_act(process, &shield) {
                work();
            }
            shield.end();
        });
    });
}
