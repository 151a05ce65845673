//! Whichever allocator is in use, preloaded or linked, is the one that gives memory back, and no other is called.
//!
//! tests/fixtures/allocator_burst.c frees 144 MB; what is left of it after the trim stands in the log.

mod common;
#[path = "common/fixture.rs"]
mod fixture;

use common::gunicorn::{Gunicorn, Worker};
use common::http::get;
use common::log::{Line, Log};
use common::package::file_of;
use common::process::{clean_environment, cpu_time, end_with_this_test};
use common::{LIMIT, free_port, library, wait_within};
use fixture::{Fixture, shared_object, shared_object_as};
use std::io::{Read, Write};
use std::net::TcpStream;
use std::os::unix::process::ExitStatusExt;
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::time::Duration;

/// Far less than any allocator gives back that gives back at all, of 144 MB.
const RELEASED_KB: u64 = 64 * 1024;
/// Far more than a trim moves that releases nothing.
const NOTHING_KB: u64 = 8 * 1024;
/// What `/fragment` frees (tests/servers/heap.py), less what noise and survivors may hide.
const FRAGMENT_KB: u64 = 32 * 1024;

/// How long a server is watched while nobody asks anything.
const REST: Duration = Duration::from_secs(2);

/// An allocator to preload or to link with.
struct Allocator {
    package: &'static str,
    file: &'static str,
    /// How its name in the log begins.
    name: &'static str,
}

impl Allocator {
    const fn new(package: &'static str, file: &'static str, name: &'static str) -> Self {
        Self { package, file, name }
    }

    fn path(&self) -> PathBuf {
        file_of(self.package, self.file)
    }
}

const JEMALLOC: Allocator = Allocator::new("libjemalloc2", "libjemalloc.so.2", "jemalloc");
const TCMALLOC_MINIMAL: Allocator =
    Allocator::new("libtcmalloc-minimal4", "libtcmalloc_minimal.so.4", "gperftools-tcmalloc-2.");
const TCMALLOC: Allocator = Allocator::new("libgoogle-perftools4", "libtcmalloc.so.4", "gperftools-tcmalloc-2.");
const MIMALLOC: Allocator = Allocator::new("libmimalloc2.0", "libmimalloc.so.2", "mimalloc-2.0.");
const ALL: [Allocator; 4] = [JEMALLOC, TCMALLOC_MINIMAL, TCMALLOC, MIMALLOC];

/// One trim, after the second request.
fn trimming_once(fixture: Fixture) -> Fixture {
    fixture.env("AUTOTRIM_INTERVAL", "2").env("AUTOTRIM_IDLE", "0").env("AUTOTRIM_GROWTH", "0")
}

fn burst() -> Fixture {
    trimming_once(Fixture::new("allocator_burst"))
}

/// The burst in a program that is linked with this library. What the linker is given after it goes behind libc.
fn linked(flags: &[&str]) -> Fixture {
    let flags: Vec<&str> = ["-Wl,--no-as-needed"].iter().chain(flags).copied().collect();
    trimming_once(Fixture::compiled("allocator_burst", &flags))
}

/// Kilobytes before and after the one trim of a log, and the figures printed; the allocator's name begins so.
fn trim_of(log: &Log, name: &str, how: &str) -> (u64, u64) {
    let enabled = log.event("enabled").lines;
    assert_eq!(enabled.len(), 1, "{how}: {log:?}");
    assert!(enabled[0].text("allocator").starts_with(name), "{how}: {:?}", enabled[0]);
    let trims = log.trims("requests").lines;
    assert_eq!((trims.len(), log.lines.len()), (1, 2), "{how}: {log:?}");
    let (before, after) = (trims[0].number("rss_before_kb"), trims[0].number("rss_after_kb"));
    println!("{how}, {}: {before} KB before, {after} KB after", enabled[0].text("allocator"));
    (before, after)
}

fn gives_the_burst_back(fixture: Fixture, name: &str, how: &str) {
    let (before, after) = trim_of(&fixture.is_unchanged_by_trims(), name, how);
    assert!(before >= after + RELEASED_KB, "{how}: {before} KB before, {after} KB after");
}

