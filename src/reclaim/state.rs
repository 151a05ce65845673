//! What one process asks of CPython before its trims, in its page. All zeros = nothing yet.

use core::sync::atomic::{AtomicBool, AtomicU64};

/// See [`super::python`], [`super::garbage`] and [`super::pools`].
pub struct Asked {
    /// Whether the main thread passes by: where it never does, no trim waits for it.
    pub main_waits: AtomicBool,
    /// Whether it has been said that it does not.
    pub said: AtomicBool,
    /// Something is to come before the due trim, and since when.
    pub wanted: AtomicBool,
    /// See `wanted`.
    pub asked_at: AtomicU64,
    /// And that is a collection, too.
    pub collects: AtomicBool,
    /// From when on any moment will do.
    pub insist_at: AtomicU64,
    /// Since when the call is in CPython's queue; 0 = it is not.
    pub queued_at: AtomicU64,
    /// When the collection that is running began; 0 = none is.
    pub began: AtomicU64,
    /// What collections took that the policy does not know of yet, in nanoseconds; 0 = there was none.
    pub took: AtomicU64,
    /// The same of releases of pools, and what they gave back, in bytes.
    pub pools_took: AtomicU64,
    /// See `pools_took`.
    pub pools_bytes: AtomicU64,
    /// Anonymous RSS after the last one, in bytes; 0 = unknown.
    pub pools_rss: AtomicU64,
    /// How many requests were answered then.
    pub pools_requests: AtomicU64,
}
