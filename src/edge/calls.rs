//! The waiting calls: each becomes its p-variant where there is a reason to stop, and itself where not.

use core::ffi::{c_int, c_long};
use core::ptr;

use libc::{epoll_event, fd_set, nfds_t, pollfd, sigset_t, timespec, timeval};

use super::wait::{self, How, Part, Timeout, Wait};
use crate::decide::{MILLISECOND, SECOND};
use crate::own::descriptors;
use crate::own::runtime::runtime;
use crate::own::waits::Point;
use crate::pure::connection::State;
use crate::reclaim::{node, ruby};
use crate::sys::errno::{Failure, fail};
use crate::sys::filter::{self, Call};
use crate::sys::{memory, real, signals, sockets};

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
    part.length().map_or(-1, sockets::milliseconds)
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

/// For a caller that passes none.
pub const NO_MASK: *const sigset_t = ptr::null();

/// Where the call returns to, of those that no interpreter makes.
pub const NOBODY: usize = 0;

/// poll, once for all names that few programs call.
#[inline(never)]
pub fn polling_by(fds: *mut pollfd, count: nfds_t, timeout: c_int, next: &dyn Fn() -> c_int) -> c_int {
    poll(Own::Plain, true, move || milliseconds(timeout), fds, count, NO_MASK, NOBODY, next)
}

/// The same of select.
#[inline(never)]
pub fn selecting_by(count: c_int, sets: [*mut fd_set; 3], timeout: *mut timeval, next: &dyn Fn() -> c_int) -> c_int {
    select(count, sets, timeout, NOBODY, next)
}

/// epoll_wait and epoll_pwait.
#[inline(always)]
#[allow(clippy::too_many_arguments)] // The caller's own, and what the names differ in.
pub fn epoll(
    own: Own,
    timeout: c_int,
    epoll: c_int,
    events: *mut epoll_event,
    room: c_int,
    mask: *const sigset_t,
    caller: usize,
    next: impl Fn() -> c_int,
) -> c_int {
    let substitute = substitute(own, Call::EpollPwait);
    #[cfg(feature = "often")]
    node::collect_often();
    wait::at(
        move || point_of_epoll(caller),
        caller,
        true,
        move || milliseconds(timeout),
        next,
        move |wait| {
            wait.run(true, substitute, &mut |part, how| {
                let part = in_milliseconds(part);
                // SAFETY (both): the caller's own arguments but for the timeout.
                match mask_for(own, how, mask) {
                    Some(mask) => {
                        call(real::epoll_pwait.get(), |real| unsafe { real(epoll, events, room, part, mask) })
                    }
                    None => call(real::epoll_wait.get(), |real| unsafe { real(epoll, events, room, part) }),
                }
            })
        },
    )
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
        node::point_of_epoll,
        NOBODY,
        false,
        move || seconds(timeout),
        next,
        move |wait| {
            wait.run(true, None, &mut |part, how| {
                let part = Seconds::of(part.length());
                let mask = mask_for(Own::Masked, how, mask).unwrap_or(mask);
                // SAFETY: the caller's own arguments but for the timeout.
                call(real::epoll_pwait2.get(), |real| unsafe { real(epoll, events, room, part.pointer(), mask) })
            })
        },
    )
}

/// Whether an epoll_wait that returns to `caller` is an event loop's of Ruby, or on a thread of Node's.
#[inline(never)]
fn point_of_epoll(caller: usize) -> Point {
    if ruby::waits_in_event_loop(caller) { Point::EpollOfRuby } else { node::point_of_epoll() }
}

/// Whether a poll that returns to `caller` is Ruby's, which waits again after EINTR only where it calls ppoll (not in its reads: io.c,
/// `nogvl_wait_for`), or for one followed connection and nothing else: asked only where that matters.
#[inline(never)]
fn point_of_poll(fds: *const pollfd, count: nfds_t, is_ppoll: bool, caller: usize) -> Point {
    if is_ppoll && ruby::waits_itself(caller) {
        return Point::PollOfRuby;
    }
    let is_for_client =
        count == 1 && memory::read(fds).is_some_and(|entry| descriptors::state(entry.fd) != State::NotFollowed);
    if is_for_client { Point::PollClient } else { Point::Poll }
}

/// Whether a select is Ruby's.
#[inline(never)]
fn point_of_select(caller: usize) -> Point {
    if ruby::waits_itself(caller) { Point::SelectOfRuby } else { Point::Select }
}

/// poll and ppoll. `waits`: see [`wait::at`].
#[inline(always)]
#[allow(clippy::too_many_arguments)] // The caller's own, and what the names differ in.
pub fn poll(
    own: Own,
    waits: bool,
    timeout: impl FnOnce() -> Option<Timeout>,
    fds: *mut pollfd,
    count: nfds_t,
    mask: *const sigset_t,
    caller: usize,
    next: impl Fn() -> c_int,
) -> c_int {
    let substitute = substitute(own, Call::Ppoll);
    #[cfg(feature = "often")]
    if matches!(own, Own::Masked) && ruby::collect_often(caller) {
        return -1;
    }
    wait::at(
        move || point_of_poll(fds, count, matches!(own, Own::Masked), caller),
        caller,
        waits,
        timeout,
        next,
        move |wait| {
            wait.run(true, substitute, &mut |part, how| {
                // SAFETY (both): the caller's own arguments but for the timeout.
                match mask_for(own, how, mask) {
                    Some(mask) => {
                        let part = Seconds::of(part.length());
                        call(real::ppoll.get(), |real| unsafe { real(fds, count, part.pointer(), mask) })
                    }
                    None => call(real::poll.get(), |real| unsafe { real(fds, count, in_milliseconds(part)) }),
                }
            })
        },
    )
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
    let own = Own::Masked;
    let substitute = substitute(own, Call::Pselect);
    let looking = move |wait: &Wait| select_parts(wait, own, substitute, count, sets, mask);
    wait::at(|| Point::Select, NOBODY, false, move || seconds(timeout), next, looking)
}

