//! PURE: whether to trim now, and if not, when to look again. No clock, no file and no lock of its own: the
//! caller brings the time, the counters and a way to measure RSS, and owns the state.
//!
//! A **trigger** makes a trim *due*: N requests, growth of anonymous RSS over the floor, quiet after
//! activity; and those that need no request: a period, memory pressure, a signal. A due trim waits for a moment when
//! nothing is in flight (at most `defer`), and for its share of the wall clock (a token bucket). Times are nanoseconds
//! of a monotonic clock that never reads zero; sizes are bytes. All arithmetic saturates: a checked overflow here would abort someone's server.

/// One millisecond in nanoseconds.
pub const MILLISECOND: u64 = 1_000_000;
/// One second in nanoseconds.
pub const SECOND: u64 = 1_000 * MILLISECOND;
/// One percent: shares are millionths, so that a small fraction of a percent is none of zero.
pub const PERCENT: u64 = 10_000;

/// Capacity of the token bucket: time that may be spent trimming in one burst.
const BURST: u64 = 100 * MILLISECOND;
/// How many times as long as trimming what requests and growth ask for may cost, with the page faults by which a program
/// takes back what was given back too early. glibc's own rule, whose place it takes under an interpreter lock, costs as
/// much on the same servers (DESIGN.md, Defaults).
const COST: u64 = 2;
/// Bytes that come back in a nanosecond of page faults: a page of 4 KiB in 1 µs (`scripts/bench-calls`: 1.4 on a virtual
/// machine).
const BYTES_PER_NANOSECOND: u64 = 4;
/// Least time between two looks at RSS while requests are being answered. A look (open, read and close
/// `/proc/self/statm`) takes 5 µs (`scripts/bench-calls`): at most 0.1 % of the wall clock.
const LOOK_EVERY: u64 = 5 * MILLISECOND;
/// Growth below which a quiet moment is left alone: a trim releases whole pages, and so little is noise. Of a
/// large floor it is a share: the walk over a large heap should bring something.
const QUIET_GROWTH: Growth = Growth { bytes: 256 * 1024, share: 2 * PERCENT };

/// How long a trim waits for the garbage collection that is to come before it, once any moment will do.
const COLLECTED_WITHIN: u64 = SECOND;

/// Least time from the end of a trim for memory pressure to the next one: the kernel tells of pressure that lasts once per
/// window, and the windows that anyone may ask for are multiples of this long (psi.rst, Monitoring).
const PRESSURE_HOLD_OFF: u64 = 2 * SECOND;

/// Where trims bring nothing because memory is locked, or pressure trims cost more than they give because it is swapped out, the
/// next one waits twice as long as the one before, up to 2⁸ times as long.
const MOST_DOUBLINGS: u32 = 8;
/// How long it waits at first.
const LOCKED_HOLD_OFF: u64 = SECOND;
/// Pressure trims of processes that are swapped out begin within so long of each other, at random: each reads back in what its
/// walk over the heap passes.
const PRESSURE_SPREAD: u64 = 4 * SECOND;

/// What asked for a trim.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[repr(u8)]
pub enum Trigger {
    /// `AUTOTRIM_INTERVAL` requests were answered.
    #[default]
    Requests,
    /// Anonymous RSS is `AUTOTRIM_GROWTH` over the floor.
    Growth,
    /// No request for `AUTOTRIM_IDLE` after some.
    Idle,
    /// No trim for `AUTOTRIM_PERIOD`.
    Period,
    /// `AUTOTRIM_PRESSURE` told of memory pressure.
    Pressure,
    /// `AUTOTRIM_SIGNAL` came.
    Signal,
}

impl Trigger {
    /// All of them, in the order of their numbers.
    #[cfg(test)]
    pub const ALL: [Trigger; Trigger::COUNT] =
        [Trigger::Requests, Trigger::Growth, Trigger::Idle, Trigger::Period, Trigger::Pressure, Trigger::Signal];
    /// How many there are.
    pub const COUNT: usize = 6;

    /// The name in log lines and metrics.
    pub const fn name(self) -> &'static str {
        match self {
            Trigger::Requests => "requests",
            Trigger::Growth => "growth",
            Trigger::Idle => "idle",
            Trigger::Period => "period",
            Trigger::Pressure => "pressure",
            Trigger::Signal => "signal",
        }
    }
}

