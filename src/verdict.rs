//! PURE: retention or a leak? Judged from the floors of the last trims against the requests answered.
//!
//! What a trim leaves, the floor, is what the program still holds. So a floor that stays says that growth between trims
//! was memory that nobody used (retention), and a floor that climbs with the requests says that somebody keeps something
//! (a leak). Memory is noisy, and a young process climbs for good reasons, so a leak is said only where all of this holds:
//!
//! - at least [`LEAST_TRIMS`] trims tell what they left;
//! - the floor climbs beyond chance: Mann and Kendall's test for a trend, at three standard deviations (one in 700);
//! - it climbs on: of Tukey's resistant line through the medians of three thirds, the later half climbs at no less than
//!   seven eighths of the earlier one's rate. A warm-up slows down;
//! - it has climbed far enough, and long enough, for what is no leak (see [`is_far`]).
//!
//! What cannot be told from outside: what will stop one day. Cyclic garbage of CPython that is old when it dies stays until a
//! full collection, a cache that fills at a steady rate until it is full; while they grow they look like a leak.
//!
//! This file names nothing of its crate: the command compiles it too. No allocation, no floating point; about 2,000
//! comparisons of integers at most.

use core::ops::Range;

/// Fewer trims tell nothing.
pub const LEAST_TRIMS: usize = 8;
/// The last so many trims are judged.
pub const MOST_TRIMS: usize = 64;

/// Requests over which a floor has to climb: a fresh worker loads modules and fills caches in its first ones.
const LEAST_REQUESTS: u64 = 2_048;
/// A floor that has tripled needs no such number, if it climbed by so much.
const ENORMOUS: u64 = 256 << 20;
/// A floor that moves less is flat: a few of the interpreter's own arenas.
const LEAST_CLIMB: u64 = 1 << 20;
/// What a trim must bring back to have been worth it.
const LEAST_RECLAIMED: u64 = 1 << 20;

/// One trim: requests answered before it, and anonymous RSS in bytes before and after; 0 = unknown.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Point {
    /// Requests answered since the process began.
    pub requests: u64,
    /// Anonymous RSS before the trim.
    pub before: u64,
    /// Anonymous RSS after it: the floor.
    pub after: u64,
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
}

/// Judges the last [`MOST_TRIMS`] trims, in the order in which they happened; those whose RSS is not known left out.
pub fn judge(points: &[Point]) -> Verdict {
    let all = points.get(points.len().saturating_sub(MOST_TRIMS)..).unwrap_or_default();
    let mut points = all;
    while let (Some(first), Some(last), LEAST_TRIMS..) = (points.first(), points.last(), points.len()) {
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
        if rate(middle, late) >= rate(early, middle) / 8 * 7 {
            let requests = last.requests.saturating_sub(first.requests);
            // What was as high before has come down since, and may do so again.
            let is_new = all.iter().rev().skip(third).all(|point| point.after <= late.after);
            if is_new && is_far(climb, early.after, requests, count) {
                return Verdict::Leak { bytes_per_request: rate(early, late) / SCALE, requests };
            }
            return Verdict::Unknown;
        }
        // A warm-up: what came after it?
        points = points.get(count / 2..).unwrap_or_default();
    }
    Verdict::Unknown
}

/// Whether a floor that climbed by `climb` from `floor` over so many `requests` and `trims` has left behind what is no
/// leak: by a quarter after eight trims, less the more of them agree, but by a sixteenth in any case.
fn is_far(climb: u64, floor: u64, requests: u64, trims: usize) -> bool {
    let share = (floor.saturating_mul(2) / (trims as u64).max(1)).max(floor / 16);
    (requests >= LEAST_REQUESTS && climb >= share.max(4 * LEAST_CLIMB))
        || climb >= floor.saturating_mul(2).max(ENORMOUS)
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
