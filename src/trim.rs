//! The trim itself: the only caller of [`Allocator::release`], one thread at a time, measured before and after.

use core::sync::atomic::Ordering::{Acquire, Relaxed};

use crate::policy::{Decision, MILLISECOND, Moment, Policy, Trigger, Trimmed};
use crate::process::Process;
use crate::sys::handler::{self, Handlers};
use crate::sys::signals::Shield;
use crate::sys::{self, memory};
use crate::verdict::{self, Verdict};
use crate::wait::Point;
use crate::{Runtime, background, duty, garbage, log, metrics, runtime, unseen};

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
    /// How long the garbage collection before it took, in nanoseconds; 0 = there was none.
    pub pause: u64,
}

/// At a wait point, under `shield`: trims if that is right, and says after how many nanoseconds of
/// waiting to come back (`None` = only when another request was answered). Another thread being here
/// already, there is nothing to do. Where `point` is `None` nothing is trimmed.
pub fn at_wait_point(process: &Process, shield: &Shield, point: Option<Point>) -> Option<u64> {
    let runtime = runtime()?;
    let again = process.policy.with(|policy| decide(runtime, process, shield, policy, point)).flatten();
    let start = background::at_wait_point(process, shield);
    if background::takes_signal(process) || unseen::is_watching(process) {
        process.armed.store(true, Relaxed);
    }
    let Some(start) = start else { return again };
    process.stopping.store(true, Relaxed);
    process.possible_at.fetch_min(sys::now().saturating_add(start), Relaxed);
    look_again(process, again.map_or(start, |again| again.min(start)))
}

/// On the thread of our own: trims if that is right, and says after how many nanoseconds to come back (`None` = when
/// something happens).
pub fn in_background(process: &Process) -> Option<u64> {
    /// Between two looks while a trim is due and a request in flight, or another thread decides.
    const PATIENCE: u64 = 10 * MILLISECOND;
    let runtime = runtime()?;
    let rules = &runtime.options.rules;
    let decided = process.policy.with(|policy| {
        let mut again = policy.decide_in_background(rules, moment(process));
        if let Decision::Trim(trigger) = again {
            trim(runtime, process, policy, trigger, Point::Thread);
            metrics::update(runtime, process, policy, || true);
            again = policy.decide_in_background(rules, moment(process));
        }
        again = ask_for_collection(process, again);
        if policy.is_due() {
            // The next wait point may come sooner.
            process.look_at_once();
        }
        match again {
            Decision::Rest => None,
            Decision::Trim(_) | Decision::Collect { .. } => Some(PATIENCE),
            Decision::LookAgain(wait) if policy.is_due() && process.stats.in_flight() > 0 => Some(wait.min(PATIENCE)),
            Decision::LookAgain(wait) => Some(wait),
        }
    });
    decided.unwrap_or(Some(PATIENCE))
}

/// A collection that should come first is asked for; what is left is to look again.
fn ask_for_collection(process: &Process, decision: Decision) -> Decision {
    match decision {
        Decision::Collect { insist_at, wait } => {
            garbage::want(process, insist_at);
            Decision::LookAgain(wait)
        }
        other => other,
    }
}

fn decide(
    runtime: &Runtime,
    process: &Process,
    shield: &Shield,
    policy: &mut Policy,
    point: Option<Point>,
) -> Option<u64> {
    let rules = &background::rules_at_wait_point(process, &runtime.options.rules);
    // Before the counters are read: what is answered from here on arms it again.
    process.armed.swap(false, Acquire);
    process.stopping.store(false, Relaxed);
    let mut again = policy.decide(rules, moment(process), memory::anonymous_rss);
    if let (Decision::Trim(trigger), Some(point)) = (again, point) {
        // Asked here only: these are system calls, and looking harms nobody.
        if !may_act(process, shield) {
            process.armed.store(true, Relaxed);
            process.stopping.store(true, Relaxed);
            return None;
        }
        trim(runtime, process, policy, trigger, point);
        again = policy.decide(rules, moment(process), memory::anonymous_rss);
    }
    process.plan(policy, rules);
    process.stats.decided(policy);
    let again = match ask_for_collection(process, again) {
        Decision::Rest => None,
        // Right after a trim nothing is due: Trim is not possible here, and would be tried again at once.
        Decision::Trim(_) | Decision::Collect { .. } => look_again(process, MILLISECOND),
        Decision::LookAgain(wait) => look_again(process, wait),
    };
    match metrics::update(runtime, process, policy, || may_act(process, shield)) {
        None => again,
        Some(wait) => look_again(process, again.map_or(wait, |again| again.min(wait))),
    }
}

