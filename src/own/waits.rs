//! Where threads of this process wait, and which of them watches meanwhile.

use core::ffi::c_int;
use core::ptr;
use core::sync::atomic::{AtomicBool, AtomicI32, AtomicU32, AtomicU64, Ordering::Relaxed};

use crate::decide::{MILLISECOND, SECOND};
use crate::sys::{files, memory, sockets};

/// So many calls are not asked after one that does not block.
const NOT_ASKED: u32 = 64;
/// One epoll_wait in so many is tried where they find nothing at once.
const TRIED: u32 = 16;

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
    /// The same on a thread of Node's that is not the first.
    EpollOfWorker,
    /// The same in an event loop of a Ruby gem's, without the interpreter lock.
    EpollOfRuby,
    /// poll and ppoll.
    Poll,
    /// The same for one connection alone: a thread's own client.
    PollClient,
    /// The same in Ruby itself, without the interpreter lock.
    PollOfRuby,
    /// select and pselect.
    Select,
    /// The same in Ruby itself, without the interpreter lock.
    SelectOfRuby,
    /// None: on a thread of our own.
    Thread,
}

impl Point {
    /// Whether it is one of epoll.
    pub const fn is_epoll(self) -> bool {
        matches!(self, Point::Epoll | Point::EpollOfWorker | Point::EpollOfRuby)
    }

    /// Whether it is one of Ruby's own or of its event loops, where its garbage can be collected.
    pub const fn is_of_ruby(self) -> bool {
        matches!(self, Point::PollOfRuby | Point::SelectOfRuby | Point::EpollOfRuby)
    }

    /// Whether threads that wait there watch beside the others, and look first: for those for one client, or where something can be
    /// done that the others cannot do.
    const fn is_beside_others(self) -> bool {
        matches!(self, Point::Receive | Point::PollClient | Point::EpollOfWorker) || self.is_of_ruby()
    }

    /// The name in log lines.
    pub const fn name(self) -> &'static str {
        match self {
            Point::Accept => "accept",
            Point::Receive => "recv",
            Point::Epoll | Point::EpollOfWorker | Point::EpollOfRuby => "epoll",
            Point::Poll | Point::PollClient | Point::PollOfRuby => "poll",
            Point::Select | Point::SelectOfRuby => "select",
            Point::Thread => "thread",
        }
    }
}

/// What the waits of one process have in common. All zeros = none yet.
pub struct Waits {
    /// Until when a thread watches for quiet in a wait that it cut in two; 0 = none does.
    watched_until: [AtomicU64; 2],
    /// The same of one that rests in accept.
    rested_until: AtomicU64,
    /// A descriptor that was found to block, and has no time of its own, and until when that is remembered.
    blocking: AtomicI32,
    blocking_until: AtomicU64,
    /// Whether the process has one thread, and until when that is believed.
    alone: AtomicBool,
    alone_until: AtomicU64,
    /// Waits in poll and its kin, as far as they were looked at: what changes tells that there are some; and as of the last call that
    /// has no timeout.
    polled: AtomicU32,
    polled_before: AtomicU32,
    /// Whether one has come since the last receive, and nothing was answered since.
    just_polled: AtomicBool,
    /// Whether the last epoll_wait that was tried had something at once, and how many were not tried since.
    had_something: AtomicBool,
    not_tried: AtomicU32,
    /// How many more calls of each kind are not asked for whether they block, because the last one did not.
    not_asked: [AtomicU32; 2],
    /// One more than the requests that were answered when accept last brought a connection, as far as it was looked at.
    answered_at_accept: AtomicU64,
}

/// So much later than a thread that waits for its client does one look that others may need: it accepts connections.
const WAY: u64 = 10 * MILLISECOND;

/// The one of two that is for waits of this kind: for those that watch beside the others, or for these.
fn of<T>([others, clients]: &[T; 2], point: Point) -> &T {
    if point.is_beside_others() { clients } else { others }
}

