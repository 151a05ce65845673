//! Whether anything may be done where a thread is.

use core::sync::atomic::Ordering::Relaxed;

use crate::decide::skips::Skip;
use crate::own::process::Process;
use crate::sys::handler::{self, Handlers};
use crate::sys::memory;
use crate::sys::signals::Shield;
use crate::tell::log;

/// What keeps anything from being done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Obstacle {
    /// Why.
    pub reason: Skip,
    /// Whether it lasts, perhaps for the process's life, or is one of this moment, such as a handler.
    pub lasts: bool,
}

/// Whether anything may be done here that malloc's locks or state are needed for, or that must not be done twice at once: a
/// trim, a thread's start, a change of malloc's settings, a file.
pub fn may_act(process: &Process, shield: &Shield) -> bool {
    obstacle(process, shield).is_none()
}

/// What is in the way of that, if anything is. A vfork child has no business with its parent's policy; neither has a
/// child whose page was not wiped. One that was cloned without fork handlers may wait for malloc's lock for ever. A handler that
/// waits may have interrupted malloc. And a stack may be too small.
pub fn obstacle(process: &Process, shield: &Shield) -> Option<Obstacle> {
    let passing = |reason| Some(Obstacle { reason, lasts: false });
    let lasting = |reason| Some(Obstacle { reason, lasts: true });
    if !shield.is_up {
        return passing(Skip::Signals);
    }
    if !process.is_mine() {
        // Its parent's counters tell nothing of it.
        return passing(Skip::Nothing);
    }
    let said = &process.said;
    if process.cloned.load(Relaxed) {
        if said.enabled.load(Relaxed) && !said.no_fork.swap(true, Relaxed) {
            log::unavailable("fork");
        }
        return lasting(Skip::Fork);
    }
    let is_known = match handler::handlers(shield) {
        Handlers::None | Handlers::Harmless => memory::has_stack_left(),
        Handlers::Dangerous => return passing(Skip::Handler),
        Handlers::Unknown => false,
    };
    if !is_known && said.enabled.load(Relaxed) && !said.no_stack.swap(true, Relaxed) {
        log::unavailable("stack");
    }
    if is_known { None } else { lasting(Skip::Stack) }
}
