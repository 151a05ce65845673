//! PURE: whether a garbage collection comes before a trim. It is much longer than a trim, and paid from the same budget.

use super::{MILLISECOND, SECOND, soon, whole};

/// How long a trim waits for the garbage collection that is to come before it, once any moment will do.
pub const COLLECTED_WITHIN: u64 = SECOND;

/// In more CPU time than this since a collection, new garbage may have been left.
const MUCH_WORK: u64 = 2 * MILLISECOND;

/// What collections of garbage took, in nanoseconds. All zeros = there was none.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Pause {
    /// For how long the program's threads may have waited, by the clock.
    pub took: u64,
    /// What it cost: CPU time. On a busy machine a pause is longer than that, and not by our doing.
    pub cost: u64,
}

impl Pause {
    /// Both.
    pub const fn and(self, other: Self) -> Self {
        Self { took: self.took.saturating_add(other.took), cost: self.cost.saturating_add(other.cost) }
    }
}

/// When garbage is collected.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Collects {
    /// Never.
    #[default]
    No,
    /// When it is quiet and a trim has left more than what the last collection did.
    InQuiet,
    /// Before each trim in quiet.
    BeforeQuiet,
    /// Before each trim.
    Always,
}

/// The collections of one process. All zeros = there was none.
#[derive(Clone, Copy, Debug, Default)]
pub struct Collection {
    /// When they come.
    collects: Collects,
    /// What those for the due trim took, in nanoseconds; 0 = there was none.
    took: u64,
    /// The process's CPU time then; and whether it has worked since, so that what the due trim leaves is not what they have.
    cpu: u64,
    worked: bool,
    /// Since when the due trim waits for one; 0 = it does not.
    since: u64,
    /// What the last one cost, and from when on the next one is allowed although trims have spent the budget.
    last: u64,
    from: u64,
    /// Whether quiet is to have one: the last trim went without for want of budget, or has left more than the last one did.
    owes: bool,
    /// A trim in quiet has waited for one in vain, and nothing has come or gone since.
    in_vain: bool,
    /// Something has come or gone while the due trim waited for one.
    interrupted: bool,
    /// Anonymous RSS after the trim that followed the last one, or with which the process began; 0 = unknown.
    left: u64,
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
    /// One ended now that took so long, when the process had used so much CPU time.
    pub fn came(&mut self, overhead: u64, now: u64, cpu: u64, Pause { took, cost }: Pause) {
        (self.cpu, self.worked) = (cpu, false);
        self.took = self.took.saturating_add(took);
        self.last = cost;
        // Trims alone would leave nothing for the next one: two thirds of what both may take are its own.
        self.from = now.saturating_add(whole(cost.saturating_add(cost / 2), overhead));
    }

    /// A process begins to serve with this anonymous RSS.
    pub fn begin(&mut self, rss: u64) {
        self.left = rss;
    }

    /// The process has used so much CPU time: work that came between a collection and its trim, such as a task that was there just then, may
    /// have left as much as the collection has freed.
    pub fn note_work(&mut self, cpu: u64) {
        self.worked |= self.took != 0 && cpu.saturating_sub(self.cpu) > MUCH_WORK;
    }

    /// When they come, as it is now.
    pub fn come(&mut self, collects: Collects) {
        self.collects = collects;
    }

    /// Something comes or goes: the next quiet is another, and this one's trim waits no longer for a collection.
    pub fn is_active(&mut self) {
        self.in_vain = false;
        self.interrupted = self.since != 0;
    }

    /// A trim in quiet leaves so much, where `limit` of what was left last is enough: may garbage be a part of that? Not if the trim
    /// has waited for a collection: it came, or it does not come.
    pub fn may_be_left(&self, after: u64, limit: impl FnOnce(u64) -> u64) -> bool {
        let has_waited = self.in_vain || !self.worked && (self.since != 0 || self.took != 0);
        self.collects == Collects::InQuiet && !has_waited && after >= limit(self.left)
    }

    /// Quiet begins with so much, where `limit` of what was left last is enough: whatever trims have brought lately, may one that comes
    /// with a collection bring more?
    pub fn may_bring(&self, rss: u64, limit: impl FnOnce(u64) -> u64) -> bool {
        matches!(self.collects, Collects::InQuiet | Collects::BeforeQuiet) && rss >= limit(self.left)
    }

    /// Whether the due trim waits for one.
    pub const fn is_waited_for(&self) -> bool {
        self.since != 0
    }

    /// What those for the due trim took, in nanoseconds; 0 = there was none.
    pub const fn took(&self) -> u64 {
        self.took
    }

    /// What the last one cost.
    pub const fn last(&self) -> u64 {
        self.last
    }

    /// A trim may happen that became due at `due_since`: is it to wait for a collection? `quiet`: no work will come, either.
    /// `affordable`: the budget has enough for both.
    pub fn wanted(&mut self, now: u64, due_since: u64, defer: u64, quiet: bool, affordable: bool) -> Option<Wanted> {
        let in_quiet = match self.collects {
            Collects::No => return None,
            Collects::InQuiet if !(quiet && self.owes) => return None,
            Collects::BeforeQuiet if !quiet || self.in_vain => return None,
            Collects::InQuiet | Collects::BeforeQuiet => true,
            Collects::Always => false,
        };
        if in_quiet && self.interrupted || self.took != 0 || !(affordable || now >= self.from) {
            return None;
        }
        if self.since == 0 {
            self.since = now;
        }
        // What is worth its while in quiet is not worth anybody's wait.
        let insist_at = if in_quiet { u64::MAX } else { due_since.saturating_add(defer) };
        let from = if quiet { self.since } else { insist_at.max(self.since) };
        let until = from.saturating_add(COLLECTED_WITHIN);
        (until > now).then_some(Wanted { insist_at, until })
    }

    /// A trim ended now, with or without one, and left so much (0 = unknown), `garbage` being perhaps a part of it. Returns when quiet
    /// is to have a collection, if it is.
    pub fn trimmed(&mut self, now: u64, left: u64, garbage: bool) -> Option<u64> {
        if self.took != 0 && left != 0 && !self.worked {
            self.left = left;
        }
        self.in_vain |= self.took == 0 && self.since != 0;
        self.owes = match self.collects {
            Collects::InQuiet => garbage,
            _ => self.worked || self.took == 0 && now < self.from,
        };
        (self.took, self.since) = (0, 0);
        (self.interrupted, self.worked) = (false, false);
        self.owes.then_some(self.from.max(now))
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
