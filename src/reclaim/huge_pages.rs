//! `AUTOTRIM_HUGE_PAGES`: the kernel's khugepaged makes a huge page of any two megabytes in which a page is in use, and so fills what a trim has
//! emptied there. Once that was seen in quiet ([`crate::decide::huge_pages`]), the heap is kept out of its reach where trims leave
//! holes: after each trim in quiet, because the heap has grown since, and glibc may have asked for huge pages there.

use core::sync::atomic::Ordering::Relaxed;

use crate::allocator::Allocator;
use crate::decide::policy::Policy;
use crate::decide::rules::Trigger;
use crate::options::HugePages;
use crate::own::process::Process;
use crate::own::runtime::Runtime;
use crate::sys::{self, Clock, huge_pages, pools};
use crate::tell::log;

/// Before a trim that is due: shows the policy what tells whether memory has come back, where it asks for that.
pub fn show(runtime: &Runtime, policy: &mut Policy) {
    if policy.returns().asks() {
        charged(policy, |policy| policy.show_returns(huge_pages::evidence()));
        // CPython's pools are released before the trim, which alone shows for certain that the memory was free.
        if policy.returns().again(u64::MAX) != 0 && is_auto(runtime) {
            pools::keep_out_of_huge_pages();
        }
    }
}

fn is_auto(runtime: &Runtime) -> bool {
    runtime.options.huge_pages == HugePages::Auto
}

/// After a trim: what page faults have brought so far, where it matters: from then on the kernel may fill what the trim has left empty.
pub fn faulted(allocator: &Allocator) -> Option<u64> {
    if allocator.may_get_huge_pages() { huge_pages::faulted() } else { None }
}

/// After a trim, which gave back so much that an earlier one had given back before: what was seen is said once, and stopped.
pub fn trimmed(runtime: &Runtime, process: &Process, policy: &mut Policy, (trigger, again): (Trigger, u64)) {
    if trigger.is_for_work() || !policy.returns().is_seen() {
        return;
    }
    let is_stopped = is_auto(runtime) && charged(policy, |_| keep_out(runtime));
    if !is_stopped {
        policy.leave_returns();
    }
    // Not in a process that has said nothing so far: it may serve nobody.
    let said = &process.said;
    if again != 0 && said.enabled.load(Relaxed) && !said.huge_pages.swap(true, Relaxed) {
        log::huge_pages(runtime, again, is_stopped);
    }
}

fn keep_out(runtime: &Runtime) -> bool {
    pools::keep_out_of_huge_pages();
    runtime.allocator.as_ref().is_ok_and(Allocator::keep_holes)
}

/// Does `work` that the budget pays for.
fn charged<R>(policy: &mut Policy, work: impl FnOnce(&mut Policy) -> R) -> R {
    let began = sys::cpu_time(Clock::Thread);
    let result = work(policy);
    policy.charge(sys::cpu_time(Clock::Thread).saturating_sub(began));
    result
}
