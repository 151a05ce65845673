//! Log lines: logfmt, one write each, on the descriptor 2 that the process started with.
//!
//! Nothing is written in a process that serves nothing: what start-up has to say waits for the first answer.

use core::sync::atomic::Ordering::Relaxed;

use crate::decide::skips::Skip;
use crate::decide::verdict::Verdict;
use crate::options::{self, Level, Line, TABLE};
use crate::own::process::{self, Process};
use crate::own::runtime::{Runtime, runtime};
use crate::own::stats::{Outcome, Stats};
use crate::pure::errors;
use crate::sys::{self, stderr};

/// The process has answered its first request, or is about to log its first trim: warns about options that did not parse,
/// then says what is on. Once.
#[cold]
#[inline(never)]
pub fn first_answer() {
    let Some(runtime) = runtime() else { return };
    let mut introduced = true;
    process::with(|process| introduced = process.said.enabled.swap(true, Relaxed));
    if introduced {
        return;
    }
    let shield = sys::signals::shield();
    complain_about_options(runtime);
    enabled(runtime);
    process::with(say_what_lacks);
    shield.end();
}

/// Apart, for the sake of the stack: a line takes a kilobyte of the host's, and so does the search for the nearest name.
#[cold]
#[inline(never)]
fn complain_about_options(runtime: &Runtime) {
    let options = &runtime.options;
    for (entry, value) in TABLE.iter().zip(&options.invalid) {
        if let Some(value) = value {
            let mut line = Line::new();
            begin(&mut line, runtime, "option_invalid");
            line.text(" variable=").text(entry.name).text(" value=").quoted(value.as_bytes());
            let default = if entry.default.is_empty() { "unset" } else { entry.default };
            line.text(" expected=").quoted(entry.expected.as_bytes()).text(" using=").text(default);
            write(runtime, Level::Warn, &mut line);
        }
    }
    for name in options.unknown.iter().flatten() {
        let mut line = Line::new();
        begin(&mut line, runtime, "option_unknown");
        line.text(" variable=").quoted(name.as_bytes());
        if let Some(nearest) = options::nearest(name.as_bytes()) {
            line.text(" did_you_mean=").text(nearest);
        }
        write(runtime, Level::Warn, &mut line);
    }
    if options.more_unknown != 0 {
        let mut line = Line::new();
        begin(&mut line, runtime, "option_unknown");
        line.text(" more=").number(options.more_unknown);
        write(runtime, Level::Warn, &mut line);
    }
}

/// What an option may ask for in vain.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Lack {
    /// A thread of our own.
    Thread = 1,
    /// Something that tells of memory pressure.
    Pressure = 1 << 1,
    /// `AUTOTRIM_SIGNAL`: whoever started the program ignores it, or it has a handler.
    Signal = 1 << 2,
}

impl Lack {
    const fn skip(self) -> Skip {
        match self {
            Lack::Thread => Skip::Thread,
            Lack::Pressure => Skip::Source,
            Lack::Signal => Skip::Signal,
        }
    }
}

/// Something is not to be had; the rest goes on. Said at once where the process has said something already, or may.
pub fn lack(process: &Process, what: Lack) {
    lack_silently(process, what);
    let loud = runtime().is_some_and(|runtime| runtime.options.log >= Level::Debug);
    if loud || process.said.enabled.load(Relaxed) {
        say_what_lacks(process);
    }
}

/// The same, to be said with the first line.
pub fn lack_silently(process: &Process, what: Lack) {
    process.stats.skip(what.skip());
    process.said.lacking.fetch_or(what as u8, Relaxed);
}

fn say_what_lacks(process: &Process) {
    let lacking = process.said.lacking.swap(0, Relaxed);
    for (what, name) in [(Lack::Thread, "thread"), (Lack::Pressure, "pressure"), (Lack::Signal, "signal")] {
        if lacking & what as u8 != 0 {
            unavailable(name);
        }
    }
}

/// What an option asked for is not to be had.
pub fn unavailable(what: &str) {
    let Some(runtime) = runtime() else { return };
    let mut line = Line::new();
    begin(&mut line, runtime, "unavailable");
    line.text(" what=").text(what);
    write(runtime, Level::Warn, &mut line);
}

