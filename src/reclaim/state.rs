//! What one process asks of CPython, Node, Ruby and Java before its trims, in its page. All zeros = nothing yet.

use core::sync::atomic::{AtomicBool, AtomicI32, AtomicU32, AtomicU64, Ordering::Relaxed};

/// Collections of one interpreter. All zeros = there was none.
pub struct Pauses {
    /// When the one that is running began; 0 = none is.
    pub began: AtomicU64,
    /// What those took that the policy does not know of yet, in nanoseconds; 0 = there was none.
    pub took: AtomicU64,
    /// And what they cost.
    pub cost: AtomicU64,
}

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
    /// The thread that is to do it when it has left its wait; 0 = none.
    pub asked: AtomicI32,
    /// Its collections.
    pub pauses: Pauses,
    /// What releases of pools took that the policy does not know of yet, in nanoseconds, and what they gave back, in bytes.
    pub pools_took: AtomicU64,
    /// See `pools_took`.
    pub pools_bytes: AtomicU64,
    /// Anonymous RSS after the last one, in bytes; 0 = unknown.
    pub pools_rss: AtomicU64,
    /// How many requests were answered then.
    pub pools_requests: AtomicU64,
    /// What was in use in the pools at the last one, and what was free beside that and is held by it, in bytes.
    pub pools_live: AtomicU64,
    /// See `pools_live`.
    pub pools_held: AtomicU64,
    /// What climbs may be garbage: a collection is to come that no trim has asked for.
    pub suspected: AtomicBool,
}

/// What threads of Node's were asked for, for one trim. All zeros = nothing.
pub struct Notified {
    /// The threads whose isolates are to collect before their next wait; negative once they have; 0 = none.
    pub threads: [AtomicI32; 4],
    /// When the first of them was asked; 0 = none was.
    pub since: AtomicU64,
    /// The CPU time that the process had used then, in nanoseconds.
    pub cpu: AtomicU64,
    /// What it has used since, when the last one was back.
    pub took: AtomicU64,
}

/// What Ruby was asked for. All zeros = nothing.
pub struct Collected {
    /// Whether a wait of Ruby's own, or of one of its event loops, has been seen.
    pub waits: AtomicBool,
    /// The thread that is to collect when it has left its wait; 0 = none.
    pub asked: AtomicI32,
    /// Whether that is a wait of an event loop's.
    pub in_event_loop: AtomicBool,
    /// Its collections.
    pub pauses: Pauses,
}

/// What the thread of our own is to have Java do. All zeros = nothing, and none was seen.
pub struct Attached {
    /// From when on the virtual machine is taken to be complete; 0 = none was seen.
    pub complete_at: AtomicU64,
    /// Since when the thread of our own is to collect; 0 = it is not.
    pub asked_at: AtomicU64,
    /// What collections gave back that no trim has told of, in bytes.
    pub gave: AtomicU64,
    /// How many collections in a row the machine has not made.
    pub refusals: AtomicU32,
    /// Its collections.
    pub pauses: Pauses,
}

impl Attached {
    /// So many refusals mean that the machine makes no collections. One it may put off, for native code that keeps an object where it is.
    const MOST_REFUSALS: u32 = 3;

    /// Whether it makes none.
    pub fn refuses(&self) -> bool {
        self.refusals.load(Relaxed) >= Self::MOST_REFUSALS
    }
}

/// What is known of live memory. All zeros = nothing yet.
pub struct Live {
    /// What malloc had handed out when it was asked last, in bytes.
    pub malloc: AtomicU64,
}
