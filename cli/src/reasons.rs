//! Why a trim is not made, in words: the library counts each reason where it decides.

use crate::decide::skips::Skip;

/// What to call it in a column.
pub fn short(reason: Skip) -> &'static str {
    match reason {
        Skip::InFlight => "in flight",
        Skip::Overhead => "budget",
        Skip::NoGrowth => "no growth",
        Skip::NothingToGain => "nothing to gain",
        Skip::Locked => "mlocked",
        Skip::Long => "waits for quiet",
        Skip::Swapped => "swapped out",
        Skip::Handler => "handler on stack",
        Skip::Filter => "filter",
        Skip::Source => "source lost",
        Skip::Fork => "cloned",
        Skip::Stack => "unknown stack",
        Skip::Collection => "interpreter",
        other => other.name(),
    }
}

/// What the library decided, as part of a sentence that begins with how often.
pub fn words(reason: Skip) -> &'static str {
    match reason {
        Skip::Nothing => "for no reason",
        Skip::InFlight => "a request was in flight, or somebody waited for the thread (AUTOTRIM_DEFER)",
        Skip::Overhead => "the budget was spent (AUTOTRIM_OVERHEAD)",
        Skip::NoGrowth => "memory had grown too little (AUTOTRIM_GROWTH)",
        Skip::NothingToGain => "nothing to gain: the last trim had brought little, and the next try waits",
        Skip::Locked => "memory is locked (mlockall), and a trim brings nothing",
        Skip::Long => "a trim takes long here, and waits for quiet",
        Skip::Swapped => "much is swapped out: the trim for memory pressure waited",
        Skip::Recent => "memory pressure was told again within two seconds of a trim for it",
        Skip::Small => "the process serves nobody and has less than 32 MB",
        Skip::Unmeasured => "RSS could not be read from /proc (no free descriptor?)",
        Skip::Handler => "a signal handler was on the stack that may have interrupted malloc",
        Skip::Stack => "the thread's stack is not known, or too small",
        Skip::Signals => "signals could not be blocked",
        Skip::Fork => "the process was cloned past libc's fork, and malloc may be locked",
        Skip::Filter => "a seccomp filter leaves no way",
        Skip::Restarts => "signal handlers disagree on SA_RESTART: a thread in accept or recv cannot watch for quiet",
        Skip::Source => "what tells of memory pressure is not to be had, or was lost (AUTOTRIM_PRESSURE)",
        Skip::Thread => "no thread could be started",
        Skip::Signal => "the signal is ignored, or has a handler of the program's (AUTOTRIM_SIGNAL)",
        Skip::Collection => "the interpreter did not come by in time to collect (AUTOTRIM_GC)",
        Skip::Shared => "the process shares most of its memory with its parent, and its garbage is left alone",
        Skip::Pools => "CPython's pools are not as expected, and left alone (AUTOTRIM_POOLS)",
        Skip::Unseen => "connections or answers go past libc",
        Skip::Metrics => "the metrics could not be written (AUTOTRIM_METRICS_DIR)",
    }
}

/// The one of this name.
pub fn named(name: &str) -> Option<Skip> {
    Skip::ALL.into_iter().find(|reason| reason.name() == name)
}
