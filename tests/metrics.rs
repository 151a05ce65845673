//! `AUTOTRIM_METRICS_DIR`: each process that serves keeps its counters in a file that Prometheus reads, and nothing else in
//! that directory is ever touched.

mod common;
#[path = "common/fixture.rs"]
mod fixture;

use common::gunicorn::{Gunicorn, Server, Worker};
use common::http::{Connection, get, request};
use common::log::Log;
use common::metrics::{Metrics, file, names};
use common::opened::open_directory;
use common::process::{clean_environment, end_with_this_test, kill_with_children, send_signal};
use common::{LIMIT, free_port, library, wait_within};
use fixture::{Fixture, shared_object};
use std::collections::BTreeSet;
use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant, SystemTime};
use tempfile::TempDir;

/// A process id that no process can have: the kernel's largest is 4,194,304 (proc(5), pid_max).
const NOBODY: u32 = 4_194_999;

fn directory() -> TempDir {
    let directory = open_directory();
    fs::set_permissions(directory.path(), fs::Permissions::from_mode(0o1777)).expect("its mode");
    directory
}

fn writing_to(directory: &Path, worker: Worker) -> Gunicorn {
    Gunicorn::preloaded(worker).env("AUTOTRIM_METRICS_DIR", directory).env("AUTOTRIM_OVERHEAD", "0")
}

/// Sends requests until each of the workers has answered some; how many each.
fn ask_all(server: &Server, requests: usize) {
    for _ in 0..requests {
        assert_eq!(get(server.port, "/small").text(), "hello");
    }
}

/// Waits until the file of process `pid` tells of so many requests.
fn metrics_after(directory: &Path, pid: u32, requests: u64) -> Metrics {
    wait_within(LIMIT, "the metrics", || {
        Metrics::of(directory, pid).filter(|found| found.requests() == requests as f64)
    })
}

/// Why the metrics cannot be written, as the log says it.
fn failures(log: &Log) -> Vec<String> {
    log.event("metrics_failed").lines.iter().map(|line| line.text("error").to_owned()).collect()
}

/// The same as the system says it.
fn words(error: i32) -> String {
    let text = std::io::Error::from_raw_os_error(error).to_string();
    text.strip_suffix(&format!(" (os error {error})")).expect("an error of the system").to_owned()
}