/// Takes one thread's place for so long, unless another has it.
fn take(place: &AtomicU64, now: u64, nanoseconds: u64) -> bool {
    let until = place.load(Relaxed);
    let ours = now.saturating_add(nanoseconds).saturating_add(SECOND);
    until < now && place.compare_exchange(until, ours, Relaxed, Relaxed).is_ok()
}

impl Waits {
    /// Whether the calling thread is to watch, for so many nanoseconds from `now`: one at a time does, the others wait as they
    /// asked; and one of those that wait for their client alone, because they may end without another wait. One that does not come
    /// back (it was cancelled, or a handler left by longjmp) is given up a second after its time.
    pub fn watch(&self, point: Point, now: u64, nanoseconds: u64) -> bool {
        take(of(&self.watched_until, point), now, nanoseconds)
    }

    /// Whether the calling thread is to rest in accept, for so long, with nothing to watch for: the one that does sees what others begin, who may
    /// all be where no hook is when it ends.
    pub fn rest(&self, now: u64, nanoseconds: u64) -> bool {
        take(&self.rested_until, now, nanoseconds)
    }

    /// It rests no more.
    pub fn end_rest(&self) {
        self.rested_until.store(0, Relaxed);
    }

    /// When the calling thread is to look, which would watch for so long from `now`: while one watches that waits for its client alone,
    /// the other gives way, because a trim holds up whoever makes it.
    pub fn in_turn(&self, point: Point, now: u64, nanoseconds: u64) -> u64 {
        let [_, clients] = &self.watched_until;
        let gives_way = !ptr::eq(of(&self.watched_until, point), clients) && clients.load(Relaxed) >= now;
        nanoseconds.saturating_add(if gives_way { WAY } else { 0 })
    }

    /// It watches no more.
    pub fn end_watch(&self, point: Point) {
        of(&self.watched_until, point).store(0, Relaxed);
    }

    /// A thread waits in poll or its kin.
    pub fn polls(&self) {
        self.polled.store(self.polled.load(Relaxed).wrapping_add(1), Relaxed);
        self.just_polled.store(true, Relaxed);
    }

    /// Whether an epoll_wait is to be tried without waiting, before it is cut: in a busy server most find something at once.
    pub fn is_tried(&self) -> bool {
        let not_tried = self.not_tried.load(Relaxed);
        self.not_tried.store(not_tried.wrapping_add(1), Relaxed);
        self.had_something.load(Relaxed) || not_tried.is_multiple_of(TRIED)
    }

    /// What came of it.
    pub fn tried(&self, something: bool) {
        self.had_something.store(something, Relaxed);
    }

    /// A request was answered.
    #[inline(always)]
    pub fn answered(&self) {
        self.just_polled.store(false, Relaxed);
    }

    /// Before a receive: whether a thread has waited there since the last one, and nothing was answered since.
    #[inline(always)]
    pub fn has_just_polled(&self) -> bool {
        let just = self.just_polled.load(Relaxed);
        if just {
            self.just_polled.store(false, Relaxed);
        }
        just
    }

    /// Whether a call without a timeout is worth asking whether it blocks: event loops make many that do not, and many that need
    /// not be watched, because the loop waits elsewhere. Not so accept: who polls are the threads that serve, as likely as not, and a loop's
    /// listener does not block.
    pub fn may_block(&self, point: Point) -> bool {
        let polled = self.polled.load(Relaxed);
        if self.polled_before.swap(polled, Relaxed) != polled && point != Point::Accept {
            return false;
        }
        let not_asked = of(&self.not_asked, point);
        let more = not_asked.load(Relaxed);
        not_asked.store(more.saturating_sub(1), Relaxed);
        more == 0
    }

    /// Whether the process has one thread: asked once a second.
    pub fn is_alone(&self, now: u64) -> bool {
        if now >= self.alone_until.load(Relaxed) {
            self.alone.store(memory::threads() == Some(1), Relaxed);
            self.alone_until.store(now.saturating_add(SECOND), Relaxed);
        }
        self.alone.load(Relaxed)
    }

