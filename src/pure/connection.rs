//! PURE: what the calls on one connection mean. Two states and no parser.
//!
//! ```text
//! Fresh | Idle ── received > 0 bytes ──▶ Pending ── sent > 0 bytes, not interim ──▶ Idle, one request
//! ```
//!
//! A connection that came by `SCM_RIGHTS` may be a client's, made for it by a helper (ssh's ProxyUseFdpass). Where the kernel does
//! not tell, it is `Brought` until it has shown which: whose first move is to send is a client, and followed no more.
//!
//! `Fresh` and `Idle` count alike; they differ only as wait points: after an answer a blocking receive waits
//! for the client, right after accept it is about to be served. `Inherited` is `Pending` as seen by a forked
//! child: its answer counts, but the child never counted the request as in flight.
//!
//! Checked against the traces in `tests/traces`: calls recorded from real servers, with the true number of
//! answered requests.

/// The state of one descriptor, kept as one byte in [`crate::own::descriptors`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum State {
    /// Not a connection, or one that is not ours to count. Zero, so that an untouched table says so.
    NotFollowed = 0,
    /// Answered: the next move is the client's.
    Idle = 1,
    /// Accepted; nothing received yet.
    Fresh = 2,
    /// Bytes have been received and nothing has been sent since: a request is in flight.
    Pending = 3,
    /// Pending when this process was forked off: the parent counts it as in flight, this process does not.
    Inherited = 4,
    /// Brought by `SCM_RIGHTS`; nothing received or sent yet.
    Brought = 5,
    /// Pending, and it was when that was looked at last.
    Waiting = 6,
    /// Pending for more than a few seconds: what is slow, or never comes, keeps nothing from being done.
    Lingering = 7,
}

impl State {
    /// The state that a table byte stands for; anything unknown is not followed.
    pub const fn from_byte(byte: u8) -> State {
        match byte {
            1 => State::Idle,
            2 => State::Fresh,
            3 => State::Pending,
            4 => State::Inherited,
            5 => State::Brought,
            6 => State::Waiting,
            7 => State::Lingering,
            _ => State::NotFollowed,
        }
    }

    /// Whether a request is in flight.
    pub const fn is_pending(self) -> bool {
        matches!(self, State::Pending | State::Waiting | State::Lingering)
    }
}

/// What happened to a descriptor.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Event {
    /// The kernel handed out this number for a connection: whatever was known of the number is stale.
    Opened,
    /// The same for a connection that another process has passed on, when nothing else tells who made it.
    Brought,
    /// More than zero bytes were received (not peeked).
    Received,
    /// More than zero bytes of an answer were sent. An interim response is no such event.
    Sent,
    /// Closed, or replaced by something else: no longer a connection that we know.
    Forgotten,
    /// This process is a forked child, and the descriptor its parent's.
    Forked,
    /// A few seconds have passed.
    Aged,
}

/// What an event changes besides the state.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Effect {
    /// Nothing.
    None,
    /// A request came: one more in flight.
    Began,
    /// A request was answered: one more counted, one less in flight.
    Answered,
    /// A request that the parent process received was answered here: one more counted.
    AnsweredForParent,
    /// The connection went away before an answer: one less in flight, none counted.
    Abandoned,
    /// A request has been in flight for long: one more lingers.
    Lingers,
    /// One that did was answered: one more counted, one less in flight, one less lingers.
    AnsweredLate,
    /// One that did went away: one less in flight, one less lingers.
    AbandonedLate,
}

