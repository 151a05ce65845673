//! PURE: what trims may cost. Two token buckets: one of the wall clock, for all trims and collections; and one of the CPU time that
//! the process itself uses, for trims between requests, which also pays for the page faults by which the program takes back what
//! was given back too early.

use super::{MILLISECOND, part, whole};

/// Capacity of the bucket of the wall clock: what may be spent in one burst.
pub const BURST: u64 = 100 * MILLISECOND;
/// The same of the bucket of CPU time.
pub const BURST_OF_WORK: u64 = 10 * MILLISECOND;
/// How many times `AUTOTRIM_OVERHEAD` of its own CPU time a process may spend on trims between requests, with their page faults.
/// glibc's own rule, whose place it takes under an interpreter lock, costs as much on the same servers (DESIGN.md, Defaults).
pub const COST: u64 = 2;
/// Or this part of `AUTOTRIM_OVERHEAD` of the wall clock, if that is more, so that one that does little is tidied, too.
pub const ALLOWANCE: u64 = 20;
/// Bytes that come back in a nanosecond of page faults: a page of 4 KiB in 1.4 µs (`scripts/bench-calls`, on a virtual machine).
pub const BYTES_PER_NANOSECOND: u64 = 3;

/// The buckets of one process. All zeros = full.
#[derive(Clone, Copy, Debug, Default)]
pub struct Budget {
    /// Time already spent beyond what has been earned.
    spent: u64,
    /// The same for trims between requests, with the page faults after them.
    spent_on_work: u64,
    /// When that was computed, and the process's CPU time then.
    at: u64,
    cpu: u64,
}

impl Budget {
    /// The time is `now`, and the process has used so much CPU time.
    pub fn refill(&mut self, overhead: u64, now: u64, cpu: u64) {
        // A clock that was set back earns nothing.
        let (elapsed, used) = (now.saturating_sub(self.at), cpu.saturating_sub(self.cpu));
        // Rarely enough that rounding loses nothing.
        if elapsed >= MILLISECOND || now < self.at {
            self.spent = self.spent.saturating_sub(part(elapsed, overhead));
            let earned = part(used, overhead.saturating_mul(COST)).max(part(elapsed, overhead) / ALLOWANCE);
            self.spent_on_work = self.spent_on_work.saturating_sub(earned);
            (self.at, self.cpu) = (now, cpu);
        }
    }

    /// Work of ours took so long.
    pub fn charge(&mut self, nanoseconds: u64) {
        self.spent = self.spent.saturating_add(nanoseconds);
        self.spent_on_work = self.spent_on_work.saturating_add(nanoseconds);
    }

    /// A garbage collection took so long.
    pub fn charge_collection(&mut self, nanoseconds: u64) {
        self.spent = self.spent.saturating_add(nanoseconds);
    }

    /// So many bytes that were given back have come back.
    pub fn charge_page_faults(&mut self, bytes: u64) {
        self.spent_on_work = self.spent_on_work.saturating_add(bytes / BYTES_PER_NANOSECOND);
    }

    /// Nanoseconds until there is enough for what took so long last time; 0 = there is. It must cover one and a half times that
    /// (trims vary, and the bound must hold), but never more than a full bucket.
    pub fn until_affordable(&self, overhead: u64, took: u64) -> u64 {
        let price = took.saturating_add(took / 2).min(BURST);
        whole(self.spent.saturating_add(price).saturating_sub(BURST), overhead)
    }

    /// The same for trims between requests, as far as the process goes on as it does: one that uses no CPU time at all earns its
    /// allowance only.
    pub fn until_worth_it(&self, overhead: u64) -> u64 {
        whole(self.spent_on_work.saturating_sub(BURST_OF_WORK), overhead.saturating_mul(COST))
    }
}
