//! What a completed call means: hooks report here, descriptors and counters change.

use core::ffi::c_int;
use core::hint::black_box;
use core::sync::atomic::Ordering::{Relaxed, Release};

use crate::connection::{Effect, Event, State};
use crate::interpose::keeping_errno;
use crate::process::{self, Process};
use crate::sys::sockets::{self, Maker};
use crate::{background, descriptors, log, runtime, unseen};

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
    }
}

// What a request costs is in the next two functions. Each takes what the real call returned and returns it: what is
// seldom the case is then a jump, and the common case keeps no more than it needs.

/// `result` > 0 bytes were received on a followed descriptor, not peeked.
#[inline(always)]
pub fn received(descriptor: c_int, result: isize) -> isize {
    let Some(look) = descriptors::look(descriptor) else { return result };
    if look.found(State::Pending) {
        return result;
    }
    let (Some(process), true) = (process::begun(), look.found(State::Idle)) else {
        return received_seldom(descriptor, result);
    };
    let Some(effect) = look.apply(State::Idle, Event::Received) else { return received_seldom(descriptor, result) };
    began(process, effect);
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
    // More of an answer that is counted already.
    if look.found(State::Idle) {
        return result;
    }
    let (Some(process), true) = (process::begun(), look.found(State::Pending)) else { return seldom() };
    if maybe_interim() {
        return seldom();
    }
    let Some(effect) = look.apply(State::Pending, Event::Sent) else { return seldom() };
    answered(process, effect, result)
}

#[inline(never)]
fn received_seldom(descriptor: c_int, result: isize) -> isize {
    if descriptors::is_marked(descriptor) {
        keeping_errno(background::at_read);
    } else if let Some(process) = begin() {
        began(process, descriptors::apply(descriptor, Event::Received));
        unseen::received(process);
    }
    black_box(result)
}

/// [`sent`] without its shortcuts; `interim` is asked only where a request is pending.
pub fn sent_seldom(descriptor: c_int, result: isize, interim: impl FnOnce() -> bool) -> isize {
    if descriptors::state(descriptor) == State::Brought {
        // A client's first word: nothing begins here.
        descriptors::apply(descriptor, Event::Sent);
    } else if !descriptors::is_marked(descriptor)
        && let Some(process) = begin()
    {
        let pending = matches!(descriptors::state(descriptor), State::Pending | State::Inherited);
        if !(pending && interim()) {
            answered(process, descriptors::apply(descriptor, Event::Sent), result);
        }
    }
    // That it returns what it was given is not to be known: the caller would keep a copy.
    black_box(result)
}

fn begin() -> Option<&'static Process> {
    process::begun().or_else(|| keeping_errno(process::begin))
}

#[inline(always)]
fn began(process: &Process, effect: Effect) {
    if effect == Effect::Began {
        process.stats.in_flight.fetch_add(1, Relaxed);
    }
}

#[inline(always)]
fn answered(process: &Process, effect: Effect, result: isize) -> isize {
    match effect {
        Effect::Answered => {
            process.stats.in_flight.fetch_sub(1, Relaxed);
        }
        Effect::AnsweredForParent => {}
        _ => return result,
    }
    process.armed.store(true, Release);
    let before = process.stats.requests.fetch_add(1, Relaxed);
    if before >= process.stop_at.load(Relaxed) { stop(process, before, result) } else { result }
}

/// accept and recv have a reason to stop; so it is after the first answer.
#[cold]
#[inline(never)]
fn stop(process: &Process, before: u64, result: isize) -> isize {
    process.stopping.store(true, Relaxed);
    if before == 0 {
        keeping_errno(log::first_answer);
    }
    black_box(result)
}

/// A followed descriptor is about to be closed. Called before the close: after it, the number may belong to
/// another thread's new connection.
#[inline(always)]
pub fn forgotten(descriptor: c_int) {
    if descriptors::is_followed(descriptor) {
        forget(descriptor);
    }
}

#[inline(never)]
fn forget(descriptor: c_int) {
    if process::is_borrowed() {
        return;
    }
    take_back(descriptors::apply(descriptor, Event::Forgotten), descriptor, false);
}

/// Requests on connections that are no more, closed by nobody's hook, are no longer in flight.
pub fn sweep() {
    descriptors::each(State::Pending, |descriptor| {
        if !sockets::is_connected_stream(descriptor) {
            take_back(descriptors::apply(descriptor, Event::Forgotten), descriptor, true);
        }
    });
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
    if effect == Effect::Abandoned {
        abandoned(descriptor, past_us);
    }
}

#[inline(never)]
fn abandoned(descriptor: c_int, past_us: bool) {
    if let Some(process) = process::begun() {
        unseen::unanswered(process, descriptor, past_us);
        process.stats.in_flight.fetch_sub(1, Relaxed);
    }
}
