//! AUTOTRIM_POOLS: what is free in CPython's own pools is given back with each trim, and the program notices nothing.
//!
//! By hand on other builds of CPython, whose directories of programs `AUTOTRIM_PYTHONS` names, separated by colons; and with more than
//! a million objects, `AUTOTRIM_OPERATIONS`.

mod common;
#[path = "common/fixture.rs"]
mod fixture;
#[path = "common/release.rs"]
mod release;

use common::gunicorn::{Gunicorn, Server, Worker};
use common::http::get;
use common::log::{Line, Log};
use common::metrics::Metrics;
use common::opened::open_directory;
use common::process::{anonymous_kb, children, clean_environment, end_with_this_test, until_old};
use common::script::Script;
use common::{LIMIT, library, python, servers, wait_within};
use fixture::Fixture;
use std::io::Write;
use std::net::{TcpListener, TcpStream};
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

/// A trim after each request, whatever it costs: the release that it asks for comes when the wait after it is over.
const AFTER_EACH_REQUEST: [(&str, &str); 7] = [
    ("AUTOTRIM_POOLS", "auto"),
    ("AUTOTRIM_INTERVAL", "1"),
    ("AUTOTRIM_GROWTH", "0"),
    ("AUTOTRIM_IDLE", "0"),
    ("AUTOTRIM_OVERHEAD", "0"),
    ("AUTOTRIM_LOG", "debug"),
    ("PYTHONHASHSEED", "0"),
];

/// A build of CPython: in which root directory, by what that is entered, and by which name it is there.
struct Build {
    root: PathBuf,
    enter: Vec<String>,
    program: PathBuf,
}

impl Build {
    /// This machine's, and those of `AUTOTRIM_PYTHONS`.
    fn here() -> Vec<Build> {
        let named = std::env::var_os("AUTOTRIM_PYTHONS").unwrap_or_default();
        let named = std::env::split_paths(&named).filter(|path| !path.as_os_str().is_empty());
        let programs = named.map(|path| path.join("python3")).chain([python()]);
        programs.map(|program| Build { root: "/".into(), enter: vec![], program }).collect()
    }

    /// That of a system that scripts/roots made.
    fn in_debian(suite: &str) -> Build {
        Build::in_root(suite, vec!["chroot".to_owned()], release::x86_64())
    }

    /// That of bookworm for 64-bit ARM, by the emulator.
    fn on_aarch64() -> Build {
        let script = common::root().join("scripts/enter-foreign").display().to_string();
        let enter = ["unshare", "--user", "--map-root-user", "--mount", &script, "aarch64"].map(str::to_owned);
        Build::in_root("bookworm-arm64", enter.to_vec(), release::aarch64())
    }

    fn in_root(name: &str, enter: Vec<String>, library: PathBuf) -> Build {
        let root = release::path_from("scripts/roots").join(name);
        let files = ["trees.py", "pools.py"].map(|name| servers().join(name));
        for file in files.into_iter().chain([library]) {
            release::install(&file, &root);
        }
        Build { root, enter, program: "/usr/bin/python3".into() }
    }

    /// A program of tests/servers with these variables; whether the library does anything is one of them, so that the environment has the
    /// same size.
    fn run(&self, program: &str, arguments: &[&str], environment: &[(&str, &str)]) -> Outcome {
        let is_here = self.enter.is_empty();
        let (folder, preload) = if is_here { (servers(), library()) } else { ("/".into(), "/libautotrim.so".into()) };
        let (root, env) = (self.root.display().to_string(), "/usr/bin/env".to_owned());
        let mut words = self.enter.iter().chain((!is_here).then_some(&root)).chain([&env]);
        let mut command = Command::new(words.next().expect("a program"));
        // By env and not here: what enters the root directory runs on this system.
        clean_environment(&mut command).args(words);
        command
            .arg(format!("LD_PRELOAD={}", preload.display()))
            .arg(&self.program)
            .arg(folder.join(program))
            .args(arguments);
        command.envs(AFTER_EACH_REQUEST).envs(environment.iter().copied()).stdin(Stdio::null());
        let output = end_with_this_test(&mut command).output().expect("the program could not be started");
        let stderr = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(output.status.success(), "{} {program}: {}: {stderr}", self.program.display(), output.status);
        let theirs: Vec<_> = stderr.lines().filter(|line| !line.starts_with("autotrim: ")).collect();
        assert_eq!(theirs, [""; 0], "{}", self.program.display());
        Outcome { stdout: String::from_utf8(output.stdout).expect("text"), log: Log::read(&output.stderr) }
    }

