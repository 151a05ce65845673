//! accept and recv, which have no p-variant and cannot be cut in two: a look before they block, and where somebody has to
//! watch, a poll of their descriptor as long as the quiet must last.

use core::ffi::c_int;
use core::sync::atomic::Ordering::Relaxed;

use super::calls::NOBODY;
use super::wait::{LONGEST_PART, look, trim_before};
use crate::decide::{MILLISECOND, SECOND};
use crate::own::hints::Reason;
use crate::own::process::{self, Process};
use crate::own::runtime::runtime;
use crate::own::waits::Point;
use crate::reclaim::{python, runtimes};
use crate::sys::errno::{errno, keeping_errno};
use crate::sys::signals::{self, Restarts};
use crate::sys::{self, files, filter, memory, sockets};
use crate::watch::{self, outside, tasks};

/// Before a read from what may be a source of tasks: as [`before`], in a process that serves nobody.
pub fn before_task(descriptor: c_int, caller: usize) -> bool {
    watch::with_reason().is_some_and(tasks::is_waiting_for) && before(descriptor, (Point::Receive, caller))
}

/// Before a call on `descriptor` that has no p-variant, and may block or is the next after an answer: trims if that is right. Returns whether the
/// call is to fail with EINTR, because a signal came meanwhile whose handler would have interrupted it, or an interpreter has done what was asked of it
/// in a call of its own. `place`: the wait point, and where the call returns to.
pub fn before(descriptor: c_int, place: (Point, usize)) -> bool {
    let Some(process) = watch::with_reason() else { return false };
    if runtime().is_none_or(|runtime| runtime.allocator.is_err()) {
        return false;
    }
    let tasks = tasks::is_waiting_for(process);
    if !looks(process) {
        // It may begin while this thread waits here.
        return watch_before(process, descriptor, place, sys::coarse_now(), None);
    }
    if tasks {
        process.hints.add(Reason::Moved);
    }
    let now = sys::coarse_now();
    let active_at = process.hints.note_activity(now);
    if !process.hints.is_time(process.stats.requests.load(Relaxed), now, active_at.is_some()) {
        return watch_before(process, descriptor, place, now, active_at);
    }
    // Reads of a file are none between two tasks.
    if tasks && !files::is_source(descriptor) {
        return false;
    }
    let blocks = sockets::is_blocking(descriptor);
    // Event loops call accept until EAGAIN right after a connection came: no wait point. But a worker that serves between
    // two of these (gunicorn's sync worker) comes to no other place while there is always a next client.
    let is_next =
        || place.0 == Point::Accept && process.waits.has_answered_since_accept(process.stats.requests.load(Relaxed));
    if !blocks && !is_next() {
        return false;
    }
    let interrupted = keeping_errno(|| {
        let shield = signals::shield();
        let interrupts = |pending| blocks && shield.interrupts(pending, descriptor);
        let mut somebody_waits = || sockets::has_input(descriptor);
        let (interrupted, _) = trim_before(process, &shield, place, interrupts, &mut somebody_waits);
        shield.end();
        has_worked(process) || interrupted
    });
    interrupted || blocks && watch_before(process, descriptor, place, now, None)
}

/// Whether there may be something to decide: the process serves, waits for tasks, or is asked from outside.
fn looks(process: &Process) -> bool {
    tasks::is_waiting_for(process) || process.has_begun() || outside::is_wanted()
}

/// How long a thread rests in accept at first, while nothing is to be looked at, and at most: it looks whether others have begun to work
/// meanwhile, which may end where no hook is.
const REST: u64 = SECOND;
const LONGEST_REST: u64 = 64 * SECOND;

