//! A wait that trims is one wait to the caller.
//!
//! At a wait point the thread is about to wait for work. With all signals blocked it trims, if that is right, and
//! then waits through the call's p-variant (ppoll, pselect, epoll_pwait) with the caller's own mask: a signal that
//! came at any moment, during the trim too, ends the call with EINTR as it would have without us. Where a quiet
//! moment should be noticed without a thread of our own, the wait is cut in two: a first part as long as the quiet
//! must last, a look, and the rest.
//!
//! accept and recv have no p-variant: there, what came during the trim is delivered before the real call, and the call
//! answers EINTR if it would have done so ([`before_blocking`]).

#[allow(unsafe_code)]
pub mod calls;

use core::ffi::c_int;
use core::sync::atomic::{AtomicU64, Ordering::Relaxed};

use crate::interpose::{errno, fail, keeping_errno, set_errno};
use crate::policy::SECOND;
use crate::process::{self, Process};
use crate::sys::filter::{self, Call};
use crate::sys::signals::{self, Mask, Pending, Shield};
use crate::sys::{self, sockets};
use crate::{background, duty, garbage, runtime, trim, unseen};

/// How long a caller waits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Timeout {
    /// Until something happens.
    Never,
    /// So many nanoseconds at most.
    After(u64),
}

/// Where a thread is about to wait, by family of calls.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Point {
    /// accept and accept4 on a blocking listener, or after an answer.
    Accept,
    /// A blocking receive on an answered connection.
    Receive,
    /// epoll_wait and its kin.
    Epoll,
    /// poll and ppoll.
    Poll,
    /// select and pselect.
    Select,
    /// None: on a thread of our own ([`crate::background`]).
    Thread,
}

impl Point {
    /// The name in log lines.
    pub const fn name(self) -> &'static str {
        match self {
            Point::Accept => "accept",
            Point::Receive => "recv",
            Point::Epoll => "epoll",
            Point::Poll => "poll",
            Point::Select => "select",
            Point::Thread => "thread",
        }
    }
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
    /// By the caller's own call.
    Plain,
}

/// A wait at whose beginning there is a reason to look.
pub struct Wait {
    process: &'static Process,
    point: Point,
    /// When the caller's timeout ends; `None` = never.
    deadline: Option<u64>,
}

/// A waiting call with this timeout (`None` where the call is invalid): `next` where it is to go on as if we were not
/// there, because nothing was served yet, the caller does not wait, or nothing can come due before it is back; else
/// `looking`.
#[inline(always)]
pub fn at(
    point: Point,
    substitute: Option<Call>,
    timeout: impl FnOnce() -> Option<Timeout>,
    next: impl Fn() -> c_int,
    looking: impl FnOnce(&Wait) -> c_int,
) -> c_int {
    let wait = serving().and_then(|process| Wait::begin(process, point, substitute, timeout));
    match wait {
        None => next(),
        Some(wait) => looking(&wait),
    }
}

/// This process, if it has served, or has other reasons to trim.
#[inline(never)]
fn serving() -> Option<&'static Process> {
    let process = process::armed()?;
    if process.has_begun() {
        if process.stats.requests.load(Relaxed) == 0 {
            unseen::look_at_answers(process);
        }
        return Some(process);
    }
    unseen::look(process);
    let wanted = background::is_wanted();
    if duty::at_wait_of_child(process, trim::may_act) && !wanted && !unseen::is_watching(process) {
        process.armed.store(false, Relaxed);
    }
    wanted.then_some(process)
}

impl Wait {
    #[inline(never)]
    fn begin(
        process: &'static Process,
        point: Point,
        substitute: Option<Call>,
        timeout: impl FnOnce() -> Option<Timeout>,
    ) -> Option<Wait> {
        let takes_signal = background::takes_signal(process);
        let is_possible = |until: u64| is_possible(process, &process.possible_requests, || until);
        let now = sys::now();
        // What time may bring during this wait is quiet. Another thread watches for that already; or a request is in flight,
        // and whoever ends that comes to a wait of his own. So many waits are those of a request for its database.
        let served = process.stats.in_flight() > 0 && !background::is_awaited(process);
        let watched = served || process.watched_until.load(Relaxed) > now;
        if watched && !takes_signal && !is_possible(now) {
            return None;
        }
        let deadline = match timeout()? {
            Timeout::Never => None,
            Timeout::After(0) => return None,
            Timeout::After(nanoseconds) => Some(now.saturating_add(nanoseconds)),
        };
        // What cannot be cut can do nothing about what comes due meanwhile.
        let until = if substitute.is_none_or(filter::allows) { deadline.unwrap_or(u64::MAX) } else { now };
        (takes_signal || is_possible(until)).then_some(Wait { process, point, deadline })
    }

    /// Nanoseconds until the caller's timeout ends; `None` = never.
    pub fn left(&self) -> Option<u64> {
        self.deadline.map(|deadline| deadline.saturating_sub(sys::now()))
    }