/// `AUTOTRIM_GROWTH`: the larger of the two; both zero = off.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Growth {
    /// Bytes over the floor.
    pub bytes: u64,
    /// A share of the floor, as [`PERCENT`] counts.
    pub share: u64,
}

impl Growth {
    /// Whether the growth rule is on.
    pub const fn is_on(self) -> bool {
        self.bytes != 0 || self.share != 0
    }

    /// The RSS from which on a trim is due.
    pub const fn limit(self, floor: u64) -> u64 {
        let share = part(floor, self.share);
        floor.saturating_add(if share > self.bytes { share } else { self.bytes })
    }
}

/// The options that govern the policy.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Rules {
    /// Requests between trims; 0 = off.
    pub interval: u64,
    /// Up to so many further requests, at random.
    pub jitter: u64,
    /// The growth rule.
    pub growth: Growth,
    /// Quiet after activity, in nanoseconds; 0 = off.
    pub idle: u64,
    /// From the end of any trim to the next, in nanoseconds; 0 = off.
    pub period: u64,
    /// Longest wait for nothing in flight, in nanoseconds.
    pub defer: u64,
    /// The largest share of the wall clock spent trimming, and collecting, as [`PERCENT`] counts; 0 = no limit.
    pub overhead: u64,
}

impl Rules {
    /// Whether anything can ever make a trim due.
    pub const fn any(&self) -> bool {
        self.interval != 0 || self.growth.is_on() || self.idle != 0 || self.period != 0
    }
}

/// What was asked for from outside since the last decision.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Asked {
    /// Memory pressure.
    pub pressure: bool,
    /// A signal.
    pub signal: bool,
}

/// What the caller sees at a wait point.
#[derive(Clone, Copy, Debug, Default)]
pub struct Moment {
    /// Monotonic time, never 0.
    pub now: u64,
    /// Requests answered by this process.
    pub requests: u64,
    /// Connections pending.
    pub in_flight: u64,
    /// What was asked for; each asking is told once.
    pub asked: Asked,
    /// Whether much of the memory is swapped out; asked only under pressure.
    pub swapped: bool,
    /// Whether a trim may wait for a garbage collection.
    pub collects: bool,
    /// What a collection took that has ended since the last decision, in nanoseconds; 0 = none has.
    pub collected: u64,
}

/// What a trim did.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Trimmed {
    /// How long it took, in nanoseconds.
    pub took: u64,
    /// Anonymous RSS before it, in bytes; `None` = unknown.
    pub before: Option<u64>,
    /// The same after it.
    pub after: Option<u64>,
    /// Whether it brought nothing, and memory is locked.
    pub locked: bool,
}

impl Trimmed {
    /// Whether it gave back more than noise; also where that is unknown.
    pub fn brought_something(&self) -> bool {
        let (Some(before), Some(after)) = (self.before, self.after) else { return true };
        before >= QUIET_GROWTH.limit(after)
    }
}

/// What to do at a wait point.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Decision {
    /// Trim, then report with [`Policy::trimmed`].
    Trim(Trigger),
    /// A collection should come before the trim: at a moment when no work is there, from the time `insist_at` on at any.
    /// The next [`Moment`] tells of it. Else as [`Decision::LookAgain`]: the trim goes without it then.
    Collect {
        /// See above.
        insist_at: u64,
        /// After so many nanoseconds.
        wait: u64,
    },
    /// Wait as asked, but look again after so many nanoseconds if the wait lasts that long.
    LookAgain(u64),
    /// Wait as asked: only another answered request can change anything.
    Rest,
}

/// What changed in a decision, for the counters.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Due trims that waited because a request was in flight.
    pub deferred: u64,
    /// Due trims that waited because the overhead budget was spent.
    pub skipped: u64,
    /// Looks at RSS, in quiet moments too, that found too little growth for a trim.
    pub no_growth: u64,
}

