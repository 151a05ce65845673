//! The waiting calls: each becomes its p-variant where there is a reason to stop, and itself where not.

use core::ffi::{c_int, c_long};
use core::ptr;

use libc::{epoll_event, fd_set, nfds_t, pollfd, sigset_t, timespec, timeval};

use super::{Timeout, Wait};
use crate::hooks::next as real;
use crate::interpose::{Failure, fail};
use crate::policy::{MILLISECOND, SECOND};
use crate::wait;

/// The timeout of poll and epoll_wait.
pub fn milliseconds(timeout: c_int) -> Option<Timeout> {
    Some(match u64::try_from(timeout) {
        Ok(milliseconds) => Timeout::After(milliseconds.saturating_mul(MILLISECOND)),
        Err(_) => Timeout::Never,
    })
}

/// The timeout of the p-variants; `None` where the kernel would refuse it.
pub fn seconds(timeout: *const timespec) -> Option<Timeout> {
    if timeout.is_null() {
        return Some(Timeout::Never);
    }
    // SAFETY: not null; libc's own ppoll and pselect read it just so.
    let timespec { tv_sec, tv_nsec, .. } = unsafe { timeout.read() };
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

/// epoll_wait and epoll_pwait.
#[inline(always)]
pub fn epoll(
    timeout: impl FnOnce() -> Option<Timeout>,
    epoll: c_int,
    events: *mut epoll_event,
    room: c_int,
    mask: *const sigset_t,
    next: impl Fn() -> c_int,
) -> c_int {
    wait::at(timeout, next, move |wait| {
        wait.run(&mut |part, current| {
            let part = part.map_or(-1, |part| c_int::try_from(part.div_ceil(MILLISECOND)).unwrap_or(c_int::MAX));
            // SAFETY: the caller's own arguments but for the timeout.
            call(real::epoll_pwait.get(), |real| unsafe { real(epoll, events, room, part, or(mask, current)) })
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
    next: impl Fn() -> c_int,
) -> c_int {
    wait::at(
        move || seconds(timeout),
        next,
        move |wait| {
            wait.run(&mut |part, current| {
                let (part, mask) = (Part::of(part), or(mask, current));
                // SAFETY: the caller's own arguments but for the timeout.
                call(real::epoll_pwait2.get(), |real| unsafe { real(epoll, events, room, part.pointer(), mask) })
            })
        },
    )
}

/// poll and ppoll.
#[inline(always)]
pub fn poll(
    timeout: impl FnOnce() -> Option<Timeout>,
    fds: *mut pollfd,
    count: nfds_t,
    mask: *const sigset_t,
    next: impl Fn() -> c_int,
) -> c_int {
    wait::at(timeout, next, move |wait| {
        wait.run(&mut |part, current| {
            let part = Part::of(part);
            // SAFETY: the caller's own arguments but for the timeout.
            call(real::ppoll.get(), |real| unsafe { real(fds, count, part.pointer(), or(mask, current)) })
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
    let begin = move || if Sets::fit(count) { seconds(timeout) } else { None };
    wait::at(begin, next, move |wait| select_parts(wait, count, sets, mask))
}

/// select, which on Linux leaves in `timeout` what was left of it (select(2), Notes).
#[inline(always)]
pub fn select(count: c_int, sets: [*mut fd_set; 3], timeout: *mut timeval, next: impl Fn() -> c_int) -> c_int {
    let begin = move || if Sets::fit(count) { microseconds(timeout) } else { None };
    wait::at(begin, next, move |wait| {
        let result = select_parts(wait, count, sets, ptr::null());
        if let Some(left) = wait.left() {
            let left = timeval { tv_sec: (left / SECOND) as _, tv_usec: (left % SECOND / 1_000) as _ };
            // SAFETY: there is something left, so there is a timeout; the kernel writes it too.
            unsafe { timeout.write(left) };
        }
        result
    })
}

fn microseconds(timeout: *const timeval) -> Option<Timeout> {
    if timeout.is_null() {
        return Some(Timeout::Never);
    }
    // SAFETY: not null; libc's own select reads it just so.
    let timeval { tv_sec, tv_usec } = unsafe { timeout.read() };
    nanoseconds(tv_sec, tv_usec, 1_000_000)
}

#[inline(never)]
fn select_parts(wait: &Wait, count: c_int, sets: [*mut fd_set; 3], mask: *const sigset_t) -> c_int {
    let saved = Sets::save(count, sets);
    wait.run(&mut |part, current| {
        saved.restore();
        let ([reads, writes, errors], part) = (sets, Part::of(part));
        // SAFETY: the caller's own arguments but for the timeout.
        call(real::pselect.get(), |real| unsafe {
            real(count, reads, writes, errors, part.pointer(), or(mask, current))
        })
    })
}

/// The caller's descriptor sets as they were: a part that times out clears them.
struct Sets {
    sets: [*mut fd_set; 3],
    words: usize,
    saved: [[c_long; Sets::WORDS]; 3],
}

impl Sets {
    /// Room for so many words: 4,096 descriptors. A select over more is not a wait point.
    const WORDS: usize = 4096 / c_long::BITS as usize;

    fn fit(count: c_int) -> bool {
        usize::try_from(count).is_ok_and(|count| count <= Self::WORDS * c_long::BITS as usize)
    }

    fn save(count: c_int, sets: [*mut fd_set; 3]) -> Sets {
        let words = (count.max(0) as usize).div_ceil(c_long::BITS as usize).min(Self::WORDS);
        let mut saved = [[0; Self::WORDS]; 3];
        for (set, saved) in sets.iter().zip(&mut saved) {
            if !set.is_null() {
                // SAFETY: select reads and writes `count` bits, in whole words, wherever the pointer is not null
                // (fs/select.c, get_fd_set); there may be more than the 1,024 of fd_set.
                unsafe { ptr::copy_nonoverlapping(set.cast::<c_long>(), saved.as_mut_ptr(), words) };
            }
        }
        Sets { sets, words, saved }
    }

    fn restore(&self) {
        for (set, saved) in self.sets.iter().zip(&self.saved) {
            if !set.is_null() {
                // SAFETY: as in `save`.
                unsafe { ptr::copy_nonoverlapping(saved.as_ptr(), set.cast::<c_long>(), self.words) };
            }
        }
    }
}

/// The timeout of one part, as the p-variants take it.
struct Part(Option<timespec>);

impl Part {
    fn of(nanoseconds: Option<u64>) -> Part {
        Part(nanoseconds.map(|time| timespec { tv_sec: (time / SECOND) as _, tv_nsec: (time % SECOND) as _ }))
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
