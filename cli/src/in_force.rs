//! What is in force in a program, as its own library tells: the environment, which says what was asked for, may be written over
//! (setproctitle, PostgreSQL).

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::mem::offset_of;
use std::os::unix::ffi::OsStringExt;

use serde::Serialize;

use crate::arguments::parsed;
use crate::options::{Excerpt, Options, TABLE};
use crate::pure::layout;
use crate::{memory, units};

/// Interpreters, in the order of the library's bits.
const RUNTIMES: [&str; 4] = ["python", "node", "ruby", "java"];

/// A variable's name and value.
type Assignment = (Vec<u8>, Vec<u8>);

/// Whether the library acts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum State {
    /// It does.
    Active,
    /// It was told to do nothing.
    LeftAlone,
    /// The program has gained privileges by being executed.
    Secure,
    /// There is no way to release this allocator's memory.
    NoAllocator,
    /// The process has restricted its own system calls.
    Retired,
}

/// Whose the handler of `AUTOTRIM_SIGNAL` is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Handler {
    /// Nobody has asked for one.
    None,
    /// The library's.
    Installed,
    /// The signal was ignored, or had a handler, when the program started.
    Taken,
    /// The program has put its own in the place of the library's.
    Replaced,
}

/// What is in force.
#[derive(Clone, Debug, Serialize)]
pub struct InForce {
    /// Whether the library acts.
    pub state: State,
    /// The library's version.
    pub version: String,
    /// Whose malloc it has found, or why its memory cannot be released.
    pub allocator: String,
    /// `M_ARENA_MAX` in a process that serves; `None` = glibc's own rule.
    pub arena_max: Option<u32>,
    /// Interpreters that the program has.
    pub runtimes: Vec<&'static str>,
    /// Whose the signal's handler is.
    pub signal_handler: Handler,
    /// The value of each option, as it is set by a variable of that name. An interval that nobody has asked for is not among them.
    pub options: BTreeMap<String, String>,
    /// What is wrong with the environment: what does not parse, and the names of variables that are no options.
    #[serde(skip)]
    pub wrong: Vec<Assignment>,
    /// An environment that reads as these options, but for that.
    #[serde(skip)]
    assignments: Vec<Assignment>,
}

impl InForce {
    /// What stands at this address of process `pid`, so many bytes long; `None` where it cannot be read, or there is nothing yet.
    pub fn read(pid: i32, at: u64, size: usize) -> Option<InForce> {
        let mut bytes = vec![0; size_of::<layout::InForce>()];
        // A newer library's is longer, an older one's shorter.
        let length = size.min(bytes.len());
        memory::read_into(pid, at, &mut bytes[..length]).ok()?;
        InForce::of(&bytes)
    }

    fn of(bytes: &[u8]) -> Option<InForce> {
        let number = |field: usize| Some(u32::from_ne_bytes(*bytes.get(field..)?.first_chunk()?));
        let text = |field: usize, length: usize| {
            let text = &bytes[field..field + length];
            text.split(|&byte| byte == 0).next().map(|text| units::printable(&String::from_utf8_lossy(text)))
        };
        let state = number(offset_of!(layout::InForce, state))?;
        let states = [
            (layout::State::Active, State::Active),
            (layout::State::LeftAlone, State::LeftAlone),
            (layout::State::Secure, State::Secure),
            (layout::State::NoAllocator, State::NoAllocator),
            (layout::State::Retired, State::Retired),
        ];
        let handler = number(offset_of!(layout::InForce, handler))?;
        let handlers = [
            (layout::Handler::Ours, Handler::Installed),
            (layout::Handler::Taken, Handler::Taken),
            (layout::Handler::Replaced, Handler::Replaced),
        ];
        let runtimes = number(offset_of!(layout::InForce, runtimes))?;
        let options = &bytes[offset_of!(layout::InForce, options)..][..layout::OPTIONS];
        let mut parts = options.split(|&byte| byte == 0);
        let assignments: Vec<_> = parts.by_ref().take_while(|part| !part.is_empty()).filter_map(assignment).collect();
        let printed = |text: &[u8]| units::printable(&String::from_utf8_lossy(text));
        Some(InForce {
            state: states.into_iter().find(|(known, _)| *known as u32 == state)?.1,
            version: text(offset_of!(layout::InForce, version), 16)?,
            allocator: text(offset_of!(layout::InForce, allocator), 48)?,
            arena_max: number(offset_of!(layout::InForce, arenas)).filter(|&most| most != 0),
            runtimes: RUNTIMES
                .into_iter()
                .zip(0..)
                .filter(|(_, bit)| runtimes >> bit & 1 == 1)
                .map(|(name, _)| name)
                .collect(),
            signal_handler: handlers
                .into_iter()
                .find(|(known, _)| *known as u32 == handler)
                .map_or(Handler::None, |(_, handler)| handler),
            options: assignments.iter().map(|(name, value)| (printed(name), printed(value))).collect(),
            wrong: parts.filter_map(assignment).collect(),
            assignments,
        })
    }

    /// The options as the library has read them; `None` where it has read none.
    pub fn options(&self) -> Option<Options> {
        if self.assignments.is_empty() {
            return None;
        }
        let set = self.assignments.iter().map(|(name, value)| OsString::from_vec([name, &b"="[..], value].concat()));
        // Whether the program is meant is among them.
        let mut options = parsed(b"", set);
        for (name, value) in &self.wrong {
            match TABLE.iter().position(|entry| entry.name.as_bytes() == name) {
                Some(entry) => options.invalid[entry] = Some(*Excerpt::new().bytes(value)),
                None => options.take([name, &b"="[..]].concat().leak()),
            }
        }
        Some(options)
    }

    /// What differs from the defaults, as it would be set.
    pub fn changed(&self) -> Vec<String> {
        let is_default = |name: &str, value: &str| {
            TABLE.iter().any(|entry| entry.name == name && entry.default == value && name != "AUTOTRIM_INTERVAL")
        };
        let changed = self.options.iter().filter(|(name, value)| !is_default(name, value));
        changed.map(|(name, value)| format!("{name}={value}")).collect()
    }
}

/// `NAME=value`.
fn assignment(text: &[u8]) -> Option<Assignment> {
    let at = text.iter().position(|&byte| byte == b'=')?;
    Some((text[..at].to_vec(), text[at + 1..].to_vec()))
}
