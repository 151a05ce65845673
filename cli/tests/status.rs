//! `autotrim status` shows what the library does in each process that has it, or says why it cannot.

mod support;

use std::path::Path;
use std::process::Command;

use serde_json::Value;
use support::common::gunicorn::{Gunicorn, Server, Worker};
use support::common::http::get;
use support::common::process::{clean_environment, end_with_this_test};
use support::common::{LIMIT, library, python, servers, wait_within};
use support::{
    Running, autotrim, autotrim_with, copy, finish, finish_as_nobody, is_root, open_directory, waiting_program,
};

/// One gunicorn worker that trims after every second request, whatever it costs.
fn server() -> Gunicorn {
    Gunicorn::preloaded(Worker::Gthread).trimming_every(2).env("AUTOTRIM_OVERHEAD", "0")
}

/// Answers `requests`, and waits until the counters show them all and `trims`.
fn serve(server: &Server, path: &str, requests: u64, trims: u64) {
    (0..requests).for_each(|_| assert_eq!(get(server.port, path).status(), 200));
    wait_within(LIMIT, "requests and trims", || {
        let process = only(&status(server.worker()));
        (process["requests"] == requests && process["trims"] == trims && process["in_flight"] == 0).then_some(())
    });
}

fn status(pid: u32) -> Value {
    autotrim_with(["status", "--json", &pid.to_string()]).json()
}

fn only(document: &Value) -> Value {
    let processes = document["processes"].as_array().expect("processes");
    assert_eq!(processes.len(), 1, "{document}");
    processes[0].clone()
}

#[test]
fn the_json_holds_what_the_library_counted() {
    let server = server().start();
    serve(&server, "/fragment", 4, 2);
    let document = status(server.worker());
    assert_eq!((document["version"].as_u64(), document["not_inspected"].as_u64()), (Some(1), Some(0)));
    let process = only(&document);
    let number = |name: &str| process[name].as_u64().unwrap_or_else(|| panic!("{name}: {process}"));
    assert_eq!((process["program"].as_str(), process["source"].as_str()), (Some("gunicorn"), Some("memory")));
    assert!(process["allocator"].as_str().expect("an allocator").starts_with("glibc-2."), "{process}");
    assert_eq!(process["library"].as_str(), library().to_str());
    assert_eq!(process["library_replaced"].as_bool(), Some(false));
    assert_eq!(process["trims_by_trigger"]["requests"].as_u64(), Some(2));
    // Each of the requests freed 64 MB that only a trim gives back.
    assert!(number("reclaimed_bytes") > 64 << 20, "{process}");
    assert!(number("resident_bytes") > number("anonymous_bytes") && number("floor_bytes") > 1 << 20, "{process}");
    assert_eq!(process["verdict"].as_str(), Some("unknown"), "two trims tell nothing");
    let trims = process["recent_trims"].as_array().expect("trims");
    assert_eq!(trims.iter().map(|trim| trim["requests"].as_u64()).collect::<Vec<_>>(), [Some(2), Some(4)]);
    assert!(trims[0]["before_bytes"].as_u64() > trims[0]["after_bytes"].as_u64(), "{trims:?}");
    let share = process["trim_share"].as_f64().expect("a share");
    assert!(share > 0.0 && share < 1.0, "{share}");
}

#[test]
fn the_table_has_a_line_for_each_process_and_a_verdict() {
    let server = server().start();
    serve(&server, "/fragment", 20, 10);
    let (worker, master) = (server.worker().to_string(), server.master().to_string());
    let finished = autotrim_with(["status", &worker, &master, "--plot"]);
    assert_eq!((finished.code, finished.stderr.as_str()), (Some(0), ""));
    let lines: Vec<&str> = finished.stdout.lines().collect();
    assert_eq!(lines.len(), 3, "{}", finished.stdout);
    let titles = "PID PROGRAM ALLOCATOR RSS PSS ANON LIVE FREE FLOOR GROWTH REQUESTS TRIMS RECLAIMED TIME WHY NOT VERDICT RSS BEFORE AND AFTER TRIMS";
    assert_eq!(lines[0].split_whitespace().collect::<Vec<_>>().join(" "), titles);
    let words: Vec<&str> = lines[1].split_whitespace().collect();
    assert_eq!((words[0], words[1], words[10], words[11]), (&*worker, "gunicorn", "20", "10"));
    // What keeps a trim from being made may be more than one word.
    let [.., verdict, plot, range] = words[..] else { panic!("{}", lines[1]) };
    assert_eq!(Some(verdict), only(&status(server.worker()))["verdict"].as_str());
    // Each trim gave back most of what there was: from what is left to what was there.
    assert!(plot.contains('▁') && plot.contains('█') && plot.chars().count() == 20, "{}", lines[1]);
    assert!(range.contains("M–"), "{}", lines[1]);
    assert!(lines[2].contains("not serving"), "{}", lines[2]);
    assert!(!finished.stdout.contains('\x1b'), "colours without a terminal: {}", finished.stdout);
}