    /// Waits. `call` is the real call: it waits that long with the caller's signal mask, and returns 0 when that time
    /// is over. It may be called more than once. `divisible`: the wait may be cut in two.
    /// Where `substitute` tells that this is another one than the caller's own, it may be refused; then the caller's is made.
    pub fn run(&self, divisible: bool, substitute: Option<Call>, call: &mut dyn FnMut(Part, How) -> c_int) -> c_int {
        let before = errno();
        let shield = signals::shield();
        if !shield.is_up || !substitute.is_none_or(filter::allows) {
            return self.run_uncut(before, &shield, call);
        }
        duty::at_wait_point(self.process, &shield, trim::may_act);
        loop {
            let again = trim::at_wait_point(self.process, &shield, Some(self.point)).filter(|_| divisible);
            let left = self.left();
            let first = again.filter(|&again| left.is_none_or(|left| again < left) && self.watch(again));
            let part = first.map_or(Part::Rest(left), Part::First);
            let mask = background::mask_for_wait(self.process, &shield);
            set_errno(before);
            let result = shield.wait(|| call(part, How::Masked(&mask)));
            if first.is_some() {
                self.process.watched_until.store(0, Relaxed);
                if result == 0 {
                    continue;
                }
            }
            if result < 0 && substitute.is_some_and(filter::refused) {
                return self.run_uncut(before, &shield, call);
            }
            keeping_errno(|| {
                garbage::after_wait(self.process, &shield, result != 0);
                shield.end();
            });
            return result;
        }
    }

    /// The same by the caller's own call, in one: what came while a trim ran is delivered before, and ends it.
    #[cold]
    fn run_uncut(&self, before: c_int, shield: &Shield, call: &mut dyn FnMut(Part, How) -> c_int) -> c_int {
        let interrupted = trim_before(self.process, shield, self.point, |pending| shield.interrupts_wait(pending));
        shield.end();
        if interrupted {
            return fail(libc::EINTR);
        }
        set_errno(before);
        let result = call(Part::Rest(self.left()), How::Plain);
        keeping_errno(|| {
            let shield = signals::shield();
            garbage::after_wait(self.process, &shield, result != 0);
            shield.end();
        });
        result
    }

    /// One thread at a time watches for quiet; the others wait as they asked. A thread that does not come back (it was
    /// cancelled, or a handler left by longjmp) is given up a second after its time.
    fn watch(&self, nanoseconds: u64) -> bool {
        let now = sys::now();
        let until = self.process.watched_until.load(Relaxed);
        let ours = now.saturating_add(nanoseconds).saturating_add(SECOND);
        until < now && self.process.watched_until.compare_exchange(until, ours, Relaxed, Relaxed).is_ok()
    }
}

/// Before a call on `descriptor` that has no p-variant, and may block or is the next after an answer: trims if that is right. Returns whether the
/// call is to fail with EINTR, because a signal came meanwhile whose handler would have interrupted it.
pub fn before_blocking(descriptor: c_int, point: Point) -> bool {
    let Some(process) = process::armed() else { return false };
    // Quiet is left aside: it can be watched for only in a wait that can be cut in two.
    if !is_possible(process, &process.possible_count, sys::now) {
        if !background::is_awaited(process) {
            process.stop_later();
        }
        return false;
    }
    let blocks = sockets::is_blocking(descriptor);
    // Event loops call accept until EAGAIN right after a connection came: no wait point. But a worker that serves between
    // two of these (gunicorn's sync worker) comes to no other place while there is always a next client.
    let is_next = || point == Point::Accept && process.has_answered_between_accepts();
    if !blocks && !is_next() {
        return false;
    }
    keeping_errno(|| {
        let shield = signals::shield();
        let interrupts = |pending| blocks && shield.interrupts(pending, descriptor);
        let interrupts = trim_before(process, &shield, point, interrupts);
        shield.end();
        interrupts
    })
}

/// Under `shield`, before a call that takes no mask: trims if that is right, and says whether what came meanwhile
/// `interrupts` the call. Where that could not be seen, nothing is trimmed.
fn trim_before(
    process: &'static Process,
    shield: &Shield,
    point: Point,
    interrupts: impl FnOnce(Pending) -> bool,
) -> bool {
    let Some(pending) = Pending::prepare() else { return false };
    duty::at_wait_point(process, shield, trim::may_act);
    trim::at_wait_point(process, shield, Some(point));
    interrupts(pending)
}

/// Whether a trigger can fire at `requests` or at `time`, which is asked only where the requests do not decide it, and
/// whether there is anything to be done at wait points at all.
fn is_possible(process: &Process, requests: &AtomicU64, time: impl FnOnce() -> u64) -> bool {
    runtime().is_some_and(|runtime| runtime.allocator.is_ok())
        && (background::is_asked(process)
            || process.stats.requests.load(Relaxed) >= requests.load(Relaxed)
            || time() >= process.possible_at.load(Relaxed))
}
