//! PURE: what goes into a decision and what comes out: the options that govern it, what asked for a trim, what the caller sees at
//! a wait point, what a trim did.

use super::collection::{Collects, Pause};
use super::pools::Released;
use super::{PERCENT, part};

/// Growth below which a quiet moment is left alone: a trim releases whole pages, and so little is noise. Of a large process it is
/// a share: the walk over a large heap should bring something.
pub const NOISE: Growth = Growth { bytes: 256 * 1024, share: 2 * PERCENT };

/// What asked for a trim.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[repr(u8)]
pub enum Trigger {
    /// `AUTOTRIM_INTERVAL` requests were answered.
    #[default]
    Requests,
    /// Anonymous RSS is `AUTOTRIM_GROWTH` over what it need be.
    Growth,
    /// Nothing came or went for `AUTOTRIM_IDLE`.
    Idle,
    /// No trim for `AUTOTRIM_PERIOD`.
    Period,
    /// `AUTOTRIM_PRESSURE` told of memory pressure.
    Pressure,
    /// `AUTOTRIM_SIGNAL` came.
    Signal,
}

impl Trigger {
    /// All of them, in the order of their numbers.
    #[cfg(test)]
    pub const ALL: [Trigger; Trigger::COUNT] =
        [Trigger::Requests, Trigger::Growth, Trigger::Idle, Trigger::Period, Trigger::Pressure, Trigger::Signal];
    /// How many there are.
    pub const COUNT: usize = 6;

    /// The name in log lines and metrics.
    pub const fn name(self) -> &'static str {
        match self {
            Trigger::Requests => "requests",
            Trigger::Growth => "growth",
            Trigger::Idle => "idle",
            Trigger::Period => "period",
            Trigger::Pressure => "pressure",
            Trigger::Signal => "signal",
        }
    }

    /// Whether it comes of work, of which more will follow.
    pub const fn is_for_work(self) -> bool {
        matches!(self, Trigger::Requests | Trigger::Growth)
    }
}

/// `AUTOTRIM_GROWTH`: the larger of the two; both zero = off.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Growth {
    /// Bytes over what it is measured from.
    pub bytes: u64,
    /// A share of that, as [`PERCENT`] counts.
    pub share: u64,
}

impl Growth {
    /// Whether the growth rule is on.
    pub const fn is_on(self) -> bool {
        self.bytes != 0 || self.share != 0
    }

    /// The RSS from which on something has grown over `from`.
    pub const fn limit(self, from: u64) -> u64 {
        let share = part(from, self.share);
        from.saturating_add(if share > self.bytes { share } else { self.bytes })
    }
}

/// The options that govern the policy.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Rules {
    /// Requests between trims; 0 = off.
    pub interval: u64,
    /// Whether somebody has asked for just this interval: then each of its trims is made, whatever it will bring.
    pub exact: bool,
    /// Up to so many further requests, at random.
    pub jitter: u64,
    /// The growth rule.
    pub growth: Growth,
    /// Quiet after activity, in nanoseconds; 0 = off.
    pub idle: u64,
    /// From the end of any trim to the next, in nanoseconds; 0 = off.
    pub period: u64,
    /// Longest wait for nothing in flight, in nanoseconds.
    pub defer: u64,
    /// The largest share of the wall clock spent trimming, and collecting, as [`PERCENT`] counts; 0 = no limit.
    pub overhead: u64,
}

impl Rules {
    /// Whether anything can ever make a trim due.
    pub const fn any(&self) -> bool {
        self.interval != 0 || self.growth.is_on() || self.idle != 0 || self.period != 0
    }
}

/// What was asked for from outside since the last decision.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Asked {
    /// Memory pressure.
    pub pressure: bool,
    /// A signal.
    pub signal: bool,
}