    /// Objects are built and freed at random, with a release at every step: the same objects and the same statistics as without.
    fn is_unchanged(&self, environment: &[(&str, &str)]) -> Log {
        let operations = std::env::var("AUTOTRIM_OPERATIONS").unwrap_or("1000000".into());
        self.is_unchanged_after(&operations, environment)
    }

    fn is_unchanged_after(&self, operations: &str, environment: &[(&str, &str)]) -> Log {
        let run = |disabled| {
            let environment = [environment, &[("AUTOTRIM_DISABLE", disabled)]].concat();
            self.run("pools.py", &[operations, "100"], &environment)
        };
        let (without, with) = (run("1"), run("0"));
        assert!(without.stdout.contains("verified") && without.log.lines.is_empty(), "{}", without.stdout);
        let done = without.stdout.lines().filter_map(|line| line.split(' ').nth(1)?.parse::<u64>().ok()).max();
        let asked: u64 = operations.parse().expect("AUTOTRIM_OPERATIONS is a number");
        assert!(done.is_some_and(|done| done >= asked / 2), "{done:?} of {asked} objects");
        self.assert_alike(&without, &with);
        with.log
    }

    /// The same lines, and as many blocks but for a few.
    fn assert_alike(&self, without: &Outcome, with: &Outcome) {
        let (without, with) = (lines(&without.stdout), lines(&with.stdout));
        assert_eq!(without.len(), with.len());
        for ((plain, blocks), (preloaded, blocks_with)) in without.iter().zip(&with) {
            assert_eq!(plain, preloaded, "{}", self.program.display());
            let are_few = blocks.len() == blocks_with.len()
                && blocks.iter().zip(blocks_with).all(|(one, other)| (one - other).abs() <= FEW_BLOCKS);
            assert!(are_few, "{plain}: {blocks:?} and {blocks_with:?} blocks");
        }
    }
}

/// CPython has one more or less now and then without the library, too: 3.13 at two of 165 moments in one of five runs.
const FEW_BLOCKS: i64 = 2;

/// The lines, and in those that have it how many blocks there are of each class and at all, which stands apart from the rest.
fn lines(stdout: &str) -> Vec<(String, Vec<i64>)> {
    let numbers = |text: &str| text.split(' ').map(|word| word.parse().expect("a number")).collect();
    stdout
        .lines()
        .map(|line| match line.split_once(" grown ") {
            Some((rest, blocks)) => (rest.to_owned(), numbers(blocks)),
            None => (line.to_owned(), vec![]),
        })
        .collect()
}

/// What a program left.
struct Outcome {
    stdout: String,
    log: Log,
}

/// What the log's trims tell of released pools, in KB, and in how many lines.
fn released<'a>(lines: impl IntoIterator<Item = &'a Line>) -> (u64, usize) {
    let told: Vec<_> = lines
        .into_iter()
        .filter(|line| line.event == "trim" && line.fields.contains_key("pools_kb"))
        .map(|line| line.number("pools_kb"))
        .filter(|&kb| kb > 0)
        .collect();
    (told.iter().sum(), told.len())
}

fn is_released(log: &Log) {
    let (kb, lines) = released(&log.lines);
    assert!(kb >= 5_000 && lines >= 50, "{kb} KB in {lines} lines");
    assert_eq!(log.event("unavailable").lines, []);
}

