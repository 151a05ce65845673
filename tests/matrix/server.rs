//! The description of a server under test.

use super::case::{self, Case};
use super::place::{Mode, Place};
use super::running::Running;
use super::steady;
use std::process::Command;

/// How to know that a server serves without sending it a request, which would be counted.
pub enum Ready {
    /// Something listens on `Place::port`.
    Listening,
    /// Something listens on `Place::backend`.
    BackendListening,
    /// Its output, or the file `log` in its directory, holds the text so many times.
    Says(&'static str, usize),
}

/// What starts a program in a place.
pub type Start = Box<dyn Fn(&Place) -> Command>;

/// A server under test: how it is started and what it can do.
pub struct Server {
    pub name: &'static str,
    pub start: Start,
    pub ready: Ready,
    pub beside: Vec<(Start, Ready)>,
    pub version: Box<dyn Fn() -> String>,
    pub cases: Vec<Case>,
    pub lacking: Vec<(&'static str, &'static str)>,
    pub stop_signal: i32,
    pub varying_headers: Vec<&'static str>,
    pub steady_load: fn(&Running),
    pub leftover: Option<&'static str>,
    pub in_flight_at_rest: Option<&'static str>,
    pub start_up: Option<String>,
    pub notes: Vec<&'static str>,
}

impl Server {
    /// A server of this name (unique: the row in docs/servers.md) that is started by this command, in the foreground.
    ///
    /// The harness adds a clean environment, the working directory, the output files and LD_PRELOAD to the command.
    pub fn new(name: &'static str, start: impl Fn(&Place) -> Command + 'static) -> Self {
        Self {
            name,
            start: Box::new(start),
            ready: Ready::Listening,
            beside: Vec::new(),
            version: Box::new(String::new),
            cases: case::http(),
            lacking: Vec::new(),
            stop_signal: libc::SIGTERM,
            varying_headers: vec!["date"],
            steady_load: steady::http_load,
            leftover: None,
            in_flight_at_rest: None,
            start_up: None,
            notes: Vec::new(),
        }
    }

    /// How to know that it serves; the default is `Ready::Listening`.
    pub fn ready(self, ready: Ready) -> Self {
        Self { ready, ..self }
    }

    /// A further program, started before the server, without the library and not counted.
    pub fn beside(mut self, start: impl Fn(&Place) -> Command + 'static, ready: Ready) -> Self {
        self.beside.push((Box::new(start), ready));
        self
    }

    /// Asks the real program for its version.
    pub fn version(self, version: impl Fn() -> String + 'static) -> Self {
        Self { version: Box::new(version), ..self }
    }

    /// Cases other than HTTP's.
    pub fn cases(self, cases: Vec<Case>) -> Self {
        Self { cases, ..self }
    }

    /// A case that the server cannot do, and why. The name is one of `case::…`.
    pub fn lacks(mut self, case: &'static str, reason: &'static str) -> Self {
        assert!(self.cases.iter().any(|known| known.name == case), "no case is named {case}");
        self.lacking.push((case, reason));
        self
    }

    /// The same for all cases of a mode.
    pub fn lacks_mode(mut self, mode: Mode, reason: &'static str) -> Self {
        let names: Vec<_> = self.cases.iter().filter(|case| case.mode == mode).map(|case| case.name).collect();
        self.lacking.extend(names.into_iter().map(|name| (name, reason)));
        self
    }

    /// Replaces what is asserted of a case's count; the reason goes into the row's notes.
    pub fn expects(mut self, case: &'static str, exactness: case::Exactness, reason: &'static str) -> Self {
        let found = self.cases.iter_mut().find(|known| known.name == case);
        found.unwrap_or_else(|| panic!("no case is named {case}")).exactness = exactness;
        self.notes.push(reason);
        self
    }

    /// The signal that stops it; the default is SIGTERM.
    pub fn stops_by(self, stop_signal: i32) -> Self {
        Self { stop_signal, ..self }
    }

    /// A response header whose value differs from run to run, beside Date; in lower case.
    pub fn varying(mut self, header: &'static str) -> Self {
        self.varying_headers.push(header);
        self
    }

    /// A steady load of a few hundred requests other than HTTP's.
    pub fn steady_load(self, steady_load: fn(&Running)) -> Self {
        Self { steady_load, ..self }
    }

    /// Why descriptors are still followed when all client connections are closed.
    pub fn leaves_followed(self, reason: &'static str) -> Self {
        Self { leftover: Some(reason), ..self }
    }

    /// Why a request may still be in flight when all were answered.
    pub fn stays_in_flight(self, reason: &'static str) -> Self {
        Self { in_flight_at_rest: Some(reason), ..self }.note(reason)
    }

    /// A constant that the server's start or each connection adds to the count, as text for the table.
    pub fn start_up(self, constant: impl Into<String>) -> Self {
        Self { start_up: Some(constant.into()), ..self }
    }

    /// Something that a reader of the row should know.
    pub fn note(mut self, note: &'static str) -> Self {
        self.notes.push(note);
        self
    }

    /// Why the server cannot do the case, if it cannot.
    pub fn reason_against(&self, case: &Case) -> Option<&'static str> {
        self.lacking.iter().find(|(name, _)| *name == case.name).map(|(_, reason)| *reason)
    }

    /// The name as a file name.
    pub fn file_name(&self) -> String {
        self.name.chars().map(|c| if c.is_ascii_alphanumeric() { c.to_ascii_lowercase() } else { '_' }).collect()
    }
}
