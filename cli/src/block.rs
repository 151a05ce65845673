//! The counters of one process, copied out of its memory: what the library exports as `autotrim_stats`.

use std::cmp::Ordering;
use std::mem::offset_of;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::Duration;

use nix::errno::Errno;
use serde::Serialize;

use crate::decide::rules::Trigger;
use crate::decide::skips::Skip;
use crate::decide::verdict::Verdict;
use crate::elf::Elf;
use crate::in_force::InForce;
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
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
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

/// The library's block beside the one that this command knows.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Age {
    /// It tells less.
    Older,
    /// It is the same.
    Same,
    /// It tells more.
    Newer,
}

/// A trim that is due and was not made yet.
#[derive(Clone, Copy, Debug, Serialize)]
pub struct Due {
    /// What asked for it.
    pub trigger: &'static str,
    /// For how long it has been due.
    pub for_seconds: f64,
    /// What it waits for, as in `skipped`; `None` = nothing that was seen.
    pub waits_for: Option<&'static str>,
}

/// When there is something to decide again. `None` = never, or not by this.
#[derive(Clone, Copy, Debug, Default, Serialize)]
pub struct Next {
    /// At so many requests.
    pub at_requests: Option<u64>,
    /// After so long, if bytes have come or gone by then.
    pub look_in_seconds: Option<f64>,
    /// After so long in any case.
    pub in_seconds: Option<f64>,
}

/// What the block tells beside its counters of what goes on; a library that is too old tells none of it.
#[derive(Clone, Debug)]
pub struct Now {
    /// How often each reason kept a trim from being made, or had something given up.
    pub skipped: Vec<(Skip, u64)>,
    /// Time spent on each layer, in the order of [`LAYERS`], but on the last: what Java takes is that of its collections.
    pub layers_time: [Duration; LAYERS.len() - 1],
    /// Anonymous RSS that growth is measured from.
    pub growth_from: Option<u64>,
    /// How long ago a thread came by that was about to wait, and how long ago it was decided last whether to trim.
    pub passed_ago: Option<Duration>,
    /// See `passed_ago`.
    pub decided_ago: Option<Duration>,
    pub due: Option<Due>,
    pub next: Next,
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
    /// How long ago the last one's trim was, and what the two brought; `None` = there was none, or the library is too old to tell.
    pub last_collection: Option<(Duration, u64)>,
    /// The least anonymous RSS that a trim has left; `None` = unknown.
    pub floor: Option<u64>,
    /// What was live in malloc and CPython's pools when the library asked last, and what was free there but held; `None` = unknown.
    pub live: Option<u64>,
    /// See `live`.
    pub free: Option<u64>,
    /// What goes on; `None` = the library is too old to tell.
    pub now: Option<Now>,
    /// What the library says of the last trims.
    pub verdict: &'static str,
    /// Of a leak: bytes per request, and over how many requests.
    pub leak: Option<(u64, u64)>,
    /// Of fragmentation, and of growth outside malloc: how much that is.
    pub verdict_bytes: Option<u64>,
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
    /// Where it tells what is in force, and the size of that; `None` = the library is too old.
    in_force: Option<(u64, usize)>,
}

