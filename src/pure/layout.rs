//! PURE: how the block of counters lies in memory: what the library writes and the command (`cli/`) reads.
//!
//! All zeros is the valid beginning: a forked child starts there.

use core::sync::atomic::{AtomicI32, AtomicI64, AtomicPtr, AtomicU8, AtomicU64, AtomicUsize};

use crate::decide::rules::Trigger;

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
    /// The first of one byte per descriptor, not zero for each connection that is followed.
    pub connections: &'static AtomicU8,
    /// How many of those bytes were ever used.
    pub connections_end: &'static AtomicUsize,
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
    /// Anonymous RSS right after the last trim that could measure it, or before the first request.
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
