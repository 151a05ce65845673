//! PURE: retention or a leak? Judged from what the last trims left against the requests answered.
//!
//! What a trim leaves, the floor, is what the program still holds. So a floor that stays says that growth between trims
//! was memory that nobody used (retention), and a floor that climbs with the requests says that somebody keeps something
//! (a leak). Memory is noisy, and a young process climbs for good reasons, so a leak is said only where all of this holds:
//!
//! - at least [`LEAST`] floors are known;
//! - they climb beyond chance: Mann and Kendall's test for a trend, at three standard deviations (one in 700, if floors were
//!   independent of each other);
//! - they climb on: of Tukey's resistant line through the medians of three thirds, the later half climbs at no less than
//!   three quarters of the earlier one's rate. A warm-up slows down;
//! - they have never come down by a quarter of the climb: what did may do so again;
//! - they have climbed far enough, and long enough, for what is no leak (see [`is_far`]).
//!
//! What cannot be told from outside: what will stop one day. Cyclic garbage of CPython that is old when it dies stays until a
//! full collection, a cache that fills at a steady rate until it is full. [`LEAST_REQUESTS`] is there for them.
//!
//! This file names nothing of its crate: the command compiles it too. No allocation, no floating point; about 2,000
//! comparisons of integers at most.

use core::ops::Range;

/// Fewer floors tell nothing.
pub const LEAST: usize = 8;
/// The last so many floors are judged.
pub const MOST: usize = 64;

/// Requests over which a floor has to climb. A fresh worker loads modules and fills caches in its first ones. And CPython
/// collects old cycles when so many objects have come that even a small gunicorn application has answered 3,300 to 4,100
/// requests by then (`tests/floors/*_cycles.txt`); what allocates more gets there sooner. Twice that.
const LEAST_REQUESTS: u64 = 8_192;
/// A floor that has doubled needs no such number, if it climbed by so much: nobody waits for that.
const ENORMOUS: u64 = 256 << 20;
/// Requests that make even that climb one with the requests.
const LEAST_REQUESTS_OF_ENORMOUS: u64 = 64;
/// A floor that moves less is flat: a few of the interpreter's own arenas.
const LEAST_CLIMB: u64 = 1 << 20;
/// What a trim must bring back to have been worth it.
const LEAST_RECLAIMED: u64 = 1 << 20;

/// Trims within so many requests count as one, so that [`MOST`] floors span [`LEAST_REQUESTS`] twice, however often a
/// process trims; unless the floor is so much higher that waiting would be too late.
const STEP: u64 = 256;
/// See [`STEP`].
const HIGH_STEP: u64 = 16 << 20;

/// One trim, or some that count as one.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Point {
    /// Requests answered since the process began.
    pub requests: u64,
    /// Anonymous RSS before the trim, in bytes.
    pub before: u64,
    /// Anonymous RSS after it: the floor.
    pub after: u64,
}

/// What the trims of one process left. All zeros = nothing yet.
#[derive(Clone, Copy, Debug)]
pub struct Floors {
    points: [Point; MOST],
    length: usize,
}

impl Floors {
    /// Nothing yet.
    #[cfg(test)]
    pub const fn new() -> Self {
        Floors { points: [Point { requests: 0, before: 0, after: 0 }; MOST], length: 0 }
    }

    /// Adds a trim. Left out are those whose RSS is not known (0), and those of a process that has answered nothing.
    pub fn add(&mut self, trim: Point) {
        if trim.requests.min(trim.before).min(trim.after) == 0 {
            return;
        }
        if let Some(last) = self.length.checked_sub(1).and_then(|last| self.points.get_mut(last))
            && trim.requests.saturating_sub(last.requests) < STEP
            && trim.after.saturating_sub(last.after) < HIGH_STEP
        {
            // The lowest floor is the truth: what a request in flight held is in the others.
            last.after = last.after.min(trim.after);
            last.before = last.before.max(trim.before);
            return;
        }
        if self.length == MOST {
            self.points.rotate_left(1);
            self.length -= 1;
        }
        if let Some(point) = self.points.get_mut(self.length) {
            *point = trim;
            self.length += 1;
        }
    }

    /// In the order in which they happened.
    pub fn points(&self) -> &[Point] {
        self.points.get(..self.length).unwrap_or_default()
    }

    /// What they say. Takes a few microseconds.
    pub fn verdict(&self) -> Verdict {
        judge(self.points())
    }
}

/// What the last trims say.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Verdict {
    /// Not enough to go by, or a floor that climbs, but not as a leak does, or not yet for long enough.
    #[default]
    Unknown,
    /// The floor is flat, and trims find little.
    Stable,
    /// Memory grows between trims, and trims bring it back.
    Retention,
    /// The floor itself climbs.
    Leak {
        /// By so much per request.
        bytes_per_request: u64,
        /// Over so many requests.
        requests: u64,
    },
}

