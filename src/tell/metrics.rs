//! The counters as a file for Prometheus (`AUTOTRIM_METRICS_DIR`): `autotrim-PID.prom`, replaced at once after each trim,
//! and at most once a second where requests were answered. Written at wait points, and by the thread of our own after its
//! trims, with the policy's lock.
//!
//! The text is what both formats have in common: an OpenMetrics parser reads it, and node_exporter's textfile collector,
//! which knows the older Prometheus text format and takes what is new in OpenMetrics for comments. Hence a counter is
//! declared without its `_total`, `autotrim_info` is a gauge, and there are no timestamps.

use core::ffi::CStr;
use core::sync::atomic::{AtomicU64, Ordering::Relaxed, Ordering::SeqCst};

use super::log;
use crate::decide::SECOND;
use crate::decide::policy::Policy;
use crate::decide::skips::Skip;
use crate::decide::verdict::Verdict;
use crate::own::process::{self, Process};
use crate::own::runtime::{Runtime, runtime};
use crate::own::stats::Stats;
use crate::pure::text::{Text, number};
use crate::sys::directory::{self, Directory, File};
use crate::sys::errno::keeping_errno;
use crate::sys::own::{Error, PREFIX};
use crate::sys::{self, memory, signals};

/// Files of another pid namespace, whose processes we cannot see, are left alone for so many seconds: that of a process
/// which lives and is quiet comes back with its next request.
const FOREIGN: i64 = 3600;
/// What stands before the pid namespace in a file, and as much of it as is read to find that.
const NAMESPACE: &[u8] = b",pid_namespace=\"";
const HEAD: usize = 512;

/// The metrics: a name and what it means, then a line for each sample with its labels, in which `%` stands for the next of
/// some texts; one that ends with `=` stands for a sample of each reason. `_total` makes a counter; `_bytes` and `_seconds` are units.
const METRICS: &str = concat!(
    "info The library, and the namespace that the pid is of.\n",
    ",version=\"",
    env!("CARGO_PKG_VERSION"),
    "\",allocator=\"%\",libc=\"%\",pid_namespace=\"%\"\n",
    "requests_total Requests answered.\n,\n",
    "in_flight Requests waiting for an answer.\n,\n",
    "trims_total Trims, by what asked for them.\n",
    ",trigger=\"requests\"\n,trigger=\"growth\"\n,trigger=\"idle\"\n",
    ",trigger=\"period\"\n,trigger=\"pressure\"\n,trigger=\"signal\"\n",
    "reclaimed_bytes_total Anonymous memory given back, by what held it: malloc, the tops of its arenas, CPython's pools, Java's heap.\n",
    ",layer=\"malloc\"\n,layer=\"tops\"\n,layer=\"pools\"\n,layer=\"java\"\n",
    "trim_seconds_total Time spent in trims.\n,\n",
    "trim_max_seconds The longest trim.\n,\n",
    "deferred_total Due trims that waited for requests in flight.\n,\n",
    "skipped_total Trims that were not made, and what was given up, by reason.\n,reason=\n",
    "collections_total Garbage collections before trims.\n,\n",
    "collection_seconds_total Time spent in garbage collections before trims.\n,\n",
    "resident_bytes Anonymous resident memory.\n,\n",
    "floor_bytes Least anonymous resident memory that a trim has left.\n,\n",
    "live_bytes Memory in use after the last trim, in glibc's malloc and CPython's pools.\n,\n",
    "free_held_bytes Free memory there that what is in use beside it kept from being given back.\n,\n",
    "leak_bytes_per_request How fast live memory climbs, where that is a leak.\n,\n",
    "fragmented_bytes Free memory that is held, where that is the verdict.\n,\n",
    "outside_growth_bytes By how much memory outside malloc has grown, where that is the verdict.\n,\n",
    "verdict What the last trims say.\n,verdict=\"%\"",
);

/// A file's name and a zero byte.
type FileName = Text<32>;

/// Under the policy's lock and a shield: writes the file if it is time and `may` allows it, and says after how many
/// nanoseconds it will be time, where something is still to be told.
pub fn update(runtime: &Runtime, process: &Process, policy: &mut Policy, may: impl FnOnce() -> bool) -> Option<u64> {
    let path = path(runtime)?;
    let (state, stats) = (&process.metrics, &process.stats);
    let (requests, trims) = (stats.requests.load(Relaxed), stats.trims());
    let (trimmed, now) = (state.trims.load(Relaxed) != trims, sys::now());
    let wait = state.next.load(Relaxed).saturating_sub(now);
    if trimmed || (wait == 0 && state.requests.load(Relaxed) != requests) {
        if !may() {
            return Some(SECOND);
        }
        state.requests.store(requests, Relaxed);
        state.trims.store(trims, Relaxed);
        state.next.store(now.saturating_add(SECOND), Relaxed);
        keeping_errno(|| write(runtime, process, path));
        policy.charge(sys::now().saturating_sub(now));
    }
    // What is answered from here on is told then, whatever the policy plans.
    process.hints.tell_by(state.next.load(Relaxed));
    (state.requests.load(Relaxed) != requests).then_some(wait)
}

