//! PURE: how long a due trim waits for the release of CPython's free pools. It is about as long as a trim, and never worth a wait that
//! anybody notices.

use super::collection::{COLLECTED_WITHIN, Wanted};
use super::soon;

/// A release waits so many times as long as the last one took for a moment without work; then any will do.
pub const PATIENCE: u64 = 16;

/// What one release did.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Released {
    /// The CPU time that it took, in nanoseconds; 0 = there was none.
    pub took: u64,
    /// What it gave back, in bytes.
    pub bytes: u64,
    /// Anonymous RSS after it, in bytes; 0 = unknown.
    pub rss: u64,
}

/// The releases of one process. All zeros = there was none.
#[derive(Clone, Copy, Debug, Default)]
pub struct Pools {
    /// Since when the due trim waits for one; 0 = it does not.
    since: u64,
    /// Whether there was one for it, and RSS before that.
    came: bool,
    before: u64,
    /// What all gave back that no trim has told of, and what they took.
    untold: u64,
    untold_time: u64,
    /// What the last one took.
    last: u64,
}

impl Pools {
    /// There was one, `in_time` for the trim that is due.
    pub fn came(&mut self, released: Released, in_time: bool) {
        self.last = released.took;
        self.untold = self.untold.saturating_add(released.bytes);
        self.untold_time = self.untold_time.saturating_add(released.took);
        if in_time {
            self.came = true;
            self.before =
                if released.rss == 0 { 0 } else { self.before.max(released.rss.saturating_add(released.bytes)) };
        }
    }

    /// A trim may happen that became due at `due_since`: is it to wait for a release?
    pub fn wanted(&mut self, now: u64, due_since: u64, defer: u64) -> Option<Wanted> {
        if self.came {
            return None;
        }
        if self.since == 0 {
            self.since = now;
        }
        let insist_at = due_since.saturating_add(self.last.saturating_mul(PATIENCE).min(defer));
        let until = insist_at.max(self.since).saturating_add(COLLECTED_WITHIN);
        (until > now).then_some(Wanted { insist_at, until })
    }

    /// What the last one took, in nanoseconds.
    pub const fn last(&self) -> u64 {
        self.last
    }

    /// Anonymous RSS before what was given back for the due trim, in bytes; 0 = unknown, or that was nothing.
    pub const fn before(&self) -> u64 {
        self.before
    }

    /// What those gave back that no trim has told of, in bytes, and how long they took, in nanoseconds.
    pub const fn untold(&self) -> (u64, u64) {
        (self.untold, self.untold_time)
    }

    /// Whether there was one for the due trim.
    pub const fn has_come(&self) -> bool {
        self.came
    }

    /// A trim ended, which has told of all of them.
    pub fn trimmed(&mut self) {
        *self = Pools { last: self.last, ..Pools::default() };
    }

    /// The clock was set back to `now`.
    pub fn restart(&mut self, now: u64) {
        self.since = soon(self.since, now, 0);
    }
}
