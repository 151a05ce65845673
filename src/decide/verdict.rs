//! PURE: retention, fragmentation or a leak? Judged from what is live after the last trims, and from what they left of RSS, against
//! the requests answered.
//!
//! What a trim leaves consists of three parts: what is *live* (malloc has handed it out, or CPython's pools have), what is free but
//! *held*, because the rest of its page is in use, and what is *outside*: the heap of a runtime, a mapped cache, another allocator.
//! Live memory that climbs with the requests says that somebody keeps something (a leak). Memory outside that climbs may be a Java
//! heap or a buffer pool that fills: it is told as what it is ([`Verdict::Growth`]), and never as a leak. RSS that stays says that
//! growth between trims was memory that nobody used (retention), or that there was none.
//!
//! Memory is noisy, and a young process climbs for good reasons, so a leak is said only where all of this holds:
//!
//! - at least eight points are known;
//! - they climb beyond chance: Mann and Kendall's test for a trend, at three standard deviations (one in 700, if points were
//!   independent of each other);
//! - they climb on: of Tukey's resistant line through the medians of three thirds, the later half climbs at no less than
//!   three quarters of the earlier one's rate, and the last points at no less than a quarter of the whole's. A warm-up slows down, and a cache
//!   is full;
//! - they have never come down by a quarter of the climb: what did may do so again;
//! - they have climbed far enough, and long enough, for what is no leak ([`is_far`]);
//! - where garbage is collected, a collection on the way has left what was there ([`is_confirmed`]).
//!
//! What cannot be told from outside: what will stop one day, such as a cache that fills at a steady rate until it is full.
//! [`LEAST_REQUESTS`] is there for it.
//!
//! The command compiles this file too. No allocation, no floating point; about 8,000
//! comparisons of integers at most.

pub use super::trend::Point;
use super::trend::{Climb, Course, LEAST_CLIMB, Level, center, course, descent};

/// The last so many are judged.
pub const MOST: usize = 64;

/// Requests over which live memory has to climb: a cache of 20,000 entries is full by then, one for each request.
const LEAST_REQUESTS: u64 = 24 << 10;
/// Where each request keeps so much, that cache would have more than 300 MB.
const LARGE: u64 = 16 << 10;
/// So it takes only so many requests: in its first ones a fresh worker loads modules and fills caches, and CPython collects old cycles
/// when so many objects have come that even a small gunicorn application has answered 3,300 to 4,500 requests by then
/// (`tests/floors/*_cycles.txt`). Twice that.
const LEAST_REQUESTS_OF_LARGE: u64 = 8 << 10;
/// What has doubled needs no such number either, if it climbed by so much: nobody waits for that.
const ENORMOUS: u64 = 256 << 20;
/// Requests that make even that climb one with the requests.
const LEAST_REQUESTS_OF_ENORMOUS: u64 = 64;
/// What a trim must bring back to have been worth it.
const LEAST_RECLAIMED: u64 = 1 << 20;
/// Growth outside malloc, and free memory that is held, are worth a word from here on, and where they are a quarter of what there is.
const LEAST_TOLD: u64 = 16 << 20;

/// Trims within so many requests count as one, at first; unless RSS is so much higher that waiting would be too late.
const STEP: u64 = 256;
/// See [`STEP`].
const HIGH_STEP: u64 = 16 << 20;
/// Whenever there are [`MOST`] points, each two become one, and a step is twice as long, so often: then they span [`LEAST_REQUESTS`]
/// twice, however often a process trims.
const DOUBLINGS: u32 = 2;

/// Where a program keeps its objects, and whether garbage is among them until somebody collects it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Keeps {
    /// In malloc's memory, and what is freed is free.
    #[default]
    Malloc,
    /// There, too, and garbage is among them until it is collected: CPython.
    Garbage,
    /// In a heap of its runtime's own, of which nothing is known but what a collection and a trim leave: Node, Ruby.
    Heap,
}

impl Keeps {
    /// What climbs where something is kept; `None` = that is not known here.
    fn level(self, points: &[Point]) -> Option<Level> {
        let is_known = points.iter().all(|point| point.live != 0);
        match self {
            Keeps::Heap => Some(Point::used),
            _ if is_known => Some(|point| point.live),
            _ => None,
        }
    }
}

/// What the trims of one process left. All zeros = nothing yet.
#[derive(Clone, Copy, Debug)]
pub struct Floors {
    points: [Point; MOST],
    length: usize,
    /// How often a step was doubled.
    doublings: u32,
    /// What was live when a collection was asked for last.
    suspected: u64,
}