/// The process ends, or is left alone from here on: removes its file.
pub fn remove() {
    let Some(runtime) = runtime() else { return };
    process::with(|process| {
        let state = &process.metrics;
        // A vfork child on its parent's memory has no file.
        if !state.exists.load(Relaxed) || !process.is_mine() {
            return;
        }
        let shield = signals::shield();
        // Before the removal: another thread that has just written asks afterwards.
        state.ended.store(true, SeqCst);
        keeping_errno(|| {
            if let Some(Ok(directory)) = path(runtime).map(Directory::open) {
                remove_from(&directory);
                directory.close();
            }
        });
        shield.end();
    });
}

/// The process is not left alone, after all: it may have a file again.
pub fn resume() {
    process::with(|process| process.metrics.ended.store(false, SeqCst));
}

/// At exit(3). A process that ends by a signal or `_exit` leaves its file to be swept by another.
#[cfg(not(test))]
#[used]
#[allow(unsafe_code)] // SAFETY: the dynamic linker calls what stands there, without arguments, at exit.
#[unsafe(link_section = ".fini_array")]
static AT_EXIT: extern "C" fn() = {
    extern "C" fn at_exit() {
        remove();
    }
    at_exit
};

fn path(runtime: &Runtime) -> Option<&CStr> {
    CStr::from_bytes_until_nul(runtime.options.metrics.as_bytes()).ok()
}

fn file_name(suffix: &str) -> FileName {
    let mut name = FileName::new();
    name.bytes(PREFIX).number(sys::pid().unsigned_abs().into()).text(suffix).byte(0);
    name
}

fn c_string(name: &FileName) -> Option<&CStr> {
    CStr::from_bytes_until_nul(name.as_bytes()).ok()
}

#[inline(never)]
fn write(runtime: &Runtime, process: &Process, path: &CStr) {
    let state = &process.metrics;
    if state.ended.load(SeqCst) {
        return;
    }
    // Now, when its descriptor gets the number that it always gets: see `own::close_inherited`.
    let rss = memory::anonymous_rss().unwrap_or(0);
    let result = Directory::open(path).and_then(|directory| {
        let result = replace(runtime, process, rss, &directory);
        if state.ended.load(SeqCst) {
            remove_from(&directory);
        } else if result.is_ok() && !state.exists.swap(true, Relaxed) {
            sweep(&directory);
        }
        directory.close();
        result
    });
    if result.is_err() {
        process.stats.skip(Skip::Metrics);
    }
    // Not in a process that has said nothing so far: it may serve nothing.
    if let Err(error) = result
        && process.said.enabled.load(Relaxed)
        && !state.failed.swap(true, Relaxed)
    {
        log::no_metrics(runtime, error);
    }
}

fn replace(runtime: &Runtime, process: &Process, rss: u64, directory: &Directory) -> Result<(), Error> {
    let (temporary, name) = (file_name(".tmp"), file_name(".prom"));
    let (Some(temporary), Some(name)) = (c_string(&temporary), c_string(&name)) else {
        return Ok(());
    };
    let mut page = Page { file: directory.create(temporary)?, start: Text::new(), text: Text::new(), result: Ok(()) };
    // Where the program limits the size of its files, the kernel sends this signal; its default is death.
    signals::without(libc::SIGXFSZ, &mut || {
        page.fill(runtime, process, rss);
        page.result == Err(libc::EFBIG)
    });
    page.file.close();
    let result = page.result.and_then(|()| directory.rename(temporary, name));
    if result.is_err() {
        directory.remove(temporary);
    }
    result
}

fn remove_from(directory: &Directory) {
    for suffix in [".prom", ".tmp"] {
        if let Some(name) = c_string(&file_name(suffix)) {
            directory.remove(name);
        }
    }
}

/// Removes what processes left that are no more. Only files of our own pid namespace can be judged by their pids.
#[inline(never)]
fn sweep(directory: &Directory) {
    let own = directory::pid_namespace();
    directory.entries(&mut |entry| {
        let (Some(pid), Some(name)) = (pid_of(entry), CStr::from_bytes_until_nul(entry).ok()) else { return };
        if directory::is_running(pid) {
            return;
        }
        let mut head = [0; HEAD];
        let Some((modified, head)) = directory.read(name, &mut head) else { return };
        let namespace = namespace_of(head);
        if (own != 0 && namespace == Some(own)) || directory::today().saturating_sub(modified) > FOREIGN {
            directory.remove(name);
        }
    });
}