/// Preloaded in front of the library and behind it, linked, and with the burst on another thread.
fn gives_back(allocator: &Allocator) {
    let (path, name) = (allocator.path(), allocator.name);
    gives_the_burst_back(burst().preload_before(path.clone()), name, "preloaded before");
    gives_the_burst_back(burst().preload_after(path.clone()), name, "preloaded after");
    gives_the_burst_back(linked(&[path.to_str().expect("UTF-8")]), name, "linked");
    gives_the_burst_back(burst().argument("thread").preload_after(path), name, "on a thread");
}

#[test]
fn glibc_gives_a_burst_back() {
    gives_the_burst_back(burst(), "glibc-2.", "glibc");
    gives_the_burst_back(burst().argument("thread"), "glibc-2.", "glibc, on a thread");
}

#[test]
fn jemalloc_gives_a_burst_back() {
    gives_back(&JEMALLOC);
}

#[test]
fn minimal_tcmalloc_gives_a_burst_back() {
    gives_back(&TCMALLOC_MINIMAL);
}

#[test]
fn tcmalloc_gives_a_burst_back() {
    gives_back(&TCMALLOC);
}

/// Debian's 2.0.9 answers mi_collect(true) by keeping all; from 2.1.4 on it gives back (DESIGN.md).
#[test]
fn mimalloc_is_asked_and_keeps_the_burst_as_version_2_0_does() {
    let path = MIMALLOC.path();
    for (how, fixture) in [
        ("preloaded before", burst().preload_before(path.clone())),
        ("preloaded after", burst().preload_after(path.clone())),
        ("linked", linked(&[path.to_str().expect("UTF-8")])),
    ] {
        let (before, after) = trim_of(&fixture.is_unchanged_by_trims(), MIMALLOC.name, how);
        assert!(before <= after + NOTHING_KB, "mimalloc gives back now: {before} KB before, {after} KB after");
    }
}

/// A breakpoint stands where glibc's malloc_trim begins: under glibc's own malloc it ends the process.
#[test]
fn glibc_is_never_trimmed_under_another_malloc() {
    let (outcome, _) = burst().argument("trap").preloaded();
    assert_eq!(outcome.status.signal(), Some(libc::SIGTRAP), "the breakpoint shows nothing: {outcome:?}");
    for allocator in &ALL {
        let path = allocator.path();
        let trap = |fixture: Fixture| trim_of(&fixture.argument("trap").is_unchanged(), allocator.name, "trapped");
        trap(burst().preload_before(path.clone()));
        trap(burst().preload_after(path.clone()));
        trap(linked(&[path.to_str().expect("UTF-8")]));
    }
    let unknown = shared_object("unknown_allocator");
    for fixture in [burst().preload_before(unknown.clone()), burst().preload_after(unknown)] {
        assert_said_once(&fixture.argument("trap").is_unchanged());
    }
}

/// Debian's jemalloc as `--with-jemalloc-prefix=je_` makes it: its public functions under other names, and no malloc.
fn prefixed_jemalloc() -> PathBuf {
    const PUBLIC: [&str; 20] = [
        "malloc",
        "calloc",
        "posix_memalign",
        "aligned_alloc",
        "realloc",
        "free",
        "memalign",
        "valloc",
        "mallocx",
        "rallocx",
        "xallocx",
        "sallocx",
        "dallocx",
        "sdallocx",
        "nallocx",
        "mallctl",
        "mallctlnametomib",
        "mallctlbymib",
        "malloc_stats_print",
        "malloc_usable_size",
    ];
    let directory = fixture::directory();
    let unique = |name: &str| directory.join(format!("{name}.{}", std::process::id()));
    let (archive, made, wanted) = (unique("libje.a"), unique("libje.so"), directory.join("libje.so"));
    let mut rename = Command::new("objcopy");
    for name in PUBLIC {
        rename.arg("--redefine-sym").arg(format!("{name}=je_{name}"));
    }
    run(rename.arg(file_of("libjemalloc-dev", "libjemalloc_pic.a")).arg(&archive));
    let mut link = Command::new("cc");
    link.args(["-shared", "-o"]).arg(&made).arg("-Wl,--whole-archive").arg(&archive).arg("-Wl,--no-whole-archive");
    run(link.args(["-lstdc++", "-lm", "-pthread"]));
    std::fs::remove_file(archive).expect("the archive");
    std::fs::rename(made, &wanted).expect("the library's place");
    wanted
}

