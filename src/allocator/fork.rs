//! Google's tcmalloc and mimalloc have no fork handlers: a child forked while another thread releases memory would find
//! their locks taken for ever. So a fork waits until the release is over, as it does in other allocators' own handlers.

use core::sync::atomic::{AtomicU32, Ordering::*};

use crate::decide::SECOND;
use crate::sys::{self, memory};

/// Whether a thread releases, and the number of threads that fork.
static STATE: AtomicU32 = AtomicU32::new(0);
const RELEASING: u32 = 1;
const FORKING: u32 = 2;

/// Installs the fork handlers. For the constructor. Where that is impossible there is no memory or an unknown libc, and
/// nothing is ever released.
pub fn install() {
    if !memory::at_fork(Some(before), Some(in_parent), Some(in_child)) {
        STATE.store(RELEASING, Relaxed);
    }
}

/// Runs `release`, unless a thread is forking.
pub fn unless_forking(release: impl FnOnce()) {
    if STATE.compare_exchange(0, RELEASING, AcqRel, Relaxed).is_ok() {
        release();
        STATE.fetch_sub(RELEASING, Release);
    }
}

/// Waits for the end of a release: a second at most, should the release itself be what forks, in a fault's handler.
extern "C" fn before() {
    STATE.fetch_add(FORKING, AcqRel);
    let mut began = None;
    while STATE.load(Acquire) & RELEASING != 0 {
        let now = sys::now();
        if now.saturating_sub(*began.get_or_insert(now)) > SECOND {
            return;
        }
        // SAFETY: no preconditions.
        unsafe { libc::sched_yield() };
    }
}

extern "C" fn in_parent() {
    STATE.fetch_sub(FORKING, Release);
}

/// A child that was forked in the middle of a release all the same never releases.
extern "C" fn in_child() {
    STATE.fetch_and(RELEASING, Relaxed);
}