    /// Whether a call on `descriptor` that is about to be made blocks, and has no time of its own. A file never makes anybody wait.
    pub fn blocks_plainly(&self, point: Point, descriptor: c_int, now: u64) -> bool {
        let blocks = files::is_source(descriptor)
            && sockets::is_blocking(descriptor)
            && !sockets::has_receive_timeout(descriptor);
        if blocks {
            self.blocking.store(descriptor, Relaxed);
            self.blocking_until.store(now.saturating_add(SECOND), Relaxed);
        } else {
            of(&self.not_asked, point).store(NOT_ASKED, Relaxed);
            self.blocking_until.store(0, Relaxed);
        }
        blocks
    }

    /// Whether that was so within the last second: it may be otherwise by now (fcntl, ioctl, setsockopt, another file under the number).
    pub fn has_blocked(&self, descriptor: c_int, now: u64) -> bool {
        self.blocking.load(Relaxed) == descriptor && now < self.blocking_until.load(Relaxed)
    }

    /// An accept brought a connection when so many requests were answered.
    pub fn accepted(&self, answered: u64) {
        self.answered_at_accept.store(answered.saturating_add(1), Relaxed);
    }

    /// Whether one was answered since, with `answered` of them by now.
    pub fn has_answered_since_accept(&self, answered: u64) -> bool {
        self.answered_at_accept.load(Relaxed) != answered.saturating_add(1)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn waits() -> Waits {
        let zero = || AtomicU64::new(0);
        Waits {
            watched_until: [zero(), zero()],
            rested_until: zero(),
            blocking: AtomicI32::new(0),
            blocking_until: zero(),
            alone: AtomicBool::new(false),
            alone_until: zero(),
            polled: AtomicU32::new(0),
            polled_before: AtomicU32::new(0),
            just_polled: AtomicBool::new(false),
            had_something: AtomicBool::new(false),
            not_tried: AtomicU32::new(0),
            not_asked: [AtomicU32::new(0), AtomicU32::new(0)],
            answered_at_accept: zero(),
        }
    }

    #[test]
    fn one_thread_watches_until_it_is_back_or_given_up() {
        let waits = waits();
        assert!(waits.watch(Point::Epoll, 1, SECOND));
        assert!(!waits.watch(Point::Poll, 2, SECOND));
        waits.end_watch(Point::Select);
        assert!(waits.watch(Point::Poll, 3, SECOND));
        assert!(!waits.watch(Point::Accept, 3 + 2 * SECOND, SECOND));
        assert!(waits.watch(Point::Accept, 4 + 2 * SECOND, SECOND));
    }

    #[test]
    fn who_waits_for_a_client_watches_beside_and_looks_first() {
        let waits = waits();
        assert!(waits.watch(Point::PollClient, 1, SECOND) && !waits.watch(Point::Receive, 1, SECOND));
        assert!(waits.watch(Point::Accept, 1, SECOND));
        assert_eq!([Point::Accept, Point::PollClient].map(|point| waits.in_turn(point, 1, 7)), [7 + WAY, 7]);
        waits.end_watch(Point::Receive);
        assert_eq!(waits.in_turn(Point::Epoll, 1, 7), 7);
    }

    #[test]
    fn a_receive_after_a_poll_need_not_look_unless_something_was_answered() {
        let waits = waits();
        assert!(!waits.has_just_polled());
        waits.polls();
        assert!(waits.has_just_polled() && !waits.has_just_polled());
        waits.polls();
        waits.answered();
        assert!(!waits.has_just_polled());
    }

    #[test]
    fn one_wait_in_sixteen_is_tried_unless_they_find_something() {
        let waits = waits();
        let tried = || (0..160).filter(|_| waits.is_tried()).count();
        assert_eq!(tried(), 10);
        waits.tried(true);
        assert_eq!(tried(), 160);
        waits.tried(false);
        assert_eq!(tried(), 10);
    }
}
