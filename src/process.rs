//! Who am I: the program's name, and this process's own state across fork and vfork.
//!
//! The state lives in memory that reads as zeros in a forked child ([`sys::memory::wiped_on_fork`]): counters,
//! policy and locks of the parent never reach it, whatever they were doing. A vfork child shares its parent's
//! memory, but has another pid: it passes straight through.

mod programs;

use core::ffi::c_int;
use core::sync::atomic::{AtomicBool, AtomicI32, AtomicI64, AtomicU32, AtomicU64, Ordering::Relaxed};

use once_cell::race::OnceRef;

pub use programs::program_matches;

use crate::background;
use crate::connection::Event;
use crate::decide::SECOND;
use crate::decide::policy::Policy;
use crate::decide::verdict::Floors;
use crate::descriptors;
use crate::duty;
use crate::garbage;
use crate::hints::{Hints, Reason};
use crate::interpose::keeping_errno;
use crate::metrics;
use crate::stats::{Stats, autotrim_stats};
use crate::sys::{self, cell::TryLock, files, memory, sockets, threads};
use crate::tasks;
use crate::unseen::{self, Watch};
use crate::wait::Point;

/// A request that is in flight for longer, and up to twice as long, lingers: an upload's tail, a slow client, a long report.
const LINGERS_AFTER: u64 = 2 * SECOND;

/// So many calls are not asked after one that does not block.
const NOT_ASKED: u32 = 64;

/// The one of two that is for waits of this kind: for those for one client, or for all others.
fn of<T>([others, clients]: &[T; 2], point: Point) -> &T {
    if point == Point::Receive { clients } else { others }
}

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
    /// One more than the requests that were answered at the last accept that looked; 0 = none did.
    answered_at_accept: AtomicU64,
    /// Until when a thread watches for quiet in a wait that it cut in two; 0 = none does.
    watched_until: [AtomicU64; 2],
    /// A descriptor that is known to block without a time of its own, and until when that is believed.
    blocking: AtomicI32,
    blocking_until: AtomicU64,
    /// Whether it has one thread, and until when that is believed.
    alone: AtomicBool,
    alone_until: AtomicU64,
    /// Waits in poll and its kin, as far as they were looked at: what changes tells that there are some. And as of the last call that
    /// has no timeout.
    polled: AtomicU32,
    polled_before: AtomicU32,
    /// How many more calls of each kind are not asked for whether they block, because the last one did not.
    not_asked: [AtomicU32; 2],
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
    let process = PROCESS.get();
    if let Some(process) = process {
        memory::wipe(process);
        process.stats.pid.store(sys::pid(), Relaxed);
        unseen::in_forked_child();
        background::in_forked_child(process);
        duty::in_forked_child(process);
    }
    tasks::in_forked_child(process);
}

/// This process's state, if it has any.
pub fn get() -> Option<&'static Process> {
    PROCESS.get()
}

/// Runs `work` on this process's state, if it has any.
pub fn with(work: impl FnOnce(&'static Process)) {
    if let Some(process) = PROCESS.get() {
        work(process);
    }
}

/// Whether a wait point has a reason to look: two loads in a process that serves nothing.
#[inline(always)]
pub fn has_reason() -> bool {
    match PROCESS.get() {
        Some(process) => process.hints.any(),
        None => tasks::is_grown_up(),
    }
}

/// This process's state if a wait point has a reason to look.
pub fn with_reason() -> Option<&'static Process> {
    match PROCESS.get() {
        Some(process) => Some(process).filter(|process| process.hints.any()),
        None => tasks::is_grown_up().then(tasks::begin)?,
    }
}

/// Wait points of this process have a reason to look.
pub fn add(reason: Reason) {
    with(|process| process.hints.add(reason));
}

