//! PURE: whether to trim now, and if not, when to look again.
//!
//! A **trigger** makes a trim *due*: N requests, memory that may be worth it while there is work or when it is quiet; and those that
//! need no request: a period, memory pressure, a signal. A due trim waits for its [`Budget`], and then for a moment when nothing is
//! in flight and nobody waits, at most `defer`.
//!
//! Memory *may* be worth a trim where RSS is well over the least that the process is known to do with ([`Policy::low`]; before the
//! first trim, what it began with). **A trim is the probe**: what it brings is measured. One that brings little says that the
//! memory is in use, so far: the next try waits twice as long ([`Patience`]). No result is believed because it was measured at a bad
//! moment; after many tries it is.

use super::budget::Budget;
use super::collection::{Collection, Wanted};
use super::due::Due;
use super::huge_pages::{Evidence, Returns};
use super::locked::Locked;
use super::looks::Looks;
use super::outside::Outside;
use super::patience::Patience;
use super::pools::Pools;
use super::quiet::{Calm, Look, Watch};
use super::rules::{Counts, Decision, Growth, Moment, NOISE, Next, Rules, Trigger, Trimmed};
use super::skips::Skip;
use super::{MILLISECOND, PERCENT, Random, SECOND, soon};

/// A trim that is expected to take longer, and is due for work, waits for quiet while RSS is less than twice what it need be.
const LONG: u64 = 20 * MILLISECOND;
/// But not for ever.
const LONGEST_WAIT_FOR_QUIET: u64 = 600 * SECOND;

/// What a process that serves nobody is taken to do with before it was ever trimmed: it is seen only when it has grown up, with whatever
/// it holds, and a first trim may come while that is in use.
pub const LEAST_OF_TASKS: u64 = 32 << 20;
/// What is held over the least that is known, and is watched for the end of work that goes on in quiet.
const WATCHED: Growth = Growth { bytes: 4 << 20, share: 5 * PERCENT };

/// The state of one process. All zeros is a valid fresh state: a forked child begins with it.
#[derive(Clone, Copy, Debug, Default)]
pub struct Policy {
    /// The least anonymous RSS that a trim has left; 0 = no trim was made, or none could be measured.
    pub low: u64,
    /// Counts since the process began.
    pub counts: Counts,
    /// What RSS is measured from: the least that is known, by trims or from the beginning, until it is believed that more is needed.
    least: u64,
    /// What the last trim left, or less; 0 = unknown.
    left: u64,
    /// RSS at the last look.
    rss: u64,
    patience: Patience,
    budget: Budget,
    /// The time of the last decision.
    now: u64,
    /// The request count that makes the next trim due; 0 = not yet set.
    next_requests: u64,
    due: Due,
    /// The request count up to which refusals for the budget have been counted.
    skipped_at: u64,
    /// When bytes came or went last.
    active_at: u64,
    /// When to look for quiet; 0 = nothing has come or gone since the last quiet moment.
    quiet_at: u64,
    /// Whether what comes and goes is too little to end it.
    calm: Calm,
    /// What goes on in quiet.
    watch: Watch,
    looks: Looks,
    outside: Outside,
    collection: Collection,
    pools: Pools,
    /// What the kernel takes back in quiet.
    returns: Returns,
    locked: Locked,
    /// What the last trim gave back, in bytes.
    released: u64,
    /// What a trim took last time, in nanoseconds of CPU time.
    took: u64,
    random: Random,
}

impl Policy {
    /// A process begins to serve with this anonymous RSS; 0 = unknown.
    pub fn begin(&mut self, rss: u64) {
        // It may have been trimmed before, as one that serves nobody.
        if self.low == 0 {
            self.least = rss;
        }
        self.collection.begin(rss);
    }

