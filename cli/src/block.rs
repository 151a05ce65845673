//! The counters of one process, copied out of its memory: what the library exports as `autotrim_stats`.

use std::mem::offset_of;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::Duration;

use nix::errno::Errno;
use serde::Serialize;

use crate::decide::rules::Trigger;
use crate::decide::verdict::Verdict;
use crate::elf::Elf;
use crate::memory;
use crate::pure::layers::LAYERS;
use crate::pure::layout::{Directory, MAGIC, RING, Record, Stats, VERSION};

/// What asks for trims, in the order of the block's counters.
pub const TRIGGERS: [Trigger; Trigger::COUNT] =
    [Trigger::Requests, Trigger::Growth, Trigger::Idle, Trigger::Period, Trigger::Pressure, Trigger::Signal];

/// The library follows descriptors below this.
const MOST_DESCRIPTORS: u64 = 1 << 20;

/// How often a copy is tried: a writer is done within microseconds.
const TRIES: u32 = 100;

/// Why there are no counters.
#[derive(Debug, PartialEq, Eq)]
pub enum Unread {
    /// The kernel does not let us read that process's memory.
    NotPermitted,
    /// The process has ended.
    Gone,
    /// The library has done nothing in this process: it has served no connection yet, and not trimmed.
    NotBegun,
    /// The library is of a version whose block is laid out in another way.
    OtherVersion(u32),
    /// What is mapped there is not the library, or not readable as such.
    NoBlock,
}

impl From<Errno> for Unread {
    fn from(error: Errno) -> Self {
        match error {
            Errno::EPERM | Errno::EACCES => Self::NotPermitted,
            Errno::ESRCH => Self::Gone,
            _ => Self::NoBlock,
        }
    }
}

/// One trim, as the ring remembers it. Sizes are bytes of anonymous RSS.
#[derive(Clone, Copy, Debug, Serialize)]
pub struct Trim {
    /// Requests answered by then.
    pub requests: u64,
    /// Before it; `None` = not measured.
    pub before_bytes: Option<u64>,
    /// After it.
    pub after_bytes: Option<u64>,
    /// What the tops of glibc's secondary arenas gave of that; `None` = the library is too old to tell.
    pub tops_bytes: Option<u64>,
    /// How long it took.
    pub seconds: f64,
    /// How long ago it ended.
    pub ago_seconds: f64,
}

/// A consistent copy of the counters of one process.
#[derive(Clone, Debug)]
pub struct Counters {
    pub requests: u64,
    pub in_flight: u64,
    /// By trigger, in the order of [`TRIGGERS`].
    pub trims: [u64; Trigger::COUNT],
    pub reclaimed: u64,
    /// The same by layer, in the order of [`LAYERS`]; `None` = the library is too old to tell.
    pub layers: Option<[u64; LAYERS.len()]>,
    /// How many arenas of glibc's malloc a trim reaches to their tops; `None` = unknown.
    pub arenas: Option<u64>,
    pub trim_time: Duration,
    pub longest_trim: Duration,
    pub deferred: u64,
    pub skipped_overhead: u64,
    pub skipped_no_growth: u64,
    /// Garbage collections before trims.
    pub collections: u64,
    pub collection_time: Duration,
    /// Anonymous RSS right after the last trim, or before the first request; `None` = unknown.
    pub floor: Option<u64>,
    /// What the library says of the last trims.
    pub verdict: &'static str,
    /// Of a leak: bytes per request, and over how many requests.
    pub leak: Option<(u64, u64)>,
    /// Of fragmentation, and of growth outside malloc: how much that is.
    pub verdict_bytes: Option<u64>,
    /// What was live in malloc and CPython's pools when the library asked last, and what was free there but held; `None` = unknown.
    pub live: Option<u64>,
    /// See `live`.
    pub free_held: Option<u64>,
    /// The last trims, the oldest first.
    pub ring: Vec<Trim>,
}

/// Where the parts are in the other process.
#[derive(Clone, Copy, Debug)]
pub struct Block {
    pid: i32,
    size: usize,
    stats: u64,
    connections: u64,
    connections_end: u64,
}

impl Block {
    /// The block of the library that is mapped at `base` in process `pid`.
    pub fn find(pid: i32, base: u64) -> Result<Block, Unread> {
        let library = Elf::read(memory::Image { pid, base })?.ok_or(Unread::NoBlock)?;
        let at = library.address("autotrim_stats")?.ok_or(Unread::NoBlock)?;
        let directory = memory::read(pid, at, size_of::<Directory>())?;
        let number = |field: usize| field_of::<4>(&directory, field).map(u32::from_ne_bytes);
        let address = |field: usize| field_of::<8>(&directory, field).map(u64::from_ne_bytes).ok_or(Unread::NoBlock);
        if field_of(&directory, offset_of!(Directory, magic)) != Some(MAGIC) {
            return Err(Unread::NoBlock);
        }
        match number(offset_of!(Directory, version)) {
            Some(VERSION) => Ok(Block {
                pid,
                size: number(offset_of!(Directory, size)).ok_or(Unread::NoBlock)? as usize,
                stats: address(offset_of!(Directory, stats))?,
                connections: address(offset_of!(Directory, connections))?,
                connections_end: address(offset_of!(Directory, connections_end))?,
            }),
            Some(other) => Err(Unread::OtherVersion(other)),
            None => Err(Unread::NoBlock),
        }
    }

