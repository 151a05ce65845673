//! Who am I: the program's name, and this process's own state across fork and vfork.
//!
//! The state lives in memory that reads as zeros in a forked child ([`sys::memory::wiped_on_fork`]): counters,
//! policy and locks of the parent never reach it, whatever they were doing. A vfork child shares its parent's
//! memory, but has another pid: it passes straight through.

mod programs;

use core::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};

use once_cell::race::OnceRef;

pub use programs::program_matches;

use crate::background;
use crate::connection::Event;
use crate::descriptors;
use crate::duty;
use crate::garbage;
use crate::interpose::keeping_errno;
use crate::metrics;
use crate::policy::{Policy, Rules};
use crate::stats::{Stats, autotrim_stats};
use crate::sys::{self, cell::TryLock, memory};
use crate::unseen::{self, Watch};
use crate::verdict::Floors;

/// Answers after which accept and recv look at RSS at the latest, however fast they come. Asking the clock before
/// each of them would cost more than all else that the library does there (`scripts/bench-calls`).
const LONGEST_STRIDE: u64 = 16;

/// The state of one process. All zeros = not yet begun.
#[repr(C)]
pub struct Process {
    /// What others may read. Its pid is that of the process that this memory belongs to; 0 = not known yet (a raw clone
    /// that has not begun).
    pub stats: Stats,
    /// Whether it has received from its first connection.
    begun: AtomicBool,
    /// Something may be due, or was answered since the last look: wait points have a reason to stop.
    pub armed: AtomicBool,
    /// accept and recv, which cannot be cut in two and are many, have a reason to stop. Set by the answer before
    /// which there were `stop_at`, so that they need not count.
    pub stopping: AtomicBool,
    /// See `stopping`.
    pub stop_at: AtomicU64,
    /// After so many answers accept and recv stop to look at RSS; grows where they come faster than looks are wanted.
    stride: AtomicU64,
    /// One more than the requests that were answered at the last accept that stopped; 0 = none did.
    answered_at_accept: AtomicU64,
    /// Below this many requests, and before `possible_at`, a wait that can be cut in two has nothing to do.
    pub possible_requests: AtomicU64,
    /// The same for accept and recv, which cannot.
    pub possible_count: AtomicU64,
    /// The time that goes with both.
    pub possible_at: AtomicU64,
    /// Until when a thread watches for quiet in a wait that it cut in two; 0 = none does.
    pub watched_until: AtomicU64,
    /// Whether connections come past us.
    pub unseen: Watch,
    /// What decides.
    pub policy: TryLock<Policy>,
    /// The triggers that need no request.
    pub background: background::State,
    /// Garbage collections before trims.
    pub garbage: garbage::State,
    /// Whether the log has said what is on.
    pub introduced: AtomicBool,
    /// Whether the log has called this process's growth a leak.
    pub called_a_leak: AtomicBool,
    /// Whether a trim has brought nothing because memory is locked.
    pub locked: AtomicBool,
    /// Whether no fork handler has run in this child (a bare clone, `_Fork`): other threads may have left malloc locked.
    pub cloned: AtomicBool,
    /// Whether the log has said that it was cloned.
    pub knows_no_fork: AtomicBool,
    /// Whether the log has said that a stack is not known.
    pub knows_no_stack: AtomicBool,
    /// What trims left.
    pub floors: TryLock<Floors>,
    /// The file of metrics.
    pub metrics: metrics::State,
}

#[allow(unsafe_code)]
// SAFETY: every field is an integer or a lock of integers and fieldless enums with a variant 0. A wipe happens at
// fork, before the child's only thread runs.
unsafe impl memory::ZeroIsValid for Process {}

static PROCESS: OnceRef<'static, Process> = OnceRef::new();

/// Makes room for this process's state, once; false where that is impossible, and nothing may be followed.
pub fn open() -> bool {
    PROCESS.get().is_some()
        || keeping_errno(|| {
            memory::wiped_on_fork().is_some_and(|process: &'static Process| {
                process.stats.pid.store(sys::pid(), Relaxed);
                // Where two threads come here at once, the loser's page stays mapped: once per process at most.
                if PROCESS.set(process).is_ok() {
                    autotrim_stats.stats.store(core::ptr::from_ref(&process.stats).cast_mut(), Relaxed);
                }
                true
            })
        })
}

/// This process's state, begun if it was not; `None` before the first connection.
pub fn begin() -> Option<&'static Process> {
    let process = PROCESS.get()?;
    process.begin();
    Some(process)
}

/// The fork handler: runs in the child of each fork(3), before anything else can.
pub extern "C" fn in_forked_child() {
    sys::own::close_inherited();
    if let Some(process) = PROCESS.get() {
        memory::wipe(process);
        process.stats.pid.store(sys::pid(), Relaxed);
        unseen::in_forked_child();
        background::in_forked_child(process);
        duty::in_forked_child(process);
    }
}

