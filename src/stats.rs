//! Counters of one process. All zeros is the valid beginning: a forked child starts there.

use core::sync::atomic::{AtomicI64, AtomicU64};

/// What this process did so far. Each counter is exact by itself; together they are a snapshot in motion.
#[repr(C)]
pub struct Counters {
    /// Requests answered.
    pub requests: AtomicU64,
    /// Connections pending. Two threads may be between a change of state and this one: below zero means 0.
    pub in_flight: AtomicI64,
    /// Trims done.
    pub trims: AtomicU64,
}
