//! What one process has told, in its page. All zeros = nothing yet.

use core::sync::atomic::{AtomicBool, AtomicU8, AtomicU64};

/// What the log has said; each of it is said once.
pub struct Said {
    /// What is on.
    pub enabled: AtomicBool,
    /// That growth is a leak.
    pub leak: AtomicBool,
    /// That it is that of memory outside malloc.
    pub growth: AtomicBool,
    /// That free memory is held by what is in use beside it.
    pub fragmented: AtomicBool,
    /// That the kernel fills with huge pages what trims have given back.
    pub huge_pages: AtomicBool,
    /// That the process was cloned past fork handlers.
    pub no_fork: AtomicBool,
    /// That a stack is not known.
    pub no_stack: AtomicBool,
    /// What was asked for, is not to be had, and has not been said yet: bits of [`super::log::Lack`].
    pub lacking: AtomicU8,
}

/// The file of metrics.
pub struct Metrics {
    /// Whether it exists.
    pub exists: AtomicBool,
    /// Whether it is to exist no more.
    pub ended: AtomicBool,
    /// Whether the log has told of a failure.
    pub failed: AtomicBool,
    /// Requests when it was written last.
    pub requests: AtomicU64,
    /// Trims when it was written last.
    pub trims: AtomicU64,
    /// When it may be written again without a trim.
    pub next: AtomicU64,
}
