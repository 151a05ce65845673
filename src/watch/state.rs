//! What one process's watchers remember, in its page. All zeros = nothing yet.

use core::sync::atomic::{AtomicBool, AtomicI32, AtomicU8, AtomicU64};

/// See [`super::unseen`].
pub struct Unseen {
    /// When to look; 0 = not set, `NO_MORE` = the watch is over.
    pub at: AtomicU64,
    /// How often it was looked.
    pub looks: AtomicU64,
    /// Connections that were answered past us; `NO_MORE` = that was said.
    pub answers: AtomicU64,
    /// When what is pending was looked through last.
    pub swept: AtomicU64,
}

/// See [`super::outside`].
pub struct Outside {
    /// What was asked for and not yet told to the policy: bits of `PRESSURE` and `SIGNAL`.
    pub asked: AtomicU8,
    /// When the thread may start; 0 = none is needed.
    pub start_at: AtomicU64,
    /// Whether the process has forked.
    pub has_forked: AtomicBool,
    /// The thread's id; 0 = none, `NO_MORE` = there will be none, or it has not yet begun.
    pub thread: AtomicI32,
    /// Whether the thread takes `AUTOTRIM_SIGNAL`.
    pub listens: AtomicBool,
}
