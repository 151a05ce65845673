//! A wait that trims is one wait to the caller.
//!
//! At a wait point the thread is about to wait for work. With all signals blocked it trims, if that is right, and
//! then waits through the call's p-variant (ppoll, pselect, epoll_pwait) with the caller's own mask: a signal that
//! came at any moment, during the trim too, ends the call with EINTR as it would have without us. Where a quiet
//! moment should be noticed without a thread of our own, the wait is cut in two: a first part as long as the quiet
//! must last, a look, and the rest.
//!
//! accept and recv have no p-variant: there, what came during the trim is delivered before the real call, and the call
//! answers EINTR if it would have done so ([`super::blocking`]).

use core::ffi::c_int;
use core::sync::atomic::Ordering::Relaxed;

use super::thread;
use crate::decide::skips::Skip;
use crate::decide::{MILLISECOND, SECOND};
use crate::own::hints::Reason;
use crate::own::process::Process;
use crate::own::runtime::runtime;
use crate::own::waits::Point;
use crate::reclaim::{duty, node, python, runtimes, trim};
use crate::sys;
use crate::sys::errno::{errno, fail, keeping_errno, set_errno};
use crate::sys::filter::{self, Call};
use crate::sys::signals::{self, Mask, Pending, Shield};
use crate::watch::{self, observe, outside, tasks, unseen};

/// No wait is woken for us sooner than after this long.
const SHORTEST_WAIT: u64 = 10 * MILLISECOND;
/// After so long a thread comes back that found another one deciding.
const WHILE_ANOTHER_DECIDES: u64 = 100 * MILLISECOND;

/// How long a caller waits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Timeout {
    /// Until something happens.
    Never,
    /// So many nanoseconds at most.
    After(u64),
}

/// A part of a wait.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Part {
    /// The first part of a wait cut in two: so many nanoseconds.
    First(u64),
    /// The whole wait, or what is left of it; `None` = for ever.
    Rest(Option<u64>),
}

impl Part {
    /// How long it is, in nanoseconds; `None` = for ever.
    pub fn length(self) -> Option<u64> {
        match self {
            Part::First(nanoseconds) => Some(nanoseconds),
            Part::Rest(left) => left,
        }
    }
}

/// How a part of a wait is waited.
#[derive(Clone, Copy)]
pub enum How<'a> {
    /// With this mask, and cancellation as the caller has it: by the p-variant.
    Masked(&'a Mask),
    /// By the caller's own call, as the caller would.
    Plain,
    /// By the caller's own call, with the mask that the thread has: that of a [`Shield`].
    Shielded,
}

/// A wait at whose beginning there is a reason to look.
pub struct Wait {
    process: &'static Process,
    point: Point,
    /// The address that the call returns to; 0 = it is not known.
    caller: usize,
    /// When the caller's timeout ends, and how long it was at the beginning; `None` = never.
    deadline: Option<u64>,
    length: Option<u64>,
    /// There is nothing to decide now, but will be after so many nanoseconds of waiting.
    first: Option<u64>,
}

/// A waiting call with this timeout (`None` where the call is invalid): `next` where it is to go on as if we were not
/// there, because nothing was served yet, the caller does not wait, or nothing can come due before it is back; else
/// `looking`. `waits`: whether the timeout is known to be another than 0 without reading the caller's memory.
#[inline(always)]
pub fn at(
    point: impl Fn() -> Point,
    caller: usize,
    waits: bool,
    timeout: impl FnOnce() -> Option<Timeout>,
    next: impl Fn() -> c_int,
    looking: impl FnOnce(&Wait) -> c_int,
) -> c_int {
    let mut timeout = Some(timeout);
    let mut timeout = || timeout.take().and_then(|timeout| timeout());
    let wait = serving().and_then(|process| Wait::begin(process, &point, caller, waits, &mut timeout));
    match wait {
        None => next(),
        Some(wait) => looking(&wait),
    }
}

/// This process, if it has served, or has other reasons to trim.
#[inline(never)]
fn serving() -> Option<&'static Process> {
    let process = watch::with_reason()?;
    if process.has_begun() {
        if process.hints.has(Reason::Unseen) {
            if unseen::look_at_answers(process) {
                observe::sweep();
            }
            if !unseen::is_watching(process) {
                process.hints.remove(Reason::Unseen);
            }
        }
        return Some(process);
    }
    unseen::look(process);
    duty::at_wait_of_child(process);
    (outside::is_wanted() || tasks::is_waiting_for(process)).then_some(process)
}

