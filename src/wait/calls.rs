//! The waiting calls: each becomes its p-variant where there is a reason to stop, and itself where not.

use core::ffi::{c_int, c_long};
use core::ptr;

use libc::{epoll_event, fd_set, nfds_t, pollfd, sigset_t, timespec, timeval};

use super::{How, Part, Point, Timeout, Wait};
use crate::hooks::next as real;
use crate::interpose::{Failure, fail};
use crate::policy::{MILLISECOND, SECOND};
use crate::sys::filter::{self, Call};
use crate::sys::memory;
use crate::wait;

/// The timeout of poll and epoll_wait.
pub fn milliseconds(timeout: c_int) -> Option<Timeout> {
    Some(match u64::try_from(timeout) {
        Ok(milliseconds) => Timeout::After(milliseconds.saturating_mul(MILLISECOND)),
        Err(_) => Timeout::Never,
    })
}

/// The timeout of the p-variants; `None` where the kernel will refuse it.
pub fn seconds(timeout: *const timespec) -> Option<Timeout> {
    if timeout.is_null() {
        return Some(Timeout::Never);
    }
    let timespec { tv_sec, tv_nsec, .. } = memory::read(timeout)?;
    nanoseconds(tv_sec, tv_nsec, SECOND)
}

/// `fraction` counts in units of which a second has `units`.
fn nanoseconds(seconds: i64, fraction: i64, units: u64) -> Option<Timeout> {
    let (seconds, fraction) = (u64::try_from(seconds).ok()?, u64::try_from(fraction).ok()?);
    if fraction >= units {
        return None;
    }
    let fraction = fraction.saturating_mul(SECOND / units.max(1));
    Some(Timeout::After(seconds.saturating_mul(SECOND).saturating_add(fraction)))
}

/// `timeout`, if an array of `count` entries fits into `room` bytes.
pub fn fitting(count: nfds_t, room: usize, timeout: Option<Timeout>) -> Option<Timeout> {
    timeout.filter(|_| (room / size_of::<pollfd>()) as nfds_t >= count)
}

fn in_milliseconds(part: Part) -> c_int {
    let milliseconds = |part: u64| c_int::try_from(part.div_ceil(MILLISECOND)).unwrap_or(c_int::MAX);
    part.length().map_or(-1, milliseconds)
}

/// Whose call a wait is.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Own {
    /// The plain one: the p-variant would be a substitute.
    Plain,
    /// The p-variant.
    Masked,
}

/// What stands in for the caller's call, if anything does.
#[inline(always)]
fn substitute(own: Own, call: Call) -> Option<Call> {
    if own == Own::Masked {
        filter::makes(call);
        return None;
    }
    Some(call)
}

/// epoll_wait and epoll_pwait.
#[inline(always)]
pub fn epoll(
    own: Own,
    timeout: impl FnOnce() -> Option<Timeout>,
    epoll: c_int,
    events: *mut epoll_event,
    room: c_int,
    mask: *const sigset_t,
    next: impl Fn() -> c_int,
) -> c_int {
    let substitute = substitute(own, Call::EpollPwait);
    wait::at(Point::Epoll, substitute, timeout, next, move |wait| {
        wait.run(true, substitute, &mut |part, how| {
            let part = in_milliseconds(part);
            // SAFETY (both): the caller's own arguments but for the timeout.
            match how {
                How::Masked(current) => {
                    call(real::epoll_pwait.get(), |real| unsafe { real(epoll, events, room, part, or(mask, current)) })
                }
                How::Plain => call(real::epoll_wait.get(), |real| unsafe { real(epoll, events, room, part) }),
            }
        })
    })
}