/// The state of one process. All zeros is a valid fresh state: a forked child begins with it.
#[derive(Clone, Copy, Debug, Default)]
pub struct Policy {
    /// Anonymous RSS right after the last trim, or before the first request; 0 = unknown.
    pub floor: u64,
    /// Counts since the process began.
    pub counts: Counts,
    /// The request count that makes the next trim due; 0 = not yet set.
    next_requests: u64,
    /// When the due trim became due; 0 = none is due.
    due_since: u64,
    /// Until when the budget is known not to allow it.
    affordable_at: u64,
    trigger: Trigger,
    /// Whether this due trim is already in `counts.deferred`.
    deferred: bool,
    /// The request count up to which refusals for the budget have been counted.
    skipped_at: u64,
    /// Requests seen at the last look.
    seen: u64,
    /// When to look for quiet; 0 = nothing was answered since the last quiet moment.
    quiet_at: u64,
    /// Requests were answered since the last look at RSS, and when the next may be.
    unmeasured: bool,
    next_look: u64,
    /// When the period ends; 0 = not yet set.
    period_at: u64,
    /// Until when memory pressure is passed over.
    pressure_from: u64,
    /// When a trim for memory pressure begins that was put off because much is swapped out; 0 = none was.
    pressure_at: u64,
    /// Whether the due trim is such a one, and how many of them in a row cost more than they gave.
    swapped: bool,
    losses: u32,
    /// Trims in a row that brought nothing because memory is locked, and until when the next one waits.
    locked: u32,
    locked_until: u64,
    /// Token bucket: time already spent beyond what has been earned, and when that was computed.
    spent: u64,
    refilled_at: u64,
    /// The same, which is earned [`COST`] times as fast, with the page faults after trims.
    spent_with_faults: u64,
    /// What the last trim gave back, in bytes.
    released: u64,
    /// What a trim took last time, in nanoseconds.
    took: u64,
    /// What collections for the due trim took, in nanoseconds; 0 = there was none.
    pause: u64,
    /// Since when the due trim waits for one; 0 = it does not.
    pause_since: u64,
    /// What the last one took, and from when on the next one is allowed although trims have spent the budget.
    last_pause: u64,
    /// See `last_pause`.
    pause_from: u64,
    /// Whether the last trim went without one for want of budget: quiet makes up for it.
    owes: bool,
    random: u64,
}

impl Policy {
    /// Decides what to do at a wait point. `rss` measures anonymous RSS in bytes; it is called at most
    /// once, and only when its answer matters. It may fail: then only counts and time decide.
    pub fn decide(&mut self, rules: &Rules, moment: Moment, rss: impl FnOnce() -> Option<u64>) -> Decision {
        let now = moment.now;
        if self.next_requests == 0 {
            self.random = now | 1;
            self.next_requests = self.after_interval(rules, 0);
        }
        self.refill(rules, now);
        if moment.requests != self.seen {
            self.seen = moment.requests;
            self.quiet_at = now.saturating_add(rules.idle);
            self.unmeasured = true;
        }
        self.find_asked(rules, moment);
        self.note_collection(rules, moment);
        self.find_due(rules, moment, rss);
        if self.due_since != 0 {
            return self.when_due(rules, moment);
        }
        rest_until(self.beginning_of_quiet(rules).min(self.end_of_period(rules)).min(self.pressure_begins()), now)
    }

    /// The same on a thread of our own, which looks after what needs no request: the rest is left to those who answer.
    pub fn decide_in_background(&mut self, rules: &Rules, moment: Moment) -> Decision {
        self.refill(rules, moment.now);
        self.find_asked(rules, moment);
        self.note_collection(rules, moment);
        if self.due_since != 0 {
            self.when_due(rules, moment)
        } else {
            rest_until(self.end_of_period(rules).min(self.pressure_begins()), moment.now)
        }
    }

    /// Whether a trim is due.
    pub const fn is_due(&self) -> bool {
        self.due_since != 0
    }

    /// A collection has come. A trim that gives back what it freed is due from then on.
    fn note_collection(&mut self, rules: &Rules, Moment { now, collected: took, .. }: Moment) {
        if took == 0 {
            return;
        }
        self.charge(took);
        self.pause = self.pause.saturating_add(took);
        self.last_pause = took;
        // Trims alone would leave nothing for the next one: two thirds of what both may take are its own.
        let share = whole(took.saturating_add(took / 2), rules.overhead);
        self.pause_from = now.saturating_add(share);
        if self.due_since == 0 {
            self.set_due(self.trigger, now);
        }
    }

    /// What the collection took that the due trim has waited for, in nanoseconds; 0 = there was none.
    pub const fn pause(&self) -> u64 {
        self.pause
    }