    /// Decides what to do at a wait point, and when there is something to decide again. `rss` measures anonymous RSS in bytes; it is
    /// called at most once, and only when its answer matters. It may fail: then only counts and time decide.
    #[inline(never)]
    pub fn decide(&mut self, rules: &Rules, moment: Moment, rss: impl FnOnce() -> Option<u64>) -> (Decision, Next) {
        self.note_time(rules, moment);
        if self.next_requests == 0 {
            self.next_requests = self.after_interval(rules, 0);
        }
        let is_calm = self.calm.note(moment.now, moment.cpu);
        if moment.active_at > self.active_at {
            self.active_at = moment.active_at;
            self.looks.want();
            if !is_calm || self.quiet_at == 0 {
                self.quiet_at = moment.active_at.saturating_add(rules.idle);
            }
            if !is_calm {
                self.watch.end();
                self.returns.put_off(moment.now);
                self.collection.is_active();
            }
        }
        if moment.ended {
            self.patience.reset();
            self.looks.want();
        }
        self.find_asked(rules, moment);
        self.note_collection(rules, moment);
        self.note_pools(moment);
        self.find_due(rules, moment, rss);
        if self.due.is_on() && matches!(self.due.trigger(), Trigger::Idle) {
            self.returns.due(moment.now, moment.cpu, self.rss);
        }
        let decision = if self.due.is_on() { self.when_due(rules, moment) } else { Decision::Rest };
        (decision, self.next(rules))
    }

    /// The same on a thread of our own, which looks after what needs no request: the rest is left to those who answer.
    pub fn decide_in_background(&mut self, rules: &Rules, moment: Moment) -> (Decision, Next) {
        self.note_time(rules, moment);
        self.find_asked(rules, moment);
        self.note_collection(rules, moment);
        self.note_pools(moment);
        let decision = if self.due.is_on() { self.when_due(rules, moment) } else { Decision::Rest };
        let time = if self.due.is_on() { self.due.until() } else { self.outside.next(rules) };
        (decision, Next { time, ..Next::NEVER })
    }

    /// The trim that was decided is not made, because somebody waits for this thread.
    pub fn somebody_waits(&mut self, rules: &Rules, now: u64) -> Next {
        self.counts.deferred += u64::from(self.due.wait_for_somebody(now));
        self.next(rules)
    }

    /// Whether a trim is due.
    pub const fn is_due(&self) -> bool {
        self.due.is_on()
    }

    /// The trim that is due, and what it waits for; `None` = none is.
    pub fn due(&self) -> Option<&Due> {
        self.is_due().then_some(&self.due)
    }

    /// The trim that was decided is not made, for a reason that nothing here knows of.
    pub fn obstructed(&mut self, reason: Skip) {
        self.due.obstructed(reason);
    }

    /// When the last decision was made.
    pub const fn decided_at(&self) -> u64 {
        self.now
    }

    /// What RSS is measured from: the least that is known, until it is believed that more is needed; 0 = unknown.
    pub const fn least(&self) -> u64 {
        self.least
    }

    /// What the collection took that the due trim has waited for, in nanoseconds; 0 = there was none.
    pub const fn pause(&self) -> u64 {
        self.collection.took()
    }

    /// Whether the due trim has waited for a collection.
    pub const fn has_waited_for_collection(&self) -> bool {
        self.collection.is_waited_for()
    }

    /// Whether a trim for this trigger that leaves so much may have left garbage that is to be collected in quiet.
    pub fn may_hold_garbage(&self, rules: &Rules, trigger: Trigger, after: Option<u64>) -> bool {
        let growth = growth_of_garbage(rules);
        matches!(trigger, Trigger::Idle)
            && after.is_some_and(|after| self.collection.may_be_left(after, |left| growth.limit(left)))
    }

    /// What the kernel takes back in quiet.
    pub const fn returns(&self) -> &Returns {
        &self.returns
    }

    /// It goes on doing so: there is nothing to look for.
    pub fn leave_returns(&mut self) {
        self.returns.leave();
    }

    /// What shows of that before the due trim.
    pub fn show_returns(&mut self, evidence: Evidence) {
        self.returns.show(self.rss, evidence);
    }

    /// The releases of CPython's pools.
    pub const fn pools(&self) -> &Pools {
        &self.pools
    }

