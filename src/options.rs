//! The options: ONE table of name, default, meaning and parser. The README's table is rendered from it.
//!
//! Pure: values come in as bytes (an environment variable need not be UTF-8). A value that does not parse
//! leaves the default in place and is remembered for one warn line, written when the process first serves.

use crate::background::protocol::{Path, Payload, Setting, Watch, path, payload};
use crate::policy::{Growth, MILLISECOND, Rules, SECOND};
use crate::process::program_matches;
use crate::text::{Text, number};

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
    /// As many arenas as CPUs where an interpreter lock serialises most of allocation and the process listens, else glibc's own rule.
    Auto,
    /// `M_ARENA_MAX`; 0 = glibc's own rule.
    AtMost(i32),
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

/// As much of an invalid value as a log line shows.
pub type Excerpt = Text<48>;

/// All options of this process.
#[derive(Clone, Copy)]
pub struct Options {
    /// What governs when to trim.
    pub rules: Rules,
    /// Whether CPython's garbage is to be collected before a trim.
    pub gc: bool,
    /// What tells of memory pressure.
    pub pressure: Setting,
    /// What the service manager says of it, and what it wants written there (`None` = nothing it says can be followed).
    pub watch: Watch,
    /// See `watch`.
    pub write: Option<Payload>,
    /// The signal that asks for a trim; 0 = none.
    pub signal: i32,
    /// `M_TRIM_THRESHOLD`.
    pub trim_threshold: TrimThreshold,
    /// Bytes that a trim keeps at the top of the heap.
    pub pad: u64,
    /// `M_ARENA_MAX`.
    pub arenas: Arenas,
    /// Whether `AUTOTRIM_PROGRAMS` names this program.
    pub chosen: bool,
    /// `AUTOTRIM_METRICS_DIR` as a C string; empty = unset.
    pub metrics: Path,
    /// `AUTOTRIM_DISABLE`.
    pub disabled: bool,
    /// How much to log.
    pub log: Level,
    /// The value of each option in [`TABLE`] that did not parse.
    pub invalid: [Option<Excerpt>; TABLE.len()],
    /// The name of a variable that looks like an option and is none.
    pub unknown: Option<Excerpt>,
    /// The name of this program, which `AUTOTRIM_PROGRAMS` is matched against.
    pub program: &'static [u8],
}

/// One option.
pub struct Entry {
    /// The environment variable.
    pub name: &'static str,
    /// The default, in the same syntax as a value.
    pub default: &'static str,
    /// What a value must be, for the warn line.
    pub expected: &'static str,
    /// What it does, for the README; not in the library itself.
    #[cfg(test)]
    pub meaning: &'static str,
    set: fn(&mut Options, &[u8]) -> Option<()>,
}

const COUNT: &str = "a whole number";
const SIZE: &str = "a size such as 8M (bytes, K, M or G)";
const DURATION: &str = "a duration such as 500ms, 2s or 1m";