#[test]
fn objects_of_every_size_are_what_they_were() {
    for build in Build::here() {
        is_released(&build.is_unchanged(&[]));
    }
}

#[test]
fn so_they_are_with_the_debug_allocator() {
    for build in Build::here() {
        is_released(&build.is_unchanged(&[("PYTHONMALLOC", "pymalloc_debug")]));
    }
}

/// tracemalloc, faulthandler, and whoever reads all of a process's memory, find what they find without the library.
#[test]
fn so_they_are_while_others_look_at_them() {
    for build in Build::here() {
        let run = |disabled| build.run("pools_observed.py", &["400000", "100"], &[("AUTOTRIM_DISABLE", disabled)]);
        let (without, with) = (run("1"), run("0"));
        assert!(without.stdout.ends_with("verified\n") && without.log.lines.is_empty(), "{}", without.stdout);
        build.assert_alike(&without, &with);
        is_released(&with.log);
    }
}

#[test]
fn so_they_are_on_python_3_13_of_debian_trixie() {
    is_released(&Build::in_debian("trixie").is_unchanged(&[]));
}

/// Its pools are those of 3.13 (Include/internal/pycore_obmalloc.h differs in two comments).
#[test]
fn so_they_are_on_python_3_14_of_debian_forky() {
    is_released(&Build::in_debian("forky").is_unchanged(&[]));
}

#[test]
fn so_they_are_there_with_the_debug_allocator() {
    is_released(&Build::in_debian("forky").is_unchanged(&[("PYTHONMALLOC", "pymalloc_debug")]));
}

/// By fewer objects: the emulator takes its time.
#[test]
fn so_they_are_on_aarch64() {
    let (kb, lines) = released(&Build::on_aarch64().is_unchanged_after("100000", &[]).lines);
    assert!(kb >= 1_000 && lines >= 10, "{kb} KB in {lines} lines");
}

/// Pages of 16 KiB hold a pool each, those of 64 KiB four.
#[test]
fn nothing_is_released_where_pages_are_larger() {
    for page in ["16384", "65536"] {
        is_left_alone(&Build::on_aarch64().is_unchanged_after("60000", &[("QEMU_PAGESIZE", page)]));
    }
}

fn is_left_alone(log: &Log) {
    assert!(log.event("trim").lines.len() >= 50, "{log:?}");
    assert_eq!((released(&log.lines), log.event("unavailable").lines.len()), ((0, 0), 0));
}

#[test]
fn without_pools_there_is_nothing_to_release() {
    for build in Build::here() {
        is_left_alone(&build.is_unchanged(&[("PYTHONMALLOC", "malloc")]));
    }
}

#[test]
fn switched_off_nothing_is_released() {
    for build in Build::here() {
        is_left_alone(&build.is_unchanged(&[("AUTOTRIM_POOLS", "off")]));
    }
}

/// Its pools are those of before 3.10: smaller, and nothing for us.
#[test]
fn python_3_9_of_debian_bullseye_is_left_alone() {
    is_left_alone(&Build::in_debian("bullseye").is_unchanged(&[]));
}

/// One with a lock of its own, from 3.12 on, allocates and frees while the main one's pools are released.
#[test]
fn other_interpreters_are_left_alone() {
    for build in Build::here() {
        let outcome = build.run("pools_interpreters.py", &[], &[]);
        let steps: Vec<u64> = outcome.stdout.split(' ').map(|word| word.trim().parse().expect("a number")).collect();
        assert!(steps[1] >= 20, "{steps:?}");
        let (kb, lines) = released(&outcome.log.lines);
        // Up to 3.11 both have one lock, and the call is lost in the queue of the one that runs.
        let has_own_lock = steps[0] == 400;
        assert!(!has_own_lock || kb >= 500 && lines >= 5, "{kb} KB in {lines} lines");
        assert_eq!(outcome.log.event("unavailable").lines, []);
    }
}

