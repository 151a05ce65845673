//! AUTOTRIM_PERIOD, and the thread that looks after what needs no request: where there is one, and where not.

mod common;
#[path = "common/fixture.rs"]
mod fixture;

use common::gunicorn::{Gunicorn, Server, Worker};
use common::http::get;
use common::log::{Line, Log};
use common::process::{clean_environment, end_with_this_test, has_forked_soon, open_files, own_threads};
use common::script::Script;
use common::{LIMIT, library, python, servers, wait_within};
use fixture::Fixture;
use std::process::{Command, Stdio};
use std::time::Duration;

/// How old a process is before it starts its thread, and a little more.
const GROWN_UP: Duration = Duration::from_millis(6000);

fn periodic(worker: Worker) -> Gunicorn {
    Gunicorn::preloaded(worker).env("AUTOTRIM_PERIOD", "1s").env("AUTOTRIM_LOG", "debug")
}

/// Waits until each of these has one thread, and has trimmed by period on it.
fn each_has_one_thread(server: &Server, workers: &[u32]) {
    for &worker in workers {
        wait_within(LIMIT, "a thread", || (!own_threads(worker).is_empty()).then_some(()));
        let before = server.log().of(worker).trims("period").lines.len();
        server
            .wait_for_log("trims by period", |log| (log.of(worker).trims("period").lines.len() > before).then_some(()));
        assert_eq!(own_threads(worker).len(), 1);
    }
}

#[test]
fn workers_of_a_preloaded_application_have_one_thread_each_and_their_master_none() {
    for worker in [Worker::Sync, Worker::Gthread] {
        let mut server = periodic(worker).workers(4).arguments(&["--preload"]).start();
        let workers = server.workers();
        assert_eq!(workers.len(), 4);
        each_has_one_thread(&server, &workers);
        let soon = has_forked_soon(server.master(), workers[0]);
        assert!(!soon || own_threads(server.master()).is_empty(), "the master goes on forking");
        for path in ["/small", "/pid"] {
            assert_eq!(get(server.port, path).status(), 200);
        }
        let master = server.master();
        // It is no server, but its waits come often.
        server
            .wait_for_log("the master's trims", |log| (!log.of(master).trims("period").lines.is_empty()).then_some(()));
        let log = server.stop_and_read_log();
        for &worker in &workers {
            assert_eq!(log.of(worker).event("enabled").lines.len(), 1, "{log:?}");
        }
    }
}

#[test]
fn workers_that_come_and_go_have_threads_of_their_own() {
    let mut server = periodic(Worker::Gthread).start();
    let first = server.worker();
    each_has_one_thread(&server, &[first]);
    let soon = has_forked_soon(server.master(), first);
    server.signal(libc::SIGHUP);
    let second = server.wait_for_workers(1, &[first])[0];
    server.signal(libc::SIGTTIN);
    let two = server.wait_for_workers(2, &[first]);
    each_has_one_thread(&server, &two);
    assert!(!soon || own_threads(server.master()).is_empty());
    server.signal(libc::SIGTTOU);
    let left = server.wait_for_workers(1, &[first, second]);
    assert_eq!(get(server.port, "/pid").text(), left[0].to_string());
    assert!(server.stop().success());
    assert!(!server.stderr().contains("Traceback"), "{}", server.stderr());
}

#[test]
fn without_an_option_there_is_no_thread() {
    let server = Gunicorn::preloaded(Worker::Gthread).start();
    let before = open_files(server.worker()).len();
    get(server.port, "/small");
    std::thread::sleep(GROWN_UP);
    get(server.port, "/small");
    assert_eq!(own_threads(server.worker()), [0; 0]);
    assert_eq!(open_files(server.worker()).len(), before);
}

#[test]
fn a_process_that_serves_nothing_is_trimmed() {
    let worker = Script::start("worker.py", &["wait"], &[("AUTOTRIM_PERIOD", "1s")]);
    let first = worker.wait_for_line("a trim", |line| line.is_trim("period"));
    assert!(released_much(&first), "{first:?}");
    wait_within(LIMIT, "a thread", || (!own_threads(worker.pid()).is_empty()).then_some(()));
    worker.wait_for_line("trims on the thread", |line| line.is_trim("period") && line.number("trims") >= 8);
}

/// It has forked, and so gets no thread: each of its waits, of a minute, is cut for the trim.
#[test]
fn a_wait_is_cut_where_there_is_no_thread() {
    let worker = Script::start("worker.py", &["forked"], &[("AUTOTRIM_PERIOD", "1s")]);
    worker.wait_for_line("trims in waits", |line| line.is_trim("period") && line.number("trims") >= 8);
    let trims = worker.log().trims("period").lines;
    assert!(released_much(&trims[0]), "{trims:?}");
    assert!(trims.iter().all(|line| line.number("tid") == u64::from(worker.pid())), "{trims:?}");
    assert_eq!(own_threads(worker.pid()), [0; 0]);
}

