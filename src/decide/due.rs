//! PURE: a trim that is due, and what it waits for.
//!
//! First it is held, whatever the moment: by the budget, by locked memory, for quiet. Then it waits for its moment: for the answers that are in flight,
//! for whoever waits for this thread, for CPython; until it is overdue.

use super::rules::{Next, Trigger};
use super::skips::Skip;
use super::soon;

/// How long a trim is put off that found somebody waiting.
const SOMEBODY_WAITS: u64 = super::MILLISECOND;

/// The one trim that may be due. All zeros = none is.
#[derive(Clone, Copy, Debug, Default)]
pub struct Due {
    /// When it became due; 0 = none is.
    since: u64,
    trigger: Trigger,
    /// Until when it is known that it will not be made, but for quiet or for its moment.
    until: u64,
    /// Whether it is its moment that it waits for.
    awaits_moment: bool,
    /// When another moment is looked for, where bytes have come or gone since.
    from: u64,
    /// Or the request count that may bring one; 0 = that is not what it waits for.
    requests: u64,
    /// Whether it has waited for a moment yet.
    deferred: bool,
    /// Why it was not made when it was looked at last.
    waits_for: Skip,
}

impl Due {
    /// Whether a trim is due.
    pub const fn is_on(&self) -> bool {
        self.since != 0
    }

    /// What the trim is for, or the last one was.
    pub const fn trigger(&self) -> Trigger {
        self.trigger
    }

    /// Since when it is due, and has been held by nothing but the moment.
    pub const fn since(&self) -> u64 {
        self.since
    }

    /// Why it was not made when it was looked at last.
    pub const fn waits_for(&self) -> Skip {
        self.waits_for
    }

    /// Until when it is held, or waits for its moment; 0 = it is not known to wait.
    pub const fn until(&self) -> u64 {
        self.until
    }

    /// A trim is due from now on.
    pub fn begin(&mut self, trigger: Trigger, now: u64) {
        *self = Due { since: now, trigger, ..Due::default() };
    }

    /// It has been made.
    pub fn end(&mut self) {
        *self = Due { trigger: self.trigger, ..Due::default() };
    }

    /// It is for something else now, and waits until then at the most: that is not kept waiting for what the first was to wait for.
    pub fn becomes(&mut self, trigger: Trigger, latest: u64) {
        self.trigger = trigger;
        self.until = self.until.min(latest);
    }

    /// What it waited for has come.
    pub fn go(&mut self) {
        self.until = 0;
    }

    /// It is held until then, whatever the moment. Returns whether it was not, for this reason, when it was looked at last.
    pub fn hold(&mut self, until: u64, reason: Skip) -> bool {
        self.awaits_moment = false;
        self.until = until;
        core::mem::replace(&mut self.waits_for, reason) != reason
    }

    /// Its moment has come, and something was in the way that nothing here knows of.
    pub fn obstructed(&mut self, reason: Skip) {
        self.waits_for = reason;
    }

    /// It is held no more, and waits for its moment from here on, if it did not before.
    pub fn let_go(&mut self, now: u64) {
        if !self.awaits_moment {
            self.since = self.since.max(self.until.min(now));
        }
    }

    /// It waits for the next answer, until then at the most. Returns whether that is the first moment that it waits for.
    pub fn wait_for_answer(&mut self, answered: u64, until: u64) -> bool {
        self.wait(0, answered.saturating_add(1), until);
        self.waits_for = Skip::InFlight;
        !core::mem::replace(&mut self.deferred, true)
    }

    /// It waits for somebody who waits for this thread. Returns the same.
    pub fn wait_for_somebody(&mut self, now: u64) -> bool {
        let from = now.saturating_add(SOMEBODY_WAITS);
        self.wait(from, 0, from);
        self.waits_for = Skip::InFlight;
        !core::mem::replace(&mut self.deferred, true)
    }

    /// It waits for CPython, until then at the most: any moment may bring that.
    pub fn wait_for_interpreter(&mut self, until: u64) {
        self.wait(0, 0, until);
        self.waits_for = Skip::Collection;
    }

    fn wait(&mut self, from: u64, requests: u64, until: u64) {
        (self.awaits_moment, self.from, self.requests, self.until) = (true, from, requests, until);
    }

    /// When there is something to decide again. `quiet`: when quiet begins; `None` = nobody waits for that.
    pub fn next(&self, quiet: Option<u64>) -> Next {
        let for_work = self.trigger.is_for_work();
        let quiet_at = quiet.filter(|_| for_work).unwrap_or(u64::MAX);
        match self.awaits_moment {
            true if self.requests != 0 => {
                Next { requests: self.requests, time: self.until.min(quiet_at), ..Next::NEVER }
            }
            true => Next { look: self.from, time: self.until.min(quiet_at), ..Next::NEVER },
            // Where there is no work meanwhile, it is for quiet.
            false if for_work && quiet.is_some() => Next { look: self.until, time: quiet_at, ..Next::NEVER },
            false => Next { time: self.until, ..Next::NEVER },
        }
    }

    /// The clock was set back to `now`.
    pub fn restart(&mut self, now: u64) {
        self.since = soon(self.since, now, 0);
        self.until = soon(self.until, now, super::SECOND);
    }
}
