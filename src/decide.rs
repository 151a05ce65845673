//! PURE: what to do, and when. Nothing here has a clock, a file or a lock of its own, or knows anything of the rest of the crate:
//! the caller brings the time, the counters and a way to measure RSS, and keeps the state.
//!
//! [`policy`] decides whether to trim now, and when to look again; [`budget`] what that may cost; [`patience`] how long the next try
//! waits after one that brought little, [`locked`] after one that brought nothing because memory is locked, [`due`] what one that is due
//! waits for. [`looks`] says when RSS is looked at while there is work, [`quiet`] watches over work that goes on in quiet, [`outside`] over
//! what is asked for from outside. [`collection`] says whether garbage is collected first, [`pools`] whether CPython's pools are released.
//! [`skips`] names the reasons why a trim is not made, [`faults`] tells whether what free(3) gives back by itself costs too much,
//! [`huge_pages`] notices where the kernel takes back what trims have given, and [`verdict`] whether growth is a leak, by the [`trend`] of
//! what trims leave.
//!
//! Times are nanoseconds of a monotonic clock that never reads zero; sizes are bytes. All arithmetic saturates: a checked
//! overflow here would abort someone's server.

// By path, because the command includes this file by its path.
#[path = "decide/budget.rs"]
pub mod budget;
#[path = "decide/collection.rs"]
pub mod collection;
#[path = "decide/due.rs"]
pub mod due;
#[path = "decide/faults.rs"]
pub mod faults;
#[path = "decide/huge_pages.rs"]
pub mod huge_pages;
#[path = "decide/locked.rs"]
pub mod locked;
#[path = "decide/looks.rs"]
pub mod looks;
#[path = "decide/outside.rs"]
pub mod outside;
#[path = "decide/patience.rs"]
pub mod patience;
#[path = "decide/policy.rs"]
pub mod policy;
#[path = "decide/pools.rs"]
pub mod pools;
#[path = "decide/quiet.rs"]
pub mod quiet;
#[path = "decide/rules.rs"]
pub mod rules;
#[path = "decide/skips.rs"]
pub mod skips;
#[path = "decide/trend.rs"]
pub mod trend;
#[path = "decide/verdict.rs"]
pub mod verdict;

/// One millisecond in nanoseconds.
pub const MILLISECOND: u64 = 1_000_000;
/// One second in nanoseconds.
pub const SECOND: u64 = 1_000 * MILLISECOND;
/// One percent: shares are millionths, so that a small fraction of a percent is none of zero.
pub const PERCENT: u64 = 10_000;

/// This share of a whole, rounded down.
const fn part(whole: u64, share: u64) -> u64 {
    // In two steps, or a long time would overflow.
    (whole / 1_000).saturating_mul(share) / (100 * PERCENT / 1_000)
}

/// The whole that `part` is this share of; 0 where the share is.
fn whole(part: u64, share: u64) -> u64 {
    part.saturating_mul(100 * PERCENT).checked_div(share).unwrap_or(0)
}

/// A time that was planned, on a clock that was set back to `now`: no later than so long from now.
fn soon(time: u64, now: u64, within: u64) -> u64 {
    time.min(now.saturating_add(within))
}

/// Xorshift (Marsaglia 2003): enough to keep workers from trimming together. All zeros = not yet begun.
#[derive(Clone, Copy, Debug, Default)]
pub struct Random(u64);

impl Random {
    /// The next number; the first one is by `now`.
    fn next(&mut self, now: u64) -> u64 {
        if self.0 == 0 {
            self.0 = now | 1;
        }
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0
    }
}
