//! The trim itself: the only caller of [`crate::allocator::Allocator::release`], one thread at a time, measured before and after.

use core::sync::atomic::Ordering::Relaxed;

use super::{duty, garbage, huge_pages, java, live, node, pools, python, runtimes};
use crate::allocator::{Allocator, Tops};
use crate::decide::MILLISECOND;
use crate::decide::collection::Collects;
use crate::decide::policy::Policy;
use crate::decide::rules::{Decision, Moment, NOISE, Next, Trigger, Trimmed};
use crate::decide::skips::Skip;
use crate::decide::verdict::{self, Keeps, Verdict};
use crate::own::process::Process;
use crate::own::runtime::{Runtime, runtime};
use crate::own::stats::Outcome;
use crate::own::waits::Point;
use crate::pure::usage::Usage;
use crate::sys::signals::Shield;
use crate::sys::{self, Clock, memory};
use crate::tell::{log, metrics};
use crate::watch::safety::{self, Obstacle, may_act};
use crate::watch::{observe, outside, tasks};

/// At a wait point, under `shield`: trims if that is right; false where another thread decides. Where `point` is `None` nothing is
/// trimmed. `caller` is where the call returns to, 0 = that is not known. `somebody_waits` asks the kernel whether there is work for this thread. What is to be done later is planned in the
/// process's hints. Inlined, for the sake of the stack.
#[inline(always)]
pub fn at_wait_point(
    runtime: &Runtime,
    process: &Process,
    shield: &Shield,
    (point, caller): (Option<Point>, usize),
    somebody_waits: &mut dyn FnMut() -> bool,
) -> bool {
    let decided = process.policy.with(|policy| decide(runtime, process, shield, policy, point, somebody_waits));
    // When all else is done, for the sake of the stack.
    match decided {
        Some(Some(decision)) if runtimes::is_asked_at_wait(runtime) => {
            runtimes::ask(process, shield, (point, caller), decision, somebody_waits);
        }
        Some(Some(decision @ Decision::Ask { .. })) if !python::release_alone(process, shield) => {
            python::ask_at_wait(process, shield, caller, decision, somebody_waits);
        }
        _ => {}
    }
    decided.is_some()
}

/// On the thread of our own: trims if that is right, and says after how many nanoseconds to come back (`None` = when
/// something happens).
pub fn in_background(process: &Process) -> Option<u64> {
    /// Between two looks while a trim is due and a request in flight, or another thread decides.
    const PATIENCE: u64 = 10 * MILLISECOND;
    let runtime = runtime()?;
    let rules = &runtime.options.rules;
    let decided = process.policy.with(|policy| {
        let moment = moment(process, false, None);
        let (mut decision, mut next) = policy.decide_in_background(rules, moment);
        if let Decision::Trim { trigger, .. } = decision {
            trim(runtime, process, policy, trigger, Point::Thread);
            metrics::update(runtime, process, policy, || true);
            (decision, next) = policy.decide_in_background(rules, self::moment(process, false, None));
        }
        runtimes::ask_in_background(process, decision);
        outside::note_handler(&runtime.options);
        process.stats.decided(policy, None);
        if policy.is_due() {
            // The next wait point may come sooner.
            process.hints.now();
        }
        let wait = next.time.saturating_sub(moment.now).max(MILLISECOND);
        match (next.time, decision) {
            (_, Decision::Trim { .. } | Decision::Ask { .. }) => Some(PATIENCE),
            (u64::MAX, _) => None,
            _ if policy.is_due() && process.in_flight() > 0 => Some(wait.min(PATIENCE)),
            _ => Some(wait),
        }
    });
    decided.unwrap_or(Some(PATIENCE))
}