/// Every option, in the order of the README.
pub const TABLE: [Entry; 17] = [
    Entry {
        name: "AUTOTRIM_INTERVAL",
        default: "1024",
        expected: COUNT,
        #[cfg(test)]
        meaning: "trim after every N requests; 0 = off",
        set: |options, value| number(value).map(|n| options.rules.interval = n),
    },
    Entry {
        name: "AUTOTRIM_JITTER",
        default: "0",
        expected: COUNT,
        #[cfg(test)]
        meaning: "up to so many further requests, at random for each trim, so that workers do not trim together",
        set: |options, value| number(value).map(|n| options.rules.jitter = n),
    },
    Entry {
        name: "AUTOTRIM_GROWTH",
        default: "4M,5%",
        expected: "a size such as 16M, a share of the floor such as 5%, or both as 16M,5%",
        #[cfg(test)]
        meaning: "trim when anonymous RSS is this far above the floor: a size (K, M, G), a share of the floor, \
                  or both, of which the larger counts; 0 = off",
        set: |options, value| growth(value).map(|growth| options.rules.growth = growth),
    },
    Entry {
        name: "AUTOTRIM_IDLE",
        default: "1s",
        expected: DURATION,
        #[cfg(test)]
        meaning: "trim once when no request came for so long after some did, if there is growth to give back \
                  (ms, s, m; plain = s); 0 = off",
        set: |options, value| duration(value).map(|time| options.rules.idle = time),
    },
    Entry {
        name: "AUTOTRIM_PERIOD",
        default: "0",
        expected: DURATION,
        #[cfg(test)]
        meaning: "trim so long after the last trim, also in processes that serve nothing (ms, s, m; plain = s); 0 = off",
        set: |options, value| duration(value).map(|time| options.rules.period = time),
    },
    Entry {
        name: "AUTOTRIM_PRESSURE",
        default: "off",
        expected: "off, auto or an absolute path",
        #[cfg(test)]
        meaning: "trim when memory is short: off, auto (what systemd's `MEMORY_PRESSURE_WATCH` says, else the own cgroup, else \
                  the machine), or the path of a pressure file, FIFO or socket",
        set: |options, value| Setting::parse(value).map(|setting| options.pressure = setting),
    },
    Entry {
        name: "AUTOTRIM_SIGNAL",
        default: "off",
        expected: "off, SIGUSR1, SIGUSR2, SIGRTMIN+n, SIGRTMAX-n or the number of one of these",
        #[cfg(test)]
        meaning: "trim on this signal: off, a number, or a name such as `SIGRTMIN+18`, which must come with the value 0x300, \
                  as systemd's programs take it",
        set: |options, value| signal(value).map(|signal| options.signal = signal),
    },
    Entry {
        name: "AUTOTRIM_TRIM_THRESHOLD",
        default: "auto",
        expected: "auto or a size such as 8M (bytes, K, M or G)",
        #[cfg(test)]
        meaning: "M_TRIM_THRESHOLD (bytes, K, M, G), with M_MMAP_THRESHOLD kept high beside it; 0 = leave glibc's \
                  dynamic rule; a size is set at start, auto from a process's first answer on: 64M where \
                  `AUTOTRIM_ARENAS=auto` means one arena or one thread is there, 8M where it means more, and 0 \
                  without `AUTOTRIM_GROWTH`",
        set: |options, value| trim_threshold(value).map(|threshold| options.trim_threshold = threshold),
    },
    Entry {
        name: "AUTOTRIM_OVERHEAD",
        default: "1",
        expected: "a percentage from 0 to 100",
        #[cfg(test)]
        meaning: "most percent of wall time spent trimming (token bucket, 100 ms burst), and twice that with the page faults \
                  which trims for requests and growth cause; 0 = no limit",
        set: |options, value| {
            number(value).filter(|&percent| percent <= 100).map(|percent| options.rules.overhead = percent)
        },
    },
    Entry {
        name: "AUTOTRIM_DEFER",
        default: "1s",
        expected: DURATION,
        #[cfg(test)]
        meaning: "longest wait for a moment when no request is in flight",
        set: |options, value| duration(value).map(|time| options.rules.defer = time),
    },
    Entry {
        name: "AUTOTRIM_PAD",
        default: "0",
        expected: SIZE,
        #[cfg(test)]
        meaning: "bytes to keep at the top of the heap (K, M, G)",
        set: |options, value| size(value).map(|bytes| options.pad = bytes),
    },
    Entry {
        name: "AUTOTRIM_ARENAS",
        default: "auto",
        expected: "auto or a whole number",
        #[cfg(test)]
        meaning: "M_ARENA_MAX: a number, set at start; 0 = glibc's own; auto = where an interpreter lock \
                  serialises most of allocation (CPython, Ruby; not free-threaded CPython), as many as CPUs may \
                  run at once (affinity and the cgroup's quota), set when the process begins to listen; else 0",
        set: |options, value| arenas(value).map(|arenas| options.arenas = arenas),
    },
    Entry {
        name: "AUTOTRIM_GC",
        default: "off",
        expected: "off or python",
        #[cfg(test)]
        meaning: "python = before a trim, have CPython collect its cyclic garbage, if AUTOTRIM_OVERHEAD can pay for the pause",
        set: |options, value| {
            options.gc = match value {
                b"off" => false,
                b"python" => true,
                _ => return None,
            };
            Some(())
        },
    },
    Entry {
        name: "AUTOTRIM_PROGRAMS",
        default: "*",
        expected: "globs separated by commas",
        #[cfg(test)]
        meaning: "globs of program names to act in, separated by commas; `!name` excludes",
        set: |options, value| {
            options.chosen = program_matches(options.program, value)?;
            Some(())
        },
    },
    Entry {
        name: "AUTOTRIM_LOG",
        default: "info",
        expected: "off, error, warn, info or debug",
        #[cfg(test)]
        meaning: "off, error, warn, info (one line when a process first serves), debug (every trim)",
        set: |options, value| level(value).map(|level| options.log = level),
    },
    Entry {
        name: "AUTOTRIM_METRICS_DIR",
        default: "",
        expected: "an absolute path",
        #[cfg(test)]
        meaning: "a directory in which each process that serves keeps its counters as `autotrim-PID.prom`, for Prometheus",
        set: |options, value| directory(value).map(|path| options.metrics = path),
    },
    Entry {
        name: "AUTOTRIM_DISABLE",
        default: "0",
        expected: "0 or 1",
        #[cfg(test)]
        meaning: "1 = load and do nothing",
        set: |options, value| {
            options.disabled = match value {
                b"0" => false,
                b"1" => true,
                _ => return None,
            };
            Some(())
        },
    },
];

