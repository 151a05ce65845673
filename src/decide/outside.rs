//! PURE: what asks for a trim without a request: a period, memory pressure, a signal.

use super::rules::{Moment, Rules, Trigger, Trimmed};
use super::{Random, SECOND, soon};

/// Least time from the end of a trim for memory pressure to the next one: the kernel tells of pressure that lasts once per
/// window, and the windows that anyone may ask for are multiples of this long (psi.rst, Monitoring).
pub const PRESSURE_HOLD_OFF: u64 = 2 * SECOND;
/// Where pressure trims cost more than they give because memory is swapped out, the next one waits twice as long as the one before,
/// up to 2⁸ times as long.
const MOST_DOUBLINGS: u32 = 8;
/// Pressure trims of processes that are swapped out begin within so long of each other, at random: each reads back in what its
/// walk over the heap passes.
pub const PRESSURE_SPREAD: u64 = 4 * SECOND;

/// The state of one process. All zeros = nothing was asked for.
#[derive(Clone, Copy, Debug, Default)]
pub struct Outside {
    /// When the period ends; 0 = not yet set.
    period_at: u64,
    /// Until when memory pressure is passed over.
    pressure_from: u64,
    /// When a trim for memory pressure begins that was put off because much is swapped out; 0 = none was.
    pressure_at: u64,
    /// Whether the due trim is such a one, and how many of them in a row cost more than they gave.
    swapped: bool,
    losses: u32,
}

impl Outside {
    /// What is asked for now. A period makes a trim due; who asks for one otherwise gives his name to one that was due already: he
    /// will look for it in the log.
    pub fn find(&mut self, rules: &Rules, moment: Moment, random: &mut Random) -> Option<Trigger> {
        let Moment { now, asked, swapped, .. } = moment;
        if rules.period != 0 && self.period_at == 0 {
            self.period_at = now.saturating_add(rules.period);
        }
        if asked.pressure && swapped && self.pressure_at == 0 && now >= self.pressure_from {
            // By chance for another time in each process.
            self.pressure_at = now.saturating_add(random.next(now) % PRESSURE_SPREAD).max(1);
        }
        if asked.signal {
            Some(Trigger::Signal)
        } else if asked.pressure && now >= self.pressure_from && !swapped {
            Some(Trigger::Pressure)
        } else if now >= self.pressure_begins() {
            self.pressure_at = 0;
            self.swapped = true;
            Some(Trigger::Pressure)
        } else {
            (now >= self.end_of_period(rules)).then_some(Trigger::Period)
        }
    }

    /// When something is due, unless it is asked for before; never where there is nothing.
    pub fn next(&self, rules: &Rules) -> u64 {
        self.end_of_period(rules).min(self.pressure_begins())
    }

    /// A trim for `trigger` ended now.
    pub fn trimmed(&mut self, rules: &Rules, now: u64, trigger: Trigger, effect: &Trimmed) {
        if matches!(trigger, Trigger::Pressure) {
            // What it read back in from swap is more than what it released.
            let lost = self.swapped && effect.after >= effect.before && effect.after.is_some();
            self.losses = if lost { self.losses.saturating_add(1) } else { 0 };
            self.pressure_from = now.saturating_add(PRESSURE_HOLD_OFF << self.losses.min(MOST_DOUBLINGS));
        }
        self.pressure_at = 0;
        self.swapped = false;
        self.period_at = now.saturating_add(rules.period);
    }

    /// The clock was set back to `now`.
    pub fn restart(&mut self, rules: &Rules, now: u64) {
        self.period_at = soon(self.period_at, now, rules.period);
        self.pressure_from = soon(self.pressure_from, now, PRESSURE_HOLD_OFF);
        self.pressure_at = soon(self.pressure_at, now, PRESSURE_SPREAD);
    }

    fn end_of_period(&self, rules: &Rules) -> u64 {
        if rules.period == 0 { u64::MAX } else { self.period_at }
    }

    fn pressure_begins(&self) -> u64 {
        if self.pressure_at == 0 { u64::MAX } else { self.pressure_at }
    }
}