/// More than anything but what tests/servers/heap.py left.
fn released_much(line: &Line) -> bool {
    line.number("rss_before_kb") > line.number("rss_after_kb") + 40_000
}

/// Nobody but the thread passes by: the period is kept all the same.
#[test]
fn a_process_that_only_computes_is_trimmed() {
    let worker = Script::start("worker.py", &["compute"], &[("AUTOTRIM_PERIOD", "3s")]);
    // There is something to release at its beginning, and again when it begins to compute.
    let trim = wait_within(LIMIT, "a second trim that releases much", || {
        worker.log().trims("period").lines.into_iter().filter(released_much).nth(1)
    });
    assert_ne!(trim.number("tid"), u64::from(worker.pid()), "{trim:?}");
    assert_eq!(own_threads(worker.pid()).len(), 1);
}

/// The period needs no log: a program that serves nothing stays silent, unless someone asks for every trim.
#[test]
fn a_process_that_serves_nothing_says_nothing() {
    /// A program that waits until its input ends, and prints `done`: what it wrote, when it has trimmed or had the time to.
    fn run(level: &str, trims: usize) -> (String, String) {
        let directory = tempfile::tempdir().expect("a directory");
        let errors = directory.path().join("stderr");
        let script = "import select, sys; select.select([sys.stdin], [], []); print('done')";
        let mut command = Command::new(python());
        clean_environment(&mut command).args(["-c", script]).current_dir(servers());
        command.env("LD_PRELOAD", library()).env("AUTOTRIM_PERIOD", "100ms").env("AUTOTRIM_JITTER", "nonsense");
        command.env("AUTOTRIM_LOG", level).stdin(Stdio::piped()).stdout(Stdio::piped());
        command.stderr(std::fs::File::create(&errors).expect("a file"));
        let mut child = end_with_this_test(&mut command).spawn().expect("python");
        let read = || std::fs::read(&errors).expect("its stderr");
        wait_within(LIMIT, "trims", || (Log::read(&read()).trims("period").lines.len() >= trims).then_some(()));
        std::thread::sleep(Duration::from_secs(1));
        drop(child.stdin.take());
        let output = child.wait_with_output().expect("python");
        (String::from_utf8(output.stdout).expect("text"), String::from_utf8(read()).expect("text"))
    }
    assert_eq!(run("info", 0), ("done\n".to_owned(), String::new()));
    let log = Log::read(run("debug", 3).1.as_bytes());
    assert_eq!(log.event("enabled").lines.len(), 1, "{log:?}");
    assert_eq!(log.event("enabled").lines[0].text("period"), "100ms");
    assert_eq!(log.event("option_invalid").lines.len(), 1, "{log:?}");
}

/// The thread trims all the time, other threads allocate, and one forks a thousand times.
#[test]
fn children_forked_while_the_thread_trims_are_whole() {
    let directory = tempfile::tempdir().expect("a directory");
    let fifo = directory.path().join("fifo");
    let name = std::ffi::CString::new(fifo.to_str().expect("a path")).expect("a path");
    // SAFETY: a C string.
    assert_eq!(unsafe { libc::mkfifo(name.as_ptr(), 0o600) }, 0);
    let log = Fixture::new("fork_beside_thread")
        .env("AUTOTRIM_PERIOD", "1ms")
        .env("AUTOTRIM_PRESSURE", &fifo)
        .env("AUTOTRIM_INTERVAL", "0")
        .is_unchanged();
    assert!(log.trims("period").lines.len() > 200, "{} trims", log.trims("period").lines.len());
}

/// glibc signals every thread when the process changes its user; a filter for all threads would kill ours.
#[test]
fn the_thread_is_gone_before_a_seccomp_filter_comes() {
    let log = Fixture::new("seccomp_thread").env("AUTOTRIM_PERIOD", "10ms").is_unchanged();
    assert!(log.trims("period").lines.len() > 5, "{log:?}");
}

/// A process ends with the last of the program's own threads, also where the first one has ended before.
#[test]
fn a_process_whose_first_thread_has_ended_ends_with_its_last() {
    for kind in ["program", "child"] {
        for (option, value) in [("AUTOTRIM_PERIOD", "1m"), ("AUTOTRIM_SIGNAL", "SIGUSR2")] {
            Fixture::new("main_thread_ends_first").argument(kind).env(option, value).is_unchanged();
        }
    }
}
