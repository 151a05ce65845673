//! What a completed call means: hooks report here, descriptors and counters change.

use core::ffi::c_int;
use core::hint::black_box;
use core::sync::atomic::Ordering::{Relaxed, SeqCst};

use super::unseen;
use crate::own::descriptors;
use crate::own::hints::Reason;
use crate::own::process::{self, Process};
use crate::own::runtime::runtime;
use crate::pure::connection::{Effect, Event, State};
use crate::sys::errno::keeping_errno;
use crate::sys::sockets::{self, Maker};
use crate::sys::{self, memory, signals};
use crate::tell::log;

/// A connection was accepted.
pub fn opened(descriptor: c_int) {
    open(descriptor, Event::Opened);
}

/// A connection came by `SCM_RIGHTS`. It may be a client's, which another process has made for it.
pub fn brought(descriptor: c_int) {
    match sockets::maker(descriptor) {
        Maker::Peer => open(descriptor, Event::Opened),
        Maker::Unknown => open(descriptor, Event::Brought),
        Maker::Ourselves => forgotten(descriptor),
    }
}

fn open(descriptor: c_int, event: Event) {
    if runtime().is_some() && process::open() {
        take_back(descriptors::apply(descriptor, event), descriptor, true);
        // Who has accepted may wait next, and be the only one who does while it is served.
        if let Some(process) = process::begun() {
            process.hints.add(Reason::Moved);
        }
    }
}

// What a request costs is in the next two functions. Each takes what the real call returned and returns it: what is
// seldom the case is then a jump, and the common case keeps no more than it needs.

/// `result` > 0 bytes were received on a followed descriptor, not peeked. `seldom` is called where that is not simply a request, and
/// is to do what [`received_seldom`] does.
#[inline(always)]
pub fn received(descriptor: c_int, result: isize, seldom: impl Fn() -> isize) -> isize {
    let Some(look) = descriptors::look(descriptor) else { return result };
    let Some(process) = process::begun() else { return seldom() };
    if look.found(State::Idle) {
        let Some(effect) = look.apply(State::Idle, Event::Received) else { return seldom() };
        began(process, effect);
    } else if look.found(State::Pending) {
        // More of a request, such as an upload.
        process.hints.add(Reason::Moved);
    } else {
        return seldom();
    }
    result
}

/// `result` > 0 bytes were sent on a followed descriptor. `maybe_interim` tells cheaply whether they may be an interim
/// response; `seldom` is called where they may, or a request is not simply answered, and is to do what [`sent_seldom`] does.
#[inline(always)]
pub fn sent(
    descriptor: c_int,
    result: isize,
    maybe_interim: impl FnOnce() -> bool,
    seldom: impl Fn() -> isize,
) -> isize {
    let Some(look) = descriptors::look(descriptor) else { return result };
    let Some(process) = process::begun() else { return seldom() };
    if look.found(State::Idle) {
        // More of an answer that is counted already, or something that nobody has asked for.
        process.hints.add(Reason::Moved);
        return result;
    }
    if !look.found(State::Pending) {
        return seldom();
    }
    if maybe_interim() {
        return seldom();
    }
    let Some(effect) = look.apply(State::Pending, Event::Sent) else { return seldom() };
    answered(process, effect, result)
}

/// [`received`] without its shortcuts.
pub fn received_seldom(descriptor: c_int) {
    if let Some(process) = begin() {
        began(process, descriptors::apply(descriptor, Event::Received));
        unseen::received(process);
    }
}

/// [`sent`] without its shortcuts; `interim` is asked only where a request is pending.
pub fn sent_seldom(descriptor: c_int, result: isize, interim: impl FnOnce() -> bool) -> isize {
    if descriptors::state(descriptor) == State::Brought {
        // A client's first word: nothing begins here.
        descriptors::apply(descriptor, Event::Sent);
    } else if !descriptors::is_marked(descriptor)
        && let Some(process) = begin()
    {
        let state = descriptors::state(descriptor);
        let pending = state.is_pending() || state == State::Inherited;
        if !(pending && interim()) {
            answered(process, descriptors::apply(descriptor, Event::Sent), result);
        }
    }
    // That it returns what it was given is not to be known: the caller would keep a copy.
    black_box(result)
}

fn begin() -> Option<&'static Process> {
    process::begun().or_else(|| keeping_errno(|| process::get().inspect(|process| first_touch(process))))
}

