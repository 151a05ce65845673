//! What is live right after a trim: malloc is asked what it has handed out, and CPython's pools have told it when they were released.
//!
//! mallinfo(3) walks over all free chunks and holds each arena's lock meanwhile, as a trim that finds nothing does. So it is asked
//! only where that makes a new point of the verdict's, or nobody is kept waiting; the budget pays for it.

use core::sync::atomic::Ordering::Relaxed;

use super::python;
use crate::allocator::Allocator;
use crate::decide::collection::Collects;
use crate::decide::policy::Policy;
use crate::decide::verdict::Keeps;
use crate::own::process::Process;
use crate::own::runtime::Runtime;
use crate::own::stats::Outcome;
use crate::pure::usage::Usage;
use crate::sys::{self, Clock};

/// After the trim of this outcome, for which garbage was collected or not; `None` = it is not asked for, or not known.
pub fn measure(
    allocator: &Allocator,
    process: &Process,
    policy: &mut Policy,
    outcome: &Outcome,
    collected: bool,
) -> Option<Usage> {
    let begins = |after| process.floors.with(|floors| floors.begins(outcome.requests, after)).unwrap_or(false);
    let is_new = outcome.requests != 0 && outcome.after.is_some_and(begins);
    if outcome.trigger.is_for_work() && !collected && !is_new {
        return None;
    }
    let began = sys::cpu_time(Clock::Thread);
    let malloc = allocator.usage(process.live.malloc.load(Relaxed));
    policy.charge(sys::cpu_time(Clock::Thread).saturating_sub(began));
    let malloc = malloc?;
    process.live.malloc.store(malloc.live, Relaxed);
    let state = &process.python;
    let live = malloc.live.saturating_add(state.pools_live.load(Relaxed));
    let held = malloc.held.saturating_add(state.pools_held.load(Relaxed));
    // What is live need not be in memory, so no more is held than what RSS is above it.
    let above = outcome.after.map_or(0, |after| after.saturating_sub(live));
    Some(Usage { live, held: held.min(above) })
}

/// Where the program keeps its objects.
pub fn keeps(runtime: &Runtime, process: &Process) -> Keeps {
    match runtime {
        Runtime { node: Some(_), .. } | Runtime { ruby: Some(_), .. } => Keeps::Heap,
        _ if python::collects(process) != Collects::No => Keeps::Garbage,
        _ => Keeps::Malloc,
    }
}