/// The more could be gained in a process, the higher it stands; what has no counters stands last. In eighty columns the verdict is in view.
#[test]
fn where_most_could_be_gained_comes_first() {
    let hold = |path: &str| {
        let server = Gunicorn::preloaded(Worker::Sync).env("AUTOTRIM_INTERVAL", "0").env("AUTOTRIM_IDLE", "0");
        let server = server.env("AUTOTRIM_GROWTH", "4G").start();
        assert_eq!(get(server.port, path).status(), 200);
        server
    };
    // One has freed 64 MB that nobody takes back.
    let (little, much) = (hold("/small"), hold("/fragment"));
    let pids = [little.master(), little.worker(), much.worker()].map(|pid| pid.to_string());
    wait_within(LIMIT, "both to have answered", || {
        let document = autotrim_with(["status", "--json", &pids[1], &pids[2]]).json();
        let processes = document["processes"].as_array()?;
        processes.iter().all(|process| process["requests"] == 1).then_some(())
    });
    let mut command = autotrim();
    let finished = finish(command.arg("status").args(&pids).env("COLUMNS", "80"));
    let lines: Vec<&str> = finished.stdout.lines().collect();
    let first: Vec<&str> = lines[1..].iter().filter_map(|line| line.split_whitespace().next()).collect();
    assert_eq!(first, [&*pids[2], &*pids[1], &*pids[0]], "{}", finished.stdout);
    assert!(
        lines[0].ends_with("VERDICT") && lines.iter().all(|line| line.chars().count() <= 80),
        "{}",
        finished.stdout
    );
    assert!(lines[0].contains("LIVE") && !lines[0].contains("ALLOCATOR"), "{}", finished.stdout);
    let process = only(&status(much.worker()));
    let size = |name: &str| process[name].as_u64().unwrap_or_else(|| panic!("{name}: {process}"));
    assert!(size("gain_bytes") > 32 << 20, "{process}");
    assert!((1 << 20..=size("resident_bytes")).contains(&size("pss_bytes")), "{process}");
}

#[test]
fn without_pids_every_process_with_the_library_is_shown() {
    let server = server().start();
    let document = autotrim_with(["status", "--json"]).json();
    let pids: Vec<u64> =
        document["processes"].as_array().expect("processes").iter().filter_map(|p| p["pid"].as_u64()).collect();
    assert!([server.master(), server.worker()].iter().all(|&pid| pids.contains(&pid.into())), "{document}");
}

#[test]
fn what_cannot_be_shown_is_told_and_the_rest_shown() {
    let (server, plain) = (server().start(), Gunicorn::plain(Worker::Sync).start());
    let (worker, other) = (server.worker().to_string(), plain.worker().to_string());
    let finished = autotrim_with(["status", "--json", &worker, &other, "4194305"]);
    finished.says(1, &[&format!("process {other} (gunicorn) does not have the library"), "no process 4194305"]);
    assert_eq!(only(&finished.json())["pid"].as_u64(), Some(server.worker().into()));
    finish(autotrim().args(["status", "0"])).says(2, &["invalid value '0'"]);
}

#[test]
fn a_reader_without_permission_is_told_what_to_grant() {
    if !is_root("looking as another user") {
        return;
    }
    let server = server().start();
    let worker = server.worker().to_string();
    let finished = finish_as_nobody(autotrim().args(["status", &worker]));
    finished.says(1, &[&worker, "not permitted", "CAP_SYS_PTRACE", "AUTOTRIM_METRICS_DIR"]);
    let everything = finish_as_nobody(autotrim().arg("status"));
    everything.says(1, &["no process has the library", "not permitted to look at", "CAP_SYS_PTRACE"]);
}