fn run(command: &mut Command) {
    assert!(command.status().expect("a program of binutils or gcc").success(), "{command:?}");
}

/// Upstream's Redis, RocksDB: malloc is glibc's, and most memory comes from a jemalloc under its own prefix.
#[test]
fn a_prefixed_jemalloc_and_glibc_give_back_both() {
    let library = prefixed_jemalloc();
    let fixture = linked(&["-DALLOCATE=je_malloc", "-DRELEASE=je_free", library.to_str().expect("UTF-8")]);
    let (before, after) = trim_of(&fixture.is_unchanged_by_trims(), "glibc-2.", "prefixed");
    assert!(before >= after + 2 * RELEASED_KB, "{before} KB before, {after} KB after");
    let log = fixture.preloaded().1;
    assert!(log.lines[0].text("allocator").ends_with("+jemalloc"), "{log:?}");
}

/// libc comes first in the order of loading, so malloc is glibc's; mimalloc is called by its own names.
#[test]
fn glibc_beside_mimalloc_gives_its_part_back() {
    let path = MIMALLOC.path();
    let names = ["-DALLOCATE=mi_malloc", "-DRELEASE=mi_free", "-lc", path.to_str().expect("UTF-8")];
    let log = linked(&names).is_unchanged_by_trims();
    let (before, after) = trim_of(&log, "glibc-2.", "beside mimalloc");
    assert!(log.lines[0].text("allocator").contains("+mimalloc-2.0."), "{log:?}");
    assert!(before >= after + RELEASED_KB, "{before} KB before, {after} KB after");
}

/// Its fork waits for the release, or the allocator's own handlers do: no child finds a lock taken.
#[test]
fn children_forked_during_trims_can_allocate() {
    for allocator in &ALL {
        Fixture::new("fork_during_trims").preload_after(allocator.path()).is_unchanged_by_trims();
    }
}

#[test]
fn a_small_stack_is_not_overrun() {
    for allocator in &ALL {
        for (kilobytes, is_enough) in [("6", false), ("24", true)] {
            let fixture = Fixture::new("small_stack").argument(kilobytes).preload_after(allocator.path());
            let log = fixture.is_unchanged_to_the_last_trim();
            assert_eq!(log.event("trim").lines.len() >= 8, is_enough, "{kilobytes} KB: {log:?}");
        }
    }
}

/// A Python that is linked to a fixed address has its own stub for malloc; its garbage lies in the preloaded allocator.
#[test]
fn gunicorn_gives_a_burst_back() {
    for allocator in [JEMALLOC, TCMALLOC_MINIMAL, TCMALLOC] {
        for preload in [[allocator.path(), library()], [library(), allocator.path()]] {
            let preload = preload.map(|path| path.display().to_string()).join(":");
            let gunicorn = Gunicorn::plain(Worker::Gthread).env("LD_PRELOAD", &preload).trimming_every(2);
            let server = gunicorn.start();
            get(server.port, "/small");
            get(server.port, "/fragment");
            let trim = server.wait_for_line("a trim", |line| line.is_trim("requests"));
            let (before, after) = (trim.number("rss_before_kb"), trim.number("rss_after_kb"));
            println!("gunicorn, {preload}: {before} KB before, {after} KB after");
            assert!(before >= after + FRAGMENT_KB, "{preload}: {trim:?}");
            let enabled = server.log().event("enabled").lines;
            assert!(enabled[0].text("allocator").starts_with(allocator.name), "{preload}: {enabled:?}");
        }
    }
}

