//! Whether anything may be done where a thread is.

use core::sync::atomic::Ordering::Relaxed;

use crate::own::process::Process;
use crate::sys::handler::{self, Handlers};
use crate::sys::memory;
use crate::sys::signals::Shield;
use crate::tell::log;

/// Whether anything may be done here that malloc's locks or state are needed for, or that must not be done twice at once: a
/// trim, a thread's start, a change of malloc's settings, a file. A vfork child has no business with its parent's policy; neither has a
/// child whose page was not wiped. One that was cloned without fork handlers may wait for malloc's lock for ever. A handler that
/// waits may have interrupted malloc. And a stack may be too small.
pub fn may_act(process: &Process, shield: &Shield) -> bool {
    if !shield.is_up || !process.is_mine() {
        return false;
    }
    let said = &process.said;
    if process.cloned.load(Relaxed) {
        if said.enabled.load(Relaxed) && !said.no_fork.swap(true, Relaxed) {
            log::unavailable("fork");
        }
        return false;
    }
    let is_known = match handler::handlers(shield) {
        Handlers::None | Handlers::Harmless => memory::has_stack_left(),
        Handlers::Dangerous => return false,
        Handlers::Unknown => false,
    };
    if !is_known && said.enabled.load(Relaxed) && !said.no_stack.swap(true, Relaxed) {
        log::unavailable("stack");
    }
    is_known
}
