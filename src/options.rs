//! The options: ONE table of name, default, meaning and parser. The table of `docs/options.md` is rendered from it.
//!
//! Pure: values come in as bytes (an environment variable need not be UTF-8). A value that does not parse
//! leaves the default in place and is remembered for one warn line, written when the process first serves; so is a variable
//! that looks like an option and is none.

// By path, because the command includes this file by its path.
#[path = "options/choices.rs"]
mod choices;
#[path = "options/spelling.rs"]
mod spelling;
#[path = "options/values.rs"]
mod values;

pub use choices::{Arenas, Gc, HugePages, Level, Line, TrimThreshold};
use values::after;

use crate::decide::PERCENT;
use crate::decide::rules::Rules;
use crate::pure::pressure::{Path, Payload, Setting, Watch, payload};
use crate::pure::programs::program_matches;
use crate::pure::text::Text;

/// What the name of each option begins with.
const PREFIX: &str = "AUTOTRIM_";
/// No option: it tells `autotrim run` where the library is.
pub const LIBRARY: &str = "AUTOTRIM_LIBRARY";
/// Its default is kept otherwise than a number that somebody has asked for.
const INTERVAL: &str = "AUTOTRIM_INTERVAL";
/// So many unknown names are remembered: as many as there are options.
const MOST_UNKNOWN: usize = TABLE.len();

/// As much of an invalid value as a log line shows.
pub type Excerpt = Text<48>;

/// See [`Options::record`].
pub type Record = Text<{ crate::pure::layout::OPTIONS }>;

/// All options of this process.
#[derive(Clone, Copy)]
pub struct Options {
    /// What governs when to trim.
    pub rules: Rules,
    /// Whose garbage is to be collected.
    pub gc: Gc,
    /// Whether CPython's free pools are to be released with each trim.
    pub pools: bool,
    /// What is done where the kernel fills what trims have given back.
    pub huge_pages: HugePages,
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
    /// The names of variables that look like options and are none.
    pub unknown: [Option<Excerpt>; MOST_UNKNOWN],
    /// How many more there were.
    pub more_unknown: u64,
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
    /// What it does, for `docs/options.md`; not in the library itself.
    #[cfg(test)]
    pub meaning: &'static str,
    /// Takes a value, or changes nothing.
    set: fn(&mut Options, &[u8]) -> Option<()>,
    /// Writes the value that is in force, in the same syntax as a value.
    write: fn(&Options, &mut Line),
    /// Whether the log tells it.
    told: Told,
}

/// When the `enabled` line tells an option's value.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Told {
    /// Always.
    Always,
    /// Where it is not the default.
    Changed,
    /// Never: what comes of it tells it, or that there is such a line.
    Never,
}
use Told::{Always, Changed, Never};

const COUNT: &str = "a whole number or off";
const SIZE: &str = "a size such as 8M or 1.5G";
const DURATION: &str = "a duration such as 500ms, 1.5s, 2m or 1h";
const SWITCH: &str = "on or off";