/// What was decided last; `None` where nothing may be done.
fn decide(
    runtime: &Runtime,
    process: &Process,
    shield: &Shield,
    policy: &mut Policy,
    point: Option<Point>,
    somebody_waits: &mut dyn FnMut() -> bool,
) -> Option<Decision> {
    let rules = &outside::rules_at_wait_point(process, &runtime.options.rules);
    let small = policy.low == 0 && tasks::is_waiting_for(process);
    let rss = || rss_to_decide_by(process, small);
    let passed_over = policy.counts.nothing_to_gain;
    let (mut decision, mut next) = policy.decide(rules, moment(process, true, point), rss);
    huge_pages::show(runtime, policy);
    if policy.counts.nothing_to_gain != passed_over {
        log::passed_over(process.stats.requests.load(Relaxed));
    }
    if let (Decision::Trim { trigger, ask }, Some(point)) = (decision, point) {
        // Asked here only: these are system calls, and looking harms nobody.
        if let Some(obstacle) = safety::obstacle(process, shield) {
            let next = after(obstacle, process);
            process.hints.plan(next);
            process.stats.skip(obstacle.reason);
            if process.is_mine() {
                policy.obstructed(obstacle.reason);
                process.stats.decided(policy, Some(next));
            }
            return None;
        }
        if ask && somebody_waits() {
            next = policy.somebody_waits(rules, sys::now());
        } else {
            trim(runtime, process, policy, trigger, point);
            (decision, next) = policy.decide(rules, moment(process, true, Some(point)), memory::anonymous_rss);
        }
    }
    process.hints.plan(next);
    outside::note_handler(&runtime.options);
    process.stats.decided(policy, Some(next));
    if !runtimes::is_asked_at_wait(runtime) {
        python::ask(process, decision);
    }
    if let Some(wait) = metrics::update(runtime, process, policy, || may_act(process, shield)) {
        process.hints.plan_by(sys::now().saturating_add(wait));
    }
    Some(decision)
}

/// When to look again where a trim is due and nothing may be done: at the next wait, or where that would be so at each of them, after
/// the next answer or in a while.
fn after(obstacle: Obstacle, process: &Process) -> Next {
    const A_WHILE: u64 = 100 * MILLISECOND;
    let (now, answered) = (sys::now(), process.stats.requests.load(Relaxed));
    match obstacle.lasts {
        false => Next { requests: 0, time: now, ..Next::NEVER },
        true => Next { requests: answered.saturating_add(1), time: now.saturating_add(A_WHILE), ..Next::NEVER },
    }
}

/// Anonymous RSS; `None` where it cannot be read, or, `small`, where it is less than is worth a look.
fn rss_to_decide_by(process: &Process, small: bool) -> Option<u64> {
    let rss = memory::anonymous_rss();
    let found = rss.filter(|&rss| !small || rss >= tasks::LEAST);
    if found.is_none() {
        process.stats.skip(if rss.is_none() { Skip::Unmeasured } else { Skip::Small });
    }
    found
}