#[test]
fn two_workers_write_what_they_log_and_leave_nothing_behind() {
    let directory = directory();
    let mut server = writing_to(directory.path(), Worker::Sync).workers(2).trimming_every(2).start();
    let workers = server.workers();
    let mut sent = 0.0;
    wait_within(LIMIT, "both workers' trims", || {
        ask_all(&server, 4);
        sent += 4.0;
        workers.iter().all(|&pid| !server.log().of(pid).event("trim").lines.is_empty()).then_some(())
    });
    let by_requests = |metrics: &Metrics| metrics.value("autotrim_trims_total", Some(("trigger", "requests")));
    // All is told when the two files have all requests, and each as many trims as the log; none is due then.
    let told = wait_within(LIMIT, "files that tell all", || {
        let told: Option<Vec<_>> = workers.iter().map(|&pid| Metrics::of(directory.path(), pid)).collect();
        let of = |pid| server.log().of(pid).event("trim");
        let is_whole = |(&pid, metrics): (&u32, &Metrics)| {
            by_requests(metrics) == of(pid).lines.len() as f64
                && of(pid).numbers("requests").last().is_some_and(|&last| metrics.requests() < last as f64 + 2.0)
        };
        let told = told.filter(|told| told.iter().map(Metrics::requests).sum::<f64>() == sent)?;
        workers.iter().zip(&told).all(is_whole).then_some(told)
    });
    for (&pid, metrics) in workers.iter().zip(&told) {
        let trims = server.log().of(pid).event("trim");
        let last = trims.lines.last().expect("a trim");
        assert!(metrics.all_have("pid", &pid.to_string()) && metrics.all_have("program", "gunicorn"), "{metrics:?}");
        assert_eq!(by_requests(metrics), trims.lines.len() as f64);
        for other in ["growth", "idle", "period", "pressure", "signal"] {
            assert_eq!(metrics.value("autotrim_trims_total", Some(("trigger", other))), 0.0);
        }
        assert!(
            metrics.requests() >= last.number("requests") as f64
                && metrics.requests() <= last.number("requests") as f64 + 1.0
        );
        let least = trims.numbers("rss_after_kb").into_iter().min().expect("one");
        assert_eq!(metrics.value("autotrim_floor_bytes", None), (least * 1024) as f64);
        let reclaimed: u64 = trims
            .lines
            .iter()
            .map(|line| line.number("rss_before_kb").saturating_sub(line.number("rss_after_kb")))
            .sum();
        let by_layer = |layer| metrics.value("autotrim_reclaimed_bytes_total", Some(("layer", layer)));
        // It has one thread, and its pools are left alone.
        assert_eq!(["malloc", "tops", "pools", "java"].map(by_layer), [(reclaimed * 1024) as f64, 0.0, 0.0, 0.0]);
        let took = |logged: u64, metric: &str, lines: usize| {
            let seconds = metrics.value(metric, None);
            let logged = logged as f64 / 1e6;
            assert!(seconds >= logged && seconds < logged + lines as f64 / 1e6, "{metric}: {seconds} and {logged}");
        };
        took(trims.numbers("took_us").iter().sum(), "autotrim_trim_seconds_total", trims.lines.len());
        took(trims.numbers("took_us").into_iter().max().expect("one"), "autotrim_trim_max_seconds", 1);
        assert_eq!(metrics.value("autotrim_deferred_total", None), last.number("deferred") as f64);
        assert_eq!(metrics.value("autotrim_skipped_total", Some(("reason", "overhead"))), 0.0);
        for none in ["autotrim_in_flight", "autotrim_collections_total", "autotrim_collection_seconds_total"] {
            assert_eq!(metrics.value(none, None), 0.0, "{none}");
        }
        assert!(metrics.value("autotrim_resident_bytes", None) > 1e6);
        assert_eq!(metrics.label("autotrim_info", "version"), env!("CARGO_PKG_VERSION"));
        assert!(metrics.label("autotrim_info", "allocator").starts_with("glibc-2."));
        assert_eq!(metrics.label("autotrim_info", "libc"), metrics.label("autotrim_info", "allocator"));
        assert_eq!(metrics.label("autotrim_verdict", "verdict"), "unknown");
        assert_eq!(fs::metadata(file(directory.path(), pid)).expect("a file").mode(), 0o100_644);
    }
    assert_eq!(names(directory.path()).len(), 2, "the master serves nothing");
    assert!(server.stop().success());
    assert_eq!(names(directory.path()), [""; 0], "after a graceful exit");
    assert_eq!(failures(&server.log()), [""; 0]);
}

#[test]
fn each_reason_for_which_no_trim_comes_has_a_series_and_is_documented() {
    let directory = directory();
    let server = writing_to(directory.path(), Worker::Sync).trimming_every(1).start();
    ask_all(&server, 1);
    let metrics = metrics_after(directory.path(), server.worker(), 1);
    let told = metrics.labels("autotrim_skipped_total", "reason");
    let page = fs::read_to_string(common::root().join("docs/metrics.md")).expect("docs/metrics.md");
    let (_, page) = page.split_once("\n## Why no trim comes\n").expect("the reasons");
    let rows = page.lines().take_while(|line| !line.starts_with("## ")).filter(|line| line.starts_with("| `"));
    let named = rows.flat_map(|row| row.split('|').nth(1).unwrap_or_default().split('`').skip(1).step_by(2));
    // One has a metric of its own.
    let mut documented: Vec<_> = named.filter(|name| *name != "in_flight").collect();
    documented.sort_unstable();
    let mut sorted = told.clone();
    sorted.sort_unstable();
    assert!(told.len() > 20 && told[..2] == ["overhead", "no_growth"], "{told:?}");
    assert_eq!(sorted, documented);
}

/// Those of threads that wait for a condition.
#[test]
fn what_tops_gave_is_told_apart() {
    /// What the threads of tests/fixtures/tops.c free, less what may come back by itself.
    const FREED: f64 = (64 << 20) as f64;
    let directory = directory();
    let fixture = Fixture::new("tops");
    let mut command = Command::new(fixture.program());
    let options = [("AUTOTRIM_INTERVAL", "1"), ("AUTOTRIM_OVERHEAD", "0"), ("AUTOTRIM_DEFER", "0")];
    clean_environment(&mut command).arg("stay").envs(options);
    command.env("LD_PRELOAD", library()).env("AUTOTRIM_METRICS_DIR", directory.path());
    let mut server = end_with_this_test(command.stdin(Stdio::null()).stderr(Stdio::null())).spawn().expect("a server");
    let by_layer = |metrics: &Metrics| {
        ["malloc", "tops", "pools"].map(|layer| metrics.value("autotrim_reclaimed_bytes_total", Some(("layer", layer))))
    };
    let [_, _, pools] = wait_within(LIMIT, "what tops gave", || {
        let told = by_layer(&Metrics::of(directory.path(), server.id())?);
        (told[1] >= FREED).then_some(told)
    });
    assert_eq!(pools, 0.0);
    kill_with_children(&mut server);
}

