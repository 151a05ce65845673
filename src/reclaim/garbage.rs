//! `AUTOTRIM_GC`: a runtime's garbage is collected before a trim, or in quiet where a trim has left much, so that the trim has more to
//! give back. [`super::python`] knows when CPython's may be, [`super::node`] Node's, [`super::ruby`] Ruby's and [`super::java`] Java's.

use core::sync::atomic::Ordering::Relaxed;

use crate::decide::collection::{Collects, Pause};
use crate::decide::skips::Skip;
use crate::options::Gc;
use crate::own::process::{self, Process};
use crate::own::runtime::runtime;
use crate::reclaim::state::Pauses;
use crate::sys::memory::{self, Shared};
use crate::sys::{self, Clock};
use crate::tell::log;

/// When CPython's is collected, where its main thread passes by.
pub fn of_python() -> Collects {
    of(|gc| gc.python, Collects::Always)
}

/// When Node's is, where a thread waits whose isolate has some.
pub fn of_node() -> Collects {
    of(|gc| gc.node, Collects::BeforeQuiet)
}

/// When Ruby's is, where a thread of Ruby's waits.
pub fn of_ruby() -> Collects {
    of(|gc| gc.ruby, Collects::BeforeQuiet)
}

/// When a runtime's is: as it is where that `is_named`, or in quiet.
fn of(is_named: impl Fn(Gc) -> bool, by_name: Collects) -> Collects {
    match runtime().map(|runtime| runtime.options.gc) {
        Some(gc) if is_named(gc) => by_name,
        Some(gc) if gc.auto => Collects::InQuiet,
        _ => Collects::No,
    }
}

/// Whether it may be collected in quiet, unasked. CPython's collector writes into the header of each object that it looks at: a forked
/// child that shares most of its memory with its parent would have copies of its own, and so would the parent.
pub fn may_be_collected() -> bool {
    let may_share = process::is_forked() || sys::has_children();
    !may_share || memory::shared().is_some_and(|Shared { anonymous, shared }| shared < anonymous / 2)
}

/// What collections took since the last call.
pub fn take(pauses: &Pauses) -> Pause {
    Pause { took: pauses.took.swap(0, Relaxed), cost: pauses.cost.swap(0, Relaxed) }
}

/// A trim is done without a collection. If none ever will come although a runtime was named, that is said once.
pub fn went_without(process: &Process) {
    let state = &process.python;
    let Some(runtime) = runtime() else { return };
    let gc = runtime.options.gc;
    let is_there = gc.python && state.main_waits.load(Relaxed)
        || gc.node && runtime.node.is_some()
        || gc.ruby && process.ruby.waits.load(Relaxed)
        || gc.java && runtime.java.is_some() && !process.java.refuses();
    if gc.names_any() && !is_there && !state.said.swap(true, Relaxed) {
        process.stats.skip(Skip::Collection);
        log::unavailable("gc");
    }
}

/// Has `collect` collect, with the interpreter lock held, which says whether it did; false in a child that a finalizer has forked: there the page
/// is empty.
pub fn collect(pauses: &Pauses, collect: impl FnOnce() -> bool) -> bool {
    let (began, cpu) = (sys::now(), sys::cpu_time(Clock::Thread));
    pauses.began.store(began, Relaxed);
    let collected = collect();
    if pauses.began.swap(0, Relaxed) != began {
        return false;
    }
    // What was switched off took no time, however long this thread has waited for a processor.
    let (took, cost) = (sys::now().saturating_sub(began), sys::cpu_time(Clock::Thread).saturating_sub(cpu));
    note(pauses, if collected { Pause { took, cost } } else { Pause::default() });
    true
}

/// A collection that was asked for is done; all zeros = there was none, but nobody is to wait for it any more.
pub fn note(pauses: &Pauses, Pause { took, cost }: Pause) {
    // First: who sees that there was one takes both.
    pauses.cost.fetch_add(cost, Relaxed);
    pauses.took.fetch_add(took.max(1), Relaxed);
}
