//! Java's garbage: System.gc() in quiet, where `AUTOTRIM_GC` names Java.
//!
//! A wait point decides that it is to come, as for the other runtimes, and wakes the thread of our own ([`crate::edge::thread`]). That attaches itself to
//! the virtual machine, collects, detaches itself, and trims: no thread of the program's does any of it, and when it ends nobody waits for us.

use core::sync::atomic::Ordering::Relaxed;

use super::garbage;
use crate::decide::collection::{COLLECTED_WITHIN, Collects, Pause};
use crate::decide::rules::NOISE;
use crate::decide::{MILLISECOND, SECOND};
use crate::own::process::Process;
use crate::own::runtime::runtime;
use crate::sys::java::Java;
use crate::sys::signals::Info;
use crate::sys::{self, Clock, memory};
use crate::watch::outside;

/// A virtual machine that was seen for so long is complete: before JDK 21 it is shown while it is being created (JDK-8308341).
const COMPLETE_AFTER: u64 = 5 * SECOND;
/// The serial collector gives its heap back in so many steps (`ShrinkHeapInSteps`), the others in one, or not at all.
const STEPS: usize = 4;
/// After a collection that took more CPU time, of all threads, there is no other.
const SHORT: u64 = 100 * MILLISECOND;
/// G1 and Shenandoah give back from a thread of theirs, which begins 100 ms later, and has come to an end when nothing was given back for so long.
const SETTLES_IN: u64 = 150 * MILLISECOND;
/// But they are not waited for longer.
const LONGEST_SETTLING: u64 = 2 * SECOND;

fn java() -> Option<Java> {
    runtime()?.java
}

/// When garbage is collected; `None` where there is no Java, or not yet.
pub fn collects(process: &Process) -> Option<Collects> {
    let state = &process.java;
    let complete_at = state.complete_at.load(Relaxed);
    let is_up = java().is_some() && complete_at != 0 && sys::now() >= complete_at && !state.refuses();
    is_up.then_some(Collects::InQuiet)
}

/// Has the thread of our own collect, unless somebody waits for the calling thread; false where there is no Java.
pub fn ask(process: &Process, somebody_waits: &mut dyn FnMut() -> bool) -> bool {
    let is_there = collects(process).is_some();
    if is_there && !somebody_waits() {
        process.java.asked_at.store(sys::now(), Relaxed);
        outside::wake(process);
    }
    is_there
}

/// What collections gave back since the last call, in bytes.
pub fn take_given(process: &Process) -> u64 {
    process.java.gave.swap(0, Relaxed)
}

/// On the thread of our own, whenever it comes by: does what it was asked for.
pub fn work(process: &Process) {
    let (Some(java), state, now) = (java(), &process.java, sys::now()) else { return };
    if state.complete_at.load(Relaxed) == 0 && java.is_there() {
        state.complete_at.store(now.saturating_add(COMPLETE_AFTER), Relaxed);
    }
    let asked_at = state.asked_at.swap(0, Relaxed);
    if asked_at != 0 && now.saturating_sub(asked_at) < COLLECTED_WITHIN {
        collect(process, java);
    }
}

/// Collects for as long as it is quiet and brings something.
fn collect(process: &Process, java: Java) {
    let state = &process.java;
    let requests = process.stats.requests.load(Relaxed);
    let is_quiet = || process.in_flight() == 0 && process.stats.requests.load(Relaxed) == requests;
    let (mut total, mut gave) = (Pause::default(), 0_u64);
    for step in (0..STEPS).take_while(|_| is_quiet() && !state.refuses()) {
        let (before, began, cpu) = (memory::anonymous_rss().unwrap_or(0), sys::now(), sys::cpu_time(Clock::Process));
        let has_collected = java.collect(c"autotrim");
        let took = sys::now().saturating_sub(began);
        // Of all of its threads, and of what else the program does meanwhile: it is quiet.
        let cost = sys::cpu_time(Clock::Process).saturating_sub(cpu);
        let is_short = cost <= SHORT;
        let after = settle(before);
        let has_brought = before >= NOISE.limit(after);
        if !has_collected {
            state.refusals.fetch_add(1, Relaxed);
            continue;
        }
        state.refusals.store(0, Relaxed);
        gave = gave.saturating_add(before.saturating_sub(after));
        total = total.and(Pause { took, cost });
        if !is_short || step > 0 && !has_brought {
            break;
        }
    }
    if state.refuses() {
        garbage::went_without(process);
    }
    // For the trim that is told of the collections.
    state.gave.fetch_add(gave, Relaxed);
    garbage::note(&state.pauses, total);
    // What was asked for meanwhile is done.
    state.asked_at.store(0, Relaxed);
    process.hints.now();
}

/// Waits until no more memory is given back than what has left so much; anonymous RSS then.
fn settle(mut before: u64) -> u64 {
    let (mut pause, until) = (Info::new(), sys::now().saturating_add(LONGEST_SETTLING));
    loop {
        pause.take(0, Some(SETTLES_IN));
        let rss = memory::anonymous_rss().unwrap_or(0);
        if before < NOISE.limit(rss) || sys::now() >= until {
            return rss;
        }
        before = rss;
    }
}