/// Debian's redis-server is linked with jemalloc. Its data is thrown away by a thread of its own.
#[test]
fn redis_gives_its_data_back() {
    let directory = tempfile::tempdir().expect("a temporary directory");
    let errors = directory.path().join("stderr");
    let port = free_port();
    let mut command = Command::new(file_of("redis-server", "bin/redis-server"));
    clean_environment(&mut command)
        .args(["--bind", "127.0.0.1", "--save", "", "--enable-debug-command", "local", "--jemalloc-bg-thread", "no"])
        .args(["--port", &port.to_string()])
        .envs([("AUTOTRIM_INTERVAL", "1"), ("AUTOTRIM_GROWTH", "0"), ("AUTOTRIM_IDLE", "0")])
        .envs([("AUTOTRIM_OVERHEAD", "0"), ("AUTOTRIM_LOG", "debug")])
        .env("LD_PRELOAD", library())
        .current_dir(directory.path())
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(std::fs::File::create(&errors).expect("a file for the log"));
    let mut server = end_with_this_test(&mut command).spawn().expect("redis-server");
    let mut client = wait_within(LIMIT, "redis-server", || TcpStream::connect(("127.0.0.1", port)).ok());
    client.set_read_timeout(Some(LIMIT)).expect("a timeout");
    assert_eq!(ask(&mut client, "DEBUG POPULATE 150000 key 600"), "+OK\r\n");
    assert_eq!(ask(&mut client, "FLUSHALL ASYNC"), "+OK\r\n");
    wait_within(LIMIT, "redis-server's own thread", || {
        ask(&mut client, "INFO memory").contains("lazyfree_pending_objects:0\r\n").then_some(())
    });
    assert_eq!(ask(&mut client, "PING"), "+PONG\r\n");
    let log = || Log::read(&std::fs::read(&errors).expect("the log"));
    let released = wait_within(LIMIT, "trims that release", || {
        let trims = log().event("trim").lines;
        let by_one = |line: &Line| line.number("rss_before_kb").saturating_sub(line.number("rss_after_kb"));
        let released: u64 = trims.iter().map(by_one).sum();
        (released >= RELEASED_KB).then_some(released)
    });
    println!("redis-server: {released} KB released; {:?}", log().lines.last());
    assert_eq!(log().event("enabled").lines[0].text("allocator"), "jemalloc");
    server.kill().and_then(|()| server.wait()).expect("the end of redis-server");
}

/// One command in Redis's inline form; what one receive brings of the answer.
fn ask(client: &mut TcpStream, command: &str) -> String {
    client.write_all(format!("{command}\r\n").as_bytes()).expect("send");
    let mut answer = [0; 65536];
    let length = client.read(&mut answer).expect("an answer");
    String::from_utf8_lossy(&answer[..length]).into_owned()
}

/// By the documented declaration; the real one was measured (DESIGN.md).
fn google() -> PathBuf {
    shared_object_as("unknown_allocator", "google_allocator.so", &["-DGOOGLE"])
}

/// No child of a fork finds the allocator's lock taken for ever, though its release holds it for a millisecond each time.
#[test]
fn children_forked_during_trims_find_no_lock_taken() {
    let fixture = Fixture::new("fork_during_trims").env("GOOGLE_IS_SILENT", "1").preload_after(google());
    fixture.is_unchanged_by_trims();
}

#[test]
fn googles_tcmalloc_is_asked_for_all_it_has() {
    let (outcome, log) = burst().argument("trap").preload_after(google()).preloaded();
    assert!(outcome.status.success(), "{outcome:?}");
    assert_eq!(outcome.stdout, format!("released {}\nrequests 2\n", isize::MAX));
    trim_of(&log, "google-tcmalloc", "by declaration");
}

fn assert_said_once(log: &Log) {
    assert_eq!(log.lines.len(), 1, "{log:?}");
    let line = &log.lines[0];
    assert_eq!(
        (line.event.as_str(), line.text("reason"), line.text("allocator")),
        ("disabled", "allocator", "unknown")
    );
}

/// Where nobody knows whose malloc it is, the library says so once, as an error, never trims, and sleeps.
#[test]
fn memory_is_left_to_an_unknown_allocator() {
    let (ours, other) = (library().display().to_string(), shared_object("unknown_allocator").display().to_string());
    for preload in [format!("{other}:{ours}"), format!("{ours}:{other}")] {
        for level in ["error", "debug"] {
            let gunicorn = Gunicorn::plain(Worker::Gthread).env("LD_PRELOAD", &preload).trimming_every(5);
            let mut server = gunicorn.env("AUTOTRIM_LOG", level).start();
            for _ in 0..20 {
                assert_eq!(get(server.port, "/small").text(), "hello");
            }
            // A trim that is due and cannot be made is no reason to stay awake.
            let worker = server.worker();
            let before = cpu_time(worker);
            std::thread::sleep(REST);
            let used = cpu_time(worker) - before;
            assert!(used < REST / 10, "{preload}: {used:?} of CPU time in {REST:?} of rest");
            let log = server.stop_and_read_log();
            assert_eq!(log.pids(), [worker], "{preload}");
            assert_said_once(&log);
        }
    }
}
