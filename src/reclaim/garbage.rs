//! `AUTOTRIM_GC`: CPython's cyclic garbage is collected before a trim, so that the trim has more to give back.
//!
//! The collection runs where CPython itself could run one: between two bytecodes of its main thread, through its queue of
//! pending calls. A thread at a wait point is inside a C function that nobody expects to run Python code, and perhaps in a
//! library that holds a lock which a finalizer needs; so what is due at a wait point waits until the main thread has left a
//! call without work: a wait that timed out, an accept that found no connection. Where there is always work, any will do
//! after `AUTOTRIM_DEFER`; and where the main thread does not come by, the trim goes without.

use core::ffi::{c_int, c_void};
use core::sync::atomic::Ordering::Relaxed;

use crate::own::process::{self, Process};
use crate::own::runtime::runtime;
use crate::sys;
use crate::sys::handler::{self, Handlers};
use crate::sys::signals::Shield;
use crate::tell::log;

/// Whether a trim is to wait for a collection: not where the main thread never passes by here.
pub fn is_possible(process: &Process) -> bool {
    let known = &process.garbage.main_waits;
    if runtime().is_some_and(|runtime| runtime.python.is_some()) && !known.load(Relaxed) && is_main_thread() {
        known.store(true, Relaxed);
    }
    known.load(Relaxed)
}

/// A trim is done without a collection. If one was to come it still may, but only at a moment without work; if none ever
/// will, that is said once.
pub fn went_without(process: &Process, asked_for: bool) {
    let state = &process.garbage;
    state.insist_at.store(u64::MAX, Relaxed);
    if asked_for && !state.main_waits.load(Relaxed) && !state.said.swap(true, Relaxed) {
        log::unavailable("gc");
    }
}

/// The due trim waits for a collection ([`crate::decide::rules::Decision::Collect`]).
pub fn want(process: &Process, insist_at: u64) {
    process.garbage.insist_at.store(insist_at, Relaxed);
    process.garbage.wanted.store(true, Relaxed);
}

/// What collections took since the last call, in nanoseconds; 0 = there was none.
pub fn take(process: &Process) -> u64 {
    process.garbage.took.swap(0, Relaxed)
}

/// Whether a collection is to come: each wait is looked at when it ends.
pub fn is_wanted(process: &Process) -> bool {
    process.garbage.wanted.load(Relaxed)
}

/// After a wait, under `shield`, which brought work or did not: the thread is about to go on.
pub fn after_wait(process: &Process, shield: &Shield, work: bool) {
    let state = &process.garbage;
    let quiet = !work && process.in_flight() == 0;
    if state.wanted.load(Relaxed) && (quiet || sys::now() >= state.insist_at.load(Relaxed)) {
        schedule(process, shield);
    }
}

fn schedule(process: &Process, shield: &Shield) {
    let state = &process.garbage;
    let Some(python) = runtime().and_then(|runtime| runtime.python) else { return };
    // A handler may have interrupted this very thread in the queue.
    let may = state.began.load(Relaxed) == 0 && shield.is_up && process.is_mine() && is_main_thread();
    let may = may && handler::handlers(shield) == Handlers::None;
    if may && !state.queued.swap(true, Relaxed) && !python.schedule(collect) {
        state.queued.store(false, Relaxed);
    }
}

/// Called by CPython. A forked child finds its parent's call in its copy of the queue, and its own page empty.
extern "C" fn collect(_: *mut c_void) -> c_int {
    process::with(|process| {
        let state = &process.garbage;
        state.queued.store(false, Relaxed);
        let python = runtime().and_then(|runtime| runtime.python).filter(|python| python.is_up());
        let Some(python) = python.filter(|_| state.wanted.load(Relaxed)) else { return };
        let began = sys::now();
        state.began.store(began, Relaxed);
        let collected = python.collect();
        // Not in a child that a finalizer has forked.
        if state.began.swap(0, Relaxed) == began {
            state.wanted.store(false, Relaxed);
            // What was switched off took no time, however long this thread has waited for a processor.
            let took = if collected { sys::now().saturating_sub(began) } else { 0 };
            state.took.fetch_add(took.max(1), Relaxed);
            process.hints.now();
        }
    });
    0
}

/// The process's first thread: CPython's main thread, in all but strange embeddings.
fn is_main_thread() -> bool {
    sys::thread() == sys::pid()
}