/// First touch in this process: what the parent left pending is not in flight here, and RSS before the first
/// request is what growth is measured from.
#[cold]
#[inline(never)]
fn first_touch(process: &Process) {
    if !process.begin() {
        return;
    }
    descriptors::apply_to_range(0, u32::MAX, Event::Forked, |_| {});
    let shield = signals::shield();
    process.policy.with(|policy| {
        policy.begin(memory::anonymous_rss().unwrap_or(0));
        process.stats.changing(|| process.stats.began.store(sys::now(), Relaxed));
    });
    shield.end();
}

#[inline(always)]
fn began(process: &Process, effect: Effect) {
    if effect == Effect::Began {
        process.stats.in_flight.fetch_add(1, Relaxed);
    }
    process.hints.add(Reason::Moved);
}

#[inline(always)]
fn answered(process: &Process, effect: Effect, result: isize) -> isize {
    match effect {
        Effect::Answered => {
            process.stats.in_flight.fetch_sub(1, Relaxed);
        }
        Effect::AnsweredForParent => {}
        _ => return answered_seldom(process, effect, result),
    }
    count(process, result)
}

/// One more request was answered.
#[inline(always)]
fn count(process: &Process, result: isize) -> isize {
    // Before it is told: whoever takes the reason away finds it counted.
    let before = process.stats.requests.fetch_add(1, SeqCst);
    process.waits.answered();
    process.hints.add(Reason::Moved);
    if before == 0 { first(result) } else { result }
}

#[inline(never)]
fn answered_seldom(process: &Process, effect: Effect, result: isize) -> isize {
    if effect == Effect::AnsweredLate {
        process.stats.in_flight.fetch_sub(1, Relaxed);
        process.linger(-1);
        process.hints.add(Reason::Ended);
        return count(process, result);
    }
    process.hints.add(Reason::Moved);
    black_box(result)
}

#[cold]
#[inline(never)]
fn first(result: isize) -> isize {
    keeping_errno(log::first_answer);
    black_box(result)
}

/// A followed descriptor is about to be closed. Called before the close: after it, the number may belong to
/// another thread's new connection.
#[inline(always)]
pub fn forgotten(descriptor: c_int) {
    if process::is_borrowed() {
        return;
    }
    take_back(descriptors::apply(descriptor, Event::Forgotten), descriptor, false);
}

/// Requests on connections that are no more, closed by nobody's hook, are no longer in flight.
pub fn sweep() {
    descriptors::each_pending(|descriptor| {
        if !sockets::is_connected_stream(descriptor) {
            take_back(descriptors::apply(descriptor, Event::Forgotten), descriptor, true);
        }
    });
}

/// At a decision, while something is in flight: what has been for more than a few seconds keeps nothing from being done any more.
pub fn age(process: &Process, now: u64) {
    if process.in_flight() > 0 && process.is_time_to_count(now) {
        descriptors::each_pending(|descriptor| {
            if descriptors::apply(descriptor, Event::Aged) == Effect::Lingers {
                process.linger(1);
            }
        });
    }
}

/// All descriptors from `first` to `last` are about to be closed.
pub fn range_forgotten(first: u32, last: u32) {
    if !process::is_borrowed() {
        descriptors::apply_to_range(first, last, Event::Forgotten, |effect| take_back(effect, NONE, false));
    }
}

/// Stands for a descriptor that is not looked at.
const NONE: c_int = -1;

/// A request that nobody will answer any more is no longer in flight. `past_us`: its connection was closed by nobody's hook.
#[inline(always)]
fn take_back(effect: Effect, descriptor: c_int, past_us: bool) {
    if matches!(effect, Effect::Abandoned | Effect::AbandonedLate) {
        abandoned(effect, descriptor, past_us);
    }
}

#[inline(never)]
fn abandoned(effect: Effect, descriptor: c_int, past_us: bool) {
    if let Some(process) = process::begun() {
        unseen::unanswered(process, descriptor, past_us);
        process.stats.in_flight.fetch_sub(1, Relaxed);
        if effect == Effect::AbandonedLate {
            process.linger(-1);
            process.hints.add(Reason::Ended);
        }
        process.hints.add(Reason::Moved);
        // A due trim that waits for what is in flight looks after each answer, and this is none.
        process.hints.now();
    }
}
