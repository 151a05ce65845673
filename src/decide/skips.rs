//! PURE: why a trim is not made, or something that belongs to trims is given up. Each is counted where it is decided.

/// A reason. The numbers are places in the block of counters: new ones come at the end.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[repr(u8)]
pub enum Skip {
    /// None.
    #[default]
    Nothing,
    /// A request is in flight, or somebody waits for the thread.
    InFlight,
    /// The budget is spent.
    Overhead,
    /// RSS has grown too little.
    NoGrowth,
    /// There may be something, but the last trim brought little: the next try waits.
    NothingToGain,
    /// Memory is locked: the next trim waits.
    Locked,
    /// A trim would take long, and waits for quiet.
    Long,
    /// Memory is short, and much of the process is swapped out: its trim waits for one of the next moments.
    Swapped,
    /// Memory is short, and there was a trim for that just now.
    Recent,
    /// The process serves nobody and is small.
    Small,
    /// RSS cannot be read.
    Unmeasured,
    /// A signal's handler may have interrupted malloc.
    Handler,
    /// The stack is not known, or too small.
    Stack,
    /// Signals cannot be blocked.
    Signals,
    /// The process was cloned past fork handlers.
    Fork,
    /// A filter of system calls leaves no way.
    Filter,
    /// Handlers disagree on whether calls are restarted: who waits in accept or a receive cannot watch.
    Restarts,
    /// What tells of memory pressure is not to be had, or is lost.
    Source,
    /// A thread of our own is not to be had.
    Thread,
    /// `AUTOTRIM_SIGNAL` is not to be had, or was taken away.
    Signal,
    /// A runtime was to do something before the trim, and did not come by: the trim goes without.
    Collection,
    /// Garbage is left alone: the process shares most of its memory with its parent.
    Shared,
    /// CPython's pools are left alone, after a doubt.
    Pools,
    /// Connections or answers go past us.
    Unseen,
    /// The metrics cannot be written.
    Metrics,
}

impl Skip {
    /// All but [`Skip::Nothing`], in the order of their numbers.
    pub const ALL: [Skip; 24] = [
        Skip::InFlight,
        Skip::Overhead,
        Skip::NoGrowth,
        Skip::NothingToGain,
        Skip::Locked,
        Skip::Long,
        Skip::Swapped,
        Skip::Recent,
        Skip::Small,
        Skip::Unmeasured,
        Skip::Handler,
        Skip::Stack,
        Skip::Signals,
        Skip::Fork,
        Skip::Filter,
        Skip::Restarts,
        Skip::Source,
        Skip::Thread,
        Skip::Signal,
        Skip::Collection,
        Skip::Shared,
        Skip::Pools,
        Skip::Unseen,
        Skip::Metrics,
    ];

    /// The name in metrics and in the command's JSON.
    pub const fn name(self) -> &'static str {
        match self {
            Skip::Nothing => "",
            Skip::InFlight => "in_flight",
            Skip::Overhead => "overhead",
            Skip::NoGrowth => "no_growth",
            Skip::NothingToGain => "nothing_to_gain",
            Skip::Locked => "locked",
            Skip::Long => "long",
            Skip::Swapped => "swapped",
            Skip::Recent => "recent",
            Skip::Small => "small",
            Skip::Unmeasured => "unmeasured",
            Skip::Handler => "handler",
            Skip::Stack => "stack",
            Skip::Signals => "signals",
            Skip::Fork => "fork",
            Skip::Filter => "filter",
            Skip::Restarts => "restarts",
            Skip::Source => "source",
            Skip::Thread => "thread",
            Skip::Signal => "signal",
            Skip::Collection => "collection",
            Skip::Shared => "shared",
            Skip::Pools => "pools",
            Skip::Unseen => "unseen",
            Skip::Metrics => "metrics",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_of_them_have_their_numbers_in_order_and_names_of_their_own() {
        assert!(Skip::ALL.iter().zip(1..).all(|(skip, number)| *skip as usize == number));
        let names: std::collections::BTreeSet<_> = Skip::ALL.iter().map(|skip| skip.name()).collect();
        assert!(names.len() == Skip::ALL.len() && !names.contains(Skip::Nothing.name()), "{names:?}");
    }
}
