//! Processes that accept nothing: task workers (Celery, RQ, Sidekiq), consumers of queues, scripts that wait between two pieces of
//! work, and masters, which listen and leave it to their children to accept. Nothing is counted there, so there is no page for them until they have lived for a while, or until an interpreter's script waits that holds
//! much already: it may have done its only task. From then on each wait is looked at, in `poll` and its kin, and in a blocking read of what tasks come from: a connection that the process has made, what a
//! forked child has inherited, or standard input.
//!
//! They write no line to the log but for `AUTOTRIM_LOG=debug`, and their malloc is set up as ever.

use core::ffi::c_int;
use core::sync::atomic::{AtomicI32, AtomicU32, AtomicU64, Ordering::Relaxed};

use crate::decide::policy::LEAST_OF_TASKS;
use crate::decide::rules::Next;
use crate::decide::{MILLISECOND, SECOND};
use crate::options::Options;
use crate::own::descriptors;
use crate::own::hints::Reason;
use crate::own::process::{self, Process};
use crate::own::runtime::runtime;
use crate::sys::{self, filter, memory};

/// How old a process is before it is looked at: most are gone by then, and servers have begun to listen.
const GROWN_UP: u64 = 5 * SECOND;
/// A process with less anonymous RSS is left alone: there is not much to gain.
pub const LEAST: u64 = LEAST_OF_TASKS;

/// When this process is old enough; 0 = it is never looked at.
static FROM: AtomicU64 = AtomicU64::new(0);
/// Which one it is: a vfork child has its parent's memory.
static OWNER: AtomicI32 = AtomicI32::new(0);

/// In the constructor.
pub fn prepare(options: &Options) {
    if options.rules.growth.is_on() && runtime().is_some_and(|runtime| runtime.allocator.is_ok()) {
        OWNER.store(sys::pid(), Relaxed);
        FROM.store(sys::coarse_now().saturating_add(GROWN_UP), Relaxed);
        if reads_its_tasks() {
            descriptors::mark_one(libc::STDIN_FILENO);
        }
    }
}

/// In a forked child; `process`: its page, if its parent had one.
pub fn in_forked_child(process: Option<&Process>) {
    if FROM.load(Relaxed) == 0 {
        return;
    }
    let from = sys::coarse_now().saturating_add(GROWN_UP);
    FROM.store(from, Relaxed);
    OWNER.store(sys::pid(), Relaxed);
    if reads_its_tasks() {
        descriptors::mark();
    }
    if let Some(process) = process {
        look_from(process, from);
    }
}

/// A socket of this process listens. Until it serves it may be a master, whose children do: what its start has left free stays with it.
pub fn listening() {
    let from = FROM.load(Relaxed);
    if from != 0 && sys::pid() == OWNER.load(Relaxed) {
        process::with(|process| {
            if !process.has_begun() && !is_waiting_for(process) {
                look_from(process, from);
            }
        });
    }
}

fn look_from(process: &Process, from: u64) {
    process.hints.plan(Next { look: from, time: from, ..Next::NEVER });
    process.hints.add(Reason::Tasks);
}

/// The process is left alone from here on, and what it forks.
pub fn retire() {
    FROM.store(0, Relaxed);
}

/// Whether this may be a worker that gets its tasks from a pipe: a script of an interpreter. Others are too many to slow down
/// their reads.
fn reads_its_tasks() -> bool {
    let settings =
        runtime().and_then(|runtime| runtime.allocator.as_ref().ok()).and_then(|allocator| allocator.settings());
    settings.is_some_and(|settings| settings.is_for_interpreter())
}

/// The process is about to make a connection: what a client of others reads may be its tasks. False: nothing is to be done after it.
#[inline(always)]
pub fn connecting(descriptor: c_int) -> bool {
    if FROM.load(Relaxed) != 0 && process::begun().is_none() {
        descriptors::mark_one(descriptor);
    }
    false
}

/// Whether a process that has no page may be old enough, as far as two instructions can tell; [`has_grown_up`] knows. Where many calls
/// have come within a tenth of a second each, the clock is read at one in sixteen: some programs poll as fast as they can while they start.
#[inline(always)]
pub fn may_have_grown_up() -> bool {
    let unasked = UNASKED.load(Relaxed);
    if unasked != 0 {
        UNASKED.store(unasked - 1, Relaxed);
    }
    unasked == 0
}

/// How many more calls are not asked.
static UNASKED: AtomicU32 = AtomicU32::new(0);
static ASKED_AT: AtomicU64 = AtomicU64::new(0);
/// How many have come fast, in a row; and how many it takes: a worker that is about to wait for its first task is not to be passed over.
static FAST: AtomicU32 = AtomicU32::new(0);
const MANY: u32 = 64;

/// Whether it is, or is to be looked at all the same.
#[inline(never)]
pub fn has_grown_up() -> bool {
    let from = FROM.load(Relaxed);
    if from == 0 {
        UNASKED.store(u32::MAX, Relaxed);
        return false;
    }
    let now = sys::coarse_now();
    let before = ASKED_AT.swap(now, Relaxed);
    let is_fast = now < from && now.saturating_sub(before) < 100 * MILLISECOND;
    let fast = if is_fast { FAST.load(Relaxed).saturating_add(1) } else { 0 };
    FAST.store(fast, Relaxed);
    if fast >= MANY {
        UNASKED.store(15, Relaxed);
    }
    now >= from || fast < MANY && holds_much()
}

/// Whether a young process may wait with something to gain, which nothing would tell while that wait lasts. Looked at where waits are few.
#[inline(never)]
fn holds_much() -> bool {
    reads_its_tasks() && !filter::is_restricted() && memory::anonymous_rss().is_some_and(|rss| rss >= LEAST)
}

/// At a wait of such a process: its page, from now on.
pub fn begin() -> Option<&'static Process> {
    if sys::pid() != OWNER.load(Relaxed) {
        return None;
    }
    let process = process::open().then(process::get)??;
    look_from(process, FROM.load(Relaxed));
    Some(process)
}

/// Whether it serves nobody, so that each of its waits may be one between two tasks.
pub fn is_waiting_for(process: &Process) -> bool {
    process.hints.has(Reason::Tasks)
}