/// What is seen now, at `point`. Apart, for the sake of the stack. `learns`: what came or went is taken note of, which the thread of our
/// own leaves to wait points.
#[inline(never)]
fn moment(process: &Process, learns: bool, point: Option<Point>) -> Moment {
    let now = sys::now();
    // Before the counters are read: what comes from here on is a new reason.
    let (active_at, ended) = if learns { process.hints.begin_decision(now) } else { (0, false) };
    observe::age(process, now);
    let asked = outside::take_asked(process);
    Moment {
        now,
        cpu: sys::cpu_time(Clock::Process),
        requests: process.stats.requests.load(Relaxed),
        active_at,
        in_flight: process.in_flight(),
        ended,
        between_tasks: tasks::is_waiting_for(process),
        asked,
        swapped: asked.pressure && is_swapped_out(),
        collects: runtimes::collects(process, point),
        collected: garbage::take(&process.python.pauses)
            .and(node::take(process, now))
            .and(garbage::take(&process.ruby.pauses))
            .and(garbage::take(&process.java.pauses)),
        has_pools: python::has_pools(process),
        released: pools::take(process),
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

/// What a trim did, and what is to be made of it.
struct Done {
    outcome: Outcome,
    /// When it ended.
    end: u64,
    /// Whether garbage was collected for it.
    collected: bool,
    /// Whether it brought nothing because memory is locked.
    locked: bool,
}

/// Its two parts have frames of their own, for the sake of the stack.
fn trim(runtime: &Runtime, process: &Process, policy: &mut Policy, trigger: Trigger, point: Point) {
    if let Ok(allocator) = &runtime.allocator {
        let done = release(runtime, allocator, process, policy, trigger, point);
        tell(runtime, process, policy, &done);
    }
}

#[inline(never)]
fn release(
    runtime: &Runtime,
    allocator: &Allocator,
    process: &Process,
    policy: &mut Policy,
    trigger: Trigger,
    point: Point,
) -> Done {
    let cpu = sys::cpu_time(Clock::Thread);
    let (requests, in_flight) = (process.stats.requests.load(Relaxed), process.stats.in_flight());
    // What was released for this trim, and what Java gave back, is a part of it.
    let (rss, java) = (memory::anonymous_rss(), java::take_given(process));
    let before = rss.map(|rss| rss.saturating_add(java).max(policy.pools().before()));
    let release = sys::now();
    duty::plant(point);
    let tops = allocator.release(runtime.options.pad, rss);
    let end = sys::now();
    let after = memory::anonymous_rss();
    let (collected, has_waited) = (policy.pause() != 0, policy.has_waited_for_collection());
    python::trimmed(process, collected, has_waited, policy.pools());
    if has_waited && !collected {
        process.stats.skip(Skip::Collection);
    }
    let faulted = huge_pages::faulted(allocator);
    let mut garbage = policy.may_hold_garbage(&runtime.options.rules, trigger, after);
    if garbage && !runtimes::may_collect() {
        garbage = false;
        process.stats.skip(Skip::Shared);
    }
    // None takes less than a microsecond but where the program has disabled them.
    let (pause, pools) = (policy.pause() / 1_000 * 1_000, policy.pools().untold());
    // The budget pays for the measurements too, as far as they kept a processor busy; the log tells both, and what the
    // release took.
    let cost = sys::cpu_time(Clock::Thread).saturating_sub(cpu);
    let mut effect = Trimmed { took: cost, before, after, locked: false, faulted, garbage };
    // Asked only where it may be the reason: one more file to read.
    effect.locked = !effect.brought(NOISE) && before.is_some_and(is_locked);
    let again = policy.trimmed(&runtime.options.rules, requests, end, sys::cpu_time(Clock::Process), effect);
    let took = end.saturating_sub(release);
    let Tops { gave: tops, took: tops_took } = tops;
    let mut outcome = Outcome {
        trigger,
        point,
        requests,
        in_flight,
        before,
        after,
        rss,
        tops,
        again,
        usage: None,
        took,
        tops_took,
        cost,
        pause,
        pools,
        java,
    };
    outcome.usage = live::measure(allocator, process, policy, &outcome, collected);
    Done { outcome, end, collected, locked: effect.locked }
}

#[inline(never)]
fn tell(runtime: &Runtime, process: &Process, policy: &mut Policy, done: &Done) {
    let Done { outcome, end, collected, locked } = done;
    duty::trimmed(process);
    duty::tell_arenas(process);
    let verdict = judge(runtime, process, outcome, *collected);
    process.stats.trimmed(outcome, policy, verdict, *end);
    log::trim(outcome, &process.stats);
    if *locked && !process.locked.swap(true, Relaxed) {
        duty::despair();
        log::locked(runtime);
    }
    huge_pages::trimmed(runtime, process, policy, (outcome.trigger, outcome.again));
    log::verdict(process, verdict);
}

/// What the trims say, this one among them. Where live memory climbs that may be CPython's garbage, a collection is to tell.
#[inline(never)]
fn judge(runtime: &Runtime, process: &Process, outcome: &Outcome, collected: bool) -> Verdict {
    let keeps = live::keeps(runtime, process);
    let judged = process.floors.with(|floors| {
        // Where garbage is collected before each, a floor that still holds some tells nothing.
        if collected || python::collects(process) != Collects::Always {
            let (before, after) = (outcome.before.unwrap_or(0), outcome.after.unwrap_or(0));
            let Usage { live, held } = outcome.usage.unwrap_or_default();
            floors.add(verdict::Point { requests: outcome.requests, before, after, live, held, collected });
        }
        (floors.verdict(keeps), floors.suspect(keeps))
    });
    let (verdict, is_suspect) = judged.unwrap_or_default();
    let is_asked = garbage::of_python() == Collects::InQuiet;
    if is_suspect && keeps == Keeps::Garbage && is_asked && runtimes::may_collect() {
        python::suspect(process);
    }
    verdict
}
