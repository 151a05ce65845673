//! accept and recv, which have no p-variant and cannot be cut in two: a look before they block, and where somebody has to
//! watch, [`watching`].

use core::ffi::c_int;
use core::sync::atomic::Ordering::Relaxed;

use super::calls::NOBODY;
use super::wait::{look, trim_before};
use super::watching::{self, has_worked, looks};
use crate::own::hints::Reason;
use crate::own::process::{self, Process};
use crate::own::runtime::runtime;
use crate::own::waits::Point;
use crate::reclaim::python;
use crate::sys::errno::{errno, keeping_errno};
use crate::sys::{self, files, signals, sockets};
use crate::watch::{self, tasks};

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
        return watching::before(process, descriptor, place, sys::coarse_now(), None);
    }
    if tasks {
        process.hints.add(Reason::Moved);
    }
    let now = sys::coarse_now();
    process.stats.passes(now);
    let active_at = process.hints.note_activity(now);
    if !process.hints.is_time(process.stats.requests.load(Relaxed), now, active_at.is_some()) {
        return watching::before(process, descriptor, place, now, active_at);
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
    interrupted || blocks && watching::before(process, descriptor, place, now, None)
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
