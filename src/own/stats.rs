//! What one process did so far: the block that another process can read (`process_vm_readv(2)`), found through the
//! exported symbol `autotrim_stats`.
//!
//! Every field is written by whoever holds the policy's lock, but the first three, which hooks change, `arenas`, `skips` and
//! `passed_at`.

use core::sync::atomic::{AtomicPtr, AtomicU64, Ordering::Relaxed, Ordering::Release, fence};

use crate::decide::due::Due;
use crate::decide::policy::Policy;
use crate::decide::rules::{Next, Trigger};
use crate::decide::skips::Skip;
use crate::decide::verdict::Verdict;
use crate::own::descriptors;
use crate::own::in_force::IN_FORCE;
use crate::own::waits::Point;
use crate::pure::layers;
use crate::pure::layout::{Directory, InForce, MAGIC, RING, VERSION};
use crate::pure::usage::Usage;

pub use crate::pure::layout::Stats;

/// What one trim did.
pub struct Outcome {
    /// What asked for it.
    pub trigger: Trigger,
    /// Where the thread was about to wait.
    pub point: Point,
    /// Requests answered, and in flight, when it began.
    pub requests: u64,
    /// Requests in flight when it began.
    pub in_flight: u64,
    /// Anonymous RSS in bytes, before and after; `None` where /proc cannot be read.
    pub before: Option<u64>,
    /// See `before`.
    pub after: Option<u64>,
    /// The same when malloc was asked: less than `before` where CPython's pools were released for this trim.
    pub rss: Option<u64>,
    /// How much of that the tops of glibc's secondary arenas gave, in bytes; `None` where they were not asked.
    pub tops: Option<u64>,
    /// What was in use after it; `None` where that is not known, or was not asked for.
    pub usage: Option<Usage>,
    /// How much of what it gave back an earlier one had given back before: the kernel had filled it with huge pages, in bytes.
    pub again: u64,
    /// How long the release took, in nanoseconds, and how much of that the tops took.
    pub took: u64,
    /// See `took`.
    pub tops_took: u64,
    /// What the budget pays for it: the CPU time of the thread, with that of the measurements, in nanoseconds.
    pub cost: u64,
    /// How long the garbage collection before it took, in nanoseconds; 0 = there was none.
    pub pause: u64,
    /// What was given back of CPython's pools since the last one, in bytes, and how long that took, in nanoseconds.
    pub pools: (u64, u64),
    /// What Java gave back of its heap in collections since the last one, in bytes.
    pub java: u64,
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
    connections: &descriptors::STATES[0],
    connections_end: &descriptors::END,
    in_force: &IN_FORCE,
    in_force_size: size_of::<InForce>() as u64,
};

impl Stats {
    /// Trims done, whatever asked for them.
    pub fn trims(&self) -> u64 {
        self.trims.iter().map(|trims| trims.load(Relaxed)).sum()
    }

    /// Requests in flight.
    pub fn in_flight(&self) -> u64 {
        self.in_flight.load(Relaxed).max(0) as u64
    }