    /// Records a trim that ended now, when so many requests were answered and the process had used so much CPU time. The answer is how much of
    /// what it gave back an earlier one had given back before ([`Returns::again`]).
    #[inline(never)]
    pub fn trimmed(&mut self, rules: &Rules, requests: u64, now: u64, cpu: u64, effect: Trimmed) -> u64 {
        self.budget.refill(rules.overhead, now, cpu);
        self.locked.trimmed(now, effect.locked);
        let Trimmed { took, before, after, .. } = effect;
        self.took = took;
        self.budget.charge(took);
        let released = before.zip(after).map_or(0, |(before, after)| before.saturating_sub(after));
        let again = self.returns.again(released);
        self.returns.trimmed(now, cpu, released, after.unwrap_or(0), effect.faulted);
        if let (Some(before), Some(after)) = (before, after) {
            // Of what has grown since the last trim, so much was here before it: had it been kept, there were no page faults.
            // What the kernel has put there by itself cost the process none.
            let faulted = before.saturating_sub(self.left).saturating_sub(again);
            self.budget.charge_page_faults(faulted.min(self.released));
            self.released = released;
            self.note_level(after);
            self.low = if self.low == 0 { after } else { self.low.min(after) };
            self.left = after;
        }
        let trigger = self.due.trigger();
        let least = if matches!(trigger, Trigger::Growth) { rules.growth } else { NOISE };
        let is_try = matches!(trigger, Trigger::Growth | Trigger::Idle);
        if effect.brought(least) {
            self.patience.reset();
        } else if is_try || now >= self.patience.until() {
            // One that came before its time because it was asked for says nothing new.
            self.was_in_vain(now, took);
        }
        self.watch.tried(cpu);
        if self.rss < WATCHED.limit(self.least) {
            self.watch.end();
        } else if self.watch.is_on() {
            self.watch.go_on(now, cpu, &self.patience);
        }
        self.next_requests = self.after_interval(rules, requests);
        self.due.end();
        let owed_at = self.collection.trimmed(now, effect.after.unwrap_or(0), effect.garbage);
        if let (Some(owed_at), Trigger::Idle) = (owed_at, trigger) {
            self.quiet_at = owed_at;
        }
        self.pools.trimmed();
        self.outside.trimmed(rules, now, trigger, &effect);
        self.looks.trimmed(now);
        again
    }

    /// Other work of ours, by request or after a trim, took so long: the budget pays for it too.
    pub fn charge(&mut self, nanoseconds: u64) {
        self.budget.charge(nanoseconds);
    }

    /// When there is something to decide again.
    fn next(&self, rules: &Rules) -> Next {
        let quiet = self.beginning_of_quiet(rules);
        if self.due.is_on() {
            return self.due.next((rules.idle != 0).then_some(quiet));
        }
        let returns = if rules.idle == 0 { u64::MAX } else { self.returns.next() };
        Next {
            requests: if rules.interval == 0 { u64::MAX } else { self.next_requests },
            look: if rules.growth.is_on() { self.looks.next() } else { u64::MAX },
            time: quiet.min(self.watch.next()).min(returns).min(self.outside.next(rules)),
            worth: self.low == 0 || self.rss >= NOISE.limit(self.least),
        }
    }

    /// Time goes on, as a rule. A clock that was set back makes nobody wait for what it has already passed.
    fn note_time(&mut self, rules: &Rules, Moment { now, cpu, .. }: Moment) {
        self.budget.refill(rules.overhead, now, cpu);
        if now < self.now {
            self.active_at = soon(self.active_at, now, 0);
            self.quiet_at = soon(self.quiet_at, now, rules.idle);
            self.looks.restart(now);
            self.due.restart(now);
            self.locked.restart(now);
            self.collection.restart(now);
            self.pools.restart(now);
            self.returns.restart(now);
            self.outside.restart(rules, now);
            self.patience.restart(now);
            self.watch.restart(now);
            self.calm.restart(now);
        }
        self.now = now;
    }

    /// RSS is known to come down to this.
    fn note_level(&mut self, rss: u64) {
        self.rss = rss;
        self.least = if self.least == 0 { rss } else { self.least.min(rss) };
        self.left = self.left.min(rss);
    }