impl Wait {
    #[inline(never)]
    fn begin(
        process: &'static Process,
        point: &dyn Fn() -> Point,
        caller: usize,
        waits: bool,
        timeout: &mut dyn FnMut() -> Option<Timeout>,
    ) -> Option<Wait> {
        let runtime = runtime().filter(|runtime| runtime.allocator.is_ok())?;
        if node::is_left_alone() {
            return None;
        }
        let answered = process.stats.requests.load(Relaxed);
        let mut length = || {
            let length = match timeout()? {
                Timeout::Never => None,
                Timeout::After(0) => return None,
                Timeout::After(nanoseconds) => Some(nanoseconds),
            };
            if !waits {
                process.waits.polls();
            }
            Some(length)
        };
        let wait = |point: Point, now: u64, length: Option<u64>, first: Option<u64>| Wait {
            process,
            point,
            caller,
            deadline: length.map(|length| now.saturating_add(length)),
            length,
            first,
        };
        if waits {
            process.waits.polls();
        }
        let now = sys::coarse_now();
        process.stats.passes(now);
        if tasks::is_waiting_for(process) {
            // Whatever was done since the last wait.
            process.hints.add(Reason::Moved);
        }
        node::is_back(process);
        let active_at = process.hints.note_activity(now);
        let is_time = process.hints.is_time(answered, now, active_at.is_some());
        if is_time || outside::takes_signal(process) || python::is_wanted(process, now) {
            let length = length()?;
            return Some(wait(point(), sys::now(), length, None));
        }
        // It may be time before the caller's timeout ends. One thread watches for that, the others wait as they asked.
        let first = process.hints.next(active_at, runtime.options.rules.idle).saturating_sub(now);
        if first >= LONGEST_PART {
            return None;
        }
        let length = length()?;
        // Before the caller's memory is read: libpq polls for a tenth of a second, again and again.
        if length.is_some_and(|length| first >= length) {
            return None;
        }
        let point = point();
        let first = process.waits.in_turn(point, now, first).max(MILLISECOND);
        let comes = length.is_none_or(|length| first < length);
        (comes && process.waits.watch(point, now, first)).then(|| wait(point, sys::now(), length, Some(first)))
    }

    /// Nanoseconds until the caller's timeout ends; `None` = never.
    pub fn left(&self) -> Option<u64> {
        self.deadline.map(|deadline| deadline.saturating_sub(sys::now()))
    }

    /// Waits. `call` is the real call: it waits that long in that way, and returns 0 when that time
    /// is over. It may be called more than once. `divisible`: the wait may be cut in two.
    /// Where `substitute` tells that the p-variant is another call than the caller's own, it may be refused; then the caller's is made.
    pub fn run(&self, divisible: bool, substitute: Option<Call>, call: &mut dyn FnMut(Part, How) -> c_int) -> c_int {
        let before = errno();
        // A clock may stand still (libfaketime): what was waited is over, whatever it says.
        let (mut waited, mut first) = (0, self.first);
        // poll and select fail with EINTR where a signal is pending when their time is over (fs/select.c, do_poll and core_sys_select).
        // epoll_wait does not (fs/eventpoll.c, ep_poll): a thread that has yet to get a processor then would run the handler, and
        // wait on. It is cut only where it can be shielded.
        let is_epoll = self.point.is_epoll();
        let may_cut = !is_epoll || substitute.is_none_or(filter::allows);
        if divisible && !may_cut {
            self.process.stats.skip_for_good(Skip::Filter);
        }
        let divisible = divisible && may_cut;
        if let Some(first) = first.take_if(|_| !is_epoll || !divisible) {
            let part = if divisible { Part::First(first) } else { Part::Rest(self.left()) };
            let result = call(part, How::Plain);
            self.process.waits.end_watch(self.point);
            if result != 0 || !divisible {
                return result;
            }
            waited = first;
        }
        if first.is_some()
            && let Some(found) = self.find_at_once(call)
        {
            self.process.waits.end_watch(self.point);
            return found;
        }
        let shield = signals::shield();
        if !shield.is_up || !substitute.is_none_or(filter::allows) {
            if first.is_some() {
                self.process.waits.end_watch(self.point);
            }
            return self.run_uncut(before, &shield, divisible, waited, call);
        }
        duty::at_wait_point(self.process, &shield);
        loop {
            let mut found = 0;
            let next = match first.take() {
                Some(first) => (Part::First(first), first),
                None => {
                    let again = look(self.process, &shield, (Some(self.point), self.caller), &mut || {
                        found = call(Part::First(0), How::Shielded);
                        found > 0
                    });
                    if runtimes::is_asked(self.process) {
                        shield.end();
                        return runtimes::work_and_interrupt(self.process);
                    }
                    if found > 0 { (Part::First(0), 0) } else { self.part(again.filter(|_| divisible), waited) }
                }
            };
            let (result, timed_out) = if found > 0 {
                set_errno(before);
                (found, false)
            } else {
                let (part, first) = next;
                let mask = outside::mask_for_wait(self.process, &shield);
                set_errno(before);
                let result = shield.wait(|| call(part, How::Masked(&mask)));
                let timed_out = first != 0 && result == 0;
                if first != 0 {
                    self.process.waits.end_watch(self.point);
                    waited = waited.saturating_add(if timed_out { first } else { 0 });
                }
                (result, timed_out)
            };
            if timed_out {
                continue;
            }
            if result < 0 && substitute.is_some_and(filter::refused) {
                return self.run_uncut(before, &shield, divisible, waited, call);
            }
            keeping_errno(|| {
                python::after_wait(self.process, &shield, result != 0);
                shield.end();
            });
            return result;
        }
    }

