//! The runtimes whose garbage is collected before a trim: CPython ([`python`]), Node ([`node`]), Ruby ([`ruby`]) and
//! Java ([`java`]). A program has one of them, as a rule.

use core::ffi::c_int;
use core::sync::atomic::{AtomicI32, Ordering::Relaxed};

use super::{garbage, java, node, python, ruby};
use crate::decide::collection::Collects;
use crate::decide::rules::Decision;
use crate::own::process::Process;
use crate::own::runtime::{Runtime, runtime};
use crate::own::waits::Point;
use crate::sys;
use crate::sys::signals::Shield;

/// When garbage is collected, for which a trim waits then, as it is for the calling thread at `point`.
pub fn collects(process: &Process, point: Option<Point>) -> Collects {
    node::collects(point)
        .or_else(|| ruby::collects(process))
        .or_else(|| java::collects(process))
        .unwrap_or_else(|| python::collects(process))
}

/// Whether it may be collected in quiet, unasked.
pub fn may_collect() -> bool {
    runtime().is_some_and(|runtime| runtime.node.is_some() || runtime.java.is_some()) || garbage::may_be_collected()
}

/// Whether one is asked at the wait itself: Node, Ruby or Java, and CPython beside it perhaps.
pub const fn is_asked_at_wait(runtime: &Runtime) -> bool {
    runtime.node.is_some() || runtime.ruby.is_some() || runtime.java.is_some()
}

/// What was decided to be asked is, where that is so. Apart, for the sake of the stack.
#[inline(never)]
pub fn ask(
    process: &Process,
    shield: &Shield,
    (point, caller): (Option<Point>, usize),
    decision: Decision,
    somebody_waits: &mut dyn FnMut() -> bool,
) {
    let is_garbage = matches!(decision, Decision::Ask { garbage: true, .. });
    let is_asked = is_garbage
        && (node::ask(process, shield, point, somebody_waits)
            || ruby::ask(process, shield, point, somebody_waits)
            || java::ask(process, somebody_waits));
    if !is_asked {
        python::ask(process, decision);
        python::ask_at_wait(process, shield, caller, decision, somebody_waits);
    }
}

/// The same on the thread of our own, where Java alone can be asked at once.
pub fn ask_in_background(process: &Process, decision: Decision) {
    let is_garbage = matches!(decision, Decision::Ask { garbage: true, .. });
    if !(is_garbage && java::ask(process, &mut || false)) {
        python::ask(process, decision);
    }
}

/// Whether the calling thread is to do something of an interpreter's when it has left this wait.
#[inline(always)]
pub fn is_asked(process: &Process) -> bool {
    let is_this = |asked: &AtomicI32| {
        let asked = asked.load(Relaxed);
        asked != 0 && asked == sys::thread()
    };
    is_this(&process.ruby.asked) || is_this(&process.python.asked)
}

/// It does, in a wait of the interpreter's own with nothing held. It may not come back; else the wait has failed with EINTR, after which
/// each of them looks for what has come meanwhile, and waits on.
#[inline(never)]
pub fn work_and_interrupt(process: &Process) -> c_int {
    if process.ruby.asked.load(Relaxed) == sys::thread() {
        ruby::work_and_interrupt(process)
    } else {
        python::work_and_interrupt(process)
    }
}