    /// A try brought little. After enough of them what is left is needed.
    fn was_in_vain(&mut self, now: u64, took: u64) {
        self.patience.in_vain(now, took);
        if self.patience.is_over() && self.left != 0 {
            self.least = self.left;
            self.low = self.left;
        }
    }

    /// Makes a trim due when a trigger fires and none has yet.
    fn find_due(&mut self, rules: &Rules, moment: Moment, rss: impl FnOnce() -> Option<u64>) {
        let now = moment.now;
        let mut quiet = now >= self.beginning_of_quiet(rules);
        if quiet && moment.in_flight > 0 {
            // Someone waits for a long answer: that is no quiet yet, and no reason to look all the time.
            self.quiet_at = now.saturating_add(rules.idle);
            quiet = false;
        }
        if self.due.is_on() {
            if quiet && self.due.trigger().is_for_work() {
                // Nobody is about to take the memory back.
                self.due.becomes(Trigger::Idle, now);
            }
            return;
        }
        if rules.interval != 0 && moment.requests >= self.next_requests {
            if rules.exact || now >= self.patience.until() {
                let trigger = if quiet { Trigger::Idle } else { Trigger::Requests };
                self.quiet_at = if quiet { 0 } else { self.quiet_at };
                return self.due.begin(trigger, now);
            }
            self.next_requests = self.after_interval(rules, moment.requests);
            self.counts.no_growth += 1;
            self.counts.nothing_to_gain += 1;
        }
        let watched = self.watch.is_due(now);
        let look = rules.growth.is_on() && self.looks.is_due(now, moment.cpu, moment.between_tasks);
        let works = moment.in_flight > 0;
        let returns = rules.idle != 0 && self.returns.is_due(now) && !works;
        if works {
            self.returns.put_off(now);
        }
        if !quiet && !watched && !look {
            if returns {
                self.look_for_returns(now, rss());
            }
            return;
        }
        self.looks.looked(now, moment.cpu, moment.between_tasks);
        if quiet {
            self.quiet_at = 0;
        }
        if let (true, Some(owed_at)) = (quiet, self.collection.owed()) {
            if now >= owed_at {
                return self.due.begin(Trigger::Idle, now);
            }
            self.quiet_at = owed_at;
        }
        let rss = rss();
        if returns && self.look_for_returns(now, rss) {
            return;
        }
        let Some(rss) = rss else {
            if watched {
                self.watch.go_on(now, moment.cpu, &self.patience);
            }
            return;
        };
        if moment.between_tasks && self.least == 0 {
            self.least = LEAST_OF_TASKS;
        }
        self.note_level(rss);
        if quiet || watched {
            self.look_in_quiet(rules, moment, quiet);
        } else if moment.between_tasks && self.low == 0 {
            self.due.begin(Trigger::Idle, now);
        } else {
            self.look_at_work(rules, now);
        }
    }

    /// Nothing is done: has what a trim gave back come back by itself? Whether a trim is due, which shows it.
    fn look_for_returns(&mut self, now: u64, rss: Option<u64>) -> bool {
        if let Some(rss) = rss {
            self.note_level(rss);
        }
        let came = self.returns.look(now, rss.unwrap_or(0));
        if came {
            self.due.begin(Trigger::Idle, now);
        }
        came
    }

    /// There is work: is growth worth a trim?
    fn look_at_work(&mut self, rules: &Rules, now: u64) {
        if self.has_grown(rules) {
            self.patience.reset();
        }
        if self.rss < rules.growth.limit(self.least) {
            self.counts.no_growth += 1;
        } else if now < self.patience.until() {
            self.counts.in_vain += 1;
        } else {
            self.due.begin(Trigger::Growth, now);
        }
    }

