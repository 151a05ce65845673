//! What one process's garbage collections are about, in its page. All zeros = nothing yet.

use core::sync::atomic::{AtomicBool, AtomicU64};

/// See [`super::garbage`].
pub struct Garbage {
    /// Whether the main thread passes by: where it never does, no trim waits for it.
    pub main_waits: AtomicBool,
    /// Whether it has been said that it does not.
    pub said: AtomicBool,
    /// A collection is to come before the due trim.
    pub wanted: AtomicBool,
    /// From when on any moment will do.
    pub insist_at: AtomicU64,
    /// The call is in CPython's queue.
    pub queued: AtomicBool,
    /// When the collection that is running began; 0 = none is.
    pub began: AtomicU64,
    /// What collections took that the policy does not know of yet, in nanoseconds; 0 = there was none.
    pub took: AtomicU64,
}