/// The state machine: the state after `event`, and what else changes.
#[inline(always)]
pub const fn step(state: State, event: Event) -> (State, Effect) {
    match (event, state) {
        (Event::Opened, State::Pending | State::Waiting) => (State::Fresh, Effect::Abandoned),
        (Event::Opened, State::Lingering) => (State::Fresh, Effect::AbandonedLate),
        (Event::Opened, _) => (State::Fresh, Effect::None),
        (Event::Brought, State::Pending | State::Waiting) => (State::Brought, Effect::Abandoned),
        (Event::Brought, State::Lingering) => (State::Brought, Effect::AbandonedLate),
        (Event::Brought, _) => (State::Brought, Effect::None),
        (Event::Forgotten, State::Pending | State::Waiting) => (State::NotFollowed, Effect::Abandoned),
        (Event::Forgotten, State::Lingering) => (State::NotFollowed, Effect::AbandonedLate),
        (Event::Forgotten, _) => (State::NotFollowed, Effect::None),
        (Event::Forked, State::Pending | State::Waiting | State::Lingering) => (State::Inherited, Effect::None),
        (Event::Forked, _) => (state, Effect::None),
        (_, State::NotFollowed) => (State::NotFollowed, Effect::None),
        (Event::Received, State::Fresh | State::Idle | State::Brought) => (State::Pending, Effect::Began),
        (Event::Received, _) => (state, Effect::None),
        (Event::Aged, State::Pending) => (State::Waiting, Effect::None),
        (Event::Aged, State::Waiting) => (State::Lingering, Effect::Lingers),
        (Event::Aged, _) => (state, Effect::None),
        (Event::Sent, State::Pending | State::Waiting) => (State::Idle, Effect::Answered),
        (Event::Sent, State::Lingering) => (State::Idle, Effect::AnsweredLate),
        (Event::Sent, State::Inherited) => (State::Idle, Effect::AnsweredForParent),
        // Who speaks first here is a client.
        (Event::Sent, State::Brought) => (State::NotFollowed, Effect::None),
        // The server speaks first (a greeting), or goes on with an answer that is already counted.
        (Event::Sent, _) => (State::Idle, Effect::None),
    }
}

/// Where in an HTTP/1 answer's first line the status begins.
pub const STATUS: usize = 9;

/// How many of a message's first bytes [`is_interim`] wants to see, and [`Interim`] of each response.
pub const HEAD: usize = 12;

/// Whether an answer that starts with `head` is an interim response (RFC 9110, 15.2): `HTTP/1.x 1yz`, but
/// not `101`, which ends the exchange by switching protocols. Fewer than [`HEAD`] bytes are never interim.
#[inline]
pub fn is_interim(head: &[u8]) -> bool {
    matches!(head, [b'H', b'T', b'T', b'P', b'/', b'1', b'.', _, b' ', b'1', tens, units, ..]
            if (*tens, *units) != (b'0', b'1'))
}

/// Reads what was sent at once: interim responses alone, or an answer behind them (`103 …` and `200 …` in one write)?
pub struct Interim {
    /// The first bytes of the response at hand, and how many are known.
    head: [u8; HEAD],
    known: usize,
    /// An interim response was seen.
    any: bool,
    /// In its fields, and at the beginning of a line there.
    in_fields: bool,
    at_line: bool,
    /// Something else was.
    answered: bool,
}

impl Interim {
    /// Nothing was sent yet.
    pub const fn new() -> Interim {
        Interim { head: [0; HEAD], known: 0, any: false, in_fields: false, at_line: false, answered: false }
    }

    /// The next bytes that were sent.
    pub fn read(&mut self, bytes: &[u8]) {
        for &byte in bytes {
            if self.answered {
                return;
            }
            if self.in_fields {
                self.field(byte);
            } else if let Some(slot) = self.head.get_mut(self.known) {
                *slot = byte;
                self.known += 1;
                if self.known == HEAD {
                    let interim = is_interim(&self.head);
                    (self.known, self.any, self.in_fields, self.at_line) = (0, interim, interim, false);
                    self.answered = !interim;
                }
            }
        }
    }

    /// An empty line ends the fields.
    fn field(&mut self, byte: u8) {
        match byte {
            b'\n' if self.at_line => self.in_fields = false,
            b'\n' => self.at_line = true,
            b'\r' => {}
            _ => self.at_line = false,
        }
    }

    /// Whether an answer has begun: nothing more need be read.
    pub const fn has_answer(&self) -> bool {
        self.answered
    }

    /// Whether all that was sent answers nothing. The beginning of another response is one.
    pub const fn answers_nothing(&self) -> bool {
        self.any && !self.answered && self.known == 0
    }
}

#[cfg(test)]
#[path = "connection_tests.rs"]
mod tests;