/// In a container: root without the capability. Once for all processes, and not that root should become root.
#[test]
fn root_without_the_capability_is_told_once_what_to_grant() {
    if !is_root("giving up a capability") {
        return;
    }
    let (one, other) = (server().start(), server().start());
    let mut reader = Command::new("setpriv");
    end_with_this_test(clean_environment(&mut reader)).args(["--bounding-set=-sys_ptrace", "--inh-caps=-sys_ptrace"]);
    reader
        .arg(env!("CARGO_BIN_EXE_autotrim"))
        .arg("status")
        .args([one.worker().to_string(), other.worker().to_string()]);
    let finished = finish(&mut reader);
    let both = format!("process {} (gunicorn), {} (gunicorn): not permitted", one.worker(), other.worker());
    finished.says(1, &[&both, "--cap-add SYS_PTRACE"]);
    assert_eq!(finished.stderr.lines().count(), 1, "{}", finished.stderr);
    assert!(!finished.stderr.contains("as root"), "{}", finished.stderr);
}

#[test]
fn without_permission_the_metrics_files_are_read() {
    if !is_root("looking as another user") {
        return;
    }
    let (server, directory) = (server().start(), open_directory());
    let worker = server.worker();
    let labels = format!("pid=\"{worker}\",program=\"a \\\"b\\\"\"");
    let text = format!(
        "# TYPE autotrim_requests counter\nautotrim_requests_total{{{labels}}} 2048\n\
         # TYPE autotrim_trims counter\nautotrim_trims_total{{{labels},trigger=\"growth\"}} 3\n\
         autotrim_trims_total{{{labels},trigger=\"idle\"}} 4\n\
         autotrim_reclaimed_bytes_total{{{labels},layer=\"malloc\"}} 1000000\n\
         autotrim_reclaimed_bytes_total{{{labels},layer=\"tops\"}} 48576\n\
         autotrim_info{{{labels},allocator=\"glibc-2.36\"}} 1\n# EOF\n"
    );
    std::fs::write(directory.path().join(format!("autotrim-{worker}.prom")), text).expect("the metrics");
    let finished = finish_as_nobody(
        autotrim().args(["status", "--json", "--metrics-dir"]).arg(directory.path()).arg(worker.to_string()),
    );
    assert_eq!((finished.code, finished.stderr.as_str()), (Some(0), ""));
    let process = only(&finished.json());
    assert_eq!((process["source"].as_str(), process["allocator"].as_str()), (Some("metrics"), Some("glibc-2.36")));
    assert_eq!((process["requests"].as_u64(), process["trims"].as_u64()), (Some(2048), Some(7)));
    assert_eq!(process["trims_by_trigger"]["idle"].as_u64(), Some(4));
    assert_eq!(process["reclaimed_bytes"].as_u64(), Some(1 << 20));
    assert_eq!(process["reclaimed_by_layer"], serde_json::json!({"malloc": 1_000_000, "tops": 48_576}));
    // An older library tells the sum alone.
    let text = format!("autotrim_requests_total{{{labels}}} 1\nautotrim_reclaimed_bytes_total{{{labels}}} 1048576\n");
    std::fs::write(directory.path().join(format!("autotrim-{worker}.prom")), text).expect("the metrics");
    let finished = finish_as_nobody(
        autotrim().args(["status", "--json", "--metrics-dir"]).arg(directory.path()).arg(worker.to_string()),
    );
    let process = only(&finished.json());
    assert_eq!(process["reclaimed_bytes"].as_u64(), Some(1 << 20));
    assert_eq!(process["reclaimed_by_layer"], serde_json::json!({}));
    // A container that shares the directory may have a process of the same id.
    let of_another = "autotrim_info{pid_namespace=\"7\"} 1\nautotrim_requests_total{pid=\"1\"} 2048\n";
    std::fs::write(directory.path().join(format!("autotrim-{worker}.prom")), of_another).expect("the metrics");
    let finished =
        finish_as_nobody(autotrim().args(["status", "--metrics-dir"]).arg(directory.path()).arg(worker.to_string()));
    finished.says(1, &["not permitted"]);
}

