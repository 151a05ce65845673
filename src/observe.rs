//! What a completed call means: hooks report here, descriptors and counters change.

use core::ffi::c_int;
use core::sync::atomic::Ordering::{Relaxed, Release};

use crate::connection::{Effect, Event, State};
use crate::interpose::keeping_errno;
use crate::{descriptors, log, process, runtime};

/// A connection was accepted, or came by `SCM_RIGHTS`.
pub fn opened(descriptor: c_int) {
    if runtime().is_some() && process::open() {
        take_back(descriptors::apply(descriptor, Event::Opened));
    }
}

/// More than zero bytes were received on a followed descriptor, not peeked.
pub fn received(descriptor: c_int) {
    let Some(process) = process::current() else { return };
    if descriptors::apply(descriptor, Event::Received) == Effect::Began {
        process.counters.in_flight.fetch_add(1, Relaxed);
    }
}

/// More than zero bytes were sent on a followed descriptor, and they are no interim response.
pub fn sent(descriptor: c_int) {
    let Some(process) = process::current() else { return };
    let effect = descriptors::apply(descriptor, Event::Sent);
    if effect == Effect::Answered {
        process.counters.in_flight.fetch_sub(1, Relaxed);
    }
    if matches!(effect, Effect::Answered | Effect::AnsweredForParent) {
        if process.counters.requests.fetch_add(1, Relaxed) == 0 {
            keeping_errno(log::first_answer);
        }
        process.armed.store(true, Release);
    }
}

/// Whether what is sent now may answer a request, so that it is worth telling an interim response from an answer.
#[inline]
pub fn awaits_answer(descriptor: c_int) -> bool {
    matches!(descriptors::state(descriptor), State::Pending | State::Inherited)
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
    if !process::is_borrowed() {
        take_back(descriptors::apply(descriptor, Event::Forgotten));
    }
}

/// All descriptors from `first` to `last` are about to be closed.
pub fn range_forgotten(first: u32, last: u32) {
    if !process::is_borrowed() {
        descriptors::apply_to_range(first, last, Event::Forgotten, take_back);
    }
}

/// A request that nobody will answer any more is no longer in flight.
fn take_back(effect: Effect) {
    if effect == Effect::Abandoned
        && let Some(process) = process::begun()
    {
        process.counters.in_flight.fetch_sub(1, Relaxed);
    }
}