    /// It is quiet, since just now or for a while: is what is held worth a trim? A process that has never been trimmed begins with
    /// what its start has left.
    fn look_in_quiet(&mut self, rules: &Rules, Moment { now, cpu, .. }: Moment, begins: bool) {
        let least = if begins { NOISE } else { WATCHED };
        if self.low != 0 && self.rss < least.limit(self.least) {
            self.watch.end();
            self.counts.no_growth += 1;
            return;
        }
        let grown = if begins { self.rss >= NOISE.limit(self.left) } else { self.has_grown(rules) };
        if grown {
            self.patience.reset();
        }
        let growth = growth_of_garbage(rules);
        let is_time = now >= self.patience.until() || self.collection.may_bring(self.rss, |left| growth.limit(left));
        let look = if begins && is_time { Look::Try } else { self.watch.look(now, cpu, &self.patience) };
        match look {
            Look::Try => self.due.begin(Trigger::Idle, now),
            Look::InVain => self.was_in_vain(now, 0),
            Look::Wait => self.counts.in_vain += 1,
        }
        if self.patience.is_over() || self.low != 0 && self.rss < WATCHED.limit(self.least) {
            self.watch.end();
        } else {
            self.watch.go_on(now, cpu, &self.patience);
        }
    }

    /// Whether RSS has grown since the last trim by what is worth another.
    fn has_grown(&self, rules: &Rules) -> bool {
        rules.growth.is_on() && self.rss >= rules.growth.limit(self.left)
    }

    /// What was asked for from outside makes a trim due, or gives its name to one that is.
    fn find_asked(&mut self, rules: &Rules, moment: Moment) {
        let found = self.outside.find(rules, moment, &mut self.random);
        if moment.asked.pressure && !matches!(found, Some(Trigger::Pressure | Trigger::Signal)) {
            self.counts.swapped += u64::from(moment.swapped);
            self.counts.recent += u64::from(!moment.swapped);
        }
        match found {
            Some(Trigger::Period) if self.due.is_on() => {}
            Some(trigger) if self.due.is_on() => self.due.becomes(trigger, 0),
            Some(trigger) => self.due.begin(trigger, moment.now),
            None => {}
        }
    }

    /// A collection has come. A trim that gives back what it freed is due from then on.
    fn note_collection(&mut self, rules: &Rules, Moment { now, cpu, collects, collected, .. }: Moment) {
        self.collection.note_work(cpu);
        self.collection.come(collects);
        if collected.took == 0 {
            return;
        }
        self.budget.charge_collection(collected.cost);
        self.collection.came(rules.overhead, now, cpu, collected);
        if self.due.is_on() {
            self.due.go();
        } else {
            self.due.begin(self.due.trigger(), now);
        }
    }

    /// Free pools were released: for the trim that is due, or, where that went without, after it.
    fn note_pools(&mut self, Moment { released, .. }: Moment) {
        if released.took == 0 {
            return;
        }
        let in_time = self.due.is_on();
        self.budget.charge_collection(released.took);
        self.pools.came(released, in_time);
        if NOISE.limit(released.rss) <= released.rss.saturating_add(released.bytes) {
            self.patience.reset();
        }
        if in_time {
            self.due.go();
        } else if released.rss != 0 {
            self.note_level(released.rss);
            self.low = self.low.min(released.rss);
            self.released = self.released.saturating_add(released.bytes);
        }
    }

    /// When it will have been quiet for long enough; never where nobody waits for that.
    fn beginning_of_quiet(&self, rules: &Rules) -> u64 {
        if rules.idle != 0 && self.quiet_at != 0 { self.quiet_at } else { u64::MAX }
    }

