//! The kernel fills with huge pages what trims give back, in real servers in which nothing comes or goes: it is noticed, told once, and stopped.
//! For that the machine's setting of transparent huge pages is changed, and set back at the end: needs root, and nothing beside it.

mod common;

use common::gunicorn::{Gunicorn, Server, Worker};
use common::http::get;
use common::log::Line;
use common::stats::reclaimed;
use common::{LIMIT, wait_within};
use std::fs::{read_to_string, write};
use std::os::unix::process::CommandExt;
use std::process::{Child, Command, Stdio};
use std::sync::{Mutex, MutexGuard, PoisonError};

const DIRECTORY: &str = "/sys/kernel/mm/transparent_hugepage";
/// khugepaged rests for hardly any time; where no huge page is free either.
const EAGER: [(&str, &str); 3] = [
    ("khugepaged/scan_sleep_millisecs", "100"),
    ("khugepaged/alloc_sleep_millisecs", "100"),
    ("khugepaged/pages_to_scan", "1000000"),
];

/// What `/fragment` frees (tests/servers/heap.py), less what noise and survivors may hide.
const FREED_KB: u64 = 48 * 1024;
/// Far more than comes of anything else, and far less than that.
const MUCH_KB: u64 = 16 * 1024;

/// The machine's setting, changed until this is dropped; also where the test is killed.
struct Setting {
    sets_back: Child,
    _alone: MutexGuard<'static, ()>,
}

impl Setting {
    /// Huge pages `always`, or where they are asked for (`madvise`).
    fn new(enabled: &str) -> Setting {
        static ALONE: Mutex<()> = Mutex::new(());
        let alone = ALONE.lock().unwrap_or_else(PoisonError::into_inner);
        let values: Vec<_> = EAGER.into_iter().chain([("enabled", enabled)]).collect();
        let back = values.iter().map(|(name, _)| format!("echo {} >{DIRECTORY}/{name}", now(name)));
        let back: Vec<_> = back.chain([reniced(19)]).collect();
        // It waits for the end of its input, and so of this process, whatever ends that.
        let sets_back = Command::new("sh")
            .args(["-c", &format!("cat >/dev/null; {}", back.join("; "))])
            .stdin(Stdio::piped())
            .process_group(0)
            .spawn()
            .expect("a shell");
        let setting = Setting { sets_back, _alone: alone };
        // On a busy machine it has its turn, too.
        let reniced = Command::new("sh").args(["-c", &reniced(0)]).status().expect("a shell");
        assert!(reniced.success(), "renice");
        for (name, value) in values {
            write(format!("{DIRECTORY}/{name}"), value).expect("this test needs root, and a /sys that can be written");
        }
        setting
    }
}

impl Drop for Setting {
    fn drop(&mut self) {
        drop(self.sets_back.stdin.take());
        let _ = self.sets_back.wait();
    }
}

/// The command that gives khugepaged this place among those who wait for a processor.
fn reniced(nice: i32) -> String {
    format!("renice -n {nice} -p $(pgrep -x khugepaged) >/dev/null")
}

/// A setting's value, in brackets where there is a choice.
fn now(name: &str) -> String {
    let text = read_to_string(format!("{DIRECTORY}/{name}")).expect("a kernel with transparent huge pages");
    let chosen = text.split_once('[').and_then(|(_, rest)| rest.split_once(']'));
    chosen.map_or(text.trim(), |(value, _)| value).to_owned()
}

/// Waits until khugepaged has looked at everything once more, from beginning to end.
fn until_passed_by() {
    let scans = || now("khugepaged/full_scans").parse::<u64>().expect("a number");
    let begun = scans();
    // The present one has begun before.
    wait_within(LIMIT, "khugepaged", || (scans() >= begun + 2).then_some(()));
}

/// A server that has fragmented its heap, and has nothing to do any more.
struct Idle(Server);