/// Requests until three files were seen, and no trim: not one file for each request, but one a second at most; and the last is
/// complete, though no request follows.
#[test]
fn requests_are_told_once_a_second_and_all_of_them_in_the_end() {
    let directory = directory();
    let start = Instant::now();
    let server = writing_to(directory.path(), Worker::Gthread)
        .env("AUTOTRIM_INTERVAL", "1000000")
        .env("AUTOTRIM_GROWTH", "0")
        .env("AUTOTRIM_IDLE", "0")
        .start();
    let worker = server.worker();
    let mut connection = Connection::open(server.port);
    let (mut requests, mut seen) = (0, BTreeSet::new());
    while seen.len() < 3 || requests < 50 {
        assert!(start.elapsed() < LIMIT, "{} files for {requests} requests", seen.len());
        connection.send(&request("GET", "/small", "", b""));
        connection.receive();
        requests += 1;
        seen.extend(fs::metadata(file(directory.path(), worker)).map(|status| (status.mtime(), status.mtime_nsec())));
    }
    // The first comes with the first request, and none in the second that follows one.
    let most = 1 + start.elapsed().as_secs();
    assert!(seen.len() as u64 <= most, "{} files in less than {most} s, {requests} requests", seen.len());
    metrics_after(directory.path(), worker, requests);
}

/// Its own parser, its own idea of the format: what is not to its liking it counts as an error. Two files have the same
/// metrics.
#[test]
fn node_exporter_reads_them() {
    let directory = directory();
    let server = writing_to(directory.path(), Worker::Sync).trimming_every(3).workers(2).start();
    wait_within(LIMIT, "both workers' files", || {
        ask_all(&server, 4);
        (names(directory.path()).len() == 2).then_some(())
    });
    let (_exporter, port) = start_node_exporter(directory.path());
    let page = wait_within(LIMIT, "node_exporter", || {
        std::net::TcpStream::connect(("127.0.0.1", port)).ok()?;
        Some(get(port, "/metrics"))
    });
    let page = String::from_utf8_lossy(&page.content()).into_owned();
    assert!(page.contains("\nnode_textfile_scrape_error 0\n"), "{page}");
    for worker in server.workers() {
        let sample = |name: &str, label: &str| {
            let start = format!("autotrim_{name}{{");
            let own = |line: &&str| {
                line.starts_with(&start) && line.contains(&format!("pid=\"{worker}\"")) && line.contains(label)
            };
            page.lines().find(own).unwrap_or_else(|| panic!("no {name} of {worker} in {page}")).to_owned()
        };
        let value =
            |line: String| line.rsplit(' ').next().and_then(|value| value.parse::<f64>().ok()).expect("a value");
        assert!(value(sample("requests_total", "")) >= 1.0);
        assert!(value(sample("resident_bytes", "")) > 1e6);
        sample("trims_total", "trigger=\"requests\"");
        sample("skipped_total", "reason=\"no_growth\"");
        assert_eq!(value(sample("info", "version=")), 1.0);
    }
    assert!(page.contains("# TYPE autotrim_floor_bytes gauge"), "{page}");
}

/// Ends the exporter with the test.
struct Exporter(Child);

