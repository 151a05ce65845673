//! PURE: how long the next try waits. A trim is the only way to know what there is to gain; one that brought little is followed by
//! another after twice as long, from one second to five minutes, until it is believed that there is nothing.

use super::{MILLISECOND, SECOND};

/// How long the next try waits after the first that brought little.
const FIRST: u64 = SECOND;
/// The longest.
const LONGEST: u64 = 300 * SECOND;
/// After so many in a row that brought little nothing more is expected: thirteen minutes.
const MOST: u32 = 10;
/// A first try that took longer than this is followed by the second that many times later.
const SHORT: u64 = 20 * MILLISECOND;
/// Where work has just ended, a try comes before its time; but not before this part of the wait.
const EARLY: u64 = 16;

/// The tries of one process. All zeros = none was in vain.
#[derive(Clone, Copy, Debug, Default)]
pub struct Patience {
    /// Tries in a row that brought little.
    tries: u32,
    /// When the last one ended, and how long the next one waits.
    last: u64,
    wait: u64,
}

impl Patience {
    /// A try that took so long and ended `now` brought little.
    pub fn in_vain(&mut self, now: u64, took: u64) {
        let first = FIRST.saturating_mul((took / SHORT).max(1));
        let wait = if self.tries == 0 { first } else { self.wait.saturating_mul(2) };
        *self = Patience { tries: self.tries.saturating_add(1), last: now, wait: wait.min(LONGEST) };
    }

    /// There is a new reason to expect something.
    pub fn reset(&mut self) {
        *self = Patience::default();
    }

    /// The clock was set back to `now`: what has been waited is lost.
    pub fn restart(&mut self, now: u64) {
        self.last = self.last.min(now);
    }

    /// Whether nothing more is expected.
    pub fn is_over(&self) -> bool {
        self.tries >= MOST
    }

    /// When the next try is; long ago where none was in vain.
    pub fn until(&self) -> u64 {
        self.last.saturating_add(self.wait)
    }

    /// The same where work has just ended.
    pub fn until_after_work(&self) -> u64 {
        self.last.saturating_add(self.grain())
    }

    /// How exactly it matters when something happens, of so long a wait.
    pub fn grain(&self) -> u64 {
        self.wait / EARLY
    }
}
