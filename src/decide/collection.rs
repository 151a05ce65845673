//! PURE: whether a garbage collection comes before a trim. It is much longer than a trim, and paid from the same budget.

use super::{SECOND, soon, whole};

/// How long a trim waits for the garbage collection that is to come before it, once any moment will do.
pub const COLLECTED_WITHIN: u64 = SECOND;

/// The collections of one process. All zeros = there was none.
#[derive(Clone, Copy, Debug, Default)]
pub struct Collection {
    /// What those for the due trim took, in nanoseconds; 0 = there was none.
    took: u64,
    /// Since when the due trim waits for one; 0 = it does not.
    since: u64,
    /// What the last one took, and from when on the next one is allowed although trims have spent the budget.
    last: u64,
    from: u64,
    /// Whether the last trim went without one for want of budget: quiet makes up for it.
    owes: bool,
}

/// What the due trim waits for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Wanted {
    /// From then on any moment will do.
    pub insist_at: u64,
    /// Then the trim goes without.
    pub until: u64,
}

impl Collection {
    /// One ended now that took so long.
    pub fn came(&mut self, overhead: u64, now: u64, took: u64) {
        self.took = self.took.saturating_add(took);
        self.last = took;
        // Trims alone would leave nothing for the next one: two thirds of what both may take are its own.
        self.from = now.saturating_add(whole(took.saturating_add(took / 2), overhead));
    }

    /// What those for the due trim took, in nanoseconds; 0 = there was none.
    pub const fn took(&self) -> u64 {
        self.took
    }

    /// What the last one took.
    pub const fn last(&self) -> u64 {
        self.last
    }

    /// A trim may happen that became due at `due_since`: is it to wait for a collection? `quiet`: no work will come, either.
    /// `affordable`: the budget has enough for both.
    pub fn wanted(&mut self, now: u64, due_since: u64, defer: u64, quiet: bool, affordable: bool) -> Option<Wanted> {
        if self.took != 0 || !(affordable || now >= self.from) {
            return None;
        }
        if self.since == 0 {
            self.since = now;
        }
        let insist_at = due_since.saturating_add(defer);
        let from = if quiet { self.since } else { insist_at.max(self.since) };
        let until = from.saturating_add(COLLECTED_WITHIN);
        (until > now).then_some(Wanted { insist_at, until })
    }

    /// A trim ended now, with or without one. Returns when quiet is to make up for it, if it is.
    pub fn trimmed(&mut self, now: u64) -> Option<u64> {
        self.owes = self.took == 0 && now < self.from;
        (self.took, self.since) = (0, 0);
        self.owes.then_some(self.from)
    }

    /// In quiet: when the one that is owed can be paid; `None` = none is owed.
    pub fn owed(&self) -> Option<u64> {
        self.owes.then_some(self.from)
    }

    /// The clock was set back to `now`.
    pub fn restart(&mut self, now: u64) {
        self.since = soon(self.since, now, 0);
        self.from = soon(self.from, now, SECOND);
    }
}
