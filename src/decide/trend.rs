//! PURE: whether a level that was read after each of some trims is flat, or climbs on. What it is a level of is the caller's:
//! RSS, what is live, what is outside malloc.
//!
//! A climb is one beyond chance, by Mann and Kendall's test for a trend, that goes on: of Tukey's resistant line through the medians
//! of three thirds the later half climbs at no less than three quarters of the earlier one's rate, and its last points at no less than a
//! quarter of the whole's.

use core::ops::Range;

/// Fewer points tell nothing.
pub const LEAST: usize = 8;
/// What moves less is flat: a few of the interpreter's own arenas.
pub const LEAST_CLIMB: u64 = 1 << 20;

/// One trim, or some that count as one. Sizes are bytes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Point {
    /// Requests answered since the process began.
    pub requests: u64,
    /// Anonymous RSS before the trim.
    pub before: u64,
    /// Anonymous RSS after it: the floor.
    pub after: u64,
    /// What was live then; 0 = unknown.
    pub live: u64,
    /// What was free, but is held by what is in use beside it.
    pub held: u64,
    /// Whether garbage was collected before it.
    pub collected: bool,
}

impl Point {
    /// Takes in a later trim, which counts as one with this. The lowest floor is the truth: what a request in flight held is in the others.
    pub fn take_in(&mut self, later: &Point) {
        let reclaimed = self.reclaimed().max(later.reclaimed());
        self.after = self.after.min(later.after);
        self.before = self.after.saturating_add(reclaimed);
        if later.live != 0 && (self.live == 0 || later.live <= self.live) {
            (self.live, self.held) = (later.live, later.held);
        }
        self.collected |= later.collected;
    }

    /// What the trim gave back.
    pub fn reclaimed(&self) -> u64 {
        self.before.saturating_sub(self.after)
    }

    /// The part of RSS that is neither live nor held.
    pub fn outside(&self) -> u64 {
        self.after.saturating_sub(self.live).saturating_sub(self.held)
    }

    /// The part of RSS that is not held: what is live, where that may be anywhere and garbage has been collected.
    pub fn used(&self) -> u64 {
        self.after.saturating_sub(self.held)
    }
}

/// What is looked at of each point.
pub type Level = fn(&Point) -> u64;

/// How a level goes on.
#[derive(Clone, Copy, Debug)]
pub enum Course {
    /// Too few points are known of it.
    Unknown,
    /// It neither climbs nor falls from this point on, or it falls.
    Flat(usize),
    /// It has climbed, and may have come to its end.
    Ended(Climb),
    /// It climbs, and climbs on.
    Climbs(Climb),
}

/// A level that climbs.
#[derive(Clone, Copy, Debug)]
pub struct Climb {
    /// From where.
    pub from: u64,
    /// By how much.
    pub by: u64,
    /// How fast, in whole numbers of 1/1024 bytes per request.
    rate: u64,
    /// Over how many requests.
    pub requests: u64,
    /// Over how many points.
    pub points: u64,
}

impl Climb {
    /// How fast.
    pub const fn bytes_per_request(&self) -> u64 {
        self.rate / SCALE
    }
}

/// How the level of some points goes on, in the order in which they happened.
pub fn course(all: &[Point], level: Level) -> Course {
    let (mut points, mut start) = (all, 0);
    while let (Some(first), Some(last), LEAST..) = (points.first(), points.last(), points.len()) {
        let count = points.len();
        let third = count.div_ceil(3);
        let [early, middle, late] =
            [0..third, third..count - third, count - third..count].map(|part| center(points, part, level));
        let by = late.level.saturating_sub(early.level);
        if !climbs(points, level) || by < LEAST_CLIMB.max(early.level / 64) {
            return Course::Flat(start);
        }
        if rate(middle, late) >= rate(early, middle) / 4 * 3 {
            let requests = last.requests.saturating_sub(first.requests);
            let rate = rate(early, late);
            let climb = Climb { from: early.level, by, rate, requests, points: count as u64 };
            return if ends_at(points, level) < rate / 4 { Course::Ended(climb) } else { Course::Climbs(climb) };
        }
        // A warm-up: what came after it?
        start += count / 2;
        points = points.get(count / 2..).unwrap_or_default();
    }
    Course::Unknown
}

/// How fast the last points climb: of a sixth of them, but four at least, from the one half to the other.
fn ends_at(points: &[Point], level: Level) -> u64 {
    let count = points.len();
    let half = (count / 6).max(4) / 2;
    let [earlier, later] =
        [count - 2 * half..count - half, count - half..count].map(|part| center(points, part, level));
    rate(earlier, later)
}

/// Whether the level climbs beyond chance: the number of pairs in which the later one is higher, less those in
/// which it is lower, is more than three standard deviations above zero.
fn climbs(points: &[Point], level: Level) -> bool {
    let mut score = 0i64;
    let mut rest = points;
    while let [first, later @ ..] = rest {
        let first = level(first);
        for point in later {
            let level = level(point);
            score += i64::from(level > first) - i64::from(level < first);
        }
        rest = later;
    }
    let (score, n) = (score.max(0) as u64, points.len() as u64);
    // Its variance is n (n - 1) (2 n + 5) / 18.
    2 * score * score >= n * n.saturating_sub(1) * (2 * n + 5)
}

/// How far the level has come down from where it was, at most. Medians of three, so that one point alone changes nothing.
pub fn descent(points: &[Point], level: Level) -> u64 {
    let mut highest = 0;
    let descents = points.windows(3).map(|three| {
        let [a, b, c] = [0, 1, 2].map(|n| three.get(n).map_or(0, level));
        let median = a.min(b).max(a.max(b).min(c));
        highest = median.max(highest);
        highest - median
    });
    descents.max().unwrap_or(0)
}

/// The middle of some points: its place and its level.
#[derive(Clone, Copy)]
pub struct Center {
    /// The median of the requests.
    requests: u64,
    /// The median of the levels.
    pub level: u64,
}

/// The medians of some points' requests and levels.
#[inline(never)]
pub fn center(points: &[Point], part: Range<usize>, level: Level) -> Center {
    let part = points.get(part).unwrap_or_default();
    let middle = part.len() / 2;
    let below = |limit: u64| part.iter().filter(|point| level(point) < limit).count();
    let is_median = |&candidate: &u64| below(candidate) <= middle && middle < below(candidate.saturating_add(1));
    Center {
        requests: part.get(middle).map_or(0, |point| point.requests),
        level: part.iter().map(level).find(is_median).unwrap_or_default(),
    }
}

/// Rates are whole numbers of 1/1024 bytes per request.
const SCALE: u64 = 1024;

/// How fast a level climbs from one point to another; 0 where it does not.
#[inline(never)]
fn rate(from: Center, to: Center) -> u64 {
    let climb = to.level.saturating_sub(from.level);
    climb.saturating_mul(SCALE) / to.requests.saturating_sub(from.requests).max(1)
}
