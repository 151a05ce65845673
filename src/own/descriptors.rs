//! Descriptor → connection state: one atomic byte each, shared by all threads, inherited by forked children.
//!
//! Receive, send and close of one connection happen on different threads, so every change is one atomic
//! compare-and-swap of the pure [`step`]. The table is a static of zeros: pages that no followed descriptor
//! touches take no memory.

use core::ffi::c_int;
use core::sync::atomic::{AtomicBool, AtomicU8, AtomicUsize, Ordering::Relaxed};

use crate::pure::connection::{Effect, Event, State, step};

/// Descriptors below this can be followed: Linux's default ceiling for RLIMIT_NOFILE (fs.nr_open). What is
/// above is served as ever, and not counted.
pub const LIMIT: usize = 1 << 20;

/// One byte each.
pub static STATES: [AtomicU8; LIMIT] = [const { AtomicU8::new(0) }; LIMIT];

/// One more than the highest descriptor ever followed: bounds the walks below.
pub static END: AtomicUsize = AtomicUsize::new(0);

/// Whether `descriptor` is a connection that we follow. This is what an unconcerned call costs.
#[inline(always)]
pub fn is_followed(descriptor: c_int) -> bool {
    // A negative number becomes one far above the limit.
    STATES.get(descriptor as u32 as usize).is_some_and(|state| state.load(Relaxed) != 0)
}

/// Whether a descriptor from `first` on may be followed.
#[inline(always)]
pub fn is_any_from(first: u32) -> bool {
    (first as usize) < END.load(Relaxed)
}

/// Stands for a descriptor that is not followed, but whose reads [`crate::edge::thread`] wants to see: unlike 0 it sends a
/// hook the long way, and costs the others nothing.
const MARK: u8 = 255;
/// Stands for a socket that is no listener although accept can be called on it.
const NO_LISTENER: u8 = 254;
static ANY_NO_LISTENER: AtomicBool = AtomicBool::new(false);
/// Descriptors that are marked: those that a process has from its beginning are low.
const MARKED: usize = 256;

/// Whether who receives from `descriptor` may wait for a next request or a task: nothing is pending there, or it is marked.
#[inline(always)]
pub fn may_be_waited_for(descriptor: c_int) -> bool {
    look(descriptor).is_some_and(|look| look.found(State::Idle) || look.byte == MARK)
}

/// Marks all low descriptors that are not followed.
pub fn mark() {
    exchange(0, MARK);
}

/// Marks this one, if it is low and not followed.
pub fn mark_one(descriptor: c_int) {
    if let Some(state) = STATES.get(..MARKED).and_then(|states| states.get(descriptor as u32 as usize)) {
        let _ = state.compare_exchange(0, MARK, Relaxed, Relaxed);
    }
}

/// Ends that.
pub fn unmark() {
    exchange(MARK, 0);
}

fn exchange(from: u8, to: u8) {
    for state in STATES.iter().take(MARKED) {
        let _ = state.compare_exchange(from, to, Relaxed, Relaxed);
    }
}

/// Whether a descriptor is marked.
pub fn is_marked(descriptor: c_int) -> bool {
    STATES.get(descriptor as u32 as usize).is_some_and(|state| state.load(Relaxed) == MARK)
}

/// What accept brings on `descriptor` is no connection (AF_ALG: a handle of the kernel's cryptography).
pub fn note_no_listener(descriptor: c_int) {
    if let Some(state) = STATES.get(descriptor as u32 as usize) {
        state.store(NO_LISTENER, Relaxed);
        END.fetch_max(descriptor as usize + 1, Relaxed);
        ANY_NO_LISTENER.store(true, Relaxed);
    }
}

/// Whether any was noted so.
#[inline(always)]
pub fn is_any_no_listener() -> bool {
    ANY_NO_LISTENER.load(Relaxed)
}

/// Whether it was noted so.
pub fn is_no_listener(descriptor: c_int) -> bool {
    STATES.get(descriptor as u32 as usize).is_some_and(|state| state.load(Relaxed) == NO_LISTENER)
}