/// Every option, in the order of `docs/options.md`.
pub const TABLE: &[Entry] = &[
    Entry {
        name: INTERVAL,
        default: "1024",
        expected: COUNT,
        #[cfg(test)]
        meaning: "trim after every N requests; the default passes over what would bring nothing; 0 = off",
        set: |options, value| {
            options.rules.interval = values::count(value)?;
            options.rules.exact = true;
            Some(())
        },
        write: |options, text| values::write_count(text, options.rules.interval),
        told: Always,
    },
    Entry {
        name: "AUTOTRIM_JITTER",
        default: "0",
        expected: COUNT,
        #[cfg(test)]
        meaning: "add a random number of requests, up to this many, before each trim, so that workers do not trim together",
        set: |options, value| values::count(value).map(|n| options.rules.jitter = n),
        write: |options, text| values::write_count(text, options.rules.jitter),
        told: Changed,
    },
    Entry {
        name: "AUTOTRIM_GROWTH",
        default: "4M,5%",
        expected: "a size such as 16M, a share of the floor such as 5%, both as 16M,5%, or off",
        #[cfg(test)]
        meaning: "trim when anonymous RSS is this far above the floor: a size, a share of the floor, or both, of which the \
                  larger counts; 0 = off",
        set: |options, value| values::growth(value).map(|growth| options.rules.growth = growth),
        write: |options, text| values::write_growth(text, options.rules.growth),
        told: Always,
    },
    Entry {
        name: "AUTOTRIM_IDLE",
        default: "1s",
        expected: DURATION,
        #[cfg(test)]
        meaning: "trim once nothing has been received or sent for this long, if there may be something to give back; 0 = off",
        set: |options, value| values::duration(value).map(|time| options.rules.idle = time),
        write: |options, text| values::write_duration(text, options.rules.idle),
        told: Always,
    },
    Entry {
        name: "AUTOTRIM_PERIOD",
        default: "0",
        expected: DURATION,
        #[cfg(test)]
        meaning: "trim this long after the previous trim, also in processes that serve nothing; 0 = off",
        set: |options, value| values::duration(value).map(|time| options.rules.period = time),
        write: |options, text| values::write_duration(text, options.rules.period),
        told: Changed,
    },
    Entry {
        name: "AUTOTRIM_PRESSURE",
        default: "off",
        expected: "off, auto or an absolute path",
        #[cfg(test)]
        meaning: "trim when memory is short: off, auto (what systemd's `MEMORY_PRESSURE_WATCH` says, else the own cgroup, else \
                  the machine), or the path of a pressure file, FIFO or socket",
        set: |options, value| values::pressure(value).map(|setting| options.pressure = setting),
        write: |options, text| values::write_pressure(text, &options.pressure),
        told: Changed,
    },
    Entry {
        name: "AUTOTRIM_SIGNAL",
        default: "off",
        expected: "off, USR1, USR2, RTMIN+n, RTMAX-n or the number of one of these",
        #[cfg(test)]
        meaning: "trim on this signal: off, a number, or a name such as `SIGRTMIN+18`, which must come with the value 0x300, \
                  as systemd's programs take it",
        set: |options, value| values::signal(value).map(|signal| options.signal = signal),
        write: |options, text| values::write_signal(text, options.signal),
        told: Changed,
    },
    Entry {
        name: "AUTOTRIM_TRIM_THRESHOLD",
        default: "auto",
        expected: "auto or a size such as 8M or 1.5G",
        #[cfg(test)]
        meaning: "M_TRIM_THRESHOLD, with M_MMAP_THRESHOLD kept high with it; 0 = leave glibc's \
                  dynamic rule, and the tops of arenas; a size is set at start, auto from a process's first answer on: \
                  64M in Ruby, and where `AUTOTRIM_ARENAS=auto` means one arena or one thread is there; 8M where it means more, \
                  and 16M once page faults take a fifth of the CPU time; 0 without `AUTOTRIM_GROWTH`; where it means 0, 64M from the first trim on in a \
                  process with threads",
        set: |options, value| values::trim_threshold(value).map(|threshold| options.trim_threshold = threshold),
        write: |options, text| values::write_threshold(text, options.trim_threshold),
        told: Changed,
    },
    Entry {
        name: "AUTOTRIM_OVERHEAD",
        default: "1",
        expected: "a percentage from 0 to 100 such as 1 or 0.5",
        #[cfg(test)]
        meaning: "upper limit on the time spent trimming, as a percentage of wall-clock time, such as 1 or 0.5 (bursts of up to 100 ms); \
                  for trims that requests and growth ask for, including the page faults they cause, also twice this percentage of \
                  the process's own CPU time; 0 = no limit",
        set: |options, value| {
            values::share(value).filter(|&share| share <= 100 * PERCENT).map(|share| options.rules.overhead = share)
        },
        write: |options, text| values::write_share(text, options.rules.overhead),
        told: Changed,
    },
    Entry {
        name: "AUTOTRIM_DEFER",
        default: "1s",
        expected: DURATION,
        #[cfg(test)]
        meaning: "longest wait for a moment when no request is in flight",
        set: |options, value| values::duration(value).map(|time| options.rules.defer = time),
        write: |options, text| values::write_duration(text, options.rules.defer),
        told: Changed,
    },
    Entry {
        name: "AUTOTRIM_PAD",
        default: "0",
        expected: SIZE,
        #[cfg(test)]
        meaning: "bytes to keep at the top of the heap",
        set: |options, value| values::size(value).map(|bytes| options.pad = bytes),
        write: |options, text| values::write_size(text, options.pad),
        told: Changed,
    },
    Entry {
        name: "AUTOTRIM_ARENAS",
        default: "auto",
        expected: "auto or a whole number",
        #[cfg(test)]
        meaning: "M_ARENA_MAX: a number, set at start; 0 = glibc's own; auto = where an interpreter lock \
                  serialises most of allocation (CPython, Ruby; not free-threaded CPython), one more than \
                  CPUs may run at once (affinity and the cgroup's quota), one for one CPU, set when the process begins to listen; else 0",
        set: |options, value| values::arenas(value).map(|arenas| options.arenas = arenas),
        write: |options, text| values::write_arenas(text, options.arenas),
        told: Never,
    },
    Entry {
        name: "AUTOTRIM_GC",
        default: "auto",
        expected: "off, auto, or names of python, node, ruby and java, separated by commas",
        #[cfg(test)]
        meaning: "auto = when it is quiet and a trim has left AUTOTRIM_GROWTH more than the last collection did, have CPython collect its \
                  cyclic garbage, or Node or Ruby its garbage; python = before each trim; node, ruby = before each trim in quiet; java = \
                  Java its garbage when auto would, on a thread of our own; names are separated by commas; all as \
                  AUTOTRIM_OVERHEAD can pay for the pause",
        set: |options, value| values::gc(value).map(|gc| options.gc = gc),
        write: |options, text| options.gc.write(text),
        told: Never,
    },
    Entry {
        name: "AUTOTRIM_POOLS",
        default: "auto",
        expected: "auto or off",
        #[cfg(test)]
        meaning: "auto = with a trim, release what is free in CPython's own pools of small objects, which no trim of malloc \
                  reaches (CPython 3.10 to 3.14), when its main thread comes by; off = leave them",
        set: |options, value| values::automatic(value).map(|on| options.pools = on),
        write: |options, text| values::write_automatic(text, options.pools),
        told: Changed,
    },
    Entry {
        name: "AUTOTRIM_HUGE_PAGES",
        default: "auto",
        expected: "auto or keep",
        #[cfg(test)]
        meaning: "what to do where the kernel fills what trims gave back with transparent huge pages (khugepaged): auto = once that was seen, \
                  ask for small pages where a trim leaves holes in glibc's heap or CPython's pools; keep = say it once, and leave it",
        set: |options, value| values::huge_pages(value).map(|choice| options.huge_pages = choice),
        write: |options, text| values::write_huge_pages(text, options.huge_pages),
        told: Changed,
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
        write: |options, text| values::write_chosen(text, options.chosen),
        told: Never,
    },
    Entry {
        name: "AUTOTRIM_LOG",
        default: "info",
        expected: "off, error, warn, info or debug",
        #[cfg(test)]
        meaning: "off, error, warn, info (one line when a process first serves), debug (every trim)",
        set: |options, value| values::level(value).map(|level| options.log = level),
        write: |options, text| values::write_level(text, options.log),
        told: Never,
    },
    Entry {
        name: "AUTOTRIM_METRICS_DIR",
        default: "",
        expected: "an absolute path or off",
        #[cfg(test)]
        meaning: "a directory in which each process that serves keeps its counters as `autotrim-PID.prom`, for Prometheus",
        set: |options, value| values::directory(value).map(|path| options.metrics = path),
        write: |options, text| values::write_directory(text, &options.metrics),
        told: Never,
    },
    Entry {
        name: "AUTOTRIM_DISABLE",
        default: "0",
        expected: SWITCH,
        #[cfg(test)]
        meaning: "1 (or yes, true, on) = load and do nothing",
        set: |options, value| values::switch(value).map(|on| options.disabled = on),
        write: |options, text| values::write_switch(text, options.disabled),
        told: Never,
    },
];

