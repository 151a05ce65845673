//! Ruby's garbage: collected in a wait of Ruby's own, by a thread of Ruby's that has left the interpreter lock there.
//!
//! At such a wait Ruby itself runs, when it begins and when it ends, whatever has come for its thread: interrupts, traps, and the finalizers of what was
//! collected. So nothing happens there that could not. In a wait of somebody else's, such as a library's within rb_thread_call_without_gvl, finalizers
//! must not run: what that holds they may need. Which it is, the address tells that the call returns to.

use core::ffi::{c_int, c_void};
use core::ptr;
#[cfg(feature = "often")]
use core::sync::atomic::AtomicU64;
use core::sync::atomic::Ordering::Relaxed;

use super::garbage;
use crate::decide::MILLISECOND;
use crate::decide::collection::Collects;
use crate::own::process::{self, Process};
use crate::own::runtime::runtime;
use crate::own::waits::Point;
use crate::sys::errno::fail;
use crate::sys::ruby::Ruby;
use crate::sys::signals::Shield;
use crate::sys::{self, Clock};
use crate::watch::safety::may_act;

/// After a collection that took no more CPU time there is one more: each gives back only what Ruby has beyond two thirds of its heap (`heap_free_slots_max_ratio`).
const SHORT: u64 = 50 * MILLISECOND;

fn ruby() -> Option<&'static Ruby> {
    runtime()?.ruby.as_ref()
}

/// Whether a wait that returns to `caller` is one of Ruby's own.
pub fn waits_itself(caller: usize) -> bool {
    seen(ruby().is_some_and(|ruby| ruby.waits_itself(caller)))
}

/// Whether it is one of an event loop's: nothing of Ruby's may run there. It is interrupted, and when it is over Ruby collects.
pub fn waits_in_event_loop(caller: usize) -> bool {
    seen(ruby().is_some_and(|ruby| ruby.waits_in_event_loop(caller)))
}

fn seen(may_collect: bool) -> bool {
    if may_collect {
        process::with(|process| process.ruby.waits.store(true, Relaxed));
    }
    may_collect
}

/// When garbage is collected; `None` where no wait of Ruby's own has been seen.
pub fn collects(process: &Process) -> Option<Collects> {
    process.ruby.waits.load(Relaxed).then(garbage::of_ruby)
}

/// Has the calling thread collect when it has left this wait ([`work_and_interrupt`]), if that is one of Ruby's own, and nobody waits for this thread; false
/// where there is no Ruby. Another thread leaves it to the next such wait: they watch, too.
pub fn ask(process: &Process, shield: &Shield, point: Option<Point>, somebody_waits: &mut dyn FnMut() -> bool) -> bool {
    if ruby().is_none() {
        return false;
    }
    let may = point.is_some_and(Point::is_of_ruby) && may_act(process, shield);
    if may && !somebody_waits() {
        process.ruby.in_event_loop.store(point == Some(Point::EpollOfRuby), Relaxed);
        process.ruby.asked.store(sys::thread(), Relaxed);
    }
    true
}

/// It does, in a wait of Ruby's own with nothing held: it may not come back. In an event loop's it has that queued. Else the wait fails with EINTR: Ruby looks once more for what has come for
/// the thread meanwhile, as after each of its waits, and waits again (thread.c, `wait_retryable`).
#[inline(never)]
pub fn work_and_interrupt(process: &Process) -> c_int {
    process.ruby.asked.store(0, Relaxed);
    if let Some(ruby) = ruby() {
        if process.ruby.in_event_loop.load(Relaxed) {
            ruby.queue(collect_later);
        } else {
            ruby.with_lock(collect);
        }
    }
    fail(libc::EINTR)
}

/// At each wait of Ruby's own, in the build that collects often: the calling thread does, if it has not for a while; whether it did. The wait has failed then.
#[cfg(feature = "often")]
pub fn collect_often(caller: usize) -> bool {
    /// A collection takes some milliseconds, and the wait after it is not to be one for the next.
    const PAUSE: u64 = 50 * MILLISECOND;
    static LAST: AtomicU64 = AtomicU64::new(0);
    let now = sys::now();
    if process::is_borrowed() || now.saturating_sub(LAST.load(Relaxed)) < PAUSE || !waits_itself(caller) {
        return false;
    }
    // Nobody serves, as a rule: there is no page yet.
    let process = sys::errno::keeping_errno(|| if process::open() { process::get() } else { None });
    let may = |process: &Process| {
        let shield = sys::signals::shield();
        let may = may_act(process, &shield);
        shield.end();
        may
    };
    let Some(process) = process.filter(|process| sys::errno::keeping_errno(|| may(process))) else { return false };
    LAST.store(now, Relaxed);
    process.ruby.in_event_loop.store(false, Relaxed);
    work_and_interrupt(process);
    true
}

/// The same as [`collect`], for Ruby's queue.
extern "C" fn collect_later(_: *mut c_void) {
    collect(ptr::null_mut());
}

/// Called by Ruby, with the interpreter lock held.
extern "C" fn collect(_: *mut c_void) -> *mut c_void {
    if let Some(ruby) = ruby() {
        process::with(|process| {
            garbage::collect(&process.ruby.pauses, || {
                let began = sys::cpu_time(Clock::Thread);
                let collected = ruby.collect();
                if collected && sys::cpu_time(Clock::Thread).saturating_sub(began) < SHORT {
                    ruby.collect();
                }
                #[cfg(feature = "often")]
                if collected {
                    sys::tally::count(Some(0));
                }
                collected
            });
            process.hints.now();
        });
    }
    ptr::null_mut()
}