impl Drop for Exporter {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn start_node_exporter(directory: &Path) -> (Exporter, u16) {
    let port = free_port();
    let mut command = Command::new("prometheus-node-exporter");
    clean_environment(&mut command)
        .args([
            &format!("--web.listen-address=127.0.0.1:{port}"),
            "--collector.disable-defaults",
            "--collector.textfile",
        ])
        .arg(format!("--collector.textfile.directory={}", directory.display()))
        .stdout(Stdio::null())
        .stderr(Stdio::null());
    let started = end_with_this_test(&mut command).spawn();
    (Exporter(started.expect("prometheus-node-exporter, a package that scripts/packages installs")), port)
}

#[test]
fn what_a_killed_process_left_is_swept_by_the_next() {
    let directory = directory();
    let mut server = writing_to(directory.path(), Worker::Sync).trimming_every(1).start();
    let first = server.worker();
    ask_all(&server, 1);
    wait_within(LIMIT, "a file", || file(directory.path(), first).exists().then_some(()));
    send_signal(first, libc::SIGKILL);
    let second = server.wait_for_workers(1, &[first])[0];
    assert!(file(directory.path(), first).exists(), "who could have removed it?");
    ask_all(&server, 1);
    wait_within(LIMIT, "the first file's end", || (!file(directory.path(), first).exists()).then_some(()));
    wait_within(LIMIT, "the second file", || file(directory.path(), second).exists().then_some(()));
}

/// kill -HUP: new workers take the place of the old ones, which end gracefully; each removes its own file.
#[test]
fn a_reload_leaves_the_files_of_the_new_workers_alone() {
    let directory = directory();
    let mut server = writing_to(directory.path(), Worker::Sync).trimming_every(1).workers(2).start();
    let old = server.workers();
    wait_within(LIMIT, "both workers' files", || {
        ask_all(&server, 4);
        (names(directory.path()).len() == 2).then_some(())
    });
    send_signal(server.master(), libc::SIGHUP);
    let new = server.wait_for_workers(2, &old);
    let mut expected: Vec<_> = new.iter().map(|pid| format!("autotrim-{pid}.prom")).collect();
    expected.sort();
    wait_within(LIMIT, "the new workers' files", || {
        ask_all(&server, 4);
        (names(directory.path()) == expected).then_some(())
    });
    assert_eq!(failures(&server.log()), [""; 0]);
}

/// Containers that share a directory do not see each other's processes. And what only looks like ours is not ours.
#[test]
fn only_what_is_surely_dead_is_swept() {
    let directory = directory();
    let path = |name: &str| directory.path().join(name);
    let link = fs::read_link("/proc/self/ns/pid").expect("the pid namespace").display().to_string();
    let namespace: u64 = link.trim_matches(|c: char| !c.is_ascii_digit()).parse().expect("its number");
    let of = |namespace: u64| format!("autotrim_info{{pid=\"1\",pid_namespace=\"{namespace}\"}} 1\n# EOF\n");
    let (ours, theirs) = (of(namespace), of(namespace - 100_000));
    let long_ago = SystemTime::now() - Duration::from_secs(2 * 3600);
    let made = |name: &str, content: &str, old: bool| {
        fs::write(path(name), content).expect("a file");
        if old {
            fs::File::options().write(true).open(path(name)).expect("a file").set_modified(long_ago).expect("its time");
        }
    };
    let dead = |number: u32, suffix: &str| format!("autotrim-{}.{suffix}", NOBODY + number);
    made(&dead(0, "prom"), &ours, false);
    made(&dead(0, "tmp"), &ours, false);
    made(&dead(1, "prom"), &theirs, true);
    let swept = names(directory.path());
    made(&dead(2, "prom"), &theirs, false);
    made(&dead(3, "prom"), "somebody else's\n", false);
    made(&format!("autotrim-{}.prom", std::process::id()), &ours, true);
    made("autotrim-1.prom", &ours, true);
    made("node.prom", &ours, true);
    made(&dead(4, "prom.bak"), &ours, true);
    made("target", &ours, true);
    symlink(path("target"), path(&dead(5, "prom"))).expect("a link");
    fs::create_dir(path(&dead(6, "prom"))).expect("a directory");
    let fifo = std::ffi::CString::new(path(&dead(7, "prom")).to_str().expect("text")).expect("no zero");
    // SAFETY: a C string.
    assert_eq!(unsafe { libc::mkfifo(fifo.as_ptr(), 0o666) }, 0);
    let mut kept: BTreeSet<_> = names(directory.path()).into_iter().collect();
    kept.retain(|name| !swept.contains(name));

    let server = writing_to(directory.path(), Worker::Sync).trimming_every(1).start();
    ask_all(&server, 1);
    kept.insert(format!("autotrim-{}.prom", server.worker()));
    wait_within(LIMIT, "the sweep", || {
        (names(directory.path()).into_iter().collect::<BTreeSet<_>>() == kept).then_some(())
    });
    assert_eq!(failures(&server.log()), [""; 0]);
}

#[test]
fn no_link_is_followed() {
    let (directory, elsewhere) = (directory(), directory());
    let victim = elsewhere.path().join("victim");
    fs::write(&victim, "precious").expect("a file");
    let server = writing_to(directory.path(), Worker::Sync).trimming_every(1).start();
    let worker = server.worker();
    for suffix in ["prom", "tmp"] {
        symlink(&victim, directory.path().join(format!("autotrim-{worker}.{suffix}"))).expect("a link");
    }
    ask_all(&server, 1);
    let is_file = || fs::symlink_metadata(file(directory.path(), worker)).expect("a file").is_file();
    wait_within(LIMIT, "the link's end", || is_file().then_some(()));
    metrics_after(directory.path(), worker, 1);
    assert_eq!(fs::read_to_string(&victim).expect("the victim"), "precious");
    assert_eq!(fs::metadata(&victim).expect("the victim").mode() & 0o777, 0o644);
}

/// Who may name a directory that does not exist yet in a place like /tmp must not choose another one for us.
#[test]
fn a_link_in_place_of_the_directory_is_refused() {
    let (directory, elsewhere) = (directory(), directory());
    symlink(elsewhere.path(), directory.path().join("link")).expect("a link");
    let server = writing_to(&directory.path().join("link"), Worker::Sync).trimming_every(1).start();
    ask_all(&server, 3);
    wait_within(LIMIT, "the warning", || (failures(&server.log()) == ["Not a directory"]).then_some(()));
    assert_eq!(names(elsewhere.path()), [""; 0]);
}

/// In a sticky directory nobody can replace another user's file: one warning, and the server serves on.
#[test]
fn another_users_file_is_left_alone() {
    // SAFETY: no preconditions.
    assert_eq!(unsafe { libc::geteuid() }, 0, "this test needs root, for a server of another user");
    for suffix in ["prom", "tmp"] {
        let directory = directory();
        let fixture = Fixture::new("metrics_of_another_user").argument(directory.path()).argument(suffix);
        let log = fixture.env("AUTOTRIM_METRICS_DIR", directory.path()).is_unchanged_to_the_last_trim();
        assert_eq!(log.event("metrics_failed").lines.len(), 1, "{log:?}");
    }
}

/// One warning for each process that serves, and nothing else; returns the server.
fn warned_once(directory: &Path, error: i32) -> Server {
    let server = writing_to(directory, Worker::Sync).trimming_every(1).start();
    for number in 1..=5 {
        ask_all(&server, 1);
        let trimmed = || server.log().event("trim").numbers("requests").last() == Some(&number);
        wait_within(LIMIT, "a trim", || trimmed().then_some(()));
    }
    assert_eq!(failures(&server.log()), [words(error)]);
    let line = &server.log().event("metrics_failed").lines[0];
    assert_eq!(line.text("directory"), directory.to_str().expect("text"));
    assert_eq!(server.log().event("enabled").lines.len(), 1);
    server
}

#[test]
fn a_missing_directory_costs_one_warning() {
    let directory = directory();
    let missing = directory.path().join("missing");
    let server = warned_once(&missing, libc::ENOENT);
    // It is looked for again with each trim.
    fs::create_dir(&missing).expect("a directory");
    ask_all(&server, 1);
    metrics_after(&missing, server.worker(), 6);
}

/// A file system of its own, for as long as the value lives.
struct Mounted(PathBuf);

impl Mounted {
    fn new(directory: &Path, options: &str) -> Self {
        let mounted = Command::new("mount").args(["-t", "tmpfs", "-o", options, "tmpfs"]).arg(directory).status();
        assert!(mounted.expect("mount").success(), "this test needs root, for a file system of its own");
        Self(directory.to_owned())
    }
}

impl Drop for Mounted {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg("--lazy").arg(&self.0).status();
    }
}

