//! What is asked of CPython before a trim: [`garbage`]'s collection, [`pools`]' release, or both, and the moment for it.
//!
//! Both run where CPython itself could run something: between two bytecodes of its main thread, through its queue of
//! pending calls. A thread at a wait point is inside a C function that nobody expects to run Python code, without the interpreter lock,
//! and perhaps in a library that holds a lock which a finalizer needs; so what is due at a wait point waits until the main thread has left
//! a call without work: a wait that timed out, an accept that found no connection. Where there is always work, any will do
//! after a while ([`Decision::Ask`]); and where the main thread does not come by, the trim goes without.

use core::ffi::{c_int, c_void};
use core::ptr;
use core::sync::atomic::Ordering::Relaxed;

use super::state::Asked;
use super::{garbage, pools};
use crate::decide::collection::Collects;
use crate::decide::pools::Pools;
use crate::decide::rules::Decision;
use crate::decide::{MILLISECOND, SECOND};
use crate::own::process::{self, Process};
use crate::own::runtime::runtime;
use crate::sys::errno::fail;
use crate::sys::handler::{self, Handlers};
use crate::sys::signals::Shield;
use crate::sys::{self, memory};

/// A release that takes no longer may come at any moment after a trim that went without, as that trim itself might have.
const SHORT: u64 = 5 * MILLISECOND;
/// For so long after a trim what is to come is looked out for: gunicorn's sync worker waits for 15 s at a time.
const LOOKED_OUT_FOR: u64 = 20 * SECOND;
/// A call that has not been made for so long is queued again.
const LOST_AFTER: u64 = SECOND;

/// Whether the main thread passes by here: where it never does, no trim waits for it.
fn passes_by(process: &Process) -> bool {
    let known = &process.python.main_waits;
    if runtime().is_some_and(|runtime| runtime.python.is_some()) && !known.load(Relaxed) && is_main_thread() {
        known.store(true, Relaxed);
    }
    known.load(Relaxed)
}

/// When garbage is collected here, for which a trim waits then.
pub fn collects(process: &Process) -> Collects {
    match garbage::of_python() {
        collects if collects != Collects::No && passes_by(process) => collects,
        _ => Collects::No,
    }
}

/// Whether it may wait for a release of pools.
pub fn has_pools(process: &Process) -> bool {
    pools::are_known() && passes_by(process)
}

/// What was decided to be asked is.
pub fn ask(process: &Process, decision: Decision) {
    if let Decision::Ask { garbage, insist_at } = decision {
        let state = &process.python;
        state.insist_at.store(insist_at, Relaxed);
        state.collects.store(garbage || state.suspected.load(Relaxed), Relaxed);
        want(state);
    }
}

/// What climbs may be garbage: a collection comes at the next moment without work. No trim waits for it; the next one comes with it.
pub fn suspect(process: &Process) {
    let state = &process.python;
    if state.suspected.swap(true, Relaxed) {
        return;
    }
    state.insist_at.store(u64::MAX, Relaxed);
    state.collects.store(true, Relaxed);
    want(state);
}

/// A trim is done without what should have come before it, or with it. What was to come still may, but only at a moment without
/// work, unless it is short: then at any. `has_waited`: the trim has waited for a collection.
pub fn trimmed(process: &Process, has_collected: bool, has_waited: bool, released: &Pools) {
    let state = &process.python;
    if has_collected {
        state.suspected.store(false, Relaxed);
    } else {
        garbage::went_without(process);
    }
    if state.suspected.load(Relaxed) {
        if is_wanted(process, sys::now()) {
            return;
        }
        state.suspected.store(false, Relaxed);
    }
    if !has_waited && garbage::of_python() == Collects::InQuiet && state.collects.swap(false, Relaxed) {
        // One of an earlier quiet moment, and this trim was enough, or will ask again.
        state.wanted.store(false, Relaxed);
    }
    // What was released before another request says nothing of what that has left.
    let is_stale = process.stats.requests.load(Relaxed) > state.pools_requests.load(Relaxed);
    if (!released.has_come() || is_stale) && has_pools(process) {
        want(state);
    }
    let is_short = !state.collects.load(Relaxed) && released.last() <= SHORT;
    state.insist_at.store(if is_short { 0 } else { u64::MAX }, Relaxed);
}

/// Whether something is to come: each wait is looked at when it ends, but not for long where nobody has asked for it by name. A main
/// thread that comes by no more must not cost the others anything.
pub fn is_wanted(process: &Process, now: u64) -> bool {
    let state = &process.python;
    let is_asked_for = || state.collects.load(Relaxed) && garbage::of_python() == Collects::Always;
    let is_recent = || now.saturating_sub(state.asked_at.load(Relaxed)) < LOOKED_OUT_FOR;
    state.wanted.load(Relaxed) && (is_recent() || is_asked_for())
}

fn want(state: &Asked) {
    state.asked_at.store(sys::now(), Relaxed);
    state.wanted.store(true, Relaxed);
}

/// Before a call that blocks and cannot be cut, under `shield`: a release that is overdue comes when it ends, since nothing else may be
/// known of that. Not a collection, which would hold up what ended it.
pub fn before_call(process: &Process, shield: &Shield) {
    let is_due = is_wanted(process, sys::now()) && !process.python.collects.load(Relaxed);
    if is_due && !release_alone(process, shield) {
        after_wait(process, shield, true);
    }
}

