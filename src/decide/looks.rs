//! PURE: when RSS is looked at while there is work: memory that grows takes CPU time, so as often as that goes on.

use super::{MILLISECOND, soon};

/// Least time between two looks, of the clock and of the CPU time that the process uses. A look (open, read and close
/// `/proc/self/statm`) takes 5 µs (`scripts/bench-calls`): 0.1 % of that.
pub const EVERY: u64 = 5 * MILLISECOND;
/// The same where a process serves nobody: each of its waits may be one between two tasks.
const EVERY_BETWEEN_TASKS: u64 = 100 * MILLISECOND;

/// The looks of one process. All zeros = none so far, and nothing to look for.
#[derive(Clone, Copy, Debug, Default)]
pub struct Looks {
    /// Whether something has come or gone since the last one.
    wanted: bool,
    /// When the next one may be.
    next: u64,
    /// The process's CPU time at the last one.
    cpu: u64,
}

impl Looks {
    /// Something has come or gone.
    pub fn want(&mut self) {
        self.wanted = true;
    }

    /// When the next one may be.
    pub const fn next(&self) -> u64 {
        self.next
    }

    /// Whether one is due, `now` that the process has used so much CPU time. If that is too little since the last one for RSS to have grown,
    /// the next one waits; `between_tasks` it does not.
    pub fn is_due(&mut self, now: u64, cpu: u64, between_tasks: bool) -> bool {
        if !self.wanted || now < self.next {
            return false;
        }
        let used = cpu.checked_sub(self.cpu).unwrap_or(EVERY);
        let missing = if between_tasks { 0 } else { EVERY.saturating_sub(used) };
        self.next = self.next.max(now.saturating_add(missing));
        missing == 0
    }

    /// RSS is looked at now.
    pub fn looked(&mut self, now: u64, cpu: u64, between_tasks: bool) {
        let every = if between_tasks { EVERY_BETWEEN_TASKS } else { EVERY };
        *self = Looks { wanted: false, next: now.saturating_add(every), cpu };
    }

    /// A trim ended now, and has measured it.
    pub fn trimmed(&mut self, now: u64) {
        self.wanted = false;
        self.next = now.saturating_add(EVERY);
    }

    /// The clock was set back to `now`.
    pub fn restart(&mut self, now: u64) {
        self.next = soon(self.next, now, EVERY);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const BEGIN: u64 = 1000 * MILLISECOND;

    fn looked(between_tasks: bool) -> Looks {
        let mut looks = Looks::default();
        looks.looked(BEGIN, 0, between_tasks);
        looks
    }

    #[test]
    fn nothing_is_looked_for_where_nothing_came_or_went() {
        let mut looks = looked(false);
        assert!(!looks.is_due(2 * BEGIN, BEGIN, false));
        looks.want();
        assert!(looks.is_due(2 * BEGIN, BEGIN, false));
        looks.trimmed(2 * BEGIN);
        assert!(!looks.is_due(3 * BEGIN, 2 * BEGIN, false));
    }

    #[test]
    fn it_takes_time_of_the_clock_and_of_the_processor() {
        let mut looks = looked(false);
        looks.want();
        assert!(!looks.is_due(BEGIN + EVERY - 1, BEGIN, false));
        assert!(!looks.is_due(BEGIN + EVERY, EVERY / 2, false));
        assert_eq!(looks.next(), BEGIN + EVERY + EVERY / 2, "not before it can have used as much");
        assert!(looks.is_due(looks.next(), EVERY, false));
    }

    #[test]
    fn between_tasks_the_clock_alone_counts() {
        let mut looks = looked(true);
        looks.want();
        assert!(!looks.is_due(BEGIN + EVERY_BETWEEN_TASKS - 1, BEGIN, true));
        assert!(looks.is_due(BEGIN + EVERY_BETWEEN_TASKS, 0, true));
    }

    #[test]
    fn a_clock_that_was_set_back_makes_nobody_wait_for_what_has_passed() {
        let mut looks = looked(false);
        looks.restart(MILLISECOND);
        assert_eq!(looks.next(), MILLISECOND + EVERY);
    }
}