impl Entry {
    /// Writes the value that is in force as the log does: a path in quotes.
    fn tell(&self, options: &Options, line: &mut Line) {
        let value = line.as_bytes().len();
        (self.write)(options, line);
        if line.as_bytes().get(value) == Some(&b'/') {
            values::quote_path(line, value);
        }
    }
}

impl Options {
    /// The defaults, for a program of this name.
    pub fn new(program: &'static [u8]) -> Options {
        let mut options = Options {
            rules: Rules::default(),
            gc: Gc::default(),
            pools: false,
            huge_pages: HugePages::Auto,
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
            unknown: [None; MOST_UNKNOWN],
            more_unknown: 0,
            program,
        };
        for entry in TABLE {
            let _ = (entry.set)(&mut options, entry.default.as_bytes());
        }
        // The default is nobody's wish.
        options.rules.exact = false;
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
        if after(PREFIX, assignment).is_none() {
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
        if name == LIBRARY.as_bytes() {
            return;
        }
        match self.unknown.iter_mut().find(|slot| slot.is_none()) {
            Some(slot) => *slot = Some(excerpt(name)),
            None => self.more_unknown = self.more_unknown.saturating_add(1),
        }
    }

    /// Writes what the `enabled` line tells of the options: ` interval=1024 growth=4M,5% …`.
    pub fn tell(&self, line: &mut Line) {
        for entry in TABLE.iter().filter(|entry| entry.told != Never) {
            let before = line.as_bytes().len();
            line.byte(b' ');
            for letter in after(PREFIX, entry.name.as_bytes()).unwrap_or_default() {
                line.byte(letter.to_ascii_lowercase());
            }
            let value = line.byte(b'=').as_bytes().len();
            entry.tell(self, line);
            let is_default = line.as_bytes().get(value..) == Some(entry.default.as_bytes());
            if is_default && entry.told == Changed {
                line.truncate(before);
            }
        }
    }

    /// An environment that reads as these options, each with a zero byte behind it: all values that are in force, then one more such
    /// byte, and what is wrong with the environment that they were read from. An interval that nobody has asked for is left out: it is kept otherwise.
    #[inline(never)]
    pub fn record(&self) -> Record {
        let mut record = Record::new();
        for entry in TABLE.iter().filter(|entry| self.rules.exact || entry.name != INTERVAL) {
            let mut value = Line::new();
            (entry.write)(self, &mut value);
            note(&mut record, entry.name.as_bytes(), value.as_bytes());
        }
        record.byte(0);
        for (entry, value) in TABLE.iter().zip(&self.invalid) {
            if let Some(value) = value {
                note(&mut record, entry.name.as_bytes(), value.as_bytes());
            }
        }
        self.unknown.iter().flatten().for_each(|name| note(&mut record, name.as_bytes(), b""));
        record
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

/// The option, or the command's variable, that one of this name was most likely meant to be.
pub fn nearest(name: &[u8]) -> Option<&'static str> {
    let word = after(PREFIX, name)?;
    let names = || TABLE.iter().map(|entry| entry.name).chain([LIBRARY]);
    let nearest = spelling::nearest(word, names().filter_map(|name| name.strip_prefix(PREFIX)))?;
    names().find(|name| name.strip_prefix(PREFIX) == Some(nearest))
}

/// Appends one variable to a record, if it fits.
fn note(record: &mut Record, name: &[u8], value: &[u8]) {
    if record.room() >= name.len().saturating_add(value.len()).saturating_add(2) {
        record.bytes(name).byte(b'=').bytes(value).byte(0);
    }
}

fn excerpt(value: &[u8]) -> Excerpt {
    *Excerpt::new().bytes(value)
}

#[cfg(test)]
#[path = "options_tests.rs"]
mod tests;