    /// What an epoll_wait finds without waiting, if that is likely: three system calls are saved.
    fn find_at_once(&self, call: &mut dyn FnMut(Part, How) -> c_int) -> Option<c_int> {
        let waits = &self.process.waits;
        if !waits.is_tried() {
            return None;
        }
        let found = call(Part::First(0), How::Plain);
        waits.tried(found != 0);
        Some(found).filter(|&found| found != 0)
    }

    /// The same by the caller's own call alone: what came while a trim ran is delivered before, and ends it.
    #[cold]
    #[inline(never)]
    fn run_uncut(
        &self,
        before: c_int,
        shield: &Shield,
        divisible: bool,
        mut waited: u64,
        call: &mut dyn FnMut(Part, How) -> c_int,
    ) -> c_int {
        let divisible = divisible && !self.point.is_epoll();
        let mut own = None;
        loop {
            let shield = own.as_ref().unwrap_or(shield);
            let mut found = 0;
            let (interrupted, again) = trim_before(
                self.process,
                shield,
                (self.point, self.caller),
                |pending| shield.interrupts_wait(pending),
                &mut || {
                    found = call(Part::First(0), How::Shielded);
                    found > 0
                },
            );
            shield.end();
            if found > 0 {
                set_errno(before);
                return found;
            }
            if runtimes::is_asked(self.process) {
                return runtimes::work_and_interrupt(self.process);
            }
            if interrupted {
                return fail(libc::EINTR);
            }
            let (part, first) = self.part(again.filter(|_| divisible), waited);
            set_errno(before);
            let result = call(part, How::Plain);
            if first != 0 {
                self.process.waits.end_watch(self.point);
            }
            let shield = keeping_errno(signals::shield);
            if first != 0 && result == 0 {
                waited = waited.saturating_add(first);
                own = Some(shield);
                continue;
            }
            keeping_errno(|| {
                python::after_wait(self.process, &shield, result != 0);
                shield.end();
            });
            return result;
        }
    }

    /// The next part of a wait, of which so much is over: up to where there is something to decide `again`, where this thread is to
    /// watch for that; and how long that is, 0 = it is the rest.
    fn part(&self, again: Option<u64>, waited: u64) -> (Part, u64) {
        let now = sys::now();
        let by_clock = self.deadline.map(|deadline| deadline.saturating_sub(now));
        let by_parts = self.length.map(|length| length.saturating_sub(waited));
        let left = by_clock.min(by_parts);
        let waits = &self.process.waits;
        let first = again.map(|again| waits.in_turn(self.point, now, again)).filter(|&again| {
            again < LONGEST_PART && left.is_none_or(|left| again < left) && waits.watch(self.point, now, again)
        });
        (first.map_or(Part::Rest(left), Part::First), first.unwrap_or(0))
    }
}

/// What comes later than this is not waited for in parts: two days.
pub const LONGEST_PART: u64 = 172_800 * SECOND;

/// Under `shield`, before a call that takes no mask: trims if that is right, and says whether what came meanwhile
/// `interrupts` the call, and after how many nanoseconds to come back. Where that could not be seen, nothing is trimmed.
pub fn trim_before(
    process: &'static Process,
    shield: &Shield,
    (point, caller): (Point, usize),
    interrupts: impl FnOnce(Pending) -> bool,
    somebody_waits: &mut dyn FnMut() -> bool,
) -> (bool, Option<u64>) {
    let Some(pending) = Pending::prepare() else {
        process.stats.skip(Skip::Filter);
        return (false, None);
    };
    duty::at_wait_point(process, shield);
    let again = look(process, shield, (Some(point), caller), somebody_waits);
    python::before_call(process, shield);
    (interrupts(pending), again)
}

/// At a wait point, under `shield`: trims if that is right ([`trim::at_wait_point`]), starts the thread of our own if it is time, and
/// says after how many nanoseconds of waiting to come back (`None` = only when something happens).
#[inline(never)]
pub fn look(
    process: &Process,
    shield: &Shield,
    place: (Option<Point>, usize),
    somebody_waits: &mut dyn FnMut() -> bool,
) -> Option<u64> {
    let runtime = runtime()?;
    if !trim::at_wait_point(runtime, process, shield, place, somebody_waits) {
        // Who decides may be gone afterwards, and this be the only thread that waits.
        return Some(WHILE_ANOTHER_DECIDES);
    }
    let now = sys::now();
    if let Some(wait) = thread::at_wait_point(process, shield) {
        process.hints.plan_by(now.saturating_add(wait));
    }
    if !outside::takes_signal(process) {
        process.hints.take(Reason::Signal);
    }
    match process.hints.next(None, 0) {
        u64::MAX => None,
        time => Some(time.saturating_sub(now).max(SHORTEST_WAIT)),
    }
}
