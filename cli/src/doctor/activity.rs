//! What the library has seen and done in a process, and what it does not see.

use super::findings::{Findings, Level};
use super::look::Look;
use crate::decide::skips::Skip;
use crate::metrics::{self, Metrics};
use crate::reasons;
use crate::sockets::Sockets;
use crate::status::{self, Report};
use crate::target::Target;
use crate::units;

/// A line has room for so many descriptors.
const MOST_CONNECTIONS_NAMED: usize = 8;
/// Seconds after which a trim that growth asks for is overdue.
const LONG_AGO: f64 = 10.0;
/// Options that need no request.
const WITHOUT_REQUESTS: &str = "AUTOTRIM_PERIOD (such as 1m), AUTOTRIM_PRESSURE=auto or AUTOTRIM_SIGNAL=SIGRTMIN+18";

/// Requests, trims, connections, and what they say.
pub fn of(target: &Target, look: Option<&Look>, findings: &mut Findings) {
    let report = status::report(target, None);
    requests(target, &report, findings);
    growth(target, &report, findings);
    next(&report, findings);
    skipped(&report, findings);
    connections(target, findings);
    metrics(target, &report, findings);
    garbage(target, &report, findings);
    // The main one, and the others.
    let arenas = look.and_then(|look| look.arenas.as_ref()).map(|arenas| arenas.count + 1);
    verdict(&report, arenas, findings);
}

/// Growth that should have been trimmed by now.
fn growth(target: &Target, report: &Report, findings: &mut Findings) {
    let Some(rule) = target.options().map(|options| options.rules.growth).filter(|rule| rule.is_on()) else { return };
    let (Some(now), Some(floor)) = (report.anonymous_bytes, report.floor_bytes) else { return };
    let age = target.age().map_or(0.0, |age| age.as_secs_f64());
    let since = report.recent_trims.last().map_or(age, |trim| trim.ago_seconds);
    if now > rule.limit(floor) && since > LONG_AGO {
        let text = format!(
            "{} over the floor, more than AUTOTRIM_GROWTH, and no trim for {LONG_AGO} s: one comes where a \
             thread waits for work and no request is in flight, or AUTOTRIM_DEFER later whatever is",
            units::bytes(now - floor)
        );
        findings.add("growth", Level::Warning, text);
    }
}

/// What is tried next, and when; nothing where the library does not tell, or has decided nothing yet.
fn next(report: &Report, findings: &mut Findings) {
    let (Some(next), Some(decided)) = (report.next, report.decided_ago_seconds) else { return };
    let ago = units::seconds(decided);
    if let Some(due) = report.due {
        let waits_for = due.waits_for.and_then(reasons::named).map(reasons::words);
        let waits_for = waits_for.map_or(String::new(), |words| format!(", and was not made: {words}"));
        let (trigger, since) = (due.trigger, units::seconds(due.for_seconds));
        let text = format!("a trim ({trigger}) has been due for {since}{waits_for}; looked at {ago} ago");
        return findings.add("next", Level::Info, text);
    }
    let after = |seconds: f64| if seconds > 0.0 { format!("in {seconds:.1} s") } else { "at the next wait".into() };
    let plans = [
        next.in_seconds.map(|seconds| format!("{} in any case", after(seconds))),
        next.look_in_seconds.map(|seconds| format!("{} if something comes or goes", after(seconds))),
        next.at_requests.map(|requests| format!("at {} requests", units::count(requests))),
    ];
    let plans: Vec<String> = plans.into_iter().flatten().collect();
    let plans = if plans.is_empty() { "when something comes or goes".into() } else { plans.join(", ") };
    findings.add("next", Level::Info, format!("no trim is due; looked at {ago} ago, again {plans}"));
}

/// Every reason that kept a trim from being made, or had something given up.
fn skipped(report: &Report, findings: &mut Findings) {
    for (name, &count) in &report.skipped {
        let Some(reason) = reasons::named(name) else { continue };
        let level = if is_usual(reason) { Level::Info } else { Level::Warning };
        findings.add("skipped", level, format!("{} × {}", units::count(count), reasons::words(reason)));
    }
}

/// Whether it belongs to the work of a server that is well.
const fn is_usual(reason: Skip) -> bool {
    matches!(
        reason,
        Skip::InFlight
            | Skip::Overhead
            | Skip::NoGrowth
            | Skip::NothingToGain
            | Skip::Long
            | Skip::Swapped
            | Skip::Recent
            | Skip::Small
            | Skip::Handler
            | Skip::Collection
            | Skip::Shared
    )
}

