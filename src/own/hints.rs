//! What the hooks of all threads tell the decision, and what the last decision tells them: whether a wait point has a reason to look,
//! in one word of reasons, and when it is time to.
//!
//! A reason is set after what it tells of (a counter, a flag), and taken away before that is read: so nothing is overlooked,
//! whatever the threads do at the same time. Who takes reasons away takes those that he saw and no others.

use core::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering::Relaxed, Ordering::SeqCst};

use crate::decide::rules::Next;

/// Why a wait point should look; a bit each.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u32)]
pub enum Reason {
    /// Bytes came or went, and no wait point has noted yet when.
    Moved = 1,
    /// The same, noted, and the policy does not know yet.
    Active = 1 << 1,
    /// A request that had been pending for long has ended.
    Ended = 1 << 2,
    /// Something is to be decided at a certain time.
    Planned = 1 << 3,
    /// Something is to be decided at once.
    Now = 1 << 4,
    /// [`crate::watch::unseen`] wants to come by.
    Unseen = 1 << 5,
    /// [`crate::reclaim::duty`] does, in a forked child.
    Inherited = 1 << 6,
    /// [`crate::edge::thread`] does: its signal must not interrupt a wait.
    Signal = 1 << 7,
    /// The process serves nobody: each wait may be one between two tasks ([`crate::watch::tasks`]).
    Tasks = 1 << 8,
    /// A thread may sleep in an accept that blocks while others work: none but accept looks for this one.
    Accepts = 1 << 9,
}

/// The hints of one process. All zeros = there is no reason, and with the first one it is time.
pub struct Hints {
    reasons: AtomicU32,
    /// When there is something to decide: see [`Next`].
    requests: AtomicU64,
    look: AtomicU64,
    time: AtomicU64,
    /// When it is time to tell what bytes that came or went have changed.
    tell: AtomicU64,
    worth: AtomicBool,
    /// When bytes came or went last, as far as a wait point has noted it.
    active_at: AtomicU64,
}

impl Hints {
    /// Whether there is any reason to look. This is what a wait point costs where there is none.
    #[inline(always)]
    pub fn any(&self) -> bool {
        self.any_but(Reason::Accepts)
    }

    /// Whether there is any but this one.
    #[inline(always)]
    pub fn any_but(&self, reason: Reason) -> bool {
        self.reasons.load(Relaxed) & !(reason as u32) != 0
    }

    /// Whether there is this one.
    pub fn has(&self, reason: Reason) -> bool {
        self.reasons.load(Relaxed) & reason as u32 != 0
    }

    /// There is a reason. Where it is there already this is one load: whoever takes it away reads what it tells of afterwards.
    #[inline(always)]
    pub fn add(&self, reason: Reason) {
        if self.reasons.load(SeqCst) & reason as u32 == 0 {
            self.reasons.fetch_or(reason as u32, SeqCst);
        }
    }

    /// There is this one no more.
    pub fn remove(&self, reason: Reason) {
        self.reasons.fetch_and(!(reason as u32), SeqCst);
    }

    /// Takes it away; whether it was there.
    pub fn take(&self, reason: Reason) -> bool {
        self.has(reason) && self.reasons.fetch_and(!(reason as u32), SeqCst) & reason as u32 != 0
    }

    /// Removes all reasons.
    pub fn clear(&self) {
        self.reasons.store(0, SeqCst);
    }

    /// Whatever was planned, it is time.
    pub fn now(&self) {
        self.add(Reason::Now);
    }

    /// At a wait point: notes when bytes came or went. Returns when they did last, if the policy does not know.
    #[inline]
    pub fn note_activity(&self, now: u64) -> Option<u64> {
        if self.take(Reason::Moved) {
            self.active_at.store(now, Relaxed);
            self.add(Reason::Active);
            return Some(now);
        }
        self.has(Reason::Active).then(|| self.active_at.load(Relaxed))
    }

    /// Before a decision: takes away what it is about to learn. Returns when bytes came or went last, and whether a request that had
    /// been pending for long has ended.
    pub fn begin_decision(&self, now: u64) -> (u64, bool) {
        self.note_activity(now);
        let told = Reason::Active as u32 | Reason::Ended as u32 | Reason::Now as u32 | Reason::Planned as u32;
        let seen = self.reasons.fetch_and(!told, SeqCst);
        (self.active_at.load(Relaxed), seen & Reason::Ended as u32 != 0)
    }

    /// After a decision: when there is something to decide again.
    pub fn plan(&self, next: Next) {
        self.requests.store(next.requests, Relaxed);
        self.look.store(next.look, Relaxed);
        self.time.store(next.time, Relaxed);
        self.tell.store(u64::MAX, Relaxed);
        self.worth.store(next.worth, Relaxed);
        if next.time != u64::MAX {
            self.add(Reason::Planned);
        }
    }

    /// Something else is to be done at this time, at the latest.
    pub fn plan_by(&self, time: u64) {
        self.time.fetch_min(time, Relaxed);
        self.add(Reason::Planned);
    }