/// Before a call that blocks and cannot be cut in two: waits for its descriptor as long as the quiet must last, and looks. Returns whether
/// the call is to fail with EINTR.
///
/// A signal ends that wait, whatever its handler's flags are, and the call only where they do not have SA_RESTART (signal(7)). So this
/// is done only where all handlers agree, and where the call has no time of its own.
fn watch_before(
    process: &'static Process,
    descriptor: c_int,
    place: (Point, usize),
    now: u64,
    active_at: Option<u64>,
) -> bool {
    let (point, _) = place;
    let idle = runtime().map_or(0, |runtime| runtime.options.rules.idle);
    let until_next = |active_at, now| match looks(process) {
        true => process.hints.next(active_at, idle).saturating_sub(now),
        false => u64::MAX,
    };
    let mut first = until_next(active_at, now);
    let may_rest = point == Point::Accept && idle != 0 && process.hints.has(Reason::Accepts);
    if first >= LONGEST_PART && !may_rest || filter::is_restricted() || !process.waits.may_block(point) {
        return false;
    }
    if may_rest && !process.waits.has_blocked(descriptor, now) && !sockets::is_blocking(descriptor) {
        process.hints.remove(Reason::Accepts);
        return false;
    }
    // Nobody else is there who might do anything meanwhile. Workers that wait for one listener are all woken by poll, by accept one.
    let is_at_rest = active_at.is_none() && (first >= LONGEST_PART || !process.hints.is_worth());
    if is_at_rest && process.waits.is_alone(now) {
        return false;
    }
    if signals::restarts(now) == Restarts::Some {
        return false;
    }
    keeping_errno(|| {
        // What was so a moment ago is believed for a moment: most servers have their next request by then.
        let mut is_believed = process.waits.has_blocked(descriptor, now);
        let mut is_known = false;
        let mut rest = REST;
        loop {
            let now = sys::coarse_now();
            if first < LONGEST_PART {
                first = process.waits.in_turn(point, now, first);
            }
            let watches = first < LONGEST_PART && process.waits.watch(point, now, first);
            // Without a free descriptor RSS cannot be read, and accept fails at once.
            let rests = || may_rest && memory::anonymous_rss().is_some() && process.waits.rest(now, rest);
            if !watches && !rests() {
                return false;
            }
            let end = || if watches { process.waits.end_watch(point) } else { process.waits.end_rest() };
            if !is_believed && !is_known {
                is_known = process.waits.blocks_plainly(point, descriptor, now);
                if !is_known {
                    end();
                    return false;
                }
            }
            let length = if watches { first } else { rest };
            let part = if is_believed { length.min(MILLISECOND) } else { length };
            let ready = sockets::wait_for_input(descriptor, part);
            end();
            if ready != 0 {
                return ready < 0 && errno() == libc::EINTR && signals::restarts(u64::MAX) != Restarts::All;
            }
            if core::mem::take(&mut is_believed) {
                continue;
            }
            if !watches {
                let now = sys::coarse_now();
                first = until_next(process.hints.note_activity(now), now);
                rest = if first < LONGEST_PART { REST } else { rest.saturating_mul(2).min(LONGEST_REST) };
                continue;
            }
            let shield = signals::shield();
            let interrupts = |pending| shield.interrupts(pending, descriptor);
            let mut somebody_waits = || sockets::has_input(descriptor);
            let (interrupts, again) = trim_before(process, &shield, place, interrupts, &mut somebody_waits);
            shield.end();
            if has_worked(process) || interrupts {
                return true;
            }
            first = again.unwrap_or(u64::MAX);
        }
    })
}

/// Whether an interpreter was asked to do something at this call of its own, and has done it: CPython alone, which makes the call again (PEP 475).
fn has_worked(process: &Process) -> bool {
    let is_asked = runtimes::is_asked(process);
    if is_asked {
        runtimes::work_and_interrupt(process);
    }
    is_asked
}

/// After an accept that returned `connection`, where accept has a reason to look. A worker that accepts, serves and accepts
/// again knows here that there is no work, and that CPython may do its part of a trim; an event loop that empties the listener's
/// queue has just found some.
pub fn after_accept(connection: c_int) {
    if watch::has_reason() {
        process::with(|process| keeping_errno(|| accepted(process, connection)));
    }
}

fn accepted(process: &Process, connection: c_int) {
    let (found, answered) = (connection >= 0, process.stats.requests.load(Relaxed));
    if found {
        process.waits.accepted(answered);
    } else if errno() != libc::EAGAIN || !process.waits.has_answered_since_accept(answered) {
        return;
    }
    let is_time = || {
        let now = sys::coarse_now();
        let active_at = process.hints.note_activity(now);
        python::is_wanted(process, now) || process.hints.is_time(answered, now, active_at.is_some())
    };
    if runtime().is_some_and(|runtime| runtime.python.is_some()) && is_time() {
        let shield = signals::shield();
        look(process, &shield, (None, NOBODY), &mut || false);
        python::after_wait(process, &shield, found);
        shield.end();
    }
}
