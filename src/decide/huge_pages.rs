//! PURE: whether the kernel takes back what trims have given. khugepaged makes a huge page of any two megabytes in which a page is in
//! use, and so fills what a trim has emptied there: RSS climbs in quiet, without page faults, in huge pages, and the next trim gives the same
//! memory back once more.

use super::rules::Growth;
use super::{PERCENT, SECOND, part, soon};

/// The first look after a trim in quiet: as long as khugepaged rests (scan_sleep_millisecs). Each further one waits twice as long.
const FIRST: u64 = 10 * SECOND;
/// The longest wait: what khugepaged looks at in each of its rounds is little, beside all that a large machine has.
const LONGEST: u64 = 320 * SECOND;
/// A process that has used more than this share of a CPU since the last trim may have filled its memory itself.
const WORKS: u64 = PERCENT;
/// Less than this is not worth a word.
const LEAST: Growth = Growth { bytes: 4 << 20, share: 5 * PERCENT };

/// What tells of it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Evidence {
    /// Anonymous memory that is in huge pages, in bytes.
    pub huge: u64,
    /// What the process's page faults have brought so far, in bytes, were each of them for a small page.
    pub faulted: u64,
}

/// What is known of one process. All zeros = nothing.
#[derive(Clone, Copy, Debug, Default)]
pub struct Returns {
    /// What the last trim has left, if khugepaged may fill that; 0 = unknown. Then also what page faults had brought by then, the time, and
    /// the process's CPU time.
    left: u64,
    faulted: u64,
    at: u64,
    cpu: u64,
    /// Whether there is something to ask for before the due trim, whether that was told, and how much it says has come back.
    asks: bool,
    shown: bool,
    came: u64,
    /// When the next look is, and how long it has waited; 0 = there is none.
    next: u64,
    wait: u64,
    seen: bool,
}

impl Returns {
    /// A trim in quiet is due, and RSS is so much: is there something to ask for?
    pub fn due(&mut self, now: u64, cpu: u64, rss: u64) {
        let (elapsed, used) = (now.saturating_sub(self.at), cpu.saturating_sub(self.cpu));
        self.asks = !self.shown && self.left != 0 && rss >= LEAST.limit(self.left) && used <= part(elapsed, WORKS);
    }

    /// Whether [`Returns::show`] is to be told something, which takes reading two files.
    pub const fn asks(&self) -> bool {
        self.asks
    }

    /// This is what shows before the due trim, when RSS is so much.
    pub fn show(&mut self, rss: u64, evidence: Evidence) {
        (self.asks, self.shown) = (false, true);
        let by_itself = evidence.faulted.saturating_sub(self.faulted);
        let came = rss.saturating_sub(self.left).saturating_sub(by_itself).min(evidence.huge);
        self.came = if came >= LEAST.bytes { came } else { 0 };
    }

    /// How much of what a trim gives back now, that is `released` in all, an earlier one had given back before.
    pub fn again(&self, released: u64) -> u64 {
        self.came.min(released)
    }

    /// A trim ended now, gave back `released` and left so much. `faulted`: what page faults have brought so far, where khugepaged may fill that.
    pub fn trimmed(&mut self, now: u64, cpu: u64, released: u64, left: u64, faulted: Option<u64>) {
        // What was in use is no memory that came back.
        self.seen |= self.came != 0 && self.again(released) >= self.came / 2;
        let known = faulted.is_some();
        let watch = if known { FIRST } else { 0 };
        *self = Returns {
            left: if known { left } else { 0 },
            faulted: faulted.unwrap_or(0),
            at: now,
            cpu,
            wait: watch,
            next: if watch == 0 { 0 } else { now.saturating_add(watch) },
            seen: self.seen,
            ..Returns::default()
        };
    }

    /// Whether it was seen.
    pub const fn is_seen(&self) -> bool {
        self.seen
    }

    /// When to look; never where nothing is looked for.
    pub const fn next(&self) -> u64 {
        if self.next == 0 { u64::MAX } else { self.next }
    }

    /// Whether it is time to.
    pub const fn is_due(&self, now: u64) -> bool {
        now >= self.next()
    }

    /// A look found this RSS: is it worth a trim, to see?
    pub fn look(&mut self, now: u64, rss: u64) -> bool {
        self.wait = self.wait.saturating_mul(2).min(LONGEST);
        self.next = now.saturating_add(self.wait);
        self.left != 0 && rss >= LEAST.limit(self.left)
    }

    /// Nothing is done about it: there is nothing to look for.
    pub fn leave(&mut self) {
        self.next = 0;
    }

    /// There is work: the next look is when that is over.
    pub fn put_off(&mut self, now: u64) {
        if self.next != 0 {
            self.wait = FIRST;
            self.next = now.saturating_add(FIRST);
        }
    }

    /// The clock was set back to `now`.
    pub fn restart(&mut self, now: u64) {
        self.at = soon(self.at, now, 0);
        self.next = soon(self.next, now, self.wait);
    }
}

#[cfg(test)]
#[path = "huge_pages_tests.rs"]
mod tests;