    /// Records a trim that ended now, when so many requests were answered.
    pub fn trimmed(&mut self, rules: &Rules, requests: u64, now: u64, effect: Trimmed) {
        self.refill(rules, now);
        self.note_patience(now, effect);
        let Trimmed { took, before, after, .. } = effect;
        self.took = took;
        // Of what has grown since the last trim, so much was here before it: had it been kept, there were no page faults.
        let (before, after) = (before.unwrap_or(0), after.unwrap_or(self.floor));
        let came_back = before.saturating_sub(self.floor).min(self.released);
        self.released = before.saturating_sub(after);
        self.floor = after;
        self.charge(took);
        self.spent_with_faults = self.spent_with_faults.saturating_add(came_back / BYTES_PER_NANOSECOND);
        self.next_requests = self.after_interval(rules, requests);
        self.due_since = 0;
        self.owes = self.pause == 0 && now < self.pause_from;
        if self.owes && matches!(self.trigger, Trigger::Idle) {
            self.quiet_at = self.pause_from;
        }
        self.pause = 0;
        self.pause_since = 0;
        self.period_at = now.saturating_add(rules.period);
        self.unmeasured = false;
        self.next_look = now.saturating_add(LOOK_EVERY);
    }

    /// After a trim: how long the next one waits that would bring as little.
    fn note_patience(&mut self, now: u64, effect: Trimmed) {
        self.locked = if effect.locked { self.locked.saturating_add(1) } else { 0 };
        self.locked_until = match self.locked.checked_sub(1) {
            None => 0,
            Some(doublings) => now.saturating_add(LOCKED_HOLD_OFF << doublings.min(MOST_DOUBLINGS)),
        };
        if matches!(self.trigger, Trigger::Pressure) {
            // What it read back in from swap is more than what it released.
            let lost = self.swapped && effect.after >= effect.before && effect.after.is_some();
            self.losses = if lost { self.losses.saturating_add(1) } else { 0 };
            self.pressure_from = now.saturating_add(PRESSURE_HOLD_OFF << self.losses.min(MOST_DOUBLINGS));
        }
        self.pressure_at = 0;
        self.swapped = false;
    }

    /// Other work of ours, by request or after a trim, took so long: the budget pays for it too.
    pub fn charge(&mut self, nanoseconds: u64) {
        self.spent = self.spent.saturating_add(nanoseconds);
        self.spent_with_faults = self.spent_with_faults.saturating_add(nanoseconds);
    }

    /// The request count that makes a trim due by itself: what a wait that cannot be cut in two goes by, because a
    /// watch for quiet is of no use to it.
    pub const fn next_count(&self, rules: &Rules) -> u64 {
        if rules.interval == 0 { u64::MAX } else { self.next_requests }
    }

    /// The request count and the time from which on [`Policy::decide`] has something to do at a wait point; before
    /// both, it need not be asked.
    pub fn next_possible(&self, rules: &Rules) -> (u64, u64) {
        // Each answer begins the watch for quiet anew.
        let activity = if rules.idle == 0 { u64::MAX } else { self.seen.saturating_add(1) };
        let requests = self.next_count(rules).min(activity);
        let quiet = self.beginning_of_quiet(rules);
        if self.due_since != 0 {
            return (requests, quiet.min(self.affordable_at));
        }
        let look = if rules.growth.is_on() { self.next_look } else { u64::MAX };
        (requests, look.min(quiet).min(self.end_of_period(rules)).min(self.pressure_begins()))
    }

    /// Sets `due_since` and `trigger` where the period is over, or something was asked for. What somebody asked for
    /// gives its name to a trim that was due already: whoever asked will look for it in the log.
    fn find_asked(&mut self, rules: &Rules, moment: Moment) {
        let now = moment.now;
        if rules.period != 0 && self.period_at == 0 {
            self.period_at = now.saturating_add(rules.period);
        }
        self.put_off(moment);
        if moment.asked.signal {
            self.set_asked(Trigger::Signal, now);
        } else if moment.asked.pressure && now >= self.pressure_from && !moment.swapped {
            self.set_asked(Trigger::Pressure, now);
        } else if now >= self.pressure_begins() {
            self.pressure_at = 0;
            self.swapped = true;
            self.set_asked(Trigger::Pressure, now);
        } else if self.due_since == 0 && now >= self.end_of_period(rules) {
            self.set_due(Trigger::Period, now);
        }
    }