/// epoll_pwait2.
#[inline(always)]
pub fn epoll2(
    timeout: *const timespec,
    epoll: c_int,
    events: *mut epoll_event,
    room: c_int,
    mask: *const sigset_t,
    next: impl Fn() -> c_int + Copy,
) -> c_int {
    wait::at(
        Point::Epoll,
        None,
        move || seconds(timeout),
        next,
        move |wait| {
            wait.run(true, None, &mut |part, how| {
                let How::Masked(current) = how else { return next() };
                let (part, mask) = (Seconds::of(part.length()), or(mask, current));
                // SAFETY: the caller's own arguments but for the timeout.
                call(real::epoll_pwait2.get(), |real| unsafe { real(epoll, events, room, part.pointer(), mask) })
            })
        },
    )
}

/// poll and ppoll.
#[inline(always)]
pub fn poll(
    own: Own,
    timeout: impl FnOnce() -> Option<Timeout>,
    fds: *mut pollfd,
    count: nfds_t,
    mask: *const sigset_t,
    next: impl Fn() -> c_int,
) -> c_int {
    let substitute = substitute(own, Call::Ppoll);
    wait::at(Point::Poll, substitute, timeout, next, move |wait| {
        wait.run(true, substitute, &mut |part, how| {
            // SAFETY (both): the caller's own arguments but for the timeout.
            match how {
                How::Masked(current) => {
                    let part = Seconds::of(part.length());
                    call(real::ppoll.get(), |real| unsafe { real(fds, count, part.pointer(), or(mask, current)) })
                }
                How::Plain => call(real::poll.get(), |real| unsafe { real(fds, count, in_milliseconds(part)) }),
            }
        })
    })
}

/// pselect.
#[inline(always)]
pub fn pselect(
    count: c_int,
    sets: [*mut fd_set; 3],
    timeout: *const timespec,
    mask: *const sigset_t,
    next: impl Fn() -> c_int,
) -> c_int {
    let own = substitute(Own::Masked, Call::Pselect);
    wait::at(Point::Select, own, move || seconds(timeout), next, move |wait| select_parts(wait, own, count, sets, mask))
}

/// select, which on Linux leaves in `timeout` what was left of it (select(2), Notes).
#[inline(always)]
pub fn select(count: c_int, sets: [*mut fd_set; 3], timeout: *mut timeval, next: impl Fn() -> c_int) -> c_int {
    let substitute = substitute(Own::Plain, Call::Pselect);
    wait::at(
        Point::Select,
        substitute,
        move || microseconds(timeout),
        next,
        move |wait| {
            let result = select_parts(wait, substitute, count, sets, ptr::null());
            if let Some(left) = wait.left() {
                let left = timeval { tv_sec: (left / SECOND) as _, tv_usec: (left % SECOND / 1_000) as _ };
                // As the kernel does: where that cannot be written, select(2) has succeeded all the same.
                memory::write(timeout, left);
            }
            result
        },
    )
}

fn microseconds(timeout: *const timeval) -> Option<Timeout> {
    if timeout.is_null() {
        return Some(Timeout::Never);
    }
    let timeval { tv_sec, tv_usec } = memory::read(timeout)?;
    nanoseconds(tv_sec, tv_usec, 1_000_000)
}

/// A first part that times out would clear the caller's sets, so it waits on a copy; what is ready then is left for
/// the real call on the caller's own sets to find. They are written by the kernel, as ever.
#[inline(never)]
fn select_parts(
    wait: &Wait,
    substitute: Option<Call>,
    count: c_int,
    sets: [*mut fd_set; 3],
    mask: *const sigset_t,
) -> c_int {
    let saved = Sets::copy(count, sets);
    wait.run(saved.is_some(), substitute, &mut |part, how| {
        let How::Masked(current) = how else { return select_plainly(count, sets, part) };
        let real = |sets: [*mut fd_set; 3], nanoseconds: Option<u64>| {
            let ([reads, writes, errors], timeout, mask) = (sets, Seconds::of(nanoseconds), or(mask, current));
            // SAFETY: the caller's own arguments, or a copy of its sets, but for the timeout.
            call(real::pselect.get(), |real| unsafe { real(count, reads, writes, errors, timeout.pointer(), mask) })
        };
        match (part, &saved) {
            (Part::First(nanoseconds), Some(saved)) => {
                let mut scratch = saved.words;
                let ready = real(saved.pointers(&mut scratch), Some(nanoseconds));
                if ready <= 0 {
                    return ready;
                }
                let ready = real(sets, Some(0));
                if ready == 0 {
                    // Another thread was faster: the wait goes on.
                    saved.put_back(sets);
                }
                ready
            }
            _ => real(sets, part.length()),
        }
    })
}

