//! The runtimes whose garbage is collected before a trim: CPython ([`python`]) and Node ([`node`]). A program has one of them, as a rule.

use super::{garbage, node, python};
use crate::decide::collection::Collects;
use crate::decide::rules::Decision;
use crate::own::process::Process;
use crate::own::runtime::runtime;
use crate::own::waits::Point;
use crate::sys::signals::Shield;

/// When garbage is collected, for which a trim waits then, as it is for the calling thread at `point`.
pub fn collects(process: &Process, point: Option<Point>) -> Collects {
    node::collects(point).unwrap_or_else(|| python::collects(process))
}

/// Whether it may be collected in quiet, unasked.
pub fn may_collect() -> bool {
    runtime().is_some_and(|runtime| runtime.node.is_some()) || garbage::may_be_collected()
}

/// What was decided to be asked is, where there is Node, and CPython beside it perhaps. Apart, for the sake of the stack.
#[inline(never)]
pub fn ask(
    process: &Process,
    shield: &Shield,
    point: Option<Point>,
    decision: Decision,
    somebody_waits: &mut dyn FnMut() -> bool,
) {
    let is_for_node =
        matches!(decision, Decision::Ask { garbage: true, .. }) && node::ask(process, shield, point, somebody_waits);
    if !is_for_node {
        python::ask(process, decision);
    }
}
