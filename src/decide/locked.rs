//! PURE: how long the next trim waits where trims bring nothing because memory is locked: twice as long after each, until it is not.

use super::{SECOND, soon};

/// How long it waits at first.
const FIRST: u64 = SECOND;
/// And at most two to the power of this times as long.
const MOST_DOUBLINGS: u32 = 8;

/// The trims of one process. All zeros = memory is not locked, as far as is known.
#[derive(Clone, Copy, Debug, Default)]
pub struct Locked {
    /// Trims in a row that brought nothing because of it.
    trims: u32,
    /// Until when the next one waits.
    until: u64,
}

impl Locked {
    /// A trim ended `now`, and brought nothing because memory is locked, or did not.
    pub fn trimmed(&mut self, now: u64, locked: bool) {
        self.trims = if locked { self.trims.saturating_add(1) } else { 0 };
        self.until = match self.trims.checked_sub(1) {
            None => 0,
            Some(doublings) => now.saturating_add(FIRST << doublings.min(MOST_DOUBLINGS)),
        };
    }

    /// Until when the next trim waits; long ago where it does not.
    pub const fn until(&self) -> u64 {
        self.until
    }

    /// The clock was set back to `now`.
    pub fn restart(&mut self, now: u64) {
        self.until = soon(self.until, now, FIRST);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_wait_is_twice_as_long_until_memory_is_not_locked() {
        let mut locked = Locked::default();
        let mut waits = |is_locked| {
            locked.trimmed(100 * SECOND, is_locked);
            locked.until().saturating_sub(100 * SECOND) / SECOND
        };
        assert_eq!([true; 11].map(&mut waits), [1, 2, 4, 8, 16, 32, 64, 128, 256, 256, 256]);
        assert_eq!([false, true].map(waits), [0, 1]);
    }

    #[test]
    fn a_clock_that_was_set_back_makes_nobody_wait_for_what_has_passed() {
        let mut locked = Locked::default();
        locked.trimmed(100 * SECOND, true);
        locked.restart(5 * SECOND);
        assert_eq!(locked.until(), 6 * SECOND);
    }
}
