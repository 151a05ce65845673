//! A thread starts: where its process serves, it plants in the arena that it allocates in ([`crate::allocator::tops`]), before it runs
//! what it is to run. No other place is passed by threads that wait for locks and conditions alone.

use core::ffi::{c_int, c_void};
use core::mem::transmute;
use core::sync::atomic::{AtomicUsize, Ordering::*};

use libc::{pthread_attr_t, pthread_t};

use crate::allocator::tops::{self, Thread};
use crate::own::process;
use crate::reclaim::duty;
use crate::sys::errno::keeping_errno;
use crate::sys::real::{self, Run};
use crate::sys::signals;

/// What threads that are starting are to run, and on what; 0 = nobody's, 1 = not yet written.
static STARTS: [[AtomicUsize; 2]; 32] = [const { [AtomicUsize::new(0), AtomicUsize::new(0)] }; 32];

/// Instead of pthread_create, which is `next`: as many threads at once as there are places plant.
pub fn starting(
    thread: *mut pthread_t,
    attributes: *const pthread_attr_t,
    run: Run,
    argument: *mut c_void,
    next: impl Fn() -> c_int,
) -> c_int {
    let free = STARTS.iter().find(|[run, _]| run.compare_exchange(0, 1, Acquire, Relaxed).is_ok());
    let (Some(create), Some(start)) = (real::pthread_create.known(), free) else { return next() };
    let [place_of_run, place_of_argument] = start;
    place_of_argument.store(argument as usize, Relaxed);
    place_of_run.store(run as usize, Release);
    // SAFETY: the caller's own arguments, but for what is run, which runs that.
    let result = unsafe { create(thread, attributes, begin, (&raw const *start).cast_mut().cast()) };
    if result != 0 {
        place_of_run.store(0, Release);
    }
    result
}

/// Where such a thread begins. Nothing is left on its stack for what it runs to meet, and nothing to be dropped where that does not
/// return.
extern "C" fn begin(start: *mut c_void) -> *mut c_void {
    // SAFETY: one of the places, which nobody else uses before it is free again.
    let [place_of_run, place_of_argument] = unsafe { &*start.cast::<[AtomicUsize; 2]>() };
    let (run, argument) = (place_of_run.load(Acquire), place_of_argument.load(Relaxed));
    place_of_run.store(0, Release);
    plant();
    // SAFETY: what was stored there.
    let run = unsafe { transmute::<usize, Run>(run) };
    run(argument as *mut c_void)
}

/// Apart, so that its frame is gone.
#[inline(never)]
fn plant() {
    keeping_errno(|| {
        let shield = signals::shield();
        if shield.is_up {
            tops::plant(Thread::New);
            process::with(duty::tell_arenas);
        }
        shield.end();
    });
}

/// In a forked child: threads that were starting are the parent's.
pub fn in_forked_child() {
    STARTS.iter().for_each(|[run, _]| run.store(0, Relaxed));
}
