//! `AUTOTRIM_GC`: CPython's cyclic garbage is collected before a trim, so that the trim has more to give back. [`super::python`] knows
//! when that may be.

use core::sync::atomic::Ordering::Relaxed;

use crate::own::process::Process;
use crate::own::runtime::runtime;
use crate::sys;
use crate::sys::python::Python;
use crate::tell::log;

/// Whether it is asked for.
pub fn is_asked_for() -> bool {
    runtime().is_some_and(|runtime| runtime.options.gc)
}

/// What collections took since the last call, in nanoseconds; 0 = there was none.
pub fn take(process: &Process) -> u64 {
    process.python.took.swap(0, Relaxed)
}

/// A trim is done without a collection. If none ever will come, that is said once.
pub fn went_without(process: &Process) {
    let state = &process.python;
    if is_asked_for() && !state.main_waits.load(Relaxed) && !state.said.swap(true, Relaxed) {
        log::unavailable("gc");
    }
}

/// Collects, with the interpreter lock held; false in a child that a finalizer has forked.
pub fn collect(process: &Process, python: Python) -> bool {
    let state = &process.python;
    let began = sys::now();
    state.began.store(began, Relaxed);
    let collected = python.collect();
    if state.began.swap(0, Relaxed) != began {
        return false;
    }
    // What was switched off took no time, however long this thread has waited for a processor.
    let took = if collected { sys::now().saturating_sub(began) } else { 0 };
    state.took.fetch_add(took.max(1), Relaxed);
    true
}
