//! A case: what one kind of client does to a server, and how many requests that is.

use super::place::Mode;
use super::running::Running;
use super::{http_cases, leaving, protocols};
use std::any::Any;

/// What must hold between the count and the truth.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Exactness {
    /// They are equal.
    Exact,
    /// The count is this number by definition, whatever the truth.
    Definition(u64),
    /// The ratio is only told; the count is never below the truth.
    AtLeast,
    /// The ratio is only told.
    Any,
}

/// What a client has done and seen.
#[derive(Default)]
pub struct Outcome {
    /// Requests that the server has answered.
    pub truth: u64,
    /// How many were counted beside, of clients that were late.
    pub beside: u64,
    /// What two runs must agree on.
    pub answers: Vec<String>,
    /// The server had answered before the client did what the case is about: nothing is shown, and it is played again.
    pub late: bool,
    /// Connections to keep open until the count has been read.
    pub held: Option<Box<dyn Any>>,
}

/// One case.
#[derive(Clone)]
pub struct Case {
    /// The column in docs/servers.md, unique.
    pub name: &'static str,
    pub mode: Mode,
    pub exactness: Exactness,
    pub play: fn(&Running) -> Outcome,
}

pub const CLOSE: &str = "20 × Connection: close";
pub const KEEP_ALIVE: &str = "20 on one connection";
pub const CONCURRENT: &str = "3 × 10 concurrent";
pub const POST_AT_ONCE: &str = "POST 1 MiB at once";
pub const POST_PACED: &str = "POST 1 MiB paced";
pub const STREAM: &str = "5 MiB streamed";
pub const FILE: &str = "5 MiB file";
pub const EVENTS: &str = "SSE, 20 events";
pub const CONTINUE: &str = "Expect: 100-continue";
pub const EARLY_413: &str = "early 413, then another";
pub const HALF_CLOSE: &str = "half-close";
pub const CONNECT_ONLY: &str = "connect and leave";
pub const HALF_HEADER: &str = "half a header, leave";
pub const HALF_BODY: &str = "half a body, leave";
pub const GONE: &str = "gone before the answer";
pub const RESET: &str = "reset before the answer";
pub const PIPELINED: &str = "3 pipelined in one write";
pub const WEBSOCKET: &str = "WebSocket, 10 messages";
pub const HTTP2: &str = "HTTP/2, 20 on one connection";
pub const TLS13_KEEP_ALIVE: &str = "TLS 1.3, 20 on one connection";
pub const TLS13_CLOSE: &str = "TLS 1.3, 20 connections";
pub const TLS13_RESUMED: &str = "TLS 1.3 resumed, 20 connections";
pub const TLS12_KEEP_ALIVE: &str = "TLS 1.2, 20 on one connection";
pub const TLS12_CLOSE: &str = "TLS 1.2, 20 connections";
pub const TLS12_RESUMED: &str = "TLS 1.2 resumed, 20 connections";

impl Case {
    /// A case without TLS whose count is exact; change the fields for another.
    pub const fn exact(name: &'static str, play: fn(&Running) -> Outcome) -> Self {
        Self { name, mode: Mode::Plain, exactness: Exactness::Exact, play }
    }

    /// The same for another mode, with a ratio that is only told.
    const fn told(name: &'static str, mode: Mode, exactness: Exactness, play: fn(&Running) -> Outcome) -> Self {
        Self { name, mode, exactness, play }
    }
}

/// The cases of a server that speaks HTTP.
pub fn http() -> Vec<Case> {
    use Exactness::{AtLeast, Definition};
    vec![
        Case::exact(CLOSE, http_cases::close),
        Case::exact(KEEP_ALIVE, http_cases::keep_alive),
        Case::exact(CONCURRENT, http_cases::concurrent),
        Case::exact(POST_AT_ONCE, http_cases::post_at_once),
        Case::exact(POST_PACED, http_cases::post_paced),
        Case::exact(STREAM, http_cases::stream),
        Case::exact(FILE, http_cases::file),
        Case::exact(EVENTS, http_cases::events),
        Case::exact(CONTINUE, http_cases::expect_continue),
        Case::exact(EARLY_413, http_cases::early_413),
        Case::exact(HALF_CLOSE, http_cases::half_close),
        Case::exact(CONNECT_ONLY, leaving::connect_only),
        Case::exact(HALF_HEADER, leaving::half_header),
        Case::exact(HALF_BODY, leaving::half_body),
        Case::exact(GONE, leaving::gone),
        Case::exact(RESET, leaving::reset),
        // What one read brings is one request: see docs/servers.md.
        Case::told(PIPELINED, Mode::Plain, Definition(1), http_cases::pipelined),
        Case::told(WEBSOCKET, Mode::Plain, AtLeast, protocols::websocket),
        Case::told(HTTP2, Mode::Http2, AtLeast, protocols::http2),
        Case::told(TLS13_KEEP_ALIVE, Mode::Tls, AtLeast, protocols::tls13_keep_alive),
        Case::told(TLS13_CLOSE, Mode::Tls, AtLeast, protocols::tls13_close),
        Case::told(TLS13_RESUMED, Mode::Tls, AtLeast, protocols::tls13_resumed),
        Case::told(TLS12_KEEP_ALIVE, Mode::Tls, AtLeast, protocols::tls12_keep_alive),
        Case::told(TLS12_CLOSE, Mode::Tls, AtLeast, protocols::tls12_close),
        Case::told(TLS12_RESUMED, Mode::Tls, AtLeast, protocols::tls12_resumed),
    ]
}

impl Exactness {
    /// Whether this count is as it must be.
    pub fn accepts(self, count: u64, truth: u64) -> bool {
        match self {
            Self::Exact => count == truth,
            Self::Definition(number) => count == number,
            Self::AtLeast => count >= truth,
            Self::Any => true,
        }
    }

    /// The name in `Measured::rule`.
    pub fn name(self) -> &'static str {
        match self {
            Self::Exact => "exact",
            Self::Definition(_) => "definition",
            Self::AtLeast | Self::Any => "ratio",
        }
    }
}
