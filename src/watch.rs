//! What is seen of this process: requests and their answers ([`observe`]), what goes past us ([`unseen`]), waits between the tasks
//! of a process that accepts nothing ([`tasks`]), and what is asked for from [`outside`]. [`safety`] tells whether anything may be
//! done about it where a thread happens to be.

use crate::own::hints::Reason;
use crate::own::process::{self, Process};

pub mod observe;
pub mod outside;
pub mod safety;
pub mod state;
pub mod tasks;
pub mod unseen;

/// Whether a wait point may have a reason to look: a few instructions in a process that serves nothing.
#[inline(always)]
pub fn has_reason() -> bool {
    // Node's waits are where that build collects.
    if cfg!(feature = "often") {
        return true;
    }
    match process::get() {
        Some(process) => process.hints.any(),
        None => tasks::may_have_grown_up(),
    }
}

/// Whether a call that may block has one: not where there is nothing to do but to look whether connections come past us.
#[inline(always)]
pub fn has_reason_to_act() -> bool {
    match process::get() {
        Some(process) => process.hints.any_but(Reason::Unseen),
        None => tasks::may_have_grown_up(),
    }
}

/// This process's state if a wait point has a reason to look.
pub fn with_reason() -> Option<&'static Process> {
    match process::get() {
        Some(process) => Some(process).filter(|process| process.hints.any() || process.hints.has(Reason::Accepts)),
        None => tasks::has_grown_up().then(tasks::begin)?,
    }
}