/// Whether anything may be done here that malloc's locks or state are needed for, or that must not be done twice at once: a
/// trim, a thread's start, a change of malloc's settings, a file. A vfork child has no business with its parent's policy; neither has a
/// child whose page was not wiped. One that was cloned without fork handlers may wait for malloc's lock for ever. A handler that
/// waits may have interrupted malloc. And a stack may be too small.
pub fn may_act(process: &Process, shield: &Shield) -> bool {
    if !shield.is_up || !process.is_mine() {
        return false;
    }
    if process.cloned.load(Relaxed) {
        if process.introduced.load(Relaxed) && !process.knows_no_fork.swap(true, Relaxed) {
            log::unavailable("fork");
        }
        return false;
    }
    let is_known = match handler::handlers(shield) {
        Handlers::None | Handlers::Harmless => memory::has_stack_left(),
        Handlers::Dangerous => return false,
        Handlers::Unknown => false,
    };
    if !is_known && process.introduced.load(Relaxed) && !process.knows_no_stack.swap(true, Relaxed) {
        log::unavailable("stack");
    }
    is_known
}

fn look_again(process: &Process, wait: u64) -> Option<u64> {
    process.armed.store(true, Relaxed);
    Some(wait)
}

fn moment(process: &Process) -> Moment {
    let asked = background::take_asked(process);
    Moment {
        now: sys::now(),
        requests: process.stats.requests.load(Relaxed),
        in_flight: process.stats.in_flight(),
        asked,
        swapped: asked.pressure && is_swapped_out(),
        collects: garbage::is_possible(process),
        collected: garbage::take(process),
    }
}

/// Whether most of `rss` is locked.
fn is_locked(rss: u64) -> bool {
    memory::held().locked >= rss / 2
}

/// Whether what is swapped out is a large share of this process's memory.
fn is_swapped_out() -> bool {
    let swapped = memory::held().swapped;
    swapped > 0 && memory::anonymous_rss().is_some_and(|rss| swapped >= rss / 3)
}

fn trim(runtime: &Runtime, process: &Process, policy: &mut Policy, trigger: Trigger, point: Point) {
    let Ok(allocator) = &runtime.allocator else { return };
    let start = sys::now();
    let (requests, in_flight) = (process.stats.requests.load(Relaxed), process.stats.in_flight());
    let before = memory::anonymous_rss();
    let release = sys::now();
    allocator.release(runtime.options.pad);
    let end = sys::now();
    let after = memory::anonymous_rss();
    let collected = policy.pause() != 0;
    if !collected {
        garbage::went_without(process, runtime.options.gc);
    }
    // None takes less than a microsecond but where the program has disabled them.
    let pause = policy.pause() / 1_000 * 1_000;
    // The budget pays for the measurements too; the log tells what the release took.
    let mut effect = Trimmed { took: end.saturating_sub(start), before, after, locked: false };
    // Asked only where it may be the reason: one more file to read.
    effect.locked = !effect.brought_something() && before.is_some_and(is_locked);
    policy.trimmed(&runtime.options.rules, requests, end, effect);
    let took = end.saturating_sub(release);
    let outcome = Outcome { trigger, point, requests, in_flight, before, after, took, pause };
    duty::trimmed();
    let verdict = process.floors.with(|floors| {
        // Where garbage is collected, a floor that still holds some tells nothing.
        if collected || !garbage::is_possible(process) {
            floors.add(verdict::Point { requests, before: before.unwrap_or(0), after: after.unwrap_or(0) });
        }
        floors.verdict()
    });
    let verdict = verdict.unwrap_or_default();
    process.stats.trimmed(&outcome, policy, verdict, end);
    log::trim(&outcome, process.stats.trims(), policy);
    if effect.locked && !process.locked.swap(true, Relaxed) {
        duty::despair();
        log::locked(runtime);
    }
    if let Verdict::Leak { bytes_per_request, requests } = verdict
        && !process.called_a_leak.swap(true, Relaxed)
    {
        log::leak(bytes_per_request, requests);
    }
}