/// No wait point of this process has a reason to look any more.
pub fn disarm() {
    with(|process| process.hints.clear());
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

    /// Requests in flight, but for those that have been for more than a few seconds.
    pub fn in_flight(&self) -> u64 {
        self.stats.in_flight().saturating_sub(self.lingering.load(Relaxed).max(0) as u64)
    }

    /// Whether the calling thread is to watch, for so many nanoseconds from `now`: one at a time does, the others wait as they
    /// asked; and one of those that wait for their client alone, because they may end without another wait. One that does not come
    /// back (it was cancelled, or a handler left by longjmp) is given up a second after its time.
    pub fn watch(&self, point: Point, now: u64, nanoseconds: u64) -> bool {
        let watched_until = self.watched_until(point);
        let until = watched_until.load(Relaxed);
        let ours = now.saturating_add(nanoseconds).saturating_add(SECOND);
        until < now && watched_until.compare_exchange(until, ours, Relaxed, Relaxed).is_ok()
    }

    /// It watches no more.
    pub fn end_watch(&self, point: Point) {
        self.watched_until(point).store(0, Relaxed);
    }

    fn watched_until(&self, point: Point) -> &AtomicU64 {
        of(&self.watched_until, point)
    }

    /// A thread waits in poll or its kin.
    pub fn polls(&self) {
        self.polled.store(self.polled.load(Relaxed).wrapping_add(1), Relaxed);
    }

    /// Whether a call without a timeout is worth asking whether it blocks: event loops make many that do not, and many that need
    /// not be watched, because the loop waits elsewhere.
    pub fn may_block(&self, point: Point) -> bool {
        let polled = self.polled.load(Relaxed);
        if self.polled_before.swap(polled, Relaxed) != polled {
            return false;
        }
        let not_asked = of(&self.not_asked, point);
        let more = not_asked.load(Relaxed);
        not_asked.store(more.saturating_sub(1), Relaxed);
        more == 0
    }

    /// Whether it has one thread: asked once a second.
    pub fn is_alone(&self, now: u64) -> bool {
        if now >= self.alone_until.load(Relaxed) {
            self.alone.store(keeping_errno(threads::count) == Some(1), Relaxed);
            self.alone_until.store(now.saturating_add(SECOND), Relaxed);
        }
        self.alone.load(Relaxed)
    }

    /// Whether calls on `descriptor` block, and have no time of their own: asked once a second, if it is always the same.
    pub fn blocks_plainly(&self, point: Point, descriptor: c_int, now: u64) -> bool {
        if self.blocking.load(Relaxed) == descriptor && now < self.blocking_until.load(Relaxed) {
            return true;
        }
        // A file never makes anybody wait.
        let blocks = files::is_source(descriptor)
            && sockets::is_blocking(descriptor)
            && !sockets::has_receive_timeout(descriptor);
        if blocks {
            self.blocking.store(descriptor, Relaxed);
            self.blocking_until.store(now.saturating_add(SECOND), Relaxed);
        } else {
            of(&self.not_asked, point).store(NOT_ASKED, Relaxed);
        }
        blocks
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

    /// Whether a request was answered since the last time that this was asked, before an accept.
    pub fn has_answered_between_accepts(&self) -> bool {
        let answered = self.stats.requests.load(Relaxed).saturating_add(1);
        self.answered_at_accept.swap(answered, Relaxed) != answered
    }

    /// First touch in this process: what the parent left pending is not in flight here, and RSS before the first
    /// request is what growth is measured from.
    #[cold]
    #[inline(never)]
    fn begin(&self) {
        if self.begun.swap(true, Relaxed) {
            return;
        }
        self.hints.remove(Reason::Tasks);
        self.hints.now();
        if self.stats.pid.compare_exchange(0, sys::pid(), Relaxed, Relaxed).is_ok() {
            self.cloned.store(true, Relaxed);
        }
        descriptors::apply_to_range(0, u32::MAX, Event::Forked, |_| {});
        let shield = sys::signals::shield();
        self.policy.with(|policy| {
            policy.begin(memory::anonymous_rss().unwrap_or(0));
            self.stats.changing(|| self.stats.began.store(sys::now(), Relaxed));
        });
        shield.end();
    }
}