impl Options {
    /// The defaults, for a program of this name.
    pub fn new(program: &'static [u8]) -> Options {
        let mut options = Options {
            rules: Rules::default(),
            gc: false,
            pressure: Setting::Off,
            watch: Watch::Unset,
            write: Some(Payload::new()),
            signal: 0,
            trim_threshold: TrimThreshold::Auto,
            pad: 0,
            arenas: Arenas::Auto,
            chosen: true,
            metrics: Path::new(),
            disabled: false,
            log: Level::Info,
            invalid: [None; TABLE.len()],
            unknown: None,
            program,
        };
        for entry in &TABLE {
            let _ = (entry.set)(&mut options, entry.default.as_bytes());
        }
        options
    }

    /// Takes one `NAME=value` of the environment; what is not ours is passed over.
    pub fn take(&mut self, assignment: &[u8]) {
        if let Some(value) = assignment.strip_prefix(b"MEMORY_PRESSURE_WATCH=") {
            self.watch = Watch::parse(value);
        }
        if let Some(value) = assignment.strip_prefix(b"MEMORY_PRESSURE_WRITE=") {
            self.write = payload(value);
        }
        if !assignment.starts_with(b"AUTOTRIM_") {
            return;
        }
        let mut parts = assignment.splitn(2, |&byte| byte == b'=');
        let (Some(name), Some(value)) = (parts.next(), parts.next()) else { return };
        for (entry, invalid) in TABLE.iter().zip(0..) {
            if entry.name.as_bytes() == name {
                if (entry.set)(self, value.trim_ascii()).is_none()
                    && let Some(slot) = self.invalid.get_mut(invalid)
                {
                    *slot = Some(excerpt(value));
                }
                return;
            }
        }
        self.unknown = Some(excerpt(name));
    }

    /// Whether the library is to do anything at all in this process.
    pub fn is_active(&self) -> bool {
        !self.disabled && self.chosen && (self.rules.any() || self.needs_thread())
    }

    /// Whether anything is asked for that needs a thread of our own.
    pub fn needs_thread(&self) -> bool {
        self.rules.period != 0 || !matches!(self.pressure, Setting::Off) || self.signal != 0
    }
}

