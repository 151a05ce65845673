//! Log lines: logfmt, one write each, on the descriptor 2 that the process started with.
//!
//! Nothing is written in a process that serves nothing: what start-up has to say waits for the first answer.

use core::sync::atomic::Ordering::Relaxed;

use crate::background::protocol::Setting;
use crate::options::{Level, TABLE};
use crate::policy::{Growth, MILLISECOND, Policy, SECOND};
use crate::sys::{self, files};
use crate::text::Text;
use crate::trim::Outcome;
use crate::{Runtime, background, process, runtime};

type Line = Text<512>;

/// The process has answered its first request, or is about to log its first trim: warns about options that did not parse,
/// then says what is on. Once.
#[cold]
#[inline(never)]
pub fn first_answer() {
    let Some(runtime) = runtime() else { return };
    let mut introduced = true;
    process::with(|process| introduced = process.introduced.swap(true, Relaxed));
    if introduced {
        return;
    }
    let shield = sys::signals::shield();
    let options = &runtime.options;
    for (entry, value) in TABLE.iter().zip(&options.invalid) {
        if let Some(value) = value {
            let mut line = begin(runtime, "option_invalid");
            line.text(" variable=").text(entry.name).text(" value=").quoted(value.as_bytes());
            let default = if entry.default.is_empty() { "unset" } else { entry.default };
            line.text(" expected=").quoted(entry.expected.as_bytes()).text(" using=").text(default);
            write(runtime, Level::Warn, &mut line);
        }
    }
    if let Some(name) = &options.unknown {
        let mut line = begin(runtime, "option_unknown");
        line.text(" variable=").quoted(name.as_bytes());
        write(runtime, Level::Warn, &mut line);
    }
    enabled(runtime);
    process::with(background::say_what_lacks);
    shield.end();
}

/// What an option asked for is not to be had.
pub fn unavailable(what: &str) {
    let Some(runtime) = runtime() else { return };
    let mut line = begin(runtime, "unavailable");
    line.text(" what=").text(what);
    write(runtime, Level::Warn, &mut line);
}

/// The process is about to restrict its own system calls, and the library does nothing more.
pub fn retired() {
    let (Some(runtime), Some(process)) = (runtime(), process::begun()) else { return };
    if process.stats.requests.load(Relaxed) > 0 {
        let mut line = begin(runtime, "disabled");
        line.text(" reason=seccomp");
        write(runtime, Level::Warn, &mut line);
    }
}

/// It could not, and the library goes on.
pub fn resumed() {
    let (Some(runtime), Some(process)) = (runtime(), process::begun()) else { return };
    if process.stats.requests.load(Relaxed) > 0 {
        enabled(runtime);
    }
}

/// The process serves connections that we do not see; `descriptor` is one of them.
pub fn unseen(descriptor: i32) {
    let Some(runtime) = runtime() else { return };
    let shield = sys::signals::shield();
    let mut line = begin(runtime, "unseen");
    line.text(" descriptor=").number(descriptor.unsigned_abs().into());
    line.text(" reason=").quoted(b"connections are accepted past libc, so requests cannot be counted");
    if runtime.options.rules.period == 0 {
        line.text(" try=AUTOTRIM_PERIOD");
    }
    write(runtime, Level::Warn, &mut line);
    shield.end();
}

fn enabled(runtime: &Runtime) {
    let Some(allocator) = &runtime.allocator else {
        let mut line = begin(runtime, "disabled");
        line.text(" reason=allocator allocator=unknown version=").text(env!("CARGO_PKG_VERSION"));
        return write(runtime, Level::Error, &mut line);
    };
    let rules = &runtime.options.rules;
    let mut line = begin(runtime, "enabled");
    line.text(" interval=").number(rules.interval);
    growth(line.text(" growth="), rules.growth);
    duration(line.text(" idle="), rules.idle);
    if rules.period != 0 {
        duration(line.text(" period="), rules.period);
    }
    match &runtime.options.pressure {
        Setting::Off => {}
        Setting::Auto => drop(line.text(" pressure=auto")),
        Setting::At(path) => drop(line.text(" pressure=").quoted(path.as_bytes())),
    }
    if runtime.options.signal != 0 {
        line.text(" signal=").number(runtime.options.signal.unsigned_abs().into());
    }
    if runtime.python.is_some() {
        line.text(" gc=python");
    }
    line.text(" arenas=").number(allocator.arenas.unsigned_abs().into());
    line.text(" allocator=").bytes(allocator.name.as_bytes());
    line.text(" version=").text(env!("CARGO_PKG_VERSION"));
    write(runtime, Level::Info, &mut line);
}