impl Verdict {
    /// The name in the log, in metrics and in the command.
    pub const fn name(self) -> &'static str {
        match self {
            Verdict::Unknown => "unknown",
            Verdict::Stable => "stable",
            Verdict::Retention => "retention",
            Verdict::Leak { .. } => "leak",
        }
    }

    /// The name of a number in the block of counters.
    pub const fn name_of(number: u64) -> &'static str {
        match number {
            1 => Verdict::Stable.name(),
            2 => Verdict::Retention.name(),
            3 => Verdict::Leak { bytes_per_request: 0, requests: 0 }.name(),
            _ => Verdict::Unknown.name(),
        }
    }

    /// The number in the block of counters.
    pub const fn number(self) -> u64 {
        match self {
            Verdict::Unknown => 0,
            Verdict::Stable => 1,
            Verdict::Retention => 2,
            Verdict::Leak { .. } => 3,
        }
    }

    /// Of a leak: bytes per request, and over how many requests.
    pub const fn leak(self) -> Option<(u64, u64)> {
        match self {
            Verdict::Leak { bytes_per_request, requests } => Some((bytes_per_request, requests)),
            _ => None,
        }
    }
}

/// Judges the last [`MOST`] floors, in the order in which they happened; those that are not known left out.
pub fn judge(points: &[Point]) -> Verdict {
    let all = points.get(points.len().saturating_sub(MOST)..).unwrap_or_default();
    let mut points = all;
    while let (Some(first), Some(last), LEAST..) = (points.first(), points.last(), points.len()) {
        let count = points.len();
        let third = count.div_ceil(3);
        let [early, middle, late] =
            [0..third, third..count - third, count - third..count].map(|part| center(points, part));
        let climb = late.after.saturating_sub(early.after);
        if !climbs(points) || climb < LEAST_CLIMB.max(early.after / 64) {
            let reclaimed = points.iter().fold(0u64, |sum, point| sum.saturating_add(point.reclaimed()));
            let worth = LEAST_RECLAIMED.max(late.after / 64);
            return if reclaimed / count as u64 >= worth { Verdict::Retention } else { Verdict::Stable };
        }
        if rate(middle, late) >= rate(early, middle) / 4 * 3 {
            let requests = last.requests.saturating_sub(first.requests);
            if is_far(climb, early.after, requests, count) && descent(all) <= climb / 4 {
                return Verdict::Leak { bytes_per_request: rate(early, late) / SCALE, requests };
            }
            return Verdict::Unknown;
        }
        // A warm-up: what came after it?
        points = points.get(count / 2..).unwrap_or_default();
    }
    Verdict::Unknown
}

/// Whether a floor that climbed by `climb` from `floor` over so many `requests` and `points` has left behind what is no
/// leak: by a quarter after eight of them, less the more of them agree, but by a sixteenth in any case.
fn is_far(climb: u64, floor: u64, requests: u64, points: usize) -> bool {
    let share = (floor.saturating_mul(2) / (points as u64).max(1)).max(floor / 16);
    (requests >= LEAST_REQUESTS && climb >= share.max(4 * LEAST_CLIMB))
        || (requests >= LEAST_REQUESTS_OF_ENORMOUS && climb >= floor.max(ENORMOUS))
}

impl Point {
    fn reclaimed(&self) -> u64 {
        self.before.saturating_sub(self.after)
    }
}

/// Whether the floor climbs beyond chance: the number of pairs in which the later floor is higher, less those in
/// which it is lower, is more than three standard deviations above zero.
fn climbs(points: &[Point]) -> bool {
    let mut score = 0i64;
    let mut rest = points;
    while let [first, later @ ..] = rest {
        for point in later {
            score += i64::from(point.after > first.after) - i64::from(point.after < first.after);
        }
        rest = later;
    }
    let (score, n) = (score.max(0) as u64, points.len() as u64);
    // Its variance is n (n - 1) (2 n + 5) / 18.
    2 * score * score >= n * n.saturating_sub(1) * (2 * n + 5)
}

/// How far the floor has come down from where it was, at most. Medians of three, so that one point alone changes nothing.
fn descent(points: &[Point]) -> u64 {
    let mut highest = 0;
    let descents = points.windows(3).map(|three| {
        let [a, b, c] = [0, 1, 2].map(|n| three.get(n).map_or(0, |point| point.after));
        let median = a.min(b).max(a.max(b).min(c));
        highest = median.max(highest);
        highest - median
    });
    descents.max().unwrap_or(0)
}

/// The medians of some points' requests and floors.
#[inline(never)]
fn center(points: &[Point], part: Range<usize>) -> Point {
    let part = points.get(part).unwrap_or_default();
    let middle = part.len() / 2;
    let below = |floor: u64| part.iter().filter(|point| point.after < floor).count();
    let is_median = |point: &&Point| below(point.after) <= middle && middle < below(point.after.saturating_add(1));
    let floor = part.iter().find(is_median).copied().unwrap_or_default();
    Point { requests: part.get(middle).copied().unwrap_or_default().requests, ..floor }
}

/// Rates are whole numbers of 1/1024 bytes per request.
const SCALE: u64 = 1024;

/// How fast the floor climbs from one point to another; 0 where it does not.
#[inline(never)]
fn rate(from: Point, to: Point) -> u64 {
    let climb = to.after.saturating_sub(from.after);
    climb.saturating_mul(SCALE) / to.requests.saturating_sub(from.requests).max(1)
}

#[cfg(test)]
#[path = "verdict_tests.rs"]
mod tests;