    /// Much is swapped out: the trim for memory pressure is put off, by chance for another time in each process.
    fn put_off(&mut self, Moment { now, asked, swapped, .. }: Moment) {
        if asked.pressure && swapped && self.pressure_at == 0 && now >= self.pressure_from {
            self.random |= u64::from(self.random == 0) * now;
            self.pressure_at = now.saturating_add(self.next_random() % PRESSURE_SPREAD).max(1);
        }
    }

    /// When a trim begins that was put off; never where none was.
    fn pressure_begins(&self) -> u64 {
        if self.pressure_at == 0 { u64::MAX } else { self.pressure_at }
    }

    fn set_asked(&mut self, trigger: Trigger, now: u64) {
        if self.due_since == 0 {
            self.set_due(trigger, now);
        }
        self.trigger = trigger;
    }

    /// When the period ends; never where there is none.
    fn end_of_period(&self, rules: &Rules) -> u64 {
        if rules.period == 0 { u64::MAX } else { self.period_at }
    }

    /// Sets `due_since` and `trigger` when a trigger fires and none has yet.
    fn find_due(&mut self, rules: &Rules, moment: Moment, rss: impl FnOnce() -> Option<u64>) {
        let now = moment.now;
        let quiet = now >= self.beginning_of_quiet(rules);
        if self.due_since != 0 {
            if quiet && moment.in_flight == 0 && self.is_for_work() {
                // Nobody is about to take the memory back.
                self.trigger = Trigger::Idle;
            }
            return;
        }
        if rules.interval != 0 && moment.requests >= self.next_requests {
            return self.set_due(Trigger::Requests, now);
        }
        if quiet && moment.in_flight > 0 {
            // Someone waits for a long answer: that is no quiet yet, and no reason to look all the time.
            self.quiet_at = now.saturating_add(rules.idle);
            return;
        }
        let look = rules.growth.is_on() && self.unmeasured && now >= self.next_look;
        if !quiet && !look {
            return;
        }
        self.unmeasured = false;
        self.next_look = now.saturating_add(LOOK_EVERY);
        if quiet {
            self.quiet_at = 0;
        }
        if quiet && self.owes {
            if now >= self.pause_from {
                return self.set_due(Trigger::Idle, now);
            }
            self.quiet_at = self.pause_from;
        }
        let Some(rss) = rss() else { return };
        if self.floor == 0 || rss < self.floor {
            self.floor = rss;
        }
        if quiet && rss >= QUIET_GROWTH.limit(self.floor) {
            self.set_due(Trigger::Idle, now);
        } else if look && rss >= rules.growth.limit(self.floor) {
            self.set_due(Trigger::Growth, now);
        } else {
            self.counts.no_growth += 1;
        }
    }

    /// Whether the trim is due because of requests that were answered: others will follow.
    fn is_for_work(&self) -> bool {
        matches!(self.trigger, Trigger::Requests | Trigger::Growth)
    }

    /// When it will have been quiet for long enough; never where nobody waits for that.
    fn beginning_of_quiet(&self, rules: &Rules) -> u64 {
        if rules.idle != 0 && self.quiet_at != 0 { self.quiet_at } else { u64::MAX }
    }

    fn set_due(&mut self, trigger: Trigger, now: u64) {
        self.trigger = trigger;
        self.due_since = now;
        self.deferred = false;
    }

    /// A trim is due: is this the moment?
    fn when_due(&mut self, rules: &Rules, moment: Moment) -> Decision {
        // What a collection has freed is given back at once: it has paid for that.
        let wait = match self.pause {
            0 => self.until_affordable(rules, self.took).max(self.until_worth_it(rules)),
            _ => 0,
        };
        if wait > 0 {
            self.counts.skipped += u64::from(self.skipped_at != moment.requests);
            self.skipped_at = moment.requests;
            self.affordable_at = moment.now.saturating_add(wait);
            let quiet_at = if self.is_for_work() { self.beginning_of_quiet(rules) } else { u64::MAX };
            let until_quiet = quiet_at.saturating_sub(moment.now);
            return Decision::LookAgain(wait.min(until_quiet).max(MILLISECOND));
        }
        // Somebody who asks for one gets it.
        let patience = self.locked_until.saturating_sub(moment.now);
        if patience > 0 && !matches!(self.trigger, Trigger::Signal) {
            self.affordable_at = self.locked_until;
            return Decision::LookAgain(patience.max(MILLISECOND));
        }
        self.affordable_at = self.affordable_at.min(moment.now);
        let waited = moment.now.saturating_sub(self.due_since.max(self.affordable_at));
        if moment.in_flight > 0 && waited < rules.defer {
            self.counts.deferred += u64::from(!self.deferred);
            self.deferred = true;
            return Decision::LookAgain((rules.defer - waited).max(MILLISECOND));
        }
        self.collect_first(rules, moment).unwrap_or(Decision::Trim(self.trigger))
    }