impl Idle {
    fn start(gunicorn: Gunicorn, requests: &[&str]) -> Idle {
        let server = gunicorn.env("AUTOTRIM_LOG", "debug").start();
        for path in requests {
            get(server.port, path);
        }
        Idle(server)
    }

    /// What it says when the kernel was seen, and what the trim says that has shown it.
    fn seen(&self) -> (Line, Line) {
        let said = wait_within(LIMIT, "what is said of huge pages", || self.lines("huge_pages").into_iter().next());
        let trim = self.lines("trim").into_iter().find(|line| line.fields.contains_key("huge_pages_kb"));
        (said, trim.expect("a trim that tells of huge pages"))
    }

    fn lines(&self, event: &str) -> Vec<Line> {
        self.0.log().event(event).lines
    }

    /// What came back has gone once more, and stays away, however often the kernel looks. What it has filled between the trim and its being kept
    /// out goes after the next look, ten seconds later.
    fn is_left_alone(&self) {
        let (said, trim) = self.seen();
        assert_eq!(said.text("stopped"), "yes");
        assert_eq!(said.number("came_back_kb"), trim.number("huge_pages_kb"));
        let left = trim.number("rss_after_kb");
        let is_little = || self.0.anonymous_kb() < left + MUCH_KB;
        wait_within(LIMIT, "what came back to go", || is_little().then_some(()));
        until_passed_by();
        assert!(is_little(), "{left} KB, then {}: {}", self.0.anonymous_kb(), self.0.stderr());
        assert_eq!(self.lines("huge_pages").len(), 1);
    }
}

fn fragmented(worker: Worker, environment: &[(&str, &str)]) -> Idle {
    let gunicorn =
        environment.iter().fold(Gunicorn::preloaded(worker), |gunicorn, (name, value)| gunicorn.env(name, *value));
    Idle::start(gunicorn, &["/fragment"])
}

#[test]
fn what_the_kernel_takes_back_in_quiet_is_given_back_and_stays_away() {
    let _always = Setting::new("always");
    // In the main arena, in one of a thread's, and in CPython's own arenas.
    let sync = fragmented(Worker::Sync, &[]);
    let threads = fragmented(Worker::Gthread, &[]);
    let objects = Gunicorn::preloaded(Worker::Sync).application("json_tree:application");
    let objects = Idle::start(objects, &["/1", "/2", "/3", "/4"]);
    let kept = fragmented(Worker::Sync, &[("AUTOTRIM_HUGE_PAGES", "keep")]);

    for server in [&sync, &threads, &objects] {
        server.is_left_alone();
    }
    // What was given back twice counts once.
    let (_, trim) = sync.seen();
    let gave: u64 = sync
        .lines("trim")
        .iter()
        .map(|line| line.number("rss_before_kb").saturating_sub(line.number("rss_after_kb")))
        .sum();
    let reclaimed = reclaimed(sync.0.worker()).expect("counters") / 1024;
    assert!(reclaimed >= FREED_KB, "{reclaimed} KB");
    assert!(reclaimed + trim.number("huge_pages_kb") <= gave + MUCH_KB / 4, "{reclaimed} KB of {gave}");

    // Who wants it so has it so, and is told once.
    let (said, trim) = kept.seen();
    assert_eq!(said.text("stopped"), "no");
    let filled = trim.number("rss_after_kb") + MUCH_KB;
    wait_within(LIMIT, "the kernel to fill it again", || (kept.0.anonymous_kb() > filled).then_some(()));
    assert_eq!(kept.lines("huge_pages").len(), 1);
}

/// glibc asks for huge pages itself.
#[test]
fn so_does_what_glibc_has_asked_huge_pages_for() {
    let _madvise = Setting::new("madvise");
    let hugetlb = ("GLIBC_TUNABLES", "glibc.malloc.hugetlb=1");
    let (asks, asks_not) = (fragmented(Worker::Sync, &[hugetlb]), fragmented(Worker::Sync, &[]));
    asks.is_left_alone();
    assert!(asks_not.lines("huge_pages").is_empty(), "{}", asks_not.0.stderr());
}