    /// What bytes that come or go change is to be told at this time, also if none do any more.
    pub fn tell_by(&self, time: u64) {
        self.tell.fetch_min(time, Relaxed);
    }

    /// Whether there is something to decide now.
    #[inline]
    pub fn is_time(&self, requests: u64, now: u64, active: bool) -> bool {
        self.has(Reason::Now)
            || requests >= self.requests.load(Relaxed)
            || now >= self.time.load(Relaxed)
            || active && now >= self.look.load(Relaxed).min(self.tell.load(Relaxed))
    }

    /// Whether memory may be worth a trim, as of the last decision.
    pub fn is_worth(&self) -> bool {
        self.worth.load(Relaxed)
    }

    /// The time at which there will be, if nothing happens before: `active_at` = when bytes came or went last, if the policy does
    /// not know; `idle` = how long it must be quiet, 0 = that is of no interest.
    pub fn next(&self, active_at: Option<u64>, idle: u64) -> u64 {
        let quiet = active_at.filter(|_| idle != 0).map_or(u64::MAX, |at| at.saturating_add(idle));
        let tell = active_at.map_or(u64::MAX, |_| self.tell.load(Relaxed));
        self.time.load(Relaxed).min(quiet).min(tell)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::thread;

    fn hints() -> Hints {
        let zero = AtomicU64::new;
        let (reasons, worth) = (AtomicU32::new(0), AtomicBool::new(false));
        let (requests, look, time, tell, active_at) = (zero(0), zero(0), zero(0), zero(0), zero(0));
        Hints { reasons, requests, look, time, tell, worth, active_at }
    }

    #[test]
    fn a_fresh_process_decides_with_its_first_reason() {
        let hints = hints();
        assert!(!hints.any());
        hints.add(Reason::Moved);
        assert!(hints.any() && hints.is_time(1, 5, true));
    }

    #[test]
    fn activity_is_noted_once_and_kept_until_the_policy_knows() {
        let hints = hints();
        hints.plan(Next::NEVER);
        hints.add(Reason::Moved);
        assert_eq!(hints.note_activity(100), Some(100));
        assert_eq!(hints.note_activity(200), Some(100), "nothing has moved since");
        assert_eq!(hints.next(Some(100), 50), 150);
        assert_eq!(hints.begin_decision(300), (100, false));
        assert!(!hints.any());
        assert_eq!(hints.note_activity(400), None);
    }

    #[test]
    fn a_decision_takes_away_what_it_learns_and_nothing_else() {
        let hints = hints();
        for reason in [Reason::Now, Reason::Ended, Reason::Planned, Reason::Unseen, Reason::Inherited, Reason::Signal] {
            hints.add(reason);
        }
        assert_eq!(hints.begin_decision(7), (0, true));
        for reason in [Reason::Unseen, Reason::Inherited, Reason::Signal] {
            assert!(hints.take(reason) && !hints.take(reason));
        }
        assert!(!hints.any());
    }

    #[test]
    fn it_is_time_by_requests_by_the_clock_or_after_activity() {
        let hints = hints();
        hints.plan(Next { requests: 10, look: 50, time: 100, worth: true });
        assert!(hints.has(Reason::Planned));
        hints.begin_decision(1);
        hints.plan(Next { requests: 10, look: 50, ..Next::NEVER });
        assert!(!hints.has(Reason::Planned));
        assert!(!hints.is_time(9, 200, false) && hints.is_time(10, 0, false));
        assert!(!hints.is_time(0, 49, true) && hints.is_time(0, 50, true));
        hints.tell_by(40);
        assert!(hints.is_time(0, 40, true) && !hints.is_time(0, 40, false));
        assert_eq!((hints.next(Some(10), 0), hints.next(None, 0)), (40, u64::MAX));
        hints.plan_by(60);
        assert!(hints.has(Reason::Planned) && hints.is_time(0, 60, false) && !hints.is_time(0, 59, false));
        hints.now();
        assert!(hints.is_time(0, 0, false));
    }

    /// Many threads count and tell, one decides: what was counted last is always told.
    #[test]
    fn what_is_told_is_never_lost() {
        let (hints, counted, done) = (hints(), AtomicU64::new(0), AtomicBool::new(false));
        let known = thread::scope(|scope| {
            let decider = scope.spawn(|| {
                let mut known = 0;
                loop {
                    let over = done.load(SeqCst);
                    if hints.take(Reason::Moved) {
                        known = counted.load(SeqCst);
                    } else if over {
                        return known;
                    }
                }
            });
            let tellers = [(); 3].map(|()| {
                scope.spawn(|| {
                    for _ in 0..100_000 {
                        counted.fetch_add(1, SeqCst);
                        hints.add(Reason::Moved);
                    }
                })
            });
            tellers.into_iter().for_each(|teller| teller.join().expect("a teller"));
            done.store(true, SeqCst);
            decider.join().expect("the decider")
        });
        assert_eq!(known, 300_000);
    }
}
