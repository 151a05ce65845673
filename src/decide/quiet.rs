//! PURE: when it is quiet although something comes and goes ([`Calm`]), and the watch over a process in which nothing does ([`Watch`]), but
//! whose memory may still be worth a trim. Work may go on there, after
//! an answer or on a timer, and memory becomes free when it ends. CPU time tells: where none is used nothing can have become free, and
//! where it was used and is no longer, something has ended.

use super::patience::Patience;
use super::{MILLISECOND, SECOND, part};

/// Least time between two looks.
const LOOK_EVERY: u64 = SECOND / 2;
/// A process that uses more than this share of a CPU between two looks works.
const WORKS: u64 = super::PERCENT;
/// In less CPU time than this since the last try nothing has become free that would be worth another.
const LEAST_WORK: u64 = 2 * MILLISECOND;

/// What comes and goes in a process that uses no more than a hundredth of a CPU for it, such as a probe or a heartbeat every half second, ends no quiet
/// and puts none off. All zeros = it is not calm.
#[derive(Clone, Copy, Debug, Default)]
pub struct Calm {
    /// When the present window began, and the process's CPU time then.
    at: u64,
    cpu: u64,
    /// Whether it was calm in the one before, and has been since.
    is_calm: bool,
}

impl Calm {
    /// So long it must have been.
    const WINDOW: u64 = 5 * SECOND;

    /// Whether it is calm, now that the process has used so much CPU time.
    pub fn note(&mut self, now: u64, cpu: u64) -> bool {
        let (elapsed, used) = (now.saturating_sub(self.at), cpu.saturating_sub(self.cpu));
        let is_over = elapsed >= Self::WINDOW;
        let works = used > part(Self::WINDOW, WORKS);
        if works || is_over {
            // When in a longer one it has worked is not known.
            self.is_calm = !works && elapsed < 2 * Self::WINDOW;
            (self.at, self.cpu) = (now, cpu);
        }
        self.is_calm
    }

    /// The clock was set back to `now`.
    pub fn restart(&mut self, now: u64) {
        self.at = now;
    }
}

/// The watch. All zeros = there is none.
#[derive(Clone, Copy, Debug, Default)]
pub struct Watch {
    /// When the next look is; 0 = there is no watch.
    next: u64,
    /// When the last one was, and the process's CPU time then.
    at: u64,
    cpu: u64,
    /// The same at the last try.
    cpu_at_try: u64,
    /// Whether the process has worked since the last try.
    worked: bool,
}

/// What a look in quiet says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Look {
    /// It is time for a try.
    Try,
    /// It would be, but nothing can have become free since the last.
    InVain,
    /// Not yet.
    Wait,
}

impl Watch {
    /// Whether it is time to look.
    pub fn is_due(&self, now: u64) -> bool {
        self.next != 0 && now >= self.next
    }

    /// Whether there is one.
    pub fn is_on(&self) -> bool {
        self.next != 0
    }

    /// When to look; never where there is no watch.
    pub fn next(&self) -> u64 {
        if self.next == 0 { u64::MAX } else { self.next }
    }

    /// There is something to watch, and the next look is to be planned.
    pub fn go_on(&mut self, now: u64, cpu: u64, patience: &Patience) {
        (self.at, self.cpu) = (now, cpu);
        let soon = now.saturating_add(LOOK_EVERY);
        self.next = now.saturating_add(patience.grain()).min(patience.until()).max(soon);
    }

    /// There is nothing to watch.
    pub fn end(&mut self) {
        self.next = 0;
    }

    /// A trim was made when the process had used so much CPU time.
    pub fn tried(&mut self, cpu: u64) {
        self.cpu_at_try = cpu;
        self.worked = false;
    }

    /// The clock was set back to `now`.
    pub fn restart(&mut self, now: u64) {
        self.at = now;
        self.next = self.next.min(now.saturating_add(LOOK_EVERY));
    }

    /// A look, at which memory was found that may be worth a trim.
    pub fn look(&mut self, now: u64, cpu: u64, patience: &Patience) -> Look {
        let (elapsed, used) = (now.saturating_sub(self.at), cpu.saturating_sub(self.cpu));
        (self.at, self.cpu) = (now, cpu);
        let works = used > part(elapsed, WORKS);
        if !works && self.worked && now >= patience.until_after_work() {
            return Look::Try;
        }
        self.worked |= works;
        if now < patience.until() {
            Look::Wait
        } else if cpu.saturating_sub(self.cpu_at_try) < LEAST_WORK {
            Look::InVain
        } else {
            Look::Try
        }
    }
}