#[test]
fn a_full_directory_costs_one_warning() {
    let directory = directory();
    let _mounted = Mounted::new(directory.path(), "size=64k");
    let filler = directory.path().join("filler");
    assert!(fs::write(&filler, [0; 128 << 10]).is_err(), "128 KB fit into 64 KB");
    let server = warned_once(directory.path(), libc::ENOSPC);
    assert_eq!(names(directory.path()), ["filler"]);
    fs::remove_file(&filler).expect("removed");
    ask_all(&server, 1);
    metrics_after(directory.path(), server.worker(), 6);
}

#[test]
fn a_read_only_directory_costs_one_warning() {
    let directory = directory();
    let _mounted = Mounted::new(directory.path(), "ro");
    warned_once(directory.path(), libc::EROFS);
}

#[test]
fn a_relative_path_is_not_taken() {
    let mut server = Gunicorn::preloaded(Worker::Sync).env("AUTOTRIM_METRICS_DIR", "metrics").trimming_every(1).start();
    fs::create_dir(server.path("metrics")).expect("a directory");
    ask_all(&server, 1);
    let log = server.stop_and_read_log();
    assert_eq!(log.event("option_invalid").lines[0].text("variable"), "AUTOTRIM_METRICS_DIR");
    assert_eq!(log.event("option_invalid").lines[0].text("using"), "unset");
    assert_eq!(names(&server.path("metrics")), [""; 0]);
}

