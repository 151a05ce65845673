//! Before accept and recv block: a poll of their descriptor, in which their thread watches for quiet, or rests.

use core::ffi::c_int;

use super::wait::{LONGEST_PART, trim_before};
use crate::decide::skips::Skip;
use crate::decide::{MILLISECOND, SECOND};
use crate::own::hints::Reason;
use crate::own::process::Process;
use crate::own::runtime::runtime;
use crate::own::waits::Point;
use crate::reclaim::runtimes;
use crate::sys::errno::{errno, keeping_errno};
use crate::sys::signals::{self, Restarts};
use crate::sys::{self, filter, memory, sockets};
use crate::watch::{outside, tasks};

/// How long a thread rests in accept at first, while nothing is to be looked at, and at most: it looks whether others have begun to work
/// meanwhile, which may end where no hook is.
const REST: u64 = SECOND;
const LONGEST_REST: u64 = 64 * SECOND;

/// Before a call that blocks and cannot be cut in two: waits for its descriptor as long as the quiet must last, and looks. Returns whether
/// the call is to fail with EINTR.
///
/// A signal ends that wait, whatever its handler's flags are, and the call only where they do not have SA_RESTART (signal(7)). So this
/// is done only where all handlers agree, and where the call has no time of its own.
pub fn before(
    process: &'static Process,
    descriptor: c_int,
    place: (Point, usize),
    now: u64,
    active_at: Option<u64>,
) -> bool {
    let (point, _) = place;
    let call = Call { process, descriptor, place };
    let first = call.until_next(active_at, now);
    let idle = runtime().map_or(0, |runtime| runtime.options.rules.idle);
    let may_rest = point == Point::Accept && idle != 0 && process.hints.has(Reason::Accepts);
    if first >= LONGEST_PART && !may_rest {
        return false;
    }
    if filter::is_restricted() {
        process.stats.skip_for_good(Skip::Filter);
        return false;
    }
    if !process.waits.may_block(point) {
        return false;
    }
    if may_rest && !process.waits.has_blocked(descriptor, now) && !sockets::is_blocking(descriptor) {
        process.hints.remove(Reason::Accepts);
        return false;
    }
    // Nobody else is there who might do anything meanwhile. Workers that wait for one listener are all woken by poll, by accept one.
    let is_at_rest = active_at.is_none() && (first >= LONGEST_PART || !process.hints.is_worth());
    if is_at_rest && process.waits.is_alone(now) {
        return false;
    }
    if signals::restarts(now) == Restarts::Some {
        process.stats.skip_for_good(Skip::Restarts);
        return false;
    }
    keeping_errno(|| call.wait(first, may_rest, now))
}

/// A call that is about to block.
struct Call {
    process: &'static Process,
    descriptor: c_int,
    place: (Point, usize),
}

/// What its thread does before it for so many nanoseconds, if no input comes.
#[derive(Clone, Copy)]
enum Part {
    /// Watches: then there is something to decide.
    Watch(u64),
    /// Rests: then it looks whether there is something to watch for.
    Rest(u64),
}

impl Call {
    /// See [`before`]; `first`: how long until there is something to decide.
    fn wait(&self, mut first: u64, may_rest: bool, now: u64) -> bool {
        let (process, descriptor, (point, _)) = (self.process, self.descriptor, self.place);
        // What was so a moment ago is believed for a moment: most servers have their next request by then.
        let mut is_believed = process.waits.has_blocked(descriptor, now);
        let mut is_known = false;
        let mut rest = REST;
        loop {
            let now = sys::coarse_now();
            let Some(part) = self.begin(first, may_rest.then_some(rest), now) else { return false };
            if !is_believed && !is_known {
                is_known = process.waits.blocks_plainly(point, descriptor, now);
                if !is_known {
                    self.end(part);
                    return false;
                }
            }
            let (Part::Watch(length) | Part::Rest(length)) = part;
            let length = if is_believed { length.min(MILLISECOND) } else { length };
            let ready = sockets::wait_for_input(descriptor, length);
            self.end(part);
            if ready != 0 {
                return ready < 0 && errno() == libc::EINTR && signals::restarts(u64::MAX) != Restarts::All;
            }
            if core::mem::take(&mut is_believed) {
                continue;
            }
            match part {
                Part::Watch(_) => match self.look() {
                    Some(next) => first = next,
                    None => return true,
                },
                Part::Rest(_) => {
                    let now = sys::coarse_now();
                    first = self.until_next(process.hints.note_activity(now), now);
                    rest = if first < LONGEST_PART { REST } else { rest.saturating_mul(2).min(LONGEST_REST) };
                }
            }
        }
    }

    /// How long it is until there is something to decide.
    fn until_next(&self, active_at: Option<u64>, now: u64) -> u64 {
        let idle = runtime().map_or(0, |runtime| runtime.options.rules.idle);
        match looks(self.process) {
            true => self.process.hints.next(active_at, idle).saturating_sub(now),
            false => u64::MAX,
        }
    }

    /// Has the thread watch, or else rest for so long, if no other one does so already.
    fn begin(&self, mut first: u64, rest: Option<u64>, now: u64) -> Option<Part> {
        let (waits, (point, _)) = (&self.process.waits, self.place);
        if first < LONGEST_PART {
            first = waits.in_turn(point, now, first);
        }
        if first < LONGEST_PART && waits.watch(point, now, first) {
            return Some(Part::Watch(first));
        }
        // Without a free descriptor RSS cannot be read, and accept fails at once.
        rest.filter(|&rest| memory::anonymous_rss().is_some() && waits.rest(now, rest)).map(Part::Rest)
    }

    fn end(&self, part: Part) {
        match part {
            Part::Watch(_) => self.process.waits.end_watch(self.place.0),
            Part::Rest(_) => self.process.waits.end_rest(),
        }
    }

    /// Trims if that is right. Returns how long it is until the next look; `None` if the call is to fail with EINTR.
    fn look(&self) -> Option<u64> {
        let shield = signals::shield();
        let interrupts = |pending| shield.interrupts(pending, self.descriptor);
        let mut somebody_waits = || sockets::has_input(self.descriptor);
        let (interrupts, again) = trim_before(self.process, &shield, self.place, interrupts, &mut somebody_waits);
        shield.end();
        if has_worked(self.process) || interrupts { None } else { Some(again.unwrap_or(u64::MAX)) }
    }
}

/// Whether there may be something to decide: the process serves, waits for tasks, or is asked from outside.
pub fn looks(process: &Process) -> bool {
    tasks::is_waiting_for(process) || process.has_begun() || outside::is_wanted()
}

/// Whether an interpreter was asked to do something at this call of its own, and has done it: CPython alone, which makes the call again (PEP 475).
pub fn has_worked(process: &Process) -> bool {
    let is_asked = runtimes::is_asked(process);
    if is_asked {
        runtimes::work_and_interrupt(process);
    }
    is_asked
}