/// What the caller sees at a wait point.
#[derive(Clone, Copy, Debug, Default)]
pub struct Moment {
    /// Monotonic time, never 0.
    pub now: u64,
    /// CPU time that the process has used, in nanoseconds.
    pub cpu: u64,
    /// Requests answered by this process.
    pub requests: u64,
    /// When bytes came or went last on any connection; 0 = never.
    pub active_at: u64,
    /// Connections pending, but for those that have been for more than a few seconds.
    pub in_flight: u64,
    /// Whether a request that had been pending for so long has ended since the last decision.
    pub ended: bool,
    /// Whether the process serves nobody, and waits for its next task: the one before is done.
    pub between_tasks: bool,
    /// What was asked for; each asking is told once.
    pub asked: Asked,
    /// Whether much of the memory is swapped out; asked only under pressure.
    pub swapped: bool,
    /// When garbage is collected, for which a trim waits then.
    pub collects: Collects,
    /// What collections took that have ended since the last decision.
    pub collected: Pause,
    /// Whether a trim may wait for the release of CPython's free pools.
    pub has_pools: bool,
    /// What a release did that has ended since the last decision.
    pub released: Released,
}

/// What a trim did.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Trimmed {
    /// The CPU time that it took, in nanoseconds.
    pub took: u64,
    /// Anonymous RSS before it, in bytes; `None` = unknown.
    pub before: Option<u64>,
    /// The same after it.
    pub after: Option<u64>,
    /// Whether it brought nothing, and memory is locked.
    pub locked: bool,
    /// What page faults have brought so far, in bytes, where khugepaged may fill what the trim has emptied
    /// ([`super::huge_pages::Returns::trimmed`]).
    pub faulted: Option<u64>,
    /// Whether what it has left may be garbage, and that may be collected in quiet ([`super::policy::Policy::may_hold_garbage`]).
    pub garbage: bool,
}

impl Trimmed {
    /// Whether it gave back what is more than `least` over what it left; also where that is unknown.
    pub fn brought(&self, least: Growth) -> bool {
        let (Some(before), Some(after)) = (self.before, self.after) else { return true };
        before >= least.limit(after)
    }
}

/// What to do at a wait point.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Decision {
    /// Trim, then report with [`super::policy::Policy::trimmed`].
    Trim {
        /// What for.
        trigger: Trigger,
        /// Only if nobody waits for this thread; if somebody does, tell [`super::policy::Policy::somebody_waits`].
        ask: bool,
    },
    /// CPython should do something before the trim: at a moment when no work is there, from the time `insist_at` on at any.
    /// The next [`Moment`] tells of it. Else the trim goes without it, when it is time to look again.
    Ask {
        /// Collect its garbage, and not only have its free pools released.
        garbage: bool,
        /// See above.
        insist_at: u64,
    },
    /// Wait as asked.
    Rest,
}

/// When there is something to decide again, unless something is asked for before. `u64::MAX` = never.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Next {
    /// At so many requests.
    pub requests: u64,
    /// From this time on, if bytes have come or gone since.
    pub look: u64,
    /// At this time, whatever happens.
    pub time: u64,
    /// Whether what was seen of memory may be worth a trim.
    pub worth: bool,
}

impl Next {
    /// When it is certain that nothing ever will be.
    pub const NEVER: Next = Next { requests: u64::MAX, look: u64::MAX, time: u64::MAX, worth: true };
}

/// What changed in a decision, for the counters.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Due trims that waited because a request was in flight, or somebody was waiting.
    pub deferred: u64,
    /// Due trims that waited because the overhead budget was spent.
    pub skipped: u64,
    /// Looks at RSS, in quiet moments too, and intervals that found too little to gain for a trim.
    pub no_growth: u64,
    /// Those of them that were intervals.
    pub nothing_to_gain: u64,
    /// Looks at RSS that found something, where the last try has brought little and the next one waits.
    pub in_vain: u64,
    /// Due trims that waited because memory is locked, and because they take long.
    pub locked: u64,
    /// See `locked`.
    pub long: u64,
    /// Memory pressure that was put off because much is swapped out, and that was passed over because a trim for it came just before.
    pub swapped: u64,
    /// See `swapped`.
    pub recent: u64,
}