#[test]
fn the_hosts_umask_does_not_matter() {
    let directory = directory();
    let server = writing_to(directory.path(), Worker::Sync).trimming_every(1).arguments(&["--umask", "077"]).start();
    ask_all(&server, 1);
    let path = file(directory.path(), server.worker());
    wait_within(LIMIT, "a file", || path.exists().then_some(()));
    assert_eq!(fs::metadata(path).expect("a file").mode(), 0o100_644);
}

#[test]
fn a_child_that_exits_removes_its_own_file_only() {
    let directory = directory();
    let fixture = Fixture::new("metrics_of_children").argument(directory.path());
    let (outcome, _) = fixture.env("AUTOTRIM_METRICS_DIR", directory.path()).preloaded();
    let expected = "files of a server: 1\nafter a child's exit: 1\nwith a child that serves: 2\nafter its exit: 1\n\
                    after a vfork child's _exit: 1\n";
    assert_eq!((outcome.stdout.as_str(), outcome.status.code()), (expected, Some(0)), "{outcome:?}");
    assert_eq!(names(directory.path()), [""; 0], "after the server's own exit");
}

/// A write beyond RLIMIT_FSIZE sends SIGXFSZ, which kills.
#[test]
fn a_limit_on_the_size_of_files_kills_nobody() {
    let directory = directory();
    let fixture = Fixture::new("file_size_limit").env("AUTOTRIM_METRICS_DIR", directory.path());
    let log = fixture.is_unchanged_to_the_last_trim();
    assert_eq!(failures(&log), [words(libc::EFBIG)]);
    assert_eq!(names(directory.path()), [""; 0]);
}

/// The fixture comes out as it would without the library.
fn is_unchanged(name: &str, arguments: &[&str]) {
    let directory = directory();
    let fixture = arguments.iter().fold(Fixture::new(name), |fixture, argument| fixture.argument(argument));
    let log = fixture.env("AUTOTRIM_METRICS_DIR", directory.path()).is_unchanged_by_trims();
    assert_eq!(log.event("metrics_failed").lines, [], "{name}");
    let left = names(directory.path());
    assert!(left.iter().all(|name| name.ends_with(".prom")), "{left:?}");
}

#[test]
fn children_forked_meanwhile_inherit_no_descriptor() {
    is_unchanged("fork_during_trims", &[]);
}

/// Known by more than what the host's files have too: it has the same ones open under the same numbers.
#[test]
fn what_the_host_has_open_is_not_closed_in_its_children() {
    let directory = directory();
    let fixture = Fixture::new("host_opens_it_too").argument("files").argument(directory.path());
    fixture.env("AUTOTRIM_METRICS_DIR", directory.path()).is_unchanged_by_trims();
}

/// What the host writes to a stream that it has closed must not end in a file.
#[test]
fn no_file_has_the_number_of_a_closed_standard_stream() {
    let directory = directory();
    let fixture = Fixture::new("closed_streams").argument(directory.path());
    let fixture = fixture.preload_after(shared_object("records_low_numbers"));
    let (outcome, _) = fixture.env("AUTOTRIM_METRICS_DIR", directory.path()).preloaded();
    assert!(outcome.status.success(), "{outcome:?}");
}

#[test]
fn errno_is_kept_while_files_are_written() {
    is_unchanged("errno_kept", &[]);
}

#[test]
fn a_small_stack_is_large_enough_for_a_file_too() {
    is_unchanged("small_stack", &["24"]);
}

/// Removed while that is still allowed, and never written again.
#[test]
fn a_process_under_a_seccomp_filter_has_no_file() {
    let directory = directory();
    let fixture = Fixture::new("seccomp_filter").argument("kill").argument("prctl");
    let (outcome, log) = fixture.env("AUTOTRIM_METRICS_DIR", directory.path()).preloaded();
    assert!(outcome.status.success() && log.event("metrics_failed").lines.is_empty(), "{outcome:?} {log:?}");
    assert_eq!(names(directory.path()), [""; 0]);
}