#[test]
fn a_process_that_serves_nothing_is_shown_once_it_has_trimmed() {
    let mut command = Command::new(python());
    clean_environment(&mut command).arg(servers().join("worker.py")).arg("wait");
    let running = Running::start(command.env("LD_PRELOAD", library()).env("AUTOTRIM_PERIOD", "1s"));
    let process = wait_within(LIMIT, "a trim", || {
        let document = autotrim_with(["status", "--json", &running.pid().to_string()]);
        let document: Value = serde_json::from_str(&document.stdout).ok()?;
        document["processes"].get(0).filter(|process| process["trims"].as_u64() > Some(0)).cloned()
    });
    assert_eq!((process["requests"].as_u64(), process["source"].as_str()), (Some(0), Some("memory")), "{process}");
    assert!(process["trims_by_trigger"]["period"] == process["trims"], "{process}");
    let share = process["trim_share"].as_f64().expect("a share");
    assert!(share > 0.0 && share < 1.0, "{share}");
}

#[test]
fn a_library_replaced_by_an_upgrade_is_still_read() {
    let directory = open_directory();
    let installed = copy(&library(), &directory.path().join("libautotrim.so"), 0o755);
    let server = Gunicorn::plain(Worker::Sync).env("LD_PRELOAD", &installed).start();
    assert_eq!(get(server.port, "/small").status(), 200);
    let upgrade = copy(Path::new("/bin/true"), &directory.path().join("upgrade"), 0o755);
    std::fs::rename(upgrade, &installed).expect("the upgrade");
    let process =
        wait_within(LIMIT, "the request", || Some(only(&status(server.worker()))).filter(|p| p["requests"] == 1));
    assert_eq!(process["library_replaced"].as_bool(), Some(true), "{process}");
}

#[test]
fn a_library_of_another_name_is_known_by_its_preload() {
    let directory = open_directory();
    let renamed = copy(&library(), &directory.path().join("memory.so"), 0o755);
    let server = Gunicorn::plain(Worker::Sync).env("LD_PRELOAD", &renamed).start();
    let process = only(&status(server.worker()));
    assert_eq!(process["library"].as_str(), renamed.to_str(), "{process}");
}

/// As in a container: other processes, other files, other ids.
#[test]
fn a_process_in_namespaces_of_its_own_is_read_from_outside() {
    if !is_root("unshare") {
        return;
    }
    let directory = open_directory();
    let inside = directory.path().join("inside");
    std::fs::create_dir(&inside).expect("a directory");
    let port = directory.path().join("port");
    // The library's file exists in there only.
    let script = format!(
        "mount -t tmpfs none {0} && cp {1} {0}/libautotrim.so && LD_PRELOAD={0}/libautotrim.so exec {2} {3} > {4}",
        inside.display(),
        library().display(),
        python().display(),
        servers().join("plain_server.py").display(),
        port.display()
    );
    let mut command = Command::new("unshare");
    clean_environment(&mut command).args([
        "--mount",
        "--pid",
        "--fork",
        "--kill-child",
        "--mount-proc",
        "sh",
        "-c",
        &script,
    ]);
    let running = Running::start(&mut command);
    let port = wait_within(LIMIT, "the port", || std::fs::read_to_string(&port).ok()?.trim().parse().ok());
    assert_eq!(get(port, "/").status(), 200);
    assert!(!inside.join("libautotrim.so").exists());
    let expected = inside.join("libautotrim.so");
    let process = wait_within(LIMIT, "the request", || {
        let document = autotrim_with(["status", "--json"]).json();
        let ours =
            document["processes"].as_array()?.iter().find(|p| p["library"].as_str() == expected.to_str())?.clone();
        (ours["requests"] == 1).then_some(ours)
    });
    assert_ne!(process["pid"].as_u64(), Some(running.pid().into()));
    assert!(process["allocator"].as_str().is_some_and(|name| name.starts_with("glibc-2.")), "{process}");
    // Where no /proc is mounted for that namespace, the library itself knows its id only as 1.
    let pid = process["pid"].as_u64().expect("a pid").to_string();
    assert_eq!(autotrim_with(["doctor", &pid]).code, Some(0));
}

#[test]
fn a_process_without_the_library_is_not_shown() {
    let directory = open_directory();
    let program = waiting_program(directory.path(), "gcc", &[]);
    let running = Running::start(&mut Command::new(&program)).has_become(Path::new(&program));
    autotrim_with(["status", &running.pid().to_string()]).says(1, &["does not have the library"]);
}