    /// A trim may happen: is it to wait for a collection?
    fn collect_first(&mut self, rules: &Rules, Moment { now, collects, .. }: Moment) -> Option<Decision> {
        let both = self.last_pause.saturating_add(self.took);
        let affordable = now >= self.pause_from || self.until_affordable(rules, both) == 0;
        if !collects || self.pause != 0 || !affordable {
            return None;
        }
        if self.pause_since == 0 {
            self.pause_since = now;
        }
        let insist_at = self.due_since.saturating_add(rules.defer);
        // Where it is quiet no work will come, either.
        let from =
            if matches!(self.trigger, Trigger::Idle) { self.pause_since } else { insist_at.max(self.pause_since) };
        match from.saturating_add(COLLECTED_WITHIN).saturating_sub(now) {
            0 => None,
            wait => Some(Decision::Collect { insist_at, wait: wait.max(MILLISECOND) }),
        }
    }

    /// Nanoseconds until the budget allows once more what took so long last time. It must cover one and a half times that
    /// (trims vary, and the bound must hold), but never more than a full bucket.
    fn until_affordable(&self, rules: &Rules, took: u64) -> u64 {
        let price = took.saturating_add(took / 2).min(BURST);
        until_earned(self.spent.saturating_add(price), rules.overhead)
    }

    /// Nanoseconds until the page faults after the last trims are paid for. Who waits in quiet or under pressure, or asks
    /// for a trim, is not about to take the memory back.
    fn until_worth_it(&self, rules: &Rules) -> u64 {
        let spent = if self.is_for_work() { self.spent_with_faults } else { 0 };
        until_earned(spent, rules.overhead.saturating_mul(COST))
    }

    fn refill(&mut self, rules: &Rules, now: u64) {
        let elapsed = now.saturating_sub(self.refilled_at);
        // Rarely enough that rounding loses nothing.
        if elapsed >= MILLISECOND {
            let earned = part(elapsed, rules.overhead);
            self.spent = self.spent.saturating_sub(earned);
            self.spent_with_faults = self.spent_with_faults.saturating_sub(earned.saturating_mul(COST));
            self.refilled_at = now;
        }
    }

    /// The request count that makes the next trim due, `requests` being the count now.
    fn after_interval(&mut self, rules: &Rules, requests: u64) -> u64 {
        let jitter = match rules.jitter.checked_add(1) {
            Some(choices) => self.next_random() % choices.max(1),
            None => self.next_random(),
        };
        requests.saturating_add(rules.interval).saturating_add(jitter).max(1)
    }

    /// Xorshift (Marsaglia 2003): enough to keep workers from trimming together.
    fn next_random(&mut self) -> u64 {
        self.random ^= self.random << 13;
        self.random ^= self.random >> 7;
        self.random ^= self.random << 17;
        self.random
    }
}

/// Nanoseconds until what was spent is no more than a full bucket, which earns this share of the time; 0 = no limit.
fn until_earned(spent: u64, share: u64) -> u64 {
    whole(spent.saturating_sub(BURST), share)
}

/// This share of a whole, rounded down.
const fn part(whole: u64, share: u64) -> u64 {
    // In two steps, or a long time would overflow.
    (whole / 1_000).saturating_mul(share) / (100 * PERCENT / 1_000)
}

/// The whole that `part` is this share of; 0 where the share is.
fn whole(part: u64, share: u64) -> u64 {
    part.saturating_mul(100 * PERCENT).checked_div(share).unwrap_or(0)
}

/// Nothing is due before `then`; never where that is the end of time.
fn rest_until(then: u64, now: u64) -> Decision {
    match then {
        u64::MAX => Decision::Rest,
        then => Decision::LookAgain(then.saturating_sub(now).max(MILLISECOND)),
    }
}

#[cfg(test)]
#[path = "policy_tests.rs"]
mod tests;