impl Floors {
    /// Nothing yet.
    #[cfg(test)]
    pub const fn new() -> Self {
        let point = Point { requests: 0, before: 0, after: 0, live: 0, held: 0, collected: false };
        Floors { points: [point; MOST], length: 0, doublings: 0, suspected: 0 }
    }

    /// Whether a trim that leaves so much after so many requests begins a point of its own: then what is live is worth asking for.
    pub fn begins(&self, requests: u64, after: u64) -> bool {
        self.points().last().is_none_or(|last| {
            requests.saturating_sub(last.requests) >= STEP << self.doublings
                || after.saturating_sub(last.after) >= HIGH_STEP
        })
    }

    /// Adds a trim. Left out are those whose RSS is not known (0), and those of a process that has answered nothing.
    pub fn add(&mut self, trim: Point) {
        if trim.requests.min(trim.before).min(trim.after) == 0 {
            return;
        }
        let begins = self.begins(trim.requests, trim.after);
        if let Some(last) = self.length.checked_sub(1).and_then(|last| self.points.get_mut(last))
            && !begins
        {
            return last.take_in(&trim);
        }
        if self.length == MOST {
            self.make_room();
        }
        if let Some(point) = self.points.get_mut(self.length) {
            *point = trim;
            self.length += 1;
        }
    }

    fn make_room(&mut self) {
        if self.doublings == DOUBLINGS {
            self.points.rotate_left(1);
            self.length -= 1;
            return;
        }
        for place in 0..MOST / 2 {
            if let [Some(mut first), Some(second)] =
                [2 * place, 2 * place + 1].map(|from| self.points.get(from).copied())
                && let Some(point) = self.points.get_mut(place)
            {
                first.take_in(&second);
                *point = first;
            }
        }
        self.length = MOST / 2;
        self.doublings += 1;
    }

    /// In the order in which they happened.
    pub fn points(&self) -> &[Point] {
        self.points.get(..self.length).unwrap_or_default()
    }

    /// What they say. Takes some microseconds.
    pub fn verdict(&self, keeps: Keeps) -> Verdict {
        judge(self.points(), keeps)
    }

    /// Whether a collection is to say if what climbs is garbage: early enough for the verdict, and again only when that has grown by a
    /// quarter since.
    pub fn suspect(&mut self, keeps: Keeps) -> bool {
        let suspected = suspects(self.points(), keeps);
        let is_new = suspected >= self.suspected.saturating_add(self.suspected / 4);
        if suspected != 0 && is_new {
            self.suspected = suspected;
        }
        suspected != 0 && is_new
    }
}

/// What the last trims say.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Verdict {
    /// Not enough to go by, or memory that climbs, but not as a leak does, or not yet for long enough.
    #[default]
    Unknown,
    /// RSS is flat, and trims find little.
    Stable,
    /// Memory grows between trims, and trims bring it back.
    Retention,
    /// What is live climbs.
    Leak {
        /// By so much per request.
        bytes_per_request: u64,
        /// Over so many requests.
        requests: u64,
    },
    /// RSS is flat, and much of it is free, but held by what is in use beside it: trims find little.
    Fragmented {
        /// So much.
        bytes: u64,
    },
    /// Memory outside malloc climbs: the heap of a runtime, a mapped cache, another allocator.
    Growth {
        /// By so much.
        bytes: u64,
    },
}

impl Verdict {
    /// All of them, each in the place of its number, with no figures.
    pub const ALL: [Verdict; 6] = [
        Verdict::Unknown,
        Verdict::Stable,
        Verdict::Retention,
        Verdict::Leak { bytes_per_request: 0, requests: 0 },
        Verdict::Fragmented { bytes: 0 },
        Verdict::Growth { bytes: 0 },
    ];

    /// The name in the log, in metrics and in the command.
    pub const fn name(self) -> &'static str {
        match self {
            Verdict::Unknown => "unknown",
            Verdict::Stable => "stable",
            Verdict::Retention => "retention",
            Verdict::Leak { .. } => "leak",
            Verdict::Fragmented { .. } => "fragmented",
            Verdict::Growth { .. } => "growth",
        }
    }

    /// The name of a number in the block of counters.
    pub fn name_of(number: u64) -> &'static str {
        let place = usize::try_from(number).unwrap_or(usize::MAX);
        Verdict::ALL.get(place).copied().unwrap_or_default().name()
    }

    /// The number in the block of counters.
    pub const fn number(self) -> u64 {
        match self {
            Verdict::Unknown => 0,
            Verdict::Stable => 1,
            Verdict::Retention => 2,
            Verdict::Leak { .. } => 3,
            Verdict::Fragmented { .. } => 4,
            Verdict::Growth { .. } => 5,
        }
    }

    /// Of a leak: bytes per request, and over how many requests.
    pub const fn leak(self) -> Option<(u64, u64)> {
        match self {
            Verdict::Leak { bytes_per_request, requests } => Some((bytes_per_request, requests)),
            _ => None,
        }
    }

    /// Of fragmentation and growth: how much that is.
    pub const fn bytes(self) -> Option<u64> {
        match self {
            Verdict::Fragmented { bytes } | Verdict::Growth { bytes } => Some(bytes),
            _ => None,
        }
    }
}