/// After a wait, under `shield`, which brought work or did not: the thread is about to go on.
pub fn after_wait(process: &Process, shield: &Shield, work: bool) {
    let state = &process.python;
    let quiet = !work && process.in_flight() == 0;
    if state.wanted.load(Relaxed) && (quiet || sys::now() >= state.insist_at.load(Relaxed)) {
        schedule(process, shield);
    }
}

/// A release that is wanted, and no collection, comes here and now, at a wait under `shield`, where the process has this thread alone: a
/// worker that waits for ever for its next task comes by nowhere else. Collections run finalizers, which may need a lock that
/// the caller of the wait holds.
#[inline(never)]
pub fn release_alone(process: &Process, shield: &Shield) -> bool {
    let state = &process.python;
    let Some(python) = runtime().and_then(|runtime| runtime.python) else { return false };
    let is_due = state.wanted.load(Relaxed) && !state.collects.load(Relaxed) && pools::are_known();
    if !is_due || !may_ask(process, shield) || memory::threads() != Some(1) || !sys::pools::is_lock_free() {
        return false;
    }
    let mut is_more = false;
    let is_done = python.holding_lock(|| is_more = pools::release(process));
    if is_done {
        state.wanted.store(is_more, Relaxed);
        process.hints.now();
    }
    is_done
}

/// What was decided in quiet comes when the calling thread has left this wait ([`work_and_interrupt`]), if that is the main thread's, and CPython's own,
/// and nobody waits for this thread. CPython has left the interpreter lock there, holds nothing, and may run Python code before it waits on: the
/// handlers of signals (PEP 475). In a library's wait what it holds is not known.
#[inline(never)]
pub fn ask_at_wait(
    process: &Process,
    shield: &Shield,
    caller: usize,
    decision: Decision,
    somebody_waits: &mut dyn FnMut() -> bool,
) {
    let Some(python) = runtime().and_then(|runtime| runtime.python.as_ref()) else { return };
    // While there is work nobody is to wait for a collection that could come at another moment.
    let is_for_quiet = matches!(decision, Decision::Ask { garbage, insist_at } if !garbage || insist_at == u64::MAX);
    let state = &process.python;
    // Where it could not be done a moment ago, each wait would fail, and begin again.
    let queued_at = state.queued_at.load(Relaxed);
    let is_free = queued_at == 0 || sys::now().saturating_sub(queued_at) >= LOST_AFTER;
    let may = is_for_quiet && is_free && caller != 0 && may_ask(process, shield) && python.waits_itself(caller);
    if may && !somebody_waits() {
        state.asked.store(sys::thread(), Relaxed);
    }
}

/// It does, with nothing held. Then the wait fails with EINTR: CPython looks for signals, as it does then, and waits on.
#[inline(never)]
pub fn work_and_interrupt(process: &Process) -> c_int {
    process.python.asked.store(0, Relaxed);
    process.python.queued_at.store(sys::now(), Relaxed);
    if let Some(python) = runtime().and_then(|runtime| runtime.python) {
        python.holding_lock(|| {
            called(ptr::null_mut());
        });
    }
    fail(libc::EINTR)
}

/// Whether this is the main thread, in none of CPython's functions but one that waits: a handler may have interrupted it in any.
fn may_ask(process: &Process, shield: &Shield) -> bool {
    let is_idle = process.python.pauses.began.load(Relaxed) == 0;
    is_idle && shield.is_up && process.is_mine() && is_main_thread() && handler::handlers(shield) == Handlers::None
}

/// A release comes at the main thread's next bytecode, whatever there is to gain. For scripts/compare-programs alone.
#[cfg(feature = "often")]
pub fn release_soon(process: &Process, shield: &Shield) {
    if process.is_mine() {
        want(&process.python);
        schedule(process, shield);
    }
}

fn schedule(process: &Process, shield: &Shield) {
    let state = &process.python;
    let Some(python) = runtime().and_then(|runtime| runtime.python) else { return };
    let may = may_ask(process, shield);
    let (now, queued_at) = (sys::now(), state.queued_at.load(Relaxed));
    // Up to 3.11 it is put into the queue of whatever interpreter runs at this moment on another thread, and is lost there.
    if may && (queued_at == 0 || now.saturating_sub(queued_at) >= LOST_AFTER) {
        state.queued_at.store(now, Relaxed);
        if !python.schedule(called) {
            state.queued_at.store(0, Relaxed);
        }
    }
}

/// Called by CPython. A forked child finds its parent's call in its copy of the queue, and its own page empty.
extern "C" fn called(_: *mut c_void) -> c_int {
    process::with(|process| {
        let state = &process.python;
        state.queued_at.store(0, Relaxed);
        let python = runtime().and_then(|runtime| runtime.python).filter(|python| python.is_up());
        let Some(python) = python.filter(|_| state.wanted.load(Relaxed)) else { return };
        if state.collects.load(Relaxed) && !garbage::collect(&state.pauses, || python.collect()) {
            return;
        }
        let is_more = pools::release(process);
        state.collects.store(false, Relaxed);
        state.suspected.store(false, Relaxed);
        state.wanted.store(false, Relaxed);
        if is_more {
            want(state);
        }
        process.hints.now();
    });
    0
}

/// The process's first thread: CPython's main thread, in all but strange embeddings.
fn is_main_thread() -> bool {
    sys::thread() == sys::pid()
}