/// select, which on Linux leaves in `timeout` what was left of it (select(2), Notes).
#[inline(always)]
pub fn select(
    count: c_int,
    sets: [*mut fd_set; 3],
    timeout: *mut timeval,
    caller: usize,
    next: impl Fn() -> c_int,
) -> c_int {
    let substitute = substitute(Own::Plain, Call::Pselect);
    #[cfg(feature = "often")]
    if ruby::collect_often(caller) {
        return -1;
    }
    wait::at(
        move || point_of_select(caller),
        caller,
        false,
        move || microseconds(timeout),
        next,
        move |wait| {
            let result = select_parts(wait, Own::Plain, substitute, count, sets, ptr::null());
            if let Some(left) = wait.left()
                && runtime().is_some_and(|runtime| runtime.libc.tells_rest_of_select())
            {
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
    own: Own,
    substitute: Option<Call>,
    count: c_int,
    sets: [*mut fd_set; 3],
    mask: *const sigset_t,
) -> c_int {
    let mut words = [[0; WORDS]; 3];
    let mut saved = Sets { words: &mut words, given: sets.map(|set| !set.is_null()), used: 0 };
    let is_saved = saved.copy(count, sets);
    wait.run(is_saved, substitute, &mut |part, how| {
        let mask = mask_for(own, how, mask);
        let real = |sets, nanoseconds| select_now(count, sets, nanoseconds, mask);
        match part {
            Part::First(nanoseconds) if is_saved => {
                let mut scratch = *saved.words;
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

/// pselect for so long with this mask; where there is none, select. Apart, for the sake of the stack.
#[inline(never)]
fn select_now(count: c_int, sets: [*mut fd_set; 3], nanoseconds: Option<u64>, mask: Option<*const sigset_t>) -> c_int {
    let Some(mask) = mask else { return select_plainly(count, sets, nanoseconds) };
    let ([reads, writes, errors], timeout) = (sets, Seconds::of(nanoseconds));
    // SAFETY: the caller's own arguments, or a copy of its sets, but for the timeout.
    call(real::pselect.get(), |real| unsafe { real(count, reads, writes, errors, timeout.pointer(), mask) })
}

/// select itself, for so long.
fn select_plainly(count: c_int, sets: [*mut fd_set; 3], nanoseconds: Option<u64>) -> c_int {
    let [reads, writes, errors] = sets;
    let mut timeout = nanoseconds.map(|left| {
        let microseconds = left.div_ceil(1_000);
        timeval { tv_sec: (microseconds / 1_000_000) as _, tv_usec: (microseconds % 1_000_000) as _ }
    });
    let timeout = timeout.as_mut().map_or(ptr::null_mut(), ptr::from_mut);
    // SAFETY: the caller's own arguments but for the timeout.
    call(real::select.get(), |real| unsafe { real(count, reads, writes, errors, timeout) })
}

/// A copy of the caller's descriptor sets.
struct Sets<'a> {
    words: &'a mut [[c_long; WORDS]; 3],
    given: [bool; 3],
    used: usize,
}

/// Words of an fd_set. A select over more than its 1,024 descriptors is not cut in two.
const WORDS: usize = libc::FD_SETSIZE / c_long::BITS as usize;

impl Sets<'_> {
    /// False where there are too many descriptors, or the memory cannot be read: that is the kernel's to judge. In place, for the
    /// sake of the stack.
    fn copy(&mut self, count: c_int, sets: [*mut fd_set; 3]) -> bool {
        let Ok(count) = usize::try_from(count) else { return false };
        self.used = count.div_ceil(c_long::BITS as usize);
        let used = self.used;
        sets.iter().zip(&mut *self.words).all(|(set, words)| {
            words.get_mut(..used).is_some_and(|words| set.is_null() || memory::read_into(set.cast::<c_long>(), words))
        })
    }

    /// `words` as select takes them: null where the caller gave no set.
    fn pointers(&self, words: &mut [[c_long; WORDS]; 3]) -> [*mut fd_set; 3] {
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
        for (set, words) in sets.iter().zip(&*self.words) {
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
        Seconds(nanoseconds.map(signals::timespec))
    }

    fn pointer(&self) -> *const timespec {
        self.0.as_ref().map_or(ptr::null(), ptr::from_ref)
    }
}

/// The mask for the p-variant, null = the one that the thread has; `None` = the plain variant is to be called. `passed` is what the
/// caller passed.
fn mask_for(own: Own, how: How, passed: *const sigset_t) -> Option<*const sigset_t> {
    match (how, own) {
        (How::Masked(current), _) => Some(if passed.is_null() { current } else { passed }),
        (How::Plain, Own::Masked) => Some(passed),
        (How::Shielded, Own::Masked) => Some(ptr::null()),
        (How::Plain | How::Shielded, Own::Plain) => None,
    }
}

#[inline(always)]
fn call<F, R: Failure>(function: Option<F>, with: impl FnOnce(F) -> R) -> R {
    match function {
        Some(function) => with(function),
        None => fail(libc::ENOSYS),
    }
}