/// The state of `descriptor`.
pub fn state(descriptor: c_int) -> State {
    STATES.get(descriptor as u32 as usize).map_or(State::NotFollowed, |state| State::from_byte(state.load(Relaxed)))
}

/// One look at a descriptor: its state now, and the place to change it.
pub struct Look {
    cell: &'static AtomicU8,
    byte: u8,
}

/// Looks at `descriptor`; `None` where it can never be followed.
#[inline(always)]
pub fn look(descriptor: c_int) -> Option<Look> {
    STATES.get(descriptor as u32 as usize).map(|cell| Look { cell, byte: cell.load(Relaxed) })
}

impl Look {
    /// Whether it was in this state.
    #[inline(always)]
    pub fn found(&self, state: State) -> bool {
        self.byte == state as u8
    }

    /// Applies `event` to a descriptor that was found in `state`; `None` where another thread was faster, and nothing is
    /// changed. With both known to the compiler this is one instruction.
    #[inline(always)]
    pub fn apply(&self, state: State, event: Event) -> Option<Effect> {
        let (next, effect) = step(state, event);
        let applied = next == state || self.cell.compare_exchange(self.byte, next as u8, Relaxed, Relaxed).is_ok();
        applied.then_some(effect)
    }
}

/// Applies `event` to `descriptor`, whatever its state, and says what else it changes.
pub fn apply(descriptor: c_int, event: Event) -> Effect {
    if matches!(event, Event::Opened | Event::Brought) && (descriptor as u32 as usize) < LIMIT {
        END.fetch_max(descriptor as usize + 1, Relaxed);
    }
    loop {
        let Some(look) = look(descriptor) else { return Effect::None };
        if let Some(effect) = look.apply(State::from_byte(look.byte), event) {
            return effect;
        }
    }
}

/// Applies `event` to every followed descriptor from `first` to `last`, and hands each effect to `each`.
pub fn apply_to_range(first: u32, last: u32, event: Event, mut each: impl FnMut(Effect)) {
    let end = END.load(Relaxed).min((last as usize).saturating_add(1));
    for index in first as usize..end {
        if is_followed(index as c_int) {
            each(apply(index as c_int, event));
        }
    }
}

/// Calls `found` with every descriptor on which a request is pending.
pub fn each_pending(mut found: impl FnMut(c_int)) {
    for (index, cell) in STATES.iter().enumerate().take(END.load(Relaxed)) {
        if State::from_byte(cell.load(Relaxed)).is_pending() {
            found(index as c_int);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_outside_the_table_are_never_followed() {
        for descriptor in [-1, c_int::MIN, c_int::MAX, LIMIT as c_int] {
            assert_eq!(apply(descriptor, Event::Opened), Effect::None);
            assert!(!is_followed(descriptor));
            assert_eq!(state(descriptor), State::NotFollowed);
        }
    }

    #[test]
    fn a_range_is_applied_to_what_is_followed_in_it() {
        for descriptor in [900_001, 900_003, 900_005] {
            apply(descriptor, Event::Opened);
            apply(descriptor, Event::Received);
        }
        let mut abandoned = 0;
        apply_to_range(900_002, u32::MAX, Event::Forgotten, |effect| {
            abandoned += u32::from(effect == Effect::Abandoned);
        });
        assert_eq!(abandoned, 2);
        assert!(is_followed(900_001) && !is_followed(900_003) && !is_followed(900_005));
    }

    #[test]
    fn threads_that_race_for_one_answer_count_it_once() {
        const DESCRIPTOR: c_int = 900_100;
        for _ in 0..1_000 {
            apply(DESCRIPTOR, Event::Opened);
            apply(DESCRIPTOR, Event::Received);
            let answered = std::thread::scope(|scope| {
                let senders = [(); 2].map(|()| scope.spawn(|| apply(DESCRIPTOR, Event::Sent)));
                senders.into_iter().map(|sender| sender.join().expect("a sender")).collect::<Vec<_>>()
            });
            assert_eq!(answered.iter().filter(|&&effect| effect == Effect::Answered).count(), 1);
        }
    }
}