    /// The counters; `own_pid` is the process's id as it knows it itself, in its own pid namespace.
    pub fn counters(&self, own_pid: i32) -> Result<Counters, Unread> {
        let stats = self.copy()?;
        let trimmed = stats.trims.iter().any(|trims| trims.load(Relaxed) > 0);
        // A forked child that has done nothing shows its parent's place, and zeros; one that only listens, no beginning.
        if stats.pid.load(Relaxed) != own_pid || (stats.began.load(Relaxed) == 0 && !trimmed) {
            return Err(Unread::NotBegun);
        }
        let now = now();
        let since = |time: u64| Duration::from_nanos(now.saturating_sub(time));
        let nanoseconds = |time: &AtomicU64| Duration::from_nanos(time.load(Relaxed));
        let trims = stats.trims.each_ref().map(|trims| trims.load(Relaxed));
        let tells_tops = self.has(offset_of!(Stats, tops) + size_of::<[AtomicU64; RING]>());
        let trim = |record: &Record, tops: &AtomicU64| Trim {
            requests: record.requests.load(Relaxed),
            before_bytes: known(&record.before),
            after_bytes: known(&record.after),
            tops_bytes: tells_tops.then(|| tops.load(Relaxed)),
            seconds: nanoseconds(&record.took).as_secs_f64(),
            ago_seconds: since(record.time.load(Relaxed)).as_secs_f64(),
        };
        let done = trims.iter().fold(0u64, |sum, count| sum.wrapping_add(*count));
        let places = (done.saturating_sub(RING as u64)..done).map(|number| number as usize % RING);
        let ring = places.map(|place| trim(&stats.ring[place], &stats.tops[place]));
        let reclaimed = stats.reclaimed.load(Relaxed);
        let [tops, pools, java] = [&stats.reclaimed_tops, &stats.reclaimed_pools, &stats.reclaimed_java]
            .map(|reclaimed| reclaimed.load(Relaxed));
        let malloc = reclaimed.saturating_sub(tops).saturating_sub(pools).saturating_sub(java);
        Ok(Counters {
            requests: stats.requests.load(Relaxed),
            in_flight: stats.in_flight.load(Relaxed).max(0).unsigned_abs(),
            trims,
            reclaimed,
            layers: tells_tops.then_some([malloc, tops, pools, java]),
            arenas: known(&stats.arenas),
            trim_time: nanoseconds(&stats.trim_time),
            longest_trim: nanoseconds(&stats.longest_trim),
            deferred: stats.deferred.load(Relaxed),
            skipped_overhead: stats.skipped_overhead.load(Relaxed),
            skipped_no_growth: stats.skipped_no_growth.load(Relaxed),
            collections: stats.collections.load(Relaxed),
            collection_time: nanoseconds(&stats.collection_time),
            floor: known(&stats.floor),
            verdict: Verdict::name_of(stats.verdict.load(Relaxed)),
            leak: known(&stats.leak_bytes_per_request).zip(Some(stats.leak_requests.load(Relaxed))),
            verdict_bytes: known(&stats.verdict_bytes),
            live: known(&stats.live_bytes),
            free_held: known(&stats.live_bytes).map(|_| stats.free_bytes.load(Relaxed)),
            ring: ring.collect(),
        })
    }

    /// Whether the library's block is so large: fields at its end are those of newer versions.
    fn has(&self, length: usize) -> bool {
        self.size >= length
    }

    /// The descriptors that the library follows as connections.
    pub fn followed(&self) -> Result<Vec<i32>, Unread> {
        let end = memory::read_u64(self.pid, self.connections_end)?.min(MOST_DESCRIPTORS);
        let table = memory::read(self.pid, self.connections, end as usize)?;
        Ok((0..).zip(table).filter(|&(_, state)| state != 0).map(|(descriptor, _)| descriptor).collect())
    }

    /// A copy between two changes: the sequence number is even, and the same before and after.
    fn copy(&self) -> Result<Stats, Unread> {
        if self.stats == 0 {
            return Err(Unread::NotBegun);
        }
        let sequence = self.stats.wrapping_add(offset_of!(Stats, sequence) as u64);
        for _ in 0..TRIES {
            let before = memory::read_u64(self.pid, sequence)?;
            let stats = self.read_stats()?;
            if before % 2 == 0 && memory::read_u64(self.pid, sequence)? == before {
                return Ok(stats);
            }
            std::thread::sleep(Duration::from_millis(1));
        }
        Err(Unread::NoBlock)
    }

    fn read_stats(&self) -> Result<Stats, Unread> {
        // SAFETY: integers only (atomic ones): any bytes are a valid value, and so are zeros, which stand for what an
        // older library does not have.
        let mut stats: Stats = unsafe { std::mem::zeroed() };
        let length = self.size.min(size_of::<Stats>());
        // SAFETY: `stats` is valid for writing so many bytes and not shared.
        let bytes = unsafe { std::slice::from_raw_parts_mut((&raw mut stats).cast::<u8>(), length) };
        memory::read_into(self.pid, self.stats, bytes)?;
        Ok(stats)
    }
}

/// 0 = unknown.
fn known(bytes: &AtomicU64) -> Option<u64> {
    Some(bytes.load(Relaxed)).filter(|&bytes| bytes != 0)
}

fn field_of<const N: usize>(bytes: &[u8], offset: usize) -> Option<[u8; N]> {
    bytes.get(offset..)?.first_chunk().copied()
}

/// The clock of the block's times: CLOCK_MONOTONIC, in nanoseconds.
fn now() -> u64 {
    let mut time = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: `time` is valid for writing; CLOCK_MONOTONIC always exists.
    unsafe { libc::clock_gettime(libc::CLOCK_MONOTONIC, &mut time) };
    time.tv_sec.unsigned_abs() * 1_000_000_000 + time.tv_nsec.unsigned_abs()
}