    /// Records a trim that ended at `now`, and what the floors say after it. One thread at a time: with the policy's lock.
    pub fn trimmed(&self, outcome: &Outcome, policy: &Policy, verdict: Verdict, now: u64) {
        let trims = self.trims();
        self.changing(|| {
            let (before, after) = (outcome.before.unwrap_or(0), outcome.after.unwrap_or(0));
            if let Some(count) = self.trims.get(outcome.trigger as usize) {
                add(count, 1);
            }
            let layers = layers::split(outcome.rss, outcome.after, outcome.tops, outcome.pools.0, outcome.java);
            let layers = layers::once(layers, outcome.again);
            let [_, tops, pools, java] = layers;
            add(&self.reclaimed, layers.iter().sum());
            add(&self.reclaimed_tops, tops);
            add(&self.reclaimed_pools, pools);
            add(&self.reclaimed_java, java);
            add(&self.trim_time, outcome.took);
            add(&self.tops_time, outcome.tops_took);
            add(&self.pools_time, outcome.pools.1);
            self.longest_trim.fetch_max(outcome.took, Relaxed);
            if outcome.pause != 0 {
                add(&self.collections, 1);
                add(&self.collection_time, outcome.pause);
                self.collected_at.store(now, Relaxed);
                // What a collection frees may be gone before its trim looks: in quiet there was one just before.
                let most = before.max(self.after.load(Relaxed));
                self.collection_brought.store(outcome.after.map_or(0, |after| most.saturating_sub(after)), Relaxed);
            }
            self.before.store(before, Relaxed);
            self.after.store(after, Relaxed);
            self.store_decision(policy);
            self.verdict.store(verdict.number(), Relaxed);
            self.verdict_bytes.store(verdict.bytes().unwrap_or(0), Relaxed);
            if let Some(usage) = outcome.usage {
                self.live_bytes.store(usage.live, Relaxed);
                self.free_bytes.store(usage.held, Relaxed);
            }
            let (bytes_per_request, requests) = verdict.leak().unwrap_or_default();
            self.leak_bytes_per_request.store(bytes_per_request, Relaxed);
            self.leak_requests.store(requests, Relaxed);
            if let Some(record) = self.ring.get(trims as usize % RING) {
                record.time.store(now, Relaxed);
                record.requests.store(outcome.requests, Relaxed);
                record.before.store(before, Relaxed);
                record.after.store(after, Relaxed);
                record.took.store(outcome.took, Relaxed);
            }
            if let Some(told) = self.tops.get(trims as usize % RING) {
                told.store(tops, Relaxed);
            }
        });
    }

    /// A trim reaches so many arenas, which never become fewer; called by whichever thread made another one reachable.
    pub fn reaches(&self, arenas: u64) {
        self.arenas.fetch_max(arenas, Relaxed);
    }

    /// Records what a decision changed, and of one at a wait point what it says of the next. One thread at a time: with the policy's
    /// lock.
    pub fn decided(&self, policy: &Policy, next: Option<Next>) {
        self.changing(|| {
            self.store_decision(policy);
            if let Some(next) = next {
                self.next_requests.store(next.requests, Relaxed);
                self.next_look.store(next.look, Relaxed);
                self.next_time.store(next.time, Relaxed);
            }
        });
    }

    fn store_decision(&self, policy: &Policy) {
        let counts = &policy.counts;
        self.deferred.store(counts.deferred, Relaxed);
        self.skipped_overhead.store(counts.skipped, Relaxed);
        self.skipped_no_growth.store(counts.no_growth, Relaxed);
        for (reason, count) in [
            (Skip::NothingToGain, counts.in_vain),
            (Skip::Locked, counts.locked),
            (Skip::Long, counts.long),
            (Skip::Swapped, counts.swapped),
            (Skip::Recent, counts.recent),
        ] {
            if let Some(place) = self.skips.get(reason as usize) {
                place.store(count, Relaxed);
            }
        }
        self.floor.store(policy.low, Relaxed);
        self.growth_from.store(policy.least(), Relaxed);
        self.decided_at.store(policy.decided_at(), Relaxed);
        let due = policy.due();
        self.due.store(due.map_or(0, |due| 1 + due.trigger() as u64), Relaxed);
        self.due_since.store(due.map_or(0, Due::since), Relaxed);
        self.due_waits_for.store(due.map_or(0, |due| due.waits_for() as u64), Relaxed);
    }

    /// A trim was not made, or something was given up, for a reason that the policy does not count. From any thread.
    #[inline(never)]
    pub fn skip(&self, reason: Skip) {
        if let Some(place) = self.skips.get(reason as usize).filter(|_| reason != Skip::Nothing) {
            place.fetch_add(1, Relaxed);
        }
    }

    /// The same where that is so at each call: counted once.
    pub fn skip_for_good(&self, reason: Skip) {
        if self.skipped(reason) == 0 {
            self.skip(reason);
        }
    }

    /// A thread comes by that is about to wait, or to read. Not written each time: the clock of ticks stands still for a while.
    #[inline]
    pub fn passes(&self, now: u64) {
        if self.passed_at.load(Relaxed) != now {
            self.passed_at.store(now, Relaxed);
        }
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