/// Where something was counted, there should be a file if one is wanted.
fn metrics(target: &Target, report: &Report, findings: &mut Findings) {
    let Some(directory) = target.options().and_then(|options| metrics::directory_of(&options)) else { return };
    if report.requests > Some(0) && Metrics::of(target, None).is_none() {
        let text = format!("no file of this process in {}: see its log", directory.display());
        findings.add("metrics", Level::Problem, text);
    }
}

fn requests(target: &Target, report: &Report, findings: &mut Findings) {
    let needs_none = target.options().is_some_and(|options| options.needs_thread());
    match (report.requests, &report.note) {
        (Some(requests), _) => {
            let text = format!(
                "{} answered, {} in flight; {} trims gave back {}{}",
                units::count(requests),
                report.in_flight.unwrap_or(0),
                units::count(report.trims.unwrap_or(0)),
                units::bytes(report.reclaimed_bytes.unwrap_or(0)),
                by_layer(report),
            );
            let works = requests > 0 || (needs_none && report.trims > Some(0));
            findings.add("requests", if works { Level::Good } else { Level::Warning }, text);
        }
        (None, Some(note)) => findings.add("requests", Level::Problem, note.clone()),
        (None, None) if needs_none => {
            findings.add(
                "requests",
                Level::Info,
                "none, and no trim yet: it has served no connection, and need not".into(),
            );
        }
        (None, None) => {
            let text = format!(
                "none: this process has served no connection yet; if it never does, only {WITHOUT_REQUESTS} have it trimmed"
            );
            findings.add("requests", Level::Info, text);
        }
    }
}

/// What of that came from elsewhere than malloc_trim.
fn by_layer(report: &Report) -> String {
    let layers = [("tops", "the tops of arenas"), ("pools", "CPython's pools"), ("java", "Java's heap")];
    let gave = layers.into_iter().filter_map(|(layer, name)| {
        let bytes = report.reclaimed_by_layer.get(layer).filter(|&&bytes| bytes > 0)?;
        Some(format!("{} from {name}{}", units::bytes(*bytes), in_milliseconds(report, layer)))
    });
    let gave: Vec<String> = gave.collect();
    if gave.is_empty() { String::new() } else { format!(", of it {}", gave.join(", ")) }
}

/// What one layer took, where that is told.
fn in_milliseconds(report: &Report, layer: &str) -> String {
    let took = report.seconds_by_layer.get(layer);
    took.map_or(String::new(), |seconds| format!(" in {:.1} ms", seconds * 1_000.0))
}

fn verdict(report: &Report, arenas: Option<u64>, findings: &mut Findings) {
    let bytes = report.verdict_bytes.map_or(String::new(), |bytes| format!("{} ", units::bytes(bytes)));
    let (level, text) = match report.verdict.as_deref() {
        Some("leak") => (Level::Problem, leak(report)),
        Some("stable") => (Level::Good, "stable: RSS after trims is flat, and trims find little".into()),
        Some("retention") => (Level::Good, "retention: memory grows, and trims bring it back".into()),
        Some("fragmented") => (Level::Warning, fragmented(arenas, &bytes)),
        Some("growth") => (Level::Info, growing(report, &bytes)),
        Some(_) => (Level::Info, "unknown: too few trims, or no clear trend".into()),
        None => return,
    };
    findings.add("verdict", level, text);
}

/// What climbs and is not known to be a leak, and what helps.
fn growing(report: &Report, bytes: &str) -> String {
    const LIMITS: &str = "What limits it is the runtime's or the cache's own option (-Xmx, --max-old-space-size, \
                          innodb_buffer_pool_size, maxmemory)";
    let malloc = report.allocator.as_deref().unwrap_or("this malloc");
    match report.live_bytes {
        Some(_) => format!(
            "growth: a runtime's or a mapped cache's own memory grows, {bytes}so far; what malloc has handed out does not, so \
             this is no leak of malloc's. {LIMITS}"
        ),
        None => format!(
            "growth: memory grows, {bytes}so far, and {malloc} does not tell what is live: it may be a cache that fills, or a leak. \
             {LIMITS}"
        ),
    }
}

/// What is free and cannot be given back, and what helps.
fn fragmented(arenas: Option<u64>, bytes: &str) -> String {
    let arenas = match arenas {
        Some(1) => "1 arena".into(),
        Some(arenas) => format!("{} arenas", units::count(arenas)),
        None => "malloc".into(),
    };
    format!(
        "fragmented: {bytes}free but in use by neighbours, in {arenas}; a trim gives back whole pages only. Fewer arenas \
         (MALLOC_ARENA_MAX=1), jemalloc, or a restart of the worker now and then (gunicorn --max-requests) help"
    )
}

