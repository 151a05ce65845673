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

/// `AUTOTRIM_GC`: whose garbage is collected. Nothing = nobody's.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Gc {
    /// Whichever runtime the program has, but Java: in quiet, where a trim leaves more than the last collection did.
    pub auto: bool,
    /// CPython's, before each trim.
    pub python: bool,
    /// Node's, before each trim in quiet.
    pub node: bool,
    /// Ruby's, before each trim in quiet.
    pub ruby: bool,
    /// Java's, in quiet, where a trim leaves more than the last collection did.
    pub java: bool,
}

impl Gc {
    /// Whether anybody's is.
    pub const fn is_on(self) -> bool {
        self.auto || self.names_any()
    }

    /// Whether a runtime is asked for by its name.
    pub const fn names_any(self) -> bool {
        self.python || self.node || self.ruby || self.java
    }

    /// As it is read.
    pub fn write(self, line: &mut Line) {
        let words = [
            (self.auto, "auto"),
            (self.python, "python"),
            (self.node, "node"),
            (self.ruby, "ruby"),
            (self.java, "java"),
        ];
        let mut some = false;
        for (_, word) in words.into_iter().filter(|(is_meant, _)| *is_meant) {
            line.text(if some { "," } else { "" }).text(word);
            some = true;
        }
        if !some {
            line.text("off");
        }
    }
}

/// `AUTOTRIM_HUGE_PAGES`: what is done where the kernel fills with huge pages what trims have given back.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum HugePages {
    /// Once that was seen it is stopped, where a trim leaves holes in the heap.
    Auto,
    /// Nothing.
    Keep,
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
