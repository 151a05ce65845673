//! PURE: what can be chosen, where it is neither a number nor a switch; and the line that tells of it.

use crate::pure::text::Text;

/// A line of the log; it holds the longest that tells of the options.
pub type Line = Text<1000>;

/// How much is written to stderr.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Level {
    /// Nothing.
    Off,
    /// What makes the library useless in this process.
    Error,
    /// Also options that do not parse.
    Warn,
    /// Also one line when a process first serves.
    Info,
    /// Also every trim.
    Debug,
}

/// `AUTOTRIM_ARENAS`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Arenas {
    /// One arena more than CPUs, and one for one CPU, where an interpreter lock serialises most of allocation and the process listens, else glibc's own rule.
    Auto,
    /// `M_ARENA_MAX`; 0 = glibc's own rule.
    AtMost(i32),
}

/// `AUTOTRIM_GC`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Gc {
    /// Nobody's garbage is collected.
    Off,
    /// CPython's in quiet, where a trim leaves more than the last collection did.
    Auto,
    /// CPython's before each trim.
    Python,
}

impl Gc {
    /// The value that means it.
    pub const fn name(self) -> &'static str {
        match self {
            Gc::Off => "off",
            Gc::Auto => "auto",
            Gc::Python => "python",
        }
    }
}

/// `AUTOTRIM_TRIM_THRESHOLD`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TrimThreshold {
    /// As high as glibc's dynamic rule may go, or lower beside several arenas, where `AUTOTRIM_ARENAS=auto` limits them, growth is
    /// watched and the process has served; else that rule.
    Auto,
    /// `M_TRIM_THRESHOLD` in bytes; 0 = glibc's dynamic rule.
    At(u64),
}
