//! The trim itself: the only caller of [`Allocator::release`], one thread at a time, measured before and after.

use core::sync::atomic::Ordering::{Acquire, Relaxed};

use crate::policy::{Decision, MILLISECOND, Moment, Policy, Trigger};
use crate::process::Process;
use crate::sys::signals::Shield;
use crate::sys::{self, memory};
use crate::wait::Point;
use crate::{Runtime, log, runtime};

/// What one trim did.
pub struct Outcome {
    /// What asked for it.
    pub trigger: Trigger,
    /// Where the thread was about to wait.
    pub point: Point,
    /// Requests answered, and in flight, when it began.
    pub requests: u64,
    /// Requests in flight when it began.
    pub in_flight: u64,
    /// Anonymous RSS in bytes, before and after; `None` where /proc cannot be read.
    pub before: Option<u64>,
    /// See `before`.
    pub after: Option<u64>,
    /// How long the release took, in nanoseconds.
    pub took: u64,
}

/// At a wait point, under `shield`: trims if that is right, and says after how many nanoseconds of
/// waiting to come back (`None` = only when another request was answered). Another thread being here
/// already, there is nothing to do.
pub fn at_wait_point(process: &Process, shield: &Shield, point: Point) -> Option<u64> {
    let runtime = runtime()?;
    process.policy.with(|policy| decide(runtime, process, shield, policy, point)).flatten()
}

fn decide(runtime: &Runtime, process: &Process, shield: &Shield, policy: &mut Policy, point: Point) -> Option<u64> {
    let rules = &runtime.options.rules;
    // Before the counters are read: what is answered from here on arms it again.
    process.armed.swap(false, Acquire);
    process.stopping.store(false, Relaxed);
    let mut again = policy.decide(rules, moment(process), memory::anonymous_rss);
    if let Decision::Trim(trigger) = again {
        // A vfork child has no business with its parent's policy; neither has a child whose page was not wiped.
        // Both are asked here only: they are system calls, and looking harms nobody.
        if !process.is_mine() || shield.is_in_fault_handler() {
            process.armed.store(true, Relaxed);
            process.stopping.store(true, Relaxed);
            return None;
        }
        trim(runtime, process, policy, trigger, point);
        again = policy.decide(rules, moment(process), memory::anonymous_rss);
    }
    process.plan(policy, rules);
    match again {
        Decision::Rest => None,
        // Right after a trim nothing is due: Trim is not possible here, and would be tried again at once.
        Decision::Trim(_) => look_again(process, MILLISECOND),
        Decision::LookAgain(wait) => look_again(process, wait),
    }
}

fn look_again(process: &Process, wait: u64) -> Option<u64> {
    process.armed.store(true, Relaxed);
    Some(wait)
}

fn moment(process: &Process) -> Moment {
    Moment {
        now: sys::now(),
        requests: process.stats.requests.load(Relaxed),
        in_flight: process.stats.in_flight.load(Relaxed).max(0) as u64,
    }
}

fn trim(runtime: &Runtime, process: &Process, policy: &mut Policy, trigger: Trigger, point: Point) {
    let Some(allocator) = &runtime.allocator else { return };
    let Moment { now: start, requests, in_flight } = moment(process);
    let before = memory::anonymous_rss();
    let release = sys::now();
    allocator.release(runtime.options.pad);
    let end = sys::now();
    let after = memory::anonymous_rss();
    // The budget pays for the measurements too; the log tells what the release took.
    policy.trimmed(&runtime.options.rules, requests, end, end.saturating_sub(start), after);
    let took = end.saturating_sub(release);
    let outcome = Outcome { trigger, point, requests, in_flight, before, after, took };
    process.stats.trimmed(&outcome, policy, end);
    log::trim(&outcome, process.stats.trims(), policy);
}