impl Block {
    /// The block of the library that is mapped at `base` in process `pid`.
    pub fn find(pid: i32, base: u64) -> Result<Block, Unread> {
        let library = Elf::read(memory::Image { pid, base })?.ok_or(Unread::NoBlock)?;
        let at = library.address("autotrim_stats")?.ok_or(Unread::NoBlock)?;
        // As long as it has been from the first.
        let directory = memory::read(pid, at, offset_of!(Directory, in_force))?;
        let number = |field: usize| field_of::<4>(&directory, field).map(u32::from_ne_bytes);
        let address = |field: usize| field_of::<8>(&directory, field).map(u64::from_ne_bytes).ok_or(Unread::NoBlock);
        if field_of(&directory, offset_of!(Directory, magic)) != Some(MAGIC) {
            return Err(Unread::NoBlock);
        }
        match number(offset_of!(Directory, version)) {
            Some(VERSION) => {}
            Some(other) => return Err(Unread::OtherVersion(other)),
            None => return Err(Unread::NoBlock),
        }
        let mut block = Block {
            pid,
            size: number(offset_of!(Directory, size)).ok_or(Unread::NoBlock)? as usize,
            stats: address(offset_of!(Directory, stats))?,
            connections: address(offset_of!(Directory, connections))?,
            connections_end: address(offset_of!(Directory, connections_end))?,
            in_force: None,
        };
        if block.has(TELLS_MORE) {
            let place = |field: usize| memory::read_u64(pid, at.wrapping_add(field as u64));
            let size = place(offset_of!(Directory, in_force_size))?;
            block.in_force = Some((place(offset_of!(Directory, in_force))?, size as usize));
        }
        Ok(block)
    }

    /// What is in force; `None` where the library does not tell, or has not begun to.
    pub fn in_force(&self) -> Option<InForce> {
        let (at, size) = self.in_force?;
        InForce::read(self.pid, at, size)
    }

    /// Whether the library knows less than this command, or more.
    pub fn age(&self) -> Age {
        match self.size.cmp(&size_of::<Stats>()) {
            Ordering::Less => Age::Older,
            Ordering::Equal => Age::Same,
            Ordering::Greater => Age::Newer,
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
            last_collection: known(&stats.collected_at)
                .map(|time| (since(time), stats.collection_brought.load(Relaxed))),
            floor: known(&stats.floor),
            live: known(&stats.live_bytes),
            free: known(&stats.live_bytes).map(|_| stats.free_bytes.load(Relaxed)),
            now: self.has(TELLS_MORE).then(|| now_of(&stats, now)),
            verdict: Verdict::name_of(stats.verdict.load(Relaxed)),
            leak: known(&stats.leak_bytes_per_request).zip(Some(stats.leak_requests.load(Relaxed))),
            verdict_bytes: known(&stats.verdict_bytes),
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

/// How long the block is of a library that tells what is in force, and what goes on.
const TELLS_MORE: usize = offset_of!(Stats, next_time) + size_of::<AtomicU64>();

/// What goes on, as of `now`.
fn now_of(stats: &Stats, now: u64) -> Now {
    let load = |field: &AtomicU64| field.load(Relaxed);
    let ago = |time: &AtomicU64| known(time).map(|time| Duration::from_nanos(now.saturating_sub(time)));
    let [all, tops, pools] =
        [&stats.trim_time, &stats.tops_time, &stats.pools_time].map(|time| Duration::from_nanos(load(time)));
    let skip = |number: u64| Skip::ALL.into_iter().find(|skip| *skip as u64 == number);
    let due = load(&stats.due).checked_sub(1).and_then(|trigger| TRIGGERS.get(usize::try_from(trigger).ok()?));
    let later = |time: &AtomicU64| {
        let planned = Some(load(time)).filter(|&time| time != u64::MAX);
        planned.map(|time| Duration::from_nanos(time.saturating_sub(now)).as_secs_f64())
    };
    let decided_ago = ago(&stats.decided_at);
    Now {
        skipped: Skip::ALL.into_iter().map(|reason| (reason, stats.skipped(reason))).collect(),
        layers_time: [all.saturating_sub(tops), tops, pools],
        growth_from: known(&stats.growth_from),
        passed_ago: ago(&stats.passed_at),
        decided_ago,
        due: due.map(|trigger| Due {
            trigger: trigger.name(),
            for_seconds: ago(&stats.due_since).unwrap_or_default().as_secs_f64(),
            waits_for: skip(load(&stats.due_waits_for)).map(Skip::name),
        }),
        next: decided_ago.map_or(Next::default(), |_| Next {
            at_requests: Some(load(&stats.next_requests)).filter(|&requests| requests != u64::MAX),
            look_in_seconds: later(&stats.next_look),
            in_seconds: later(&stats.next_time),
        }),
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
