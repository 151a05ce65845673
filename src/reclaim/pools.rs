//! `AUTOTRIM_POOLS`: what is free in CPython's own pools is given back with each trim ([`crate::sys::pools`]). [`super::python`] knows
//! when that may be.

use core::sync::atomic::Ordering::Relaxed;

use crate::decide::pools::Released;
use crate::decide::skips::Skip;
use crate::own::process::Process;
use crate::sys::{self, Clock, memory, pools};
use crate::tell::log;

/// Whether there are any that can be released.
pub fn are_known() -> bool {
    pools::are_known()
}

/// What releases did since the last call.
pub fn take(process: &Process) -> Released {
    let state = &process.python;
    let took = state.pools_took.swap(0, Relaxed);
    if took == 0 {
        return Released::default();
    }
    Released { took, bytes: state.pools_bytes.swap(0, Relaxed), rss: state.pools_rss.load(Relaxed) }
}

/// Releases, with the interpreter lock held; whether there is more. After a doubt never again, which is said once.
pub fn release(process: &Process) -> bool {
    if !pools::are_known() {
        return false;
    }
    let state = &process.python;
    let began = sys::cpu_time(Clock::Thread);
    let pass = pools::release();
    #[cfg(feature = "often")]
    crate::sys::tally::count(pass.map(|pass| pass.bytes));
    let Some(pass) = pass else {
        process.stats.skip(Skip::Pools);
        log::unavailable("pools");
        return false;
    };
    if let Some(usage) = pass.usage {
        state.pools_live.store(usage.live, Relaxed);
        state.pools_held.store(usage.held, Relaxed);
    }
    state.pools_rss.store(memory::anonymous_rss().unwrap_or(0), Relaxed);
    state.pools_requests.store(process.stats.requests.load(Relaxed), Relaxed);
    state.pools_bytes.fetch_add(pass.bytes, Relaxed);
    state.pools_took.fetch_add(sys::cpu_time(Clock::Thread).saturating_sub(began).max(1), Relaxed);
    pass.is_more
}