/// What a child has of its parent it would copy, and not give back. What it leaves itself it does.
#[test]
fn a_forked_child_leaves_what_it_shares() {
    for build in Build::here() {
        let outcome = build.run("pools_fork.py", &[], &[]);
        let ends = outcome.stdout.lines().find_map(|line| line.strip_suffix(" ends"));
        let parent: u32 = ends.expect("the parent's end").parse().expect("a process id");
        // What was released after the last trim of the first round is told by the first trim of the second.
        let of = |is_parent: bool, is_first: bool| {
            let lines = outcome.log.event("trim").lines;
            let lines: Vec<_> = lines
                .into_iter()
                .filter(|line| (line.pid == parent) == is_parent && (line.number("requests") <= 11) == is_first)
                .collect();
            released(&lines).0
        };
        let (parent, child) = ([of(true, true), of(true, false)], [of(false, true), of(false, false)]);
        assert!(parent.iter().all(|&kb| kb >= 1_500), "the parent releases {parent:?} KB");
        assert!(child[0] < parent[0] / 10, "the child releases {} KB that it shares, of {parent:?}", child[0]);
        assert!(child[1] >= parent[1] / 2, "the child releases {} KB of its own, its parent {}", child[1], parent[1]);
    }
}

/// Whoever sets another allocator of arenas than ours knows what they are, and we do not any more.
#[test]
fn arenas_of_somebody_else_are_left_alone() {
    let log = Fixture::compiled("arenas_replaced", &["-l:libpython3.11.so.1.0"])
        .env("AUTOTRIM_POOLS", "auto")
        .is_unchanged_by_trims();
    let doubts: Vec<_> = log.lines.iter().zip(0..).filter(|(line, _)| line.event == "unavailable").collect();
    assert_eq!(doubts.iter().map(|(line, _)| line.text("what")).collect::<Vec<_>>(), ["pools"]);
    let (before, after) = log.lines.split_at(doubts[0].1);
    let (kb, _) = released(before);
    assert!(kb >= 2_000, "{kb} KB before");
    // The next trim tells of what was released before.
    let (kb, _) = released(after);
    assert!(kb == 0, "{kb} KB after");
}

// Servers.

/// All of it, whether it came before a trim or after the last one.
#[test]
fn metrics_tell_what_pools_gave_as_the_log_does() {
    let directory = open_directory();
    let gunicorn = Gunicorn::preloaded(Worker::Gthread).application("json_tree:application");
    let gunicorn = gunicorn.arguments(&["--threads", "2"]).env("AUTOTRIM_METRICS_DIR", directory.path());
    let server = gunicorn.env("AUTOTRIM_LOG", "debug").env("AUTOTRIM_POOLS", "auto").start();
    (0..4).for_each(|number| assert_eq!(get(server.port, &format!("/{number}")).status(), 200));
    wait_within(LIMIT, "the same in both", || {
        pass_by(&server, Worker::Gthread);
        let metrics = Metrics::of(directory.path(), server.worker())?;
        let told = metrics.value("autotrim_reclaimed_bytes_total", Some(("layer", "pools")));
        let (kb, _) = released(&server.log().lines);
        (kb >= 5_000 && told == (kb * 1024) as f64).then_some(())
    });
}

/// Parses documents, of which a little stays.
fn parsing(worker: Worker, pools: &str) -> (Server, Vec<String>) {
    const DOCUMENTS: usize = 4;
    let gunicorn = Gunicorn::preloaded(worker).application("json_tree:application").env("AUTOTRIM_LOG", "debug");
    // With threads a sync worker is a gthread worker.
    let threads = if worker == Worker::Sync { "1" } else { "2" };
    let server = gunicorn.arguments(&["--threads", threads]).env("AUTOTRIM_POOLS", pools).start();
    let answers = (0..DOCUMENTS).map(|number| get(server.port, &format!("/{number}")).text()).collect();
    (server, answers)
}