/// The process that a file belongs to, by its name; `None` where it is no file of ours.
fn pid_of(entry: &[u8]) -> Option<i32> {
    let mut parts = entry.strip_prefix(PREFIX)?.splitn(2, |&byte| byte == b'.');
    let pid = i32::try_from(number(parts.next()?)?).ok()?;
    let suffix = parts.next()?;
    (suffix.starts_with(b"prom\0") || suffix.starts_with(b"tmp\0")).then_some(pid)
}

/// The pid namespace that a file tells.
fn namespace_of(head: &[u8]) -> Option<u64> {
    let at = head.windows(NAMESPACE.len()).position(|window| window == NAMESPACE)?;
    number(head.get(at + NAMESPACE.len()..)?.split(|&byte| byte == b'"').next()?)
}

/// The unit in a metric's name, after a space; empty where it has none.
fn unit(name: &[u8]) -> &'static [u8] {
    let base = name.strip_suffix(b"_total").unwrap_or(name);
    match base {
        [.., b'o', b'n', b'd', b's'] => b" seconds",
        [.., b't', b'e', b's'] => b" bytes",
        _ => b"",
    }
}

/// The text on its way into the file.
struct Page {
    file: File,
    /// The labels that begin each sample.
    start: Text<160>,
    text: Text<1024>,
    result: Result<(), Error>,
}

/// No line of a file is longer: a program's name takes 130 bytes, an allocator's 48.
const LONGEST: usize = 384;

impl Page {
    fn fill(&mut self, runtime: &Runtime, process: &Process, rss: u64) {
        let stats = &process.stats;
        let load = |counter: &AtomicU64| counter.load(Relaxed);
        let [by_requests, by_growth, by_idle, by_period, by_pressure, by_signal] = stats.trims.each_ref().map(load);
        let (tops, pools, java) =
            (load(&stats.reclaimed_tops), load(&stats.reclaimed_pools), load(&stats.reclaimed_java));
        let verdict = load(&stats.verdict);
        let of = |kind: Verdict| if verdict == kind.number() { load(&stats.verdict_bytes) } else { 0 };
        let (fragmented, grown) = (of(Verdict::Fragmented { bytes: 0 }), of(Verdict::Growth { bytes: 0 }));
        // In the order of METRICS; what has only labels to tell is 1.
        let values = [
            1,
            load(&stats.requests),
            stats.in_flight(),
            by_requests,
            by_growth,
            by_idle,
            by_period,
            by_pressure,
            by_signal,
            load(&stats.reclaimed).saturating_sub(tops).saturating_sub(pools).saturating_sub(java),
            tops,
            pools,
            java,
            load(&stats.trim_time),
            load(&stats.longest_trim),
            load(&stats.deferred),
            load(&stats.collections),
            load(&stats.collection_time),
            rss,
            load(&stats.floor),
            load(&stats.live_bytes),
            load(&stats.free_bytes),
            load(&stats.leak_bytes_per_request),
            fragmented,
            grown,
            1,
        ];
        let mut values = values.iter();
        let mut namespace = Text::<20>::new();
        namespace.number(directory::pid_namespace());
        let verdict = Verdict::name_of(verdict);
        let allocator = runtime.allocator.as_ref().map_or(&b""[..], |allocator| allocator.name.as_bytes());
        let libc = runtime.libc.name();
        let mut texts = [allocator, libc.as_bytes(), namespace.as_bytes(), verdict.as_bytes()].into_iter();

        self.start.text("{pid=\"").number(sys::pid().unsigned_abs().into());
        self.start.text("\",program=").quoted(log::short_name(runtime));
        let mut name = &b""[..];
        for line in METRICS.as_bytes().split(|&byte| byte == b'\n') {
            if line.ends_with(b"=") {
                self.reasons(stats, name, line);
            } else if line.starts_with(b",") {
                self.begin(name);
                let labels = if line.len() > 1 { line } else { b"" };
                for (index, part) in labels.split(|&byte| byte == b'%').enumerate() {
                    if index > 0 {
                        self.text.bytes(texts.next().unwrap_or_default());
                    }
                    self.text.bytes(part);
                }
                self.end(values.next().copied().unwrap_or(0), unit(name) == b" seconds");
            } else {
                name = self.metadata(line);
            }
        }
        self.text.text("# EOF\n");
        self.flush();
    }

    fn make_room(&mut self) {
        if self.text.room() < LONGEST {
            self.flush();
        }
    }

    /// Begins a sample.
    fn begin(&mut self, name: &[u8]) {
        self.make_room();
        self.text.text("autotrim_").bytes(name).bytes(self.start.as_bytes());
    }

    /// Ends it.
    fn end(&mut self, value: u64, seconds: bool) {
        self.text.text("} ");
        self.value(value, seconds);
    }