/// Runs `work` on this process's state, if it has any.
pub fn with(work: impl FnOnce(&'static Process)) {
    if let Some(process) = PROCESS.get() {
        work(process);
    }
}

/// Whether a wait point has a reason to stop: two loads in a process that serves nothing.
#[inline(always)]
pub fn is_armed() -> bool {
    armed().is_some()
}

/// This process's state if a wait point has a reason to stop.
#[inline(always)]
pub fn armed() -> Option<&'static Process> {
    PROCESS.get().filter(|process| process.armed.load(Relaxed))
}

/// Whether accept and recv have a reason to stop.
#[inline(always)]
pub fn is_stopping() -> bool {
    PROCESS.get().is_some_and(|process| process.stopping.load(Relaxed))
}

/// Wait points of this process have a reason to stop.
pub fn arm() {
    if let Some(process) = PROCESS.get() {
        process.armed.store(true, Relaxed);
    }
}

impl Process {
    /// Whatever was planned, the next wait point has a reason to stop.
    pub fn look_at_once(&self) {
        self.possible_at.store(0, Relaxed);
        self.armed.store(true, Relaxed);
        self.stopping.store(true, Relaxed);
    }
}

/// No wait point of this process has a reason to stop any more.
pub fn disarm() {
    if let Some(process) = PROCESS.get() {
        process.armed.store(false, Relaxed);
        process.stopping.store(false, Relaxed);
    }
}

/// Whether this is a vfork child on its parent's memory: what it does to descriptors is not the parent's doing.
pub fn is_borrowed() -> bool {
    PROCESS.get().is_some_and(|process| process.stats.pid.load(Relaxed) != 0 && !process.is_mine())
}

/// This process's state, where counters can be changed: it has begun. Where not, what is pending is the parent's.
#[inline(always)]
pub fn begun() -> Option<&'static Process> {
    PROCESS.get().filter(|process| process.begun.load(Relaxed))
}

impl Process {
    /// Whether it has received from a connection.
    pub fn has_begun(&self) -> bool {
        self.begun.load(Relaxed)
    }

    /// Whether the state is this process's own.
    pub fn is_mine(&self) -> bool {
        self.stats.pid.load(Relaxed) == sys::pid()
    }

    /// Leaves the hints that `policy` gives after a decision: until one of them is reached, no wait point need ask it.
    pub fn plan(&self, policy: &Policy, rules: &Rules) {
        let (requests, time) = policy.next_possible(rules);
        let count = policy.next_count(rules);
        self.possible_requests.store(requests, Relaxed);
        self.possible_count.store(count, Relaxed);
        self.possible_at.store(time, Relaxed);
        if time == 0 {
            self.stopping.store(true, Relaxed);
        } else {
            let stride = self.stride.load(Relaxed) / 2;
            self.stop_after(if rules.growth.is_on() { stride } else { u64::MAX }, count);
        }
    }

    /// accept and recv came too early for a look at RSS: the next stop is after twice as many answers.
    pub fn stop_later(&self) {
        self.stopping.store(false, Relaxed);
        let stride = self.stride.load(Relaxed).saturating_mul(2).min(LONGEST_STRIDE);
        self.stop_after(stride, self.possible_count.load(Relaxed));
    }

    /// Whether a request was answered since the last time that this was asked, before an accept.
    pub fn has_answered_between_accepts(&self) -> bool {
        let answered = self.stats.requests.load(Relaxed).saturating_add(1);
        self.answered_at_accept.swap(answered, Relaxed) != answered
    }

    fn stop_after(&self, stride: u64, count: u64) {
        let stride = stride.max(1);
        self.stride.store(stride, Relaxed);
        let requests = self.stats.requests.load(Relaxed);
        // The first answer stops in any case: it is told to the log.
        let stop_at = if requests == 0 { 0 } else { requests.saturating_add(stride).min(count).saturating_sub(1) };
        self.stop_at.store(stop_at, Relaxed);
    }

    /// First touch in this process: what the parent left pending is not in flight here, and RSS before the first
    /// request is the first floor.
    #[cold]
    #[inline(never)]
    fn begin(&self) {
        if self.begun.swap(true, Relaxed) {
            return;
        }
        if self.stats.pid.compare_exchange(0, sys::pid(), Relaxed, Relaxed).is_ok() {
            self.cloned.store(true, Relaxed);
        }
        descriptors::apply_to_range(0, u32::MAX, Event::Forked, |_| {});
        let shield = sys::signals::shield();
        self.policy.with(|policy| {
            policy.floor = memory::anonymous_rss().unwrap_or(0);
            self.stats.changing(|| {
                self.stats.floor.store(policy.floor, Relaxed);
                self.stats.began.store(sys::now(), Relaxed);
            });
        });
        shield.end();
    }
}
