//! This process's page: what the rooms keep of it, across fork and vfork.
//!
//! It lives in memory that reads as zeros in a forked child ([`memory::wiped_on_fork`]): counters,
//! policy and locks of the parent never reach it, whatever they were doing. A vfork child shares its parent's
//! memory, but has another pid: it passes straight through.

use core::sync::atomic::{AtomicBool, AtomicI64, AtomicU64, Ordering::Relaxed};

use once_cell::race::OnceRef;

use crate::decide::SECOND;
use crate::decide::faults::Faults;
use crate::decide::policy::Policy;
use crate::decide::verdict::Floors;
use crate::own::hints::{Hints, Reason};
use crate::own::stats::{Stats, autotrim_stats};
use crate::own::waits::Waits;
use crate::reclaim::state::{Asked, Attached, Collected, Live, Notified};
use crate::sys::cell::TryLock;
use crate::sys::errno::keeping_errno;
use crate::sys::{self, memory};
use crate::tell::state::{Metrics, Said};
use crate::watch::state::{Outside, Unseen};

/// A request that is in flight for longer, and up to twice as long, lingers: an upload's tail, a slow client, a long report.
const LINGERS_AFTER: u64 = 2 * SECOND;

/// The state of one process. All zeros = not yet begun.
#[repr(C)]
pub struct Process {
    /// What others may read. Its pid is that of the process that this memory belongs to; 0 = not known yet (a raw clone
    /// that has not begun).
    pub stats: Stats,
    /// Whether it has received from its first connection.
    begun: AtomicBool,
    /// Why a wait point should look, and when.
    pub hints: Hints,
    /// Requests in flight that have been for more than a few seconds, and when they were counted last.
    lingering: AtomicI64,
    counted_at: AtomicU64,
    /// Where its threads wait.
    pub waits: Waits,
    /// What decides.
    pub policy: TryLock<Policy>,
    /// What trims left.
    pub floors: TryLock<Floors>,
    /// Its page faults, at trims.
    pub faults: TryLock<Faults>,
    /// Whether a trim has brought nothing because memory is locked.
    pub locked: AtomicBool,
    /// Whether no fork handler has run in this child (a bare clone, `_Fork`): other threads may have left malloc locked.
    pub cloned: AtomicBool,
    /// Whether connections come past us.
    pub unseen: Unseen,
    /// The triggers that need no request.
    pub outside: Outside,
    /// What CPython is asked for before trims.
    pub python: Asked,
    /// The same of Node.
    pub node: Notified,
    /// The same of Ruby.
    pub ruby: Collected,
    /// The same of Java.
    pub java: Attached,
    /// What is known of live memory.
    pub live: Live,
    /// What the log has said.
    pub said: Said,
    /// The file of metrics.
    pub metrics: Metrics,
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

/// See [`is_forked`].
static FORKED: AtomicBool = AtomicBool::new(false);

/// Whether this program was forked from another process that ran it, since it was executed: it may share that one's memory.
pub fn is_forked() -> bool {
    FORKED.load(Relaxed)
}

/// In a forked child: its parent's page is wiped, and is the child's.
pub fn wipe() -> Option<&'static Process> {
    FORKED.store(true, Relaxed);
    let process = PROCESS.get()?;
    memory::wipe(process);
    process.stats.pid.store(sys::pid(), Relaxed);
    Some(process)
}

/// This process's state, if it has any.
#[inline(always)]
pub fn get() -> Option<&'static Process> {
    PROCESS.get()
}

/// Runs `work` on this process's state, if it has any.
pub fn with(work: impl FnOnce(&'static Process)) {
    if let Some(process) = PROCESS.get() {
        work(process);
    }
}

/// Wait points of this process have a reason to look.
pub fn add(reason: Reason) {
    with(|process| process.hints.add(reason));
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

    /// It does now; whether this is the first time. A page that no fork handler has wiped is a clone's from here on.
    pub fn begin(&self) -> bool {
        if self.begun.swap(true, Relaxed) {
            return false;
        }
        self.hints.remove(Reason::Tasks);
        self.hints.now();
        if self.stats.pid.compare_exchange(0, sys::pid(), Relaxed, Relaxed).is_ok() {
            self.cloned.store(true, Relaxed);
        }
        true
    }

    /// Whether the state is this process's own.
    pub fn is_mine(&self) -> bool {
        self.stats.pid.load(Relaxed) == sys::pid()
    }

    /// Requests in flight, but for those that have been for more than a few seconds.
    pub fn in_flight(&self) -> u64 {
        self.stats.in_flight().saturating_sub(self.lingering.load(Relaxed).max(0) as u64)
    }

    /// So many more requests linger.
    pub fn linger(&self, more: i64) {
        self.lingering.fetch_add(more, Relaxed);
    }

    /// Whether it is time, `now`, to count again which requests linger; once for each time.
    pub fn is_time_to_count(&self, now: u64) -> bool {
        let counted_at = self.counted_at.load(Relaxed);
        now.saturating_sub(counted_at) >= LINGERS_AFTER
            && self.counted_at.compare_exchange(counted_at, now, Relaxed, Relaxed).is_ok()
    }
}