/// The process is about to restrict its own system calls, and the library does nothing more.
pub fn retired() {
    let (Some(runtime), Some(process)) = (runtime(), process::begun()) else { return };
    if process.stats.requests.load(Relaxed) > 0 {
        let mut line = Line::new();
        begin(&mut line, runtime, "disabled");
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
    say_unseen(Some(descriptor), b"connections are accepted past libc, so requests cannot be counted");
}

/// The process answers requests that we saw, and we do not see the answers.
pub fn unseen_answers() {
    say_unseen(None, b"answers are sent inside libc (stdio, dprintf) or past it, so requests cannot be counted");
}

fn say_unseen(descriptor: Option<i32>, reason: &[u8]) {
    let Some(runtime) = runtime() else { return };
    let shield = sys::signals::shield();
    let mut line = Line::new();
    begin(&mut line, runtime, "unseen");
    if let Some(descriptor) = descriptor {
        line.text(" descriptor=").number(descriptor.unsigned_abs().into());
    }
    line.text(" reason=").quoted(reason);
    if runtime.options.rules.period == 0 {
        line.text(" try=AUTOTRIM_PERIOD");
    }
    write(runtime, Level::Warn, &mut line);
    shield.end();
}

fn enabled(runtime: &Runtime) {
    let allocator = match &runtime.allocator {
        Ok(allocator) => allocator,
        Err(reason) => {
            let mut line = Line::new();
            begin(&mut line, runtime, "disabled");
            line.text(" reason=").text(reason).text(" version=").text(env!("CARGO_PKG_VERSION"));
            return write(runtime, Level::Error, &mut line);
        }
    };
    let mut line = Line::new();
    begin(&mut line, runtime, "enabled");
    runtime.options.tell(&mut line);
    if runtime.options.gc.is_on() && runtime.has_interpreter() {
        runtime.options.gc.write(line.text(" gc="));
    }
    line.text(" arenas=").number(allocator.arenas().unsigned_abs().into());
    line.text(" allocator=").bytes(allocator.name.as_bytes());
    line.text(" version=").text(env!("CARGO_PKG_VERSION"));
    write(runtime, Level::Info, &mut line);
}

/// A trim was done.
pub fn trim(outcome: &Outcome, stats: &Stats) {
    let Some(runtime) = runtime().filter(|runtime| runtime.options.log >= Level::Debug) else { return };
    // Where nothing was answered yet.
    first_answer();
    let mut line = Line::new();
    begin(&mut line, runtime, "trim");
    line.text(" trigger=").text(outcome.trigger.name());
    line.text(" requests=").number(outcome.requests);
    line.text(" in_flight=").number(outcome.in_flight);
    for (name, rss) in [(" rss_before_kb=", outcome.before), (" rss_after_kb=", outcome.after)] {
        match rss {
            Some(bytes) => line.text(name).number(bytes / 1024),
            None => line.text(name).text("unknown"),
        };
    }
    if let Some(bytes) = outcome.tops {
        line.text(" tops_kb=").number(bytes / 1024);
    }
    if outcome.again != 0 {
        line.text(" huge_pages_kb=").number(outcome.again / 1024);
    }
    if let Some(usage) = outcome.usage {
        line.text(" live_kb=").number(usage.live / 1024).text(" free_kb=").number(usage.held / 1024);
    }
    line.text(" took_us=").number(outcome.took / 1_000);
    line.text(" cpu_us=").number(outcome.cost / 1_000);
    if outcome.pause != 0 {
        line.text(" gc=").text(runtime.collector()).text(" gc_us=").number(outcome.pause / 1_000);
    }
    if outcome.java != 0 {
        line.text(" gc_kb=").number(outcome.java / 1024);
    }
    if let (bytes, took @ 1..) = outcome.pools {
        line.text(" pools_kb=").number(bytes / 1024).text(" pools_us=").number(took / 1_000);
    }
    line.text(" trims=").number(stats.trims());
    line.text(" deferred=").number(stats.deferred.load(Relaxed));
    line.text(" skipped=").number(stats.skipped_overhead.load(Relaxed));
    line.text(" wait=").text(outcome.point.name());
    line.text(" tid=").number(sys::thread().unsigned_abs().into());
    write(runtime, Level::Debug, &mut line);
}

/// An interval is over, when so many requests were answered, and no trim comes: the last one brought nothing, and nothing can have
/// become free since.
#[inline(never)]
pub fn passed_over(requests: u64) {
    let Some(runtime) = runtime().filter(|runtime| runtime.options.log >= Level::Debug) else { return };
    let mut line = Line::new();
    begin(&mut line, runtime, "skipped");
    line.text(" reason=nothing_to_gain requests=").number(requests);
    write(runtime, Level::Debug, &mut line);
}

/// The process's memory is locked, and a trim gave nothing back. Said once per process.
pub fn locked(runtime: &Runtime) {
    let mut line = Line::new();
    begin(&mut line, runtime, "locked");
    line.text(" reason=")
        .quoted(b"memory is locked (mlockall), so a trim gives little or nothing back: trims come seldom");
    write(runtime, Level::Warn, &mut line);
}

/// The kernel has put so much, in bytes, into huge pages that a trim had given back; whether it is kept from doing so again. Said once per process.
pub fn huge_pages(runtime: &Runtime, came_back: u64, is_stopped: bool) {
    let mut line = Line::new();
    begin(&mut line, runtime, "huge_pages");
    line.text(" came_back_kb=").number(came_back / 1024);
    line.text(" reason=").quoted(b"the kernel (khugepaged) fills with huge pages what trims give back");
    line.text(" stopped=").text(if is_stopped { "yes" } else { "no" });
    write(runtime, Level::Warn, &mut line);
}

/// What the trims say of memory, where that calls for somebody's attention. Each is said once per process.
pub fn verdict(process: &Process, verdict: Verdict) {
    let Some(runtime) = runtime() else { return };
    let said = &process.said;
    match verdict {
        Verdict::Leak { bytes_per_request, requests } if !said.leak.swap(true, Relaxed) => {
            leak(runtime, bytes_per_request, requests);
        }
        Verdict::Fragmented { bytes } if !said.fragmented.swap(true, Relaxed) => {
            let arenas = process.stats.arenas.load(Relaxed).max(1);
            let mut line = Line::new();
            begin(&mut line, runtime, "fragmented");
            line.text(" bytes=").number(bytes).text(" arenas=").number(arenas);
            line.text(" reason=\"free but in use by neighbours: ").number(bytes >> 20).text(" MB in ");
            line.number(arenas).text(if arenas == 1 { " arena\"" } else { " arenas\"" });
            write(runtime, Level::Info, &mut line);
        }
        Verdict::Growth { bytes } if !said.growth.swap(true, Relaxed) => {
            let mut line = Line::new();
            begin(&mut line, runtime, "growth");
            line.text(" bytes=").number(bytes);
            // Of another malloc than glibc's it is not known what it has handed out, and a leak looks the same.
            let what = match process.stats.live_bytes.load(Relaxed) {
                0 => "memory grows, and this malloc does not tell whether that is a leak: ",
                _ => "a runtime's or a mapped cache's own memory grows: ",
            };
            line.text(" reason=\"").text(what).number(bytes >> 20).text(" MB\"");
            write(runtime, Level::Info, &mut line);
        }
        _ => {}
    }
}

/// Live memory climbs by so much per request, over so many: that is no retention.
fn leak(runtime: &Runtime, bytes_per_request: u64, requests: u64) {
    let mut line = Line::new();
    begin(&mut line, runtime, "leak");
    line.text(" bytes_per_request=").number(bytes_per_request).text(" requests=").number(requests);
    line.text(" reason=\"live memory grows ");
    match bytes_per_request {
        bytes @ 0..1024 => line.number(bytes).text(" bytes"),
        bytes => line.number(bytes / 1024).text(".").number(bytes % 1024 * 10 / 1024).text(" kB"),
    };
    line.text("/request over ").number(requests).text(" requests: not retention, look for a leak\"");
    if !runtime.options.gc.is_on() && !sys::optional::optional().python.is_null() {
        line.text(" try=AUTOTRIM_GC");
    }
    write(runtime, Level::Warn, &mut line);
}

/// The metrics cannot be written: why, by the system's error number. Said once per process.
pub fn no_metrics(runtime: &Runtime, error: i32) {
    let mut line = Line::new();
    begin(&mut line, runtime, "metrics_failed");
    let path = runtime.options.metrics.as_bytes();
    line.text(" directory=").quoted(path.get(..path.len().saturating_sub(1).min(128)).unwrap_or_default());
    line.text(" error=\"");
    match errors::words(error) {
        Some(words) => line.bytes(words),
        None => line.text("error ").number(error.unsigned_abs().into()),
    };
    line.byte(b'"');
    write(runtime, Level::Warn, &mut line);
}

/// As much of the program's name as is told.
pub fn short_name(runtime: &Runtime) -> &'static [u8] {
    let program = runtime.options.program;
    program.get(..64).unwrap_or(program)
}

fn begin(line: &mut Line, runtime: &Runtime, event: &str) {
    line.text("autotrim: pid=").number(sys::pid().unsigned_abs().into());
    line.text(" program=");
    // A name is a value from outside too; plain where it can be.
    let program = short_name(runtime);
    match program.iter().all(|byte| byte.is_ascii_graphic() && !b"\"=\\".contains(byte)) {
        true => line.bytes(program),
        false => line.quoted(program),
    };
    line.text(" event=").text(event);
}

fn write(runtime: &Runtime, level: Level, line: &mut Line) {
    let Some(stderr) = runtime.stderr else { return };
    if level <= runtime.options.log {
        stderr::write(stderr, line.byte(b'\n').as_bytes());
    }
}