fn excerpt(value: &[u8]) -> Excerpt {
    *Excerpt::new().bytes(value)
}

/// A whole number and what stands behind it.
fn number_and_unit(value: &[u8]) -> Option<(u64, &[u8])> {
    let digits = value.iter().take_while(|byte| byte.is_ascii_digit()).count();
    let (digits, unit) = value.split_at_checked(digits)?;
    Some((number(digits)?, unit))
}

/// Bytes: plain, or in units of 1024.
fn size(value: &[u8]) -> Option<u64> {
    let (number, unit) = number_and_unit(value)?;
    let factor = match unit {
        b"" => 1,
        b"K" | b"k" => 1 << 10,
        b"M" | b"m" => 1 << 20,
        b"G" | b"g" => 1 << 30,
        _ => return None,
    };
    number.checked_mul(factor)
}

/// Nanoseconds; a plain number is seconds.
fn duration(value: &[u8]) -> Option<u64> {
    let (number, unit) = number_and_unit(value)?;
    let factor = match unit {
        b"ms" => MILLISECOND,
        b"" | b"s" => SECOND,
        b"m" => 60 * SECOND,
        _ => return None,
    };
    number.checked_mul(factor)
}

/// glibc's range of real-time signals for programs; the libc crate asks a function for them.
const REAL_TIME: core::ops::RangeInclusive<i32> = 34..=64;

/// A signal that means nothing by itself, so that it may mean this; 0 = off.
fn signal(value: &[u8]) -> Option<i32> {
    let offset = |prefix: &[u8]| value.strip_prefix(prefix).and_then(number).filter(|&offset| offset <= 30);
    let signal = match value {
        b"off" => return Some(0),
        b"SIGUSR1" => libc::SIGUSR1 as u64,
        b"SIGUSR2" => libc::SIGUSR2 as u64,
        _ => match (offset(b"SIGRTMIN+"), offset(b"SIGRTMAX-")) {
            (Some(offset), _) => 34 + offset,
            (_, Some(offset)) => 64 - offset,
            _ => number(value).filter(|&number| number <= 64)?,
        },
    } as i32;
    (REAL_TIME.contains(&signal) || [libc::SIGUSR1, libc::SIGUSR2].contains(&signal)).then_some(signal)
}

fn growth(value: &[u8]) -> Option<Growth> {
    value.split(|&byte| byte == b',').try_fold(Growth::default(), |growth, part| match part {
        [share @ .., b'%'] => Some(Growth { percent: number(share)?, ..growth }),
        _ => Some(Growth { bytes: size(part)?, ..growth }),
    })
}

fn trim_threshold(value: &[u8]) -> Option<TrimThreshold> {
    match value {
        b"auto" => Some(TrimThreshold::Auto),
        _ => size(value).map(TrimThreshold::At),
    }
}

fn arenas(value: &[u8]) -> Option<Arenas> {
    match value {
        b"auto" => Some(Arenas::Auto),
        _ => Some(Arenas::AtMost(i32::try_from(number(value)?).ok()?)),
    }
}

/// Absolute: the program may change its directory. Without a slash at its end, which would make a symbolic link of a
/// directory.
fn directory(value: &[u8]) -> Option<Path> {
    let end = value.iter().rposition(|&byte| byte != b'/').map_or(0, |last| last.saturating_add(1));
    match value.get(..end)? {
        [] => value.is_empty().then(Path::new),
        value => path(value).map(|mut path| *path.byte(0)),
    }
}

fn level(value: &[u8]) -> Option<Level> {
    Some(match value {
        b"off" => Level::Off,
        b"error" => Level::Error,
        b"warn" => Level::Warn,
        b"info" => Level::Info,
        b"debug" => Level::Debug,
        _ => return None,
    })
}

#[cfg(test)]
#[path = "options_tests.rs"]
mod tests;
