//! PURE: how the block of counters lies in memory: what the library writes and the command (`cli/`) reads.
//!
//! All zeros is the valid beginning: a forked child starts there.

use core::sync::atomic::Ordering::Relaxed;
use core::sync::atomic::{AtomicI32, AtomicI64, AtomicPtr, AtomicU8, AtomicU32, AtomicU64, AtomicUsize};

use crate::decide::rules::Trigger;
use crate::decide::skips::Skip;

/// What `autotrim_stats` begins with.
pub const MAGIC: [u8; 8] = *b"autotrim";
/// Grows when the meaning or the place of a field changes; fields added at the end only change the size.
pub const VERSION: u32 = 1;
/// Trims that the ring remembers.
pub const RING: usize = 64;
/// Places for reasons: more than there are, so that new ones move nothing.
pub const SKIPS: usize = 40;
/// Bytes of [`InForce::options`].
pub const OPTIONS: usize = 2048;

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
    /// The first of one byte per descriptor, not zero for each connection that is followed.
    pub connections: &'static AtomicU8,
    /// How many of those bytes were ever used.
    pub connections_end: &'static AtomicUsize,
    /// What is in force. This and what follows is there where `size` reaches to the end of [`Stats::skips`].
    pub in_force: &'static InForce,
    /// The size of [`InForce`] in bytes.
    pub in_force_size: u64,
}

/// What is in force in a program, and in what it forks: written when it starts.
#[repr(C)]
pub struct InForce {
    /// The number of a [`State`].
    pub state: AtomicU32,
    /// The number of a [`Handler`].
    pub handler: AtomicU32,
    /// Interpreters that the program has: bit 0 CPython, 1 Node, 2 Ruby, 3 Java.
    pub runtimes: AtomicU32,
    /// `M_ARENA_MAX` in a process that serves; 0 = glibc's own rule.
    pub arenas: AtomicU32,
    /// The library's version, and zeros; so in the next two.
    pub version: [AtomicU8; 16],
    /// Whose malloc it is, such as `glibc-2.36`, or why its memory cannot be released.
    pub allocator: [AtomicU8; 48],
    /// The options as an environment that reads as them: `AUTOTRIM_GROWTH=4M,5%`, each with a zero byte behind it. First the
    /// values that are in force; behind one more zero byte what does not parse, as it was set, and the names of variables that
    /// are no options. What does not fit is left out.
    pub options: [AtomicU8; OPTIONS],
}

/// Whether the library acts in a program.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u32)]
pub enum State {
    /// It has not started.
    Unknown,
    /// It does.
    Active,
    /// It was told to do nothing: by `AUTOTRIM_DISABLE`, `AUTOTRIM_PROGRAMS`, or no trigger is on.
    LeftAlone,
    /// The program has gained privileges by being executed: nothing is read, nothing is done.
    Secure,
    /// There is no way to release this allocator's memory.
    NoAllocator,
    /// The process has restricted its own system calls.
    Retired,
}

/// Whose the handler of `AUTOTRIM_SIGNAL` is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u32)]
pub enum Handler {
    /// Nobody has asked for one.
    Unasked,
    /// Ours.
    Ours,
    /// The signal was ignored, or had a handler, when the program started.
    Taken,
    /// The program has put another in the place of ours.
    Replaced,
}

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
    /// What trims gave back: anonymous RSS, and what was released of CPython's pools for them and between them.
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
    /// The least anonymous RSS that a trim has left, or that is believed to be needed by now; 0 = unknown.
    pub floor: AtomicU64,
    /// The last [`RING`] trims: trim number n (from 0) is in place n modulo [`RING`].
    pub ring: [Record; RING],
    /// Looks at RSS, in quiet moments too, that found too little growth for a trim.
    pub skipped_no_growth: AtomicU64,
    /// What the floors say so far: the number of a `Verdict`; 0 = unknown, 1 = stable, 2 = retention, 3 = leak,
    /// 4 = fragmented, 5 = growth outside malloc.
    pub verdict: AtomicU64,
    /// At a leak: how fast the floor climbs, and over how many requests it did; else 0.
    pub leak_bytes_per_request: AtomicU64,
    /// See `leak_bytes_per_request`.
    pub leak_requests: AtomicU64,
    /// Garbage collections before trims, and the time spent in them.
    pub collections: AtomicU64,
    /// See `collections`.
    pub collection_time: AtomicU64,
    /// Of `reclaimed`, what the tops of glibc's secondary arenas gave, and what CPython's pools did.
    pub reclaimed_tops: AtomicU64,
    /// See `reclaimed_tops`.
    pub reclaimed_pools: AtomicU64,
    /// How many arenas of glibc's malloc a trim reaches to their tops; 0 = unknown, or another malloc.
    pub arenas: AtomicU64,
    /// What the tops gave in each of the trims of `ring`.
    pub tops: [AtomicU64; RING],
    /// Of `reclaimed`, what Java gave back of its heap in collections.
    pub reclaimed_java: AtomicU64,
    /// When that was asked for last, right after a trim: what was live in malloc and CPython's pools; 0 = unknown.
    pub live_bytes: AtomicU64,
    /// The same: what was free there, but held by what was in use beside it.
    pub free_bytes: AtomicU64,
    /// Of fragmentation or growth: how much that is; else 0.
    pub verdict_bytes: AtomicU64,
    /// Why trims were not made, and what was given up: by the numbers of [`Skip`]. See [`Stats::skipped`].
    pub skips: [AtomicU64; SKIPS],
    /// Of `trim_time`, what the tops took; and the CPU time that was spent on CPython's pools, which is no part of that.
    pub tops_time: AtomicU64,
    /// See `tops_time`.
    pub pools_time: AtomicU64,
    /// Anonymous RSS that growth is measured from; 0 = unknown.
    pub growth_from: AtomicU64,
    /// When a thread that was about to wait, or to read, came by last, with something that might be looked at.
    pub passed_at: AtomicU64,
    /// When it was decided last whether to trim.
    pub decided_at: AtomicU64,
    /// The due trim: 1 + the number of its [`Trigger`], 0 = none is due; since when, and the number of the [`Skip`] that it waits for.
    pub due: AtomicU64,
    /// See `due`.
    pub due_since: AtomicU64,
    /// See `due`.
    pub due_waits_for: AtomicU64,
    /// When that decision said to look again: at so many requests; at this time, if bytes have come or gone since; at this
    /// time in any case. The largest number = never.
    pub next_requests: AtomicU64,
    /// See `next_requests`.
    pub next_look: AtomicU64,
    /// See `next_requests`.
    pub next_time: AtomicU64,
    /// When the trim after the last garbage collection was made, and by how much the two lowered what the trim before had left; 0 = there was none.
    pub collected_at: AtomicU64,
    /// See `collected_at`.
    pub collection_brought: AtomicU64,
}

impl Stats {
    /// How often this was the reason.
    pub fn skipped(&self, reason: Skip) -> u64 {
        // These had places of their own before there was a list.
        let count = match reason {
            Skip::InFlight => Some(&self.deferred),
            Skip::Overhead => Some(&self.skipped_overhead),
            Skip::NoGrowth => Some(&self.skipped_no_growth),
            _ => self.skips.get(reason as usize),
        };
        count.map_or(0, |count| count.load(Relaxed))
    }
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn there_is_a_place_for_each_reason() {
        assert!(Skip::ALL.iter().all(|reason| (*reason as usize) < SKIPS));
    }
}