/// select itself, for the time of `part`.
fn select_plainly(count: c_int, sets: [*mut fd_set; 3], part: Part) -> c_int {
    let [reads, writes, errors] = sets;
    let mut timeout = part.length().map(|left| {
        let microseconds = left.div_ceil(1_000);
        timeval { tv_sec: (microseconds / 1_000_000) as _, tv_usec: (microseconds % 1_000_000) as _ }
    });
    let timeout = timeout.as_mut().map_or(ptr::null_mut(), ptr::from_mut);
    // SAFETY: the caller's own arguments but for the timeout.
    call(real::select.get(), |real| unsafe { real(count, reads, writes, errors, timeout) })
}

/// A copy of the caller's descriptor sets.
struct Sets {
    words: [[c_long; Sets::WORDS]; 3],
    given: [bool; 3],
    used: usize,
}

impl Sets {
    /// Words of an fd_set. A select over more than its 1,024 descriptors is not cut in two.
    const WORDS: usize = libc::FD_SETSIZE / c_long::BITS as usize;

    /// `None` where there are too many descriptors, or the memory cannot be read: that is the kernel's to judge.
    fn copy(count: c_int, sets: [*mut fd_set; 3]) -> Option<Sets> {
        let used = usize::try_from(count).ok()?.div_ceil(c_long::BITS as usize);
        let mut copy = Sets { words: [[0; Self::WORDS]; 3], given: sets.map(|set| !set.is_null()), used };
        for (set, words) in sets.iter().zip(&mut copy.words) {
            let words = words.get_mut(..used)?;
            if !set.is_null() && !memory::read_into(set.cast::<c_long>(), words) {
                return None;
            }
        }
        Some(copy)
    }

    /// `words` as select takes them: null where the caller gave no set.
    fn pointers(&self, words: &mut [[c_long; Sets::WORDS]; 3]) -> [*mut fd_set; 3] {
        let mut pointers = [ptr::null_mut(); 3];
        for ((pointer, words), given) in pointers.iter_mut().zip(words).zip(self.given) {
            if given {
                *pointer = words.as_mut_ptr().cast::<fd_set>();
            }
        }
        pointers
    }

    /// Sets again what the kernel has cleared, and nothing else: the memory behind may be somebody else's.
    fn put_back(&self, sets: [*mut fd_set; 3]) {
        for (set, words) in sets.iter().zip(&self.words) {
            for (index, &word) in words.iter().enumerate().take(self.used) {
                let place = set.cast::<c_long>().wrapping_add(index);
                // SAFETY: the set was given (else the copy has no bits), and the kernel has just written it.
                unsafe {
                    if word != 0 && place.read() == 0 {
                        place.write(word);
                    }
                }
            }
        }
    }
}

/// The timeout of one part, as the p-variants take it.
struct Seconds(Option<timespec>);

impl Seconds {
    fn of(nanoseconds: Option<u64>) -> Seconds {
        Seconds(nanoseconds.map(|time| timespec { tv_sec: (time / SECOND) as _, tv_nsec: (time % SECOND) as _ }))
    }

    fn pointer(&self) -> *const timespec {
        self.0.as_ref().map_or(ptr::null(), ptr::from_ref)
    }
}

/// The mask that the caller passed, or else the one that it has.
fn or(passed: *const sigset_t, current: &sigset_t) -> *const sigset_t {
    if passed.is_null() { current } else { passed }
}

#[inline(always)]
fn call<F, R: Failure>(function: Option<F>, with: impl FnOnce(F) -> R) -> R {
    match function {
        Some(function) => with(function),
        None => fail(libc::ENOSYS),
    }
}
