//! Node's garbage: V8 is told that memory is short, and collects in a task of its event loop.
//!
//! Not at the wait point itself, where it could: a collection that is asked for ends with the finalizers of native objects, and
//! what those start (timers, immediates, JavaScript) an event loop that already waits sees only after its next event. As a task
//! it runs where Node runs V8's own tasks, and the loop goes around once afterwards. The queue's eventfd ends the wait that is
//! about to begin, the collection runs, and after the next wait has begun comes the trim.

#[cfg(feature = "often")]
use core::sync::atomic::AtomicU64;
use core::sync::atomic::{AtomicBool, AtomicI32, Ordering::Relaxed};

use super::garbage;
use crate::decide::collection::{Collects, Pause};
use crate::decide::{MILLISECOND, SECOND};
use crate::own::process::{self, Process};
use crate::own::runtime::runtime;
use crate::own::waits::Point;
use crate::reclaim::state::Notified;
use crate::sys::node::Isolate;
use crate::sys::signals::Shield;
use crate::sys::{self, Clock};
use crate::watch::safety::may_act;

/// For so long after the first thread was asked the trim waits for others that watch: each thread has an isolate of its own.
const TOGETHER: u64 = 50 * MILLISECOND;
/// Who is not back by then may have ended.
const LOST_AFTER: u64 = SECOND;

/// Whether the program has a Node that may be asked: what each wait looks at.
static IS_THERE: AtomicBool = AtomicBool::new(false);

/// It has. For the constructor.
pub fn begin() {
    IS_THERE.store(true, Relaxed);
}

/// Whether the calling thread is one of Node's that has no isolate, and is not the first: what it decided in quiet, the others would not
/// be asked for. Node's own wait for timers and signals there.
#[inline(always)]
pub fn is_left_alone() -> bool {
    IS_THERE.load(Relaxed) && has_no_isolate()
}

#[cold]
#[inline(never)]
fn has_no_isolate() -> bool {
    let Some(node) = runtime().and_then(|runtime| runtime.node.as_ref()) else { return false };
    sys::thread() != sys::pid() && node.isolate().is_none()
}

/// Where a thread is that waits in epoll: Node's workers watch beside its first thread, because each looks after its own garbage.
#[inline(always)]
pub fn point_of_epoll() -> Point {
    if IS_THERE.load(Relaxed) && sys::thread() != sys::pid() { Point::EpollOfWorker } else { Point::Epoll }
}

/// The isolate of the calling thread, which is about to wait at `point`: libuv waits in epoll. A forked child that goes on has a V8
/// without its threads.
fn isolate(point: Option<Point>) -> Option<Isolate> {
    let node = runtime()?.node.as_ref()?;
    let waits = point.is_some_and(Point::is_epoll) && !process::is_forked();
    if waits { node.isolate() } else { None }
}

/// When garbage is collected here; `None` where this is no thread of Node's that waits for events.
pub fn collects(point: Option<Point>) -> Option<Collects> {
    isolate(point).map(|_| garbage::of_node())
}

/// Has the calling thread's isolate collect, once for a trim, unless somebody waits for this thread; false where it has none.
pub fn ask(process: &Process, shield: &Shield, point: Option<Point>, somebody_waits: &mut dyn FnMut() -> bool) -> bool {
    let (Some(runtime), Some(isolate)) = (runtime(), isolate(point)) else { return false };
    let Some(node) = &runtime.node else { return false };
    let (state, thread, now) = (&process.node, sys::thread(), sys::now());
    if now.saturating_sub(state.since.load(Relaxed)) >= LOST_AFTER {
        end(state);
    }
    let was_asked = state.threads.iter().any(|asked| asked.load(Relaxed).abs() == thread);
    if was_asked || !may_act(process, shield) || somebody_waits() {
        return true;
    }
    let takes = |asked: &&AtomicI32| asked.compare_exchange(0, thread, Relaxed, Relaxed).is_ok();
    let Some(place) = state.threads.iter().find(takes) else { return true };
    if state.since.load(Relaxed) == 0 {
        state.cpu.store(sys::cpu_time(Clock::Process), Relaxed);
        state.since.store(now, Relaxed);
    }
    if node.notify(isolate) {
        process.hints.now();
    } else {
        place.store(0, Relaxed);
    }
    true
}

/// A wait is about to begin, whatever there is to gain and whoever waits for this thread. For scripts/compare-programs alone.
#[cfg(feature = "often")]
pub fn collect_often() {
    /// A collection takes some milliseconds, and the wait after it is not to be one for the next.
    const PAUSE: u64 = 50 * MILLISECOND;
    static LAST: AtomicU64 = AtomicU64::new(0);
    let Some(node) = runtime().and_then(|runtime| runtime.node.as_ref()) else { return };
    let Some(isolate) = isolate(Some(Point::Epoll)) else { return };
    let now = sys::now();
    if process::is_borrowed() || now.saturating_sub(LAST.load(Relaxed)) < PAUSE {
        return;
    }
    sys::errno::keeping_errno(|| {
        // Nobody serves, as a rule: there is no page yet.
        if process::open() {
            process::with(|process| {
                let shield = sys::signals::shield();
                if may_act(process, &shield) && node.notify(isolate) {
                    LAST.store(now, Relaxed);
                    sys::tally::count(Some(0));
                }
                shield.end();
            });
        }
    });
}

/// At a wait point: if this is the next one of a thread whose isolate was asked, it has collected.
#[inline(always)]
pub fn is_back(process: &Process) {
    let since = process.node.since.load(Relaxed);
    if since != 0 {
        note_return(process, since);
    }
}

#[cold]
#[inline(never)]
fn note_return(process: &Process, since: u64) {
    let (state, thread) = (&process.node, sys::thread());
    if let Some(asked) = state.threads.iter().find(|asked| asked.load(Relaxed) == thread) {
        // Of all threads: V8 collects on several.
        let took = sys::cpu_time(Clock::Process).saturating_sub(state.cpu.load(Relaxed));
        state.took.store(took.max(1), Relaxed);
        asked.store(-thread, Relaxed);
        process.hints.plan_by(since.saturating_add(TOGETHER));
    }
}

/// What collections took that were asked for together, once all are done; zeros = they are not, or there was none. For who decides.
pub fn take(process: &Process, now: u64) -> Pause {
    let state = &process.node;
    let since = state.since.load(Relaxed);
    if since == 0 {
        return Pause::default();
    }
    let all_are_back = state.threads.iter().all(|asked| asked.load(Relaxed) <= 0);
    let waited = if all_are_back { TOGETHER } else { LOST_AFTER };
    if now.saturating_sub(since) < waited {
        return Pause::default();
    }
    let took = end(state);
    Pause { took, cost: took }
}

fn end(state: &Notified) -> u64 {
    state.since.store(0, Relaxed);
    state.threads.iter().for_each(|asked| asked.store(0, Relaxed));
    state.took.swap(0, Relaxed)
}