/// Judges the last [`MOST`] points, in the order in which they happened; those that are not known left out.
pub fn judge(points: &[Point], keeps: Keeps) -> Verdict {
    let points = last(points);
    if let Some(level) = keeps.level(points)
        && let Course::Climbs(climb) = course(points, level)
        && is_far(&climb, 4)
        && descent(points, level) <= climb.by / 4
        && is_confirmed(points, level, keeps, &climb, 1)
    {
        return Verdict::Leak { bytes_per_request: climb.bytes_per_request(), requests: climb.requests };
    }
    match course(points, |point| point.after) {
        Course::Unknown => Verdict::Unknown,
        Course::Flat(from) => flat(points.get(from..).unwrap_or_default()),
        // A heap that is full has grown nonetheless; one that was emptied is no larger.
        Course::Climbs(_) | Course::Ended(_) => match course(points, Point::outside) {
            Course::Climbs(Climb { by: bytes, from, .. }) | Course::Ended(Climb { by: bytes, from, .. })
                if bytes >= LEAST_TOLD.max(from / 4)
                    && points.last().is_some_and(|last| last.outside() >= from.saturating_add(bytes / 2)) =>
            {
                Verdict::Growth { bytes }
            }
            _ => Verdict::Unknown,
        },
    }
}

/// What is live, where that is half-way to a leak, and a collection has yet to say whether it is garbage, or soon has to again; else 0.
fn suspects(points: &[Point], keeps: Keeps) -> u64 {
    let points = last(points);
    match (keeps.level(points), points.last()) {
        (Some(level), Some(last)) if keeps != Keeps::Malloc => match course(points, level) {
            Course::Climbs(climb) if is_far(&climb, 2) && !is_confirmed(points, level, keeps, &climb, 3) => level(last),
            _ => 0,
        },
        _ => 0,
    }
}

fn last(points: &[Point]) -> &[Point] {
    points.get(points.len().saturating_sub(MOST)..).unwrap_or_default()
}

/// Points whose RSS is flat.
fn flat(points: &[Point]) -> Verdict {
    let count = (points.len() as u64).max(1);
    let floor = center(points, 0..points.len(), |point| point.after).level;
    let reclaimed = points.iter().fold(0u64, |sum, point| sum.saturating_add(point.reclaimed()));
    if reclaimed / count >= LEAST_RECLAIMED.max(floor / 64) {
        return Verdict::Retention;
    }
    let bytes = center(points, 0..points.len(), |point| point.held).level;
    if bytes >= LEAST_TOLD.max(floor / 4) { Verdict::Fragmented { bytes } } else { Verdict::Stable }
}

/// Whether what climbs is no garbage: nobody has to collect it, or a collection has left so many quarters of the climb.
fn is_confirmed(points: &[Point], level: Level, keeps: Keeps, climb: &Climb, quarters: u64) -> bool {
    let least = climb.from.saturating_add(climb.by / 4 * quarters);
    keeps == Keeps::Malloc || points.iter().any(|point| point.collected && level(point) >= least)
}

/// Whether a climb has left behind what is no leak: by a quarter after eight points, less the more of them agree, but by a sixteenth
/// in any case. Or most of the way there: by so many quarters of that.
fn is_far(climb: &Climb, quarters: u64) -> bool {
    let &Climb { from, by, requests, points, .. } = climb;
    let reaches = |what: u64, least: u64| what >= least / 4 * quarters;
    let share = (from.saturating_mul(2) / points.max(1)).max(from / 16).max(4 * LEAST_CLIMB);
    let is_large = climb.bytes_per_request() >= LARGE;
    let least = if is_large { LEAST_REQUESTS_OF_LARGE } else { LEAST_REQUESTS };
    reaches(requests, least) && reaches(by, share)
        || is_large && reaches(requests, LEAST_REQUESTS_OF_ENORMOUS) && reaches(by, from.max(ENORMOUS))
}

#[cfg(test)]
#[path = "verdict_tests.rs"]
mod tests;