/// A runtime whose garbage the library can have collected.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Runtime {
    Python,
    Node,
    Ruby,
    Java,
}

/// The program's, by its own name and those of its libraries.
pub fn runtime(target: &Target) -> Option<Runtime> {
    let program = target.process.exe().unwrap_or_default();
    let program = program.file_name().unwrap_or_default().to_string_lossy().into_owned();
    let has = |name: &str, library: &str| {
        program.starts_with(name) || target.files.iter().flatten().any(|file| file.name().starts_with(library))
    };
    let known = [
        (Runtime::Python, "python", "libpython"),
        (Runtime::Node, "node", "libnode.so"),
        (Runtime::Ruby, "ruby", "libruby"),
        (Runtime::Java, "java", "libjvm.so"),
    ];
    known.into_iter().find(|(_, name, library)| has(name, library)).map(|(runtime, ..)| runtime)
}

/// What becomes of the runtime's garbage.
fn garbage(target: &Target, report: &Report, findings: &mut Findings) {
    let (Some(runtime), Some(options)) = (runtime(target), target.options()) else { return };
    let gc = options.gc;
    let (name, is_named) = match runtime {
        Runtime::Python => ("CPython", gc.python),
        Runtime::Node => ("Node", gc.node),
        Runtime::Ruby => ("Ruby", gc.ruby),
        Runtime::Java => ("Java", gc.java),
    };
    let text = match report.collections {
        _ if runtime == Runtime::Java && !is_named => {
            format!("of {name}, left to the program: AUTOTRIM_GC=java has it collected in quiet")
        }
        _ if !gc.auto && !is_named => format!("of {name}, left to the program: AUTOTRIM_GC says so"),
        Some(count @ 1..) => format!(
            "of {name}, collected {} times{}; AUTOTRIM_LOG=debug tells each pause (gc_us)",
            units::count(count),
            last_collection(report)
        ),
        _ if is_named && runtime != Runtime::Java => {
            format!("of {name}, not collected yet: AUTOTRIM_GC asks for it before trims")
        }
        _ => format!("of {name}, not collected yet: that comes in quiet, where a trim has left much"),
    };
    findings.add("garbage", Level::Info, text);
}

/// When the last one was, and what it brought, where that is told.
fn last_collection(report: &Report) -> String {
    let told = report.last_collection_ago_seconds.zip(report.last_collection_bytes);
    told.map_or(String::new(), |(ago, bytes)| {
        format!(", the last time {} ago: it brought {}", units::seconds(ago), units::bytes(bytes))
    })
}

fn leak(report: &Report) -> String {
    let rate =
        report.leak_bytes_per_request.map_or(String::new(), |rate| format!(" by {}B per request", units::bytes(rate)));
    let over =
        report.leak_requests.map_or(String::new(), |requests| format!(" over {} requests", units::count(requests)));
    format!("leak? Live memory climbs{rate}{over}: no trim can help, the program keeps it")
}

/// Accepted connections that are not followed: the library cannot count what goes on there.
fn connections(target: &Target, findings: &mut Findings) {
    // First what is followed: a connection that comes in between is then at worst reported as not followed, and asked again.
    let look = || {
        let followed = target.block().and_then(|block| block.followed()).ok()?;
        let sockets = Sockets::of(target)?;
        let unseen: Vec<i32> = sockets.accepted.iter().copied().filter(|fd| !followed.contains(fd)).collect();
        Some((sockets, unseen))
    };
    let Some((sockets, mut unseen)) = look() else { return };
    if sockets.listening.is_empty() {
        findings.add("connections", Level::Info, "listens nowhere".into());
        return;
    }
    if !unseen.is_empty() {
        std::thread::sleep(std::time::Duration::from_millis(100));
        let again = look().map(|(_, again)| again).unwrap_or_default();
        unseen.retain(|descriptor| again.contains(descriptor));
    }
    let places: Vec<String> = sockets.listening.into_iter().collect();
    let (all, places) = (sockets.accepted.len(), places.join(", "));
    if unseen.is_empty() {
        let text = format!("listens on {places}; every open connection is followed ({all})");
        findings.add("connections", Level::Good, text);
    } else {
        let named: Vec<String> = unseen.iter().take(MOST_CONNECTIONS_NAMED).map(i32::to_string).collect();
        let text = format!(
            "{} of {all} connections on {places} are not followed (descriptors {}): they are accepted past libc, by \
             io_uring or the program's own system calls; set AUTOTRIM_PERIOD",
            unseen.len(),
            named.join(", ")
        );
        findings.add("connections", Level::Problem, text);
    }
}