    /// A trim is due: is this the moment?
    fn when_due(&mut self, rules: &Rules, moment: Moment) -> Decision {
        let now = moment.now;
        if let Some((until, reason)) = self.held(rules, moment) {
            let is_first = self.due.hold(until, reason);
            self.counts.locked += u64::from(is_first && reason == Skip::Locked);
            self.counts.long += u64::from(is_first && reason == Skip::Long);
            return Decision::Rest;
        }
        self.due.let_go(now);
        let since = self.due.since();
        let is_overdue = now.saturating_sub(since) >= rules.defer;
        if moment.in_flight > 0 && !is_overdue {
            // Each answer may be the last, and nothing else.
            let is_first = self.due.wait_for_answer(moment.requests, since.saturating_add(rules.defer));
            self.counts.deferred += u64::from(is_first);
            return Decision::Rest;
        }
        let both = self.collection.last().saturating_add(self.took);
        let affordable = self.budget.until_affordable(rules.overhead, both) == 0;
        let quiet = matches!(self.due.trigger(), Trigger::Idle);
        if let Some(wanted) = self.collection.wanted(now, since, rules.defer, quiet, affordable) {
            // Both come together, or neither does.
            let _ = self.pools.wanted(now, since, rules.defer);
            return self.ask(true, wanted);
        }
        // While there is work, and where somebody asks, the trim comes at once, and the release when CPython comes by.
        if moment.has_pools
            && quiet
            && let Some(wanted) = self.pools.wanted(now, since, rules.defer)
        {
            return self.ask(false, wanted);
        }
        Decision::Trim { trigger: self.due.trigger(), ask: !is_overdue && !self.is_exact(rules) }
    }

    /// The due trim waits for CPython.
    fn ask(&mut self, garbage: bool, wanted: Wanted) -> Decision {
        self.due.wait_for_interpreter(wanted.until);
        Decision::Ask { garbage, insist_at: wanted.insist_at }
    }

    /// Until when the due trim is held, whatever the moment, and why.
    fn held(&mut self, rules: &Rules, moment: Moment) -> Option<(u64, Skip)> {
        let Moment { now, requests, .. } = moment;
        // What a collection has freed is given back at once: it has paid for that.
        let wait = match self.collection.took() {
            0 => {
                let for_work = self.due.trigger().is_for_work() && !self.is_exact(rules);
                let worth = if for_work { self.budget.until_worth_it(rules.overhead) } else { 0 };
                // A trim between requests leaves enough for the one when they stop.
                let trims = if for_work && rules.idle != 0 { 2 } else { 1 };
                let took = self.took.saturating_mul(trims).saturating_add(self.pools_to_come(moment));
                self.budget.until_affordable(rules.overhead, took).max(worth)
            }
            _ => 0,
        };
        if wait > 0 {
            self.counts.skipped += u64::from(self.skipped_at != requests);
            self.skipped_at = requests;
            return Some((now.saturating_add(wait.max(MILLISECOND)), Skip::Overhead));
        }
        // Somebody who asks for one gets it.
        if now < self.locked.until() && !matches!(self.due.trigger(), Trigger::Signal) {
            return Some((self.locked.until(), Skip::Locked));
        }
        let is_short = self.took <= LONG || self.rss >= self.least.saturating_mul(2);
        let latest = self.due.since().saturating_add(LONGEST_WAIT_FOR_QUIET);
        if self.due.trigger().is_for_work() && !self.is_exact(rules) && !is_short && rules.idle != 0 && now < latest {
            return Some((latest, Skip::Long));
        }
        None
    }

    /// What the release takes that is yet to come for the due trim, in nanoseconds.
    fn pools_to_come(&self, moment: Moment) -> u64 {
        let waits = moment.has_pools && matches!(self.due.trigger(), Trigger::Idle) && !self.pools.has_come();
        if waits { self.pools.last() } else { 0 }
    }

    /// Whether the due trim is one of an interval that somebody has asked for.
    fn is_exact(&self, rules: &Rules) -> bool {
        rules.exact && matches!(self.due.trigger(), Trigger::Requests)
    }

    /// The request count that makes the next trim due, `requests` being the count now.
    fn after_interval(&mut self, rules: &Rules, requests: u64) -> u64 {
        let random = self.random.next(self.now);
        let jitter = rules.jitter.checked_add(1).map_or(random, |choices| random % choices.max(1));
        requests.saturating_add(rules.interval).saturating_add(jitter).max(1)
    }
}

/// What RSS must have grown by since the last collection for garbage to be looked for in quiet.
fn growth_of_garbage(rules: &Rules) -> Growth {
    if rules.growth.is_on() { rules.growth } else { WATCHED }
}

#[cfg(test)]
#[path = "policy_tests.rs"]
mod tests;