    /// A sample for each reason, but for the one that has a metric of its own; `label` ends with `=`.
    fn reasons(&mut self, stats: &Stats, name: &[u8], label: &[u8]) {
        for reason in Skip::ALL.into_iter().filter(|reason| *reason != Skip::InFlight) {
            self.begin(name);
            self.text.bytes(label).byte(b'"').text(reason.name()).byte(b'"');
            self.end(stats.skipped(reason), false);
        }
    }

    /// What comes before a metric's samples. Returns its name.
    fn metadata<'a>(&mut self, metric: &'a [u8]) -> &'a [u8] {
        self.make_room();
        let end = metric.iter().take_while(|&&byte| byte != b' ').count();
        let (name, meaning) = metric.split_at_checked(end).unwrap_or_default();
        let base = name.strip_suffix(b"_total").unwrap_or(name);
        let kind: &[u8] = if base.len() < name.len() { b" counter" } else { b" gauge" };
        for (keyword, text) in [("HELP", meaning), ("TYPE", kind), ("UNIT", unit(name))] {
            if !text.is_empty() {
                self.text.text("# ").text(keyword).text(" autotrim_").bytes(base).bytes(text).byte(b'\n');
            }
        }
        name
    }

    fn value(&mut self, value: u64, seconds: bool) {
        if seconds {
            // Nanoseconds, with as many digits.
            let mut fraction = Text::<20>::new();
            fraction.number(SECOND + value % SECOND);
            self.text.number(value / SECOND).byte(b'.').bytes(fraction.as_bytes().get(1..).unwrap_or_default());
        } else {
            self.text.number(value);
        }
        self.text.byte(b'\n');
    }

    fn flush(&mut self) {
        if self.result.is_ok() {
            self.result = self.file.write(self.text.as_bytes());
        }
        self.text.clear();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::decide::rules::Trigger;
    use crate::pure::layers::LAYERS;

    #[test]
    fn every_trigger_has_its_sample_in_the_order_of_its_number() {
        let labels: String = Trigger::ALL.iter().map(|trigger| format!(",trigger=\"{}\"\n", trigger.name())).collect();
        assert!(METRICS.contains(&labels), "{labels}");
        assert_eq!(METRICS.matches("trigger=").count(), Trigger::COUNT);
    }

    #[test]
    fn the_documentation_shows_this_table() {
        let mut table = String::from("| metric | type | meaning |\n|---|---|---|\n");
        for metric in METRICS.lines().filter(|line| !line.starts_with(',')) {
            let (name, meaning) = metric.split_once(' ').expect("a name and a meaning");
            let kind = if name.ends_with("_total") { "counter" } else { "gauge" };
            table += &format!("| `autotrim_{name}` | {kind} | {meaning} |\n");
        }
        let page = std::fs::read_to_string("docs/metrics.md").expect("docs/metrics.md");
        assert!(page.contains(&table), "docs/metrics.md should contain this table:\n{table}");
    }

    #[test]
    fn there_is_a_line_for_the_reasons() {
        assert_eq!(METRICS.lines().filter(|line| line.ends_with('=')).collect::<Vec<_>>(), [",reason="]);
    }

    #[test]
    fn every_layer_has_its_sample() {
        let labels: String = LAYERS.iter().map(|layer| format!(",layer=\"{layer}\"\n")).collect();
        assert!(METRICS.contains(&labels), "{labels}");
        assert_eq!(METRICS.matches("layer=").count(), LAYERS.len());
    }

    #[test]
    fn only_our_own_files_are_swept() {
        for (name, pid) in [("autotrim-7.prom\0", 7), ("autotrim-4194304.tmp\0\0\0", 4_194_304)] {
            assert_eq!(pid_of(name.as_bytes()), Some(pid));
        }
        for name in [
            "",
            ".",
            "autotrim-",
            "autotrim-.prom\0",
            "autotrim-7.prom",
            "autotrim-7.prom~\0",
            "autotrim-7\0",
            "autotrim-x.prom\0",
            "autotrim-7.1.prom\0",
            "autotrim-99999999999.prom\0",
            "autotrim-+7.prom\0",
            "xautotrim-7.prom\0",
        ] {
            assert_eq!(pid_of(name.as_bytes()), None, "{name}");
        }
    }

    #[test]
    fn the_pid_namespace_is_found_in_a_file() {
        assert_eq!(namespace_of(b"autotrim_info{pid=\"7\",pid_namespace=\"4026531836\"} 1\n"), Some(4_026_531_836));
        for head in
            ["", "autotrim_info{pid=\"7\"} 1\n", ",pid_namespace=\"", ",pid_namespace=\"x\"", ",pid_namespace=\"\""]
        {
            assert_eq!(namespace_of(head.as_bytes()), None, "{head}");
        }
    }
}
