//! When trimming is our duty, and glibc's malloc set up for that, and when it is glibc's own again.
//!
//! Ours: from the first wait after a process's first answer; the number of arenas is limited when it begins to listen, before it
//! starts the threads that answer. glibc's: in a child that such a process has forked, until that serves itself, and
//! where the library retires. A change takes malloc's lock, so it is made only where a trim may be: [`may_act`] tells.

use core::sync::atomic::Ordering::Relaxed;

use crate::allocator::settings::{self, Settings};
use crate::allocator::tops::{self, Thread};
use crate::decide::faults::Faults;
use crate::own::descriptors;
use crate::own::hints::Reason;
use crate::own::process::{self, Process};
use crate::own::runtime::runtime;
use crate::own::waits::Point;
use crate::sys::errno::keeping_errno;
use crate::sys::memory;
use crate::sys::signals::{self, Shield};
use crate::sys::{self, Clock};
use crate::watch::safety::may_act;

fn settings() -> Option<&'static Settings> {
    runtime()?.allocator.as_ref().ok()?.settings()
}

/// A socket of this process listens. Threads that start from here on plant, because they may do the work and then wait for nothing
/// but locks.
pub fn listening() {
    if settings().is_some_and(Settings::has_tops) {
        tops::set_planting(true);
    }
    if let Some(settings) = settings().filter(|settings| settings.has_arenas_to_limit()) {
        shielded(|| settings.limit_arenas());
    }
}

/// At a wait point, under `shield`. Of a process that has only received, or whose memory is locked, nothing is known to come.
pub fn at_wait_point(process: &Process, shield: &Shield) {
    let serves = process.stats.requests.load(Relaxed) > 0 && !process.locked.load(Relaxed);
    if serves
        && let Some(settings) = settings().filter(|settings| settings.has_something_to_take_over())
        && may_act(process, shield)
    {
        settings.take_over(memory::threads() == Some(1));
    }
}

/// Before a trim, where it may be made: a process that is trimmed plants, wherever its work comes from; and so does this thread,
/// which may have started before that was known.
pub fn plant(point: Point) {
    if settings().is_some_and(Settings::has_tops) {
        tops::set_planting(true);
        // The thread of our own allocates nothing.
        if point != Point::Thread {
            tops::plant(Thread::Old);
        }
    }
}

/// For whoever looks from outside: how many arenas of glibc's malloc a trim reaches.
pub fn tell_arenas(process: &Process) {
    match settings() {
        Some(settings) if settings.has_tops() => process.stats.reaches(tops::arenas().saturating_add(1)),
        // The main one; the program may have taken the others out of our hands.
        Some(_) => process.stats.arenas.store(1, Relaxed),
        None => {}
    }
}

/// After a trim: page faults may be too many, or threads that answer have come meanwhile.
pub fn trimmed(process: &Process) {
    if let Some(settings) = settings().filter(|settings| settings.may_be_raised()) {
        let are_too_many = |faults: &mut Faults| {
            sys::page_faults().is_some_and(|counted| faults.are_too_many(counted, sys::cpu_time(Clock::Process)))
        };
        if process.faults.with(are_too_many) == Some(true) {
            settings.raise();
        }
    }
    if let Some(settings) = settings().filter(|settings| settings.is_for_one_thread() && memory::threads() != Some(1)) {
        settings.share();
    }
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
pub fn at_wait_of_child(process: &Process) -> bool {
    let inherits = settings::has_thresholds() && !process.has_begun();
    if inherits {
        shielded(settings::put_back_thresholds);
    }
    if inherits && !settings::has_thresholds() {
        process.hints.remove(Reason::Inherited);
        return true;
    }
    false
}

/// The library retires. It may be followed by a filter of system calls: this is before.
pub fn give_up() {
    tops::set_planting(false);
    if let Some(settings) = settings() {
        shielded(|| settings.put_back());
    }
}

/// A trim brought nothing, since memory is locked: trims will be few.
pub fn despair() {
    settings::put_back_thresholds();
}

fn shielded(work: impl FnOnce()) {
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
