//! What one process did so far: the block that another process can read (`process_vm_readv(2)`), found through the
//! exported symbol `autotrim_stats`.
//!
//! All zeros is the valid beginning: a forked child starts there. Every field is written by whoever holds the
//! policy's lock, but the first three, which hooks change.

use core::sync::atomic::{AtomicI32, AtomicI64, AtomicPtr, AtomicU8, AtomicU64, AtomicUsize};
use core::sync::atomic::{Ordering::Relaxed, Ordering::Release, fence};

use crate::descriptors;
use crate::policy::{Policy, Trigger};
use crate::trim::Outcome;

/// What `autotrim_stats` begins with.
pub const MAGIC: [u8; 8] = *b"autotrim";
/// Grows when the meaning or the place of a field changes; fields added at the end only change the size.
pub const VERSION: u32 = 1;
/// Trims that the ring remembers.
pub const RING: usize = 64;

/// What the exported symbol `autotrim_stats` refers to: where to find the rest.
#[repr(C)]
pub struct Directory {
    /// [`MAGIC`].
    pub magic: [u8; 8],
    /// [`VERSION`].
    pub version: u32,
    /// The size of [`Stats`] in bytes.
    pub size: u32,
    /// This process's block; null until it has accepted its first connection.
    pub stats: AtomicPtr<Stats>,
    /// One byte per descriptor, not zero for each connection that is followed.
    pub connections: &'static [AtomicU8; descriptors::LIMIT],
    /// How many of those bytes were ever used.
    pub connections_end: &'static AtomicUsize,
}

/// The way in for a reader from outside.
#[allow(non_upper_case_globals)]
#[allow(unsafe_code)] // SAFETY: no other object defines a symbol of this name.
#[cfg_attr(not(test), unsafe(no_mangle))]
pub static autotrim_stats: Directory = Directory {
    magic: MAGIC,
    version: VERSION,
    size: size_of::<Stats>() as u32,
    stats: AtomicPtr::new(core::ptr::null_mut()),
    connections: &descriptors::STATES,
    connections_end: &descriptors::END,
};

/// The counters of one process. Times are nanoseconds of CLOCK_MONOTONIC, sizes are bytes.
#[repr(C)]
pub struct Stats {
    /// The process that the block belongs to; 0 in a child that has done nothing yet.
    pub pid: AtomicI32,
    /// Requests answered.
    pub requests: AtomicU64,
    /// Connections pending. Two threads may be between a change of state and this one: below zero means 0.
    pub in_flight: AtomicI64,
    /// Odd while what follows is being changed, and another number after it: a reader that finds the same even
    /// number before and after has a consistent copy.
    pub sequence: AtomicU64,
    /// When the process received from its first connection.
    pub began: AtomicU64,
    /// Trims, by trigger in the order of [`Trigger`].
    pub trims: [AtomicU64; Trigger::COUNT],
    /// Anonymous RSS that trims gave back.
    pub reclaimed: AtomicU64,
    /// Time spent in trims: all of it, and the longest.
    pub trim_time: AtomicU64,
    /// See `trim_time`.
    pub longest_trim: AtomicU64,
    /// Due trims that waited because a request was in flight.
    pub deferred: AtomicU64,
    /// Due trims that waited because the overhead budget was spent.
    pub skipped_overhead: AtomicU64,
    /// Anonymous RSS before and after the last trim; 0 = unknown.
    pub before: AtomicU64,
    /// See `before`.
    pub after: AtomicU64,
    /// Anonymous RSS right after the last trim that could measure it, or before the first request.
    pub floor: AtomicU64,
    /// The last [`RING`] trims: trim number n (from 0) is in place n modulo [`RING`].
    pub ring: [Record; RING],
}

/// One trim.
#[repr(C)]
pub struct Record {
    /// When it ended.
    pub time: AtomicU64,
    /// Requests answered by then.
    pub requests: AtomicU64,
    /// Anonymous RSS before and after; 0 = unknown.
    pub before: AtomicU64,
    /// See `before`.
    pub after: AtomicU64,
    /// How long the release took.
    pub took: AtomicU64,
}

impl Stats {
    /// Trims done, whatever asked for them.
    pub fn trims(&self) -> u64 {
        self.trims.iter().map(|trims| trims.load(Relaxed)).sum()
    }

    /// Requests in flight.
    pub fn in_flight(&self) -> u64 {
        self.in_flight.load(Relaxed).max(0) as u64
    }

    /// Records a trim that ended at `now`. One thread at a time: with the policy's lock.
    pub fn trimmed(&self, outcome: &Outcome, policy: &Policy, now: u64) {
        let trims = self.trims();
        self.changing(|| {
            let (before, after) = (outcome.before.unwrap_or(0), outcome.after.unwrap_or(0));
            if let Some(count) = self.trims.get(outcome.trigger as usize) {
                add(count, 1);
            }
            if outcome.before.is_some() && outcome.after.is_some() {
                add(&self.reclaimed, before.saturating_sub(after));
            }
            add(&self.trim_time, outcome.took);
            self.longest_trim.fetch_max(outcome.took, Relaxed);
            self.deferred.store(policy.counts.deferred, Relaxed);
            self.skipped_overhead.store(policy.counts.skipped, Relaxed);
            self.before.store(before, Relaxed);
            self.after.store(after, Relaxed);
            self.floor.store(policy.floor, Relaxed);
            if let Some(record) = self.ring.get(trims as usize % RING) {
                record.time.store(now, Relaxed);
                record.requests.store(outcome.requests, Relaxed);
                record.before.store(before, Relaxed);
                record.after.store(after, Relaxed);
                record.took.store(outcome.took, Relaxed);
            }
        });
    }

    /// Runs `change` between an odd sequence number and the next even one.
    pub fn changing(&self, change: impl FnOnce()) {
        let sequence = self.sequence.load(Relaxed) | 1;
        self.sequence.store(sequence, Relaxed);
        fence(Release);
        change();
        self.sequence.store(sequence.wrapping_add(1), Release);
    }
}

/// Only one thread writes: no need for a locked instruction.
fn add(counter: &AtomicU64, more: u64) {
    counter.store(counter.load(Relaxed).wrapping_add(more), Relaxed);
}
