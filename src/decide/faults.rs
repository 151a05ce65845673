//! PURE: whether the memory that free(3) gives back by itself is needed again too often.
//!
//! What is free at the top of an arena beyond the trim threshold goes back at once, whoever frees it, and no budget is asked. Where a
//! program uses large buffers again and again, it takes the pages back each time: it pays with page faults.

use super::{PERCENT, SECOND, part};

/// What one costs, with the zeroing, and with the call that gave the page back: 2.2 to 3.0 µs (`scripts/bench-together`, CPU time against
/// page faults with thresholds of 8M and 64M).
const COST: u64 = 2_500;
/// More of the CPU time than this is too much. Rows as JSON under gunicorn, uvicorn and Puma take 9 to 12 %, with and without the library;
/// buffers of 200 KB to 8 MB 40 %.
const MOST: u64 = 20 * PERCENT;
/// The CPU time over which they are counted, and how often in a row it must be too much: a process that grows has page faults, too.
const WINDOW: u64 = SECOND / 2;
const WINDOWS: u32 = 2;

/// The page faults of one process. All zeros = none was counted.
#[derive(Clone, Copy, Debug, Default)]
pub struct Faults {
    /// Minor page faults, and CPU time in nanoseconds, when this window began.
    counted: u64,
    cpu: u64,
    windows: u32,
}

impl Faults {
    /// The process has had so many minor page faults and used so much CPU time since it began. Returns whether that is too many for what
    /// is given back by itself.
    pub fn are_too_many(&mut self, counted: u64, cpu: u64) -> bool {
        let used = cpu.saturating_sub(self.cpu);
        if used < WINDOW {
            return false;
        }
        let spent = counted.saturating_sub(self.counted).saturating_mul(COST);
        // What came before the first window is the start of the program.
        let is_too_much = self.cpu != 0 && spent > part(used, MOST);
        self.windows = if is_too_much { self.windows.saturating_add(1) } else { 0 };
        (self.counted, self.cpu) = (counted, cpu);
        self.windows >= WINDOWS
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What is said after each half second of CPU time with so many page faults.
    fn said(each: &[u64]) -> Vec<bool> {
        let (mut faults, mut counted, mut cpu) = (Faults::default(), 0, 0);
        each.iter()
            .map(|more| {
                (counted, cpu) = (counted + more, cpu + WINDOW);
                faults.are_too_many(counted, cpu)
            })
            .collect()
    }

    const MANY: u64 = 50_000;

    #[test]
    fn the_start_of_a_program_does_not_count() {
        assert_eq!(said(&[10 * MANY, 0, 0]), [false; 3]);
        assert_eq!(said(&[10 * MANY, MANY, 0, MANY]), [false; 4]);
    }

    #[test]
    fn two_windows_in_a_row_are_too_many() {
        assert_eq!(said(&[0, MANY, MANY]), [false, false, true]);
        assert_eq!(said(&[0, MANY, 0, MANY, MANY]), [false, false, false, false, true]);
    }

    #[test]
    fn a_tenth_of_the_time_is_usual() {
        let usual = part(WINDOW, 12 * PERCENT) / COST;
        assert_eq!(said(&[usual; 20]), [false; 20]);
    }

    #[test]
    fn less_than_a_window_says_nothing() {
        let mut faults = Faults::default();
        assert!((1..WINDOW).step_by(WINDOW as usize / 50).all(|cpu| !faults.are_too_many(cpu, cpu)));
    }
}