/// A trim was done.
pub fn trim(outcome: &Outcome, trims: u64, policy: &Policy) {
    let Some(runtime) = runtime().filter(|runtime| runtime.options.log >= Level::Debug) else { return };
    // Where nothing was answered yet.
    first_answer();
    let mut line = begin(runtime, "trim");
    line.text(" trigger=").text(outcome.trigger.name());
    line.text(" requests=").number(outcome.requests);
    line.text(" in_flight=").number(outcome.in_flight);
    for (name, rss) in [(" rss_before_kb=", outcome.before), (" rss_after_kb=", outcome.after)] {
        match rss {
            Some(bytes) => line.text(name).number(bytes / 1024),
            None => line.text(name).text("unknown"),
        };
    }
    line.text(" took_us=").number(outcome.took / 1_000);
    if outcome.pause != 0 {
        line.text(" gc_us=").number(outcome.pause / 1_000);
    }
    line.text(" trims=").number(trims);
    line.text(" deferred=").number(policy.counts.deferred);
    line.text(" skipped=").number(policy.counts.skipped);
    line.text(" wait=").text(outcome.point.name());
    line.text(" tid=").number(sys::thread().unsigned_abs().into());
    write(runtime, Level::Debug, &mut line);
}

/// The floor climbs by so much per request, over so many: that is no retention. Said once per process.
pub fn leak(bytes_per_request: u64, requests: u64) {
    let Some(runtime) = runtime() else { return };
    let mut line = begin(runtime, "leak");
    line.text(" bytes_per_request=").number(bytes_per_request).text(" requests=").number(requests);
    line.text(" reason=\"floor grows ");
    match bytes_per_request {
        bytes @ 0..1024 => line.number(bytes).text(" bytes"),
        bytes => line.number(bytes / 1024).text(".").number(bytes % 1024 * 10 / 1024).text(" kB"),
    };
    line.text("/request over ").number(requests).text(" requests: not retention, look for a leak\"");
    if !runtime.options.gc && !sys::optional::optional().python.is_null() {
        line.text(" try=AUTOTRIM_GC");
    }
    write(runtime, Level::Warn, &mut line);
}

/// The metrics cannot be written: the system's error number. Said once per process.
pub fn no_metrics(runtime: &Runtime, error: i32) {
    let mut line = begin(runtime, "metrics_failed");
    let path = runtime.options.metrics.as_bytes();
    line.text(" directory=").quoted(path.get(..path.len().saturating_sub(1).min(128)).unwrap_or_default());
    line.text(" errno=").number(error.unsigned_abs().into());
    write(runtime, Level::Warn, &mut line);
}

/// As much of the program's name as is told.
pub fn short_name(runtime: &Runtime) -> &'static [u8] {
    let program = runtime.options.program;
    program.get(..64).unwrap_or(program)
}

fn begin(runtime: &Runtime, event: &str) -> Line {
    let mut line = Line::new();
    line.text("autotrim: pid=").number(sys::pid().unsigned_abs().into());
    line.text(" program=");
    // A name is a value from outside too; plain where it can be.
    let program = short_name(runtime);
    match program.iter().all(|byte| byte.is_ascii_graphic() && !b"\"=\\".contains(byte)) {
        true => line.bytes(program),
        false => line.quoted(program),
    };
    line.text(" event=").text(event);
    line
}

fn write(runtime: &Runtime, level: Level, line: &mut Line) {
    let Some(stderr) = runtime.stderr else { return };
    if level <= runtime.options.log {
        files::write_stderr(stderr, line.byte(b'\n').as_bytes());
    }
}

fn growth(line: &mut Line, growth: Growth) {
    match growth {
        Growth { bytes, percent: 0 } => size(line, bytes),
        Growth { bytes: 0, percent } => line.number(percent).text("%"),
        Growth { bytes, percent } => size(line, bytes).text(",").number(percent).text("%"),
    };
}

fn size(line: &mut Line, bytes: u64) -> &mut Line {
    for (unit, name) in [(1 << 30, "G"), (1 << 20, "M"), (1 << 10, "K")] {
        // checked: the compiler cannot see that no unit is 0, and would keep a panic.
        if bytes > 0 && bytes.checked_rem(unit) == Some(0) {
            return line.number(bytes.checked_div(unit).unwrap_or(0)).text(name);
        }
    }
    line.number(bytes)
}

fn duration(line: &mut Line, time: u64) {
    match time {
        time if time % SECOND == 0 => line.number(time / SECOND).text("s"),
        time => line.number(time / MILLISECOND).text("ms"),
    };
}