/// A moment after which there may be quiet; gunicorn's sync worker comes by only where there was something to do.
fn pass_by(server: &Server, worker: Worker) {
    std::thread::sleep(Duration::from_millis(200));
    if worker == Worker::Sync {
        assert_eq!(get(server.port, "/").text(), "hello");
    }
}

fn gives_more_back(worker: Worker) {
    let (without, expected) = parsing(worker, "off");
    let settles = Instant::now();
    let mut least = u64::MAX;
    while settles.elapsed() < Duration::from_secs(6) {
        pass_by(&without, worker);
        least = least.min(without.anonymous_kb());
    }
    assert!(!without.log().event("trim").lines.is_empty(), "{}", without.stderr());
    drop(without);
    let (with, answers) = parsing(worker, "auto");
    assert_eq!(answers, expected);
    wait_within(LIMIT, "much less than without", || {
        pass_by(&with, worker);
        (with.anonymous_kb() < least * 3 / 4).then_some(())
    });
    assert_eq!(with.log().event("unavailable").lines, []);
}

/// A worker that has had so many tasks and waits for the next; what its tasks come from, and its process id.
fn waiting_for_its_next_task(last: usize, arguments: &[&str], pools: &str) -> (Script, TcpStream, u32) {
    let tasks = TcpListener::bind(("127.0.0.1", 0)).expect("a port");
    let port = tasks.local_addr().expect("an address").port().to_string();
    let arguments = [&[port.as_str()], arguments].concat();
    let worker = Script::start("tree_tasks.py", &arguments, &[("AUTOTRIM_POOLS", pools)]);
    let (mut source, _) = tasks.accept().expect("a worker");
    let pid = children(worker.pid()).first().copied().unwrap_or(worker.pid());
    for task in 1..=last {
        if task == last {
            // The last one comes when the worker is old enough to be looked at.
            std::thread::sleep(until_old(pid));
        }
        source.write_all(b"t").expect("a task");
        wait_within(LIMIT, "a task", || (worker.read("stdout").lines().count() > task).then_some(()));
    }
    wait_within(LIMIT, "a trim", || (!worker.log().event("trim").lines.is_empty()).then_some(()));
    (worker, source, pid)
}

/// Its only thread comes by nowhere else.
#[test]
fn a_worker_that_waits_for_ever_gives_more_back() {
    let (without, _source, pid) = waiting_for_its_next_task(4, &[], "off");
    std::thread::sleep(Duration::from_secs(3));
    let least = anonymous_kb(pid).expect("a worker");
    drop(without);
    let (with, _source, pid) = waiting_for_its_next_task(4, &[], "auto");
    let settled = || anonymous_kb(pid).is_some_and(|kb| kb < least * 3 / 4).then_some(());
    wait_within(LIMIT, "much less than without", settled);
    assert_eq!(with.log().event("unavailable").lines, []);
}

/// A thread that it has not may have held the lock when it was forked, and it is not CPython itself that waits there. After its next task it comes by by itself.
#[test]
fn a_child_that_c_code_has_forked_takes_no_lock() {
    let (worker, mut source, pid) = waiting_for_its_next_task(1, &["fork"], "auto");
    let released = || released(&worker.log().of(pid).lines).0;
    std::thread::sleep(Duration::from_secs(3));
    assert_eq!(released(), 0, "{}", worker.read("stderr"));
    wait_within(LIMIT, "a release after a task", || {
        source.write_all(b"t").expect("a task");
        std::thread::sleep(Duration::from_secs(1));
        (released() >= 1_000).then_some(())
    });
}

#[test]
fn gthread_gives_more_back() {
    gives_more_back(Worker::Gthread);
}

#[test]
fn sync_gives_more_back() {
    gives_more_back(Worker::Sync);
}
