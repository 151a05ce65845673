//! `autotrim trim` asks for a trim where that is safe, and sends no signal anywhere else.

mod support;

use std::process::{Command, Stdio};

use serde_json::{Value, json};
use support::common::gunicorn::{Gunicorn, Worker};
use support::common::http::get;
use support::common::process::{clean_environment, own_threads};
use support::common::{LIMIT, library, python, wait_within};
use support::{Running, autotrim, autotrim_with, finish_as_nobody, is_root, open_directory, waiting_program};

const SIGNAL: (&str, &str) = ("AUTOTRIM_SIGNAL", "SIGRTMIN+18");

/// Seconds that the command waits for a trim that comes.
const PATIENCE: &str = "120";

fn asking() -> Gunicorn {
    Gunicorn::preloaded(Worker::Sync).trimming_every(0).env(SIGNAL.0, SIGNAL.1)
}

/// Has a process trim, and checks what the command says of it.
#[track_caller]
fn trim(pid: u32) -> Value {
    let finished = autotrim_with(["trim", "--json", "--timeout", PATIENCE, &pid.to_string()]);
    assert_eq!((finished.code, finished.stderr.as_str()), (Some(0), ""));
    let document = finished.json();
    assert_eq!((document["pid"].as_u64(), document["program"].as_str()), (Some(pid.into()), Some("gunicorn")));
    document["trim"].clone()
}

/// A worker takes the signal by its handler as long as it has no thread of the library's (a second or so), and on that thread
/// afterwards.
#[test]
fn a_worker_trims_early_and_once_it_has_the_librarys_thread() {
    let server = asking().start();
    let worker = server.worker();
    for requests in 1..3 {
        // 64 MB that only a trim gives back.
        assert_eq!(get(server.port, "/fragment").status(), 200);
        let trim = trim(worker);
        let size = |name: &str| trim[name].as_u64().unwrap_or_else(|| panic!("{name}: {trim}"));
        assert!(size("before_bytes") > size("after_bytes") + (32 << 20), "{trim}");
        assert_eq!(size("requests"), requests);
        wait_within(LIMIT, "the library's thread", || (!own_threads(worker).is_empty()).then_some(()));
    }
    let finished = autotrim_with(["trim", "--timeout", PATIENCE, &worker.to_string()]);
    assert_eq!(finished.code, Some(0), "{}", finished.stderr);
    assert!(finished.stdout.contains(" → ") && finished.stdout.ends_with(" ms\n"), "{}", finished.stdout);
}

/// A process that has forked gets no thread, and this one serves nothing: it trims all the same.
#[test]
fn a_master_trims_too_and_is_shown() {
    let server = asking().start();
    for trims in 1..3 {
        trim(server.master());
        let document = autotrim_with(["status", "--json", &server.master().to_string()]).json();
        let master = &document["processes"][0];
        assert_eq!(
            (&master["trims_by_trigger"]["signal"], &master["requests"]),
            (&json!(trims), &json!(0)),
            "{master}"
        );
    }
    assert_eq!(own_threads(server.master()), [0; 0]);
}

#[test]
fn a_trim_that_waits_for_an_open_request_is_waited_for() {
    let server = asking().env("AUTOTRIM_DEFER", "1m").start();
    assert_eq!(get(server.port, "/small").status(), 200);
    let answer = server.while_one_is_open(|| {
        let worker = server.worker().to_string();
        autotrim_with(["trim", "--timeout", "5", &worker]).says(1, &["did not trim within 5 s", "in flight"]);
    });
    assert_eq!(answer.status(), 200);
    assert_eq!(trim(server.worker())["requests"], json!(2));
}

/// The convention of systemd's programs, seen from the other side: a program that takes the signal itself.
#[test]
fn the_request_is_the_signal_that_was_named_with_the_value_for_releasing_memory() {
    let directory = open_directory();
    let (source, program) = (directory.path().join("take.c"), directory.path().join("take"));
    let told = directory.path().join("told");
    let text = r#"
        #include <signal.h>
        #include <stdio.h>
        #include <stdlib.h>
        #include <unistd.h>
        static char *name;
        static void take(int signal, siginfo_t *info, void *context) {
            char text[100];
            (void)context;
            int length = snprintf(text, sizeof text, "%d %d %d %#x\n", signal, info->si_code == SI_QUEUE, info->si_pid, info->si_value.sival_int);
            FILE *file = fopen(name, "w");
            if (!file || fwrite(text, 1, length, file) != (size_t)length || fclose(file)) abort();
        }
        int main(int count, char **arguments) {
            struct sigaction action = {.sa_sigaction = take, .sa_flags = SA_SIGINFO};
            name = arguments[count - 1];
            sigaction(SIGRTMIN + 18, &action, NULL);
            for (;;) pause();
        }"#;
    std::fs::write(&source, text).expect("the source");
    let compiled = Command::new("cc").arg("-D_GNU_SOURCE").arg("-o").args([&program, &source]).status().expect("cc");
    assert!(compiled.success());
    let mut command = Command::new(&program);
    let running = command.arg(&told).env("LD_PRELOAD", library()).env(SIGNAL.0, SIGNAL.1);
    let mut running = Running::start(running).has_become(&program);
    let mut asking = autotrim();
    let asking = asking.args(["trim", "--timeout", "0.5", &running.pid().to_string()]).stderr(Stdio::piped());
    let asking = asking.spawn().expect("autotrim");
    let sender = asking.id();
    let output = asking.wait_with_output().expect("wait");
    assert_eq!(output.status.code(), Some(1));
    assert!(String::from_utf8_lossy(&output.stderr).contains("asked, and did not trim within 0.5 s"), "{output:?}");
    let came =
        wait_within(LIMIT, "what came", || std::fs::read_to_string(&told).ok().filter(|text| text.ends_with('\n')));
    assert_eq!(came, format!("52 1 {sender} 0x300\n"));
    assert!(running.is_alive());
}

#[test]
fn a_process_that_was_not_told_to_take_the_signal_gets_none() {
    let server = Gunicorn::preloaded(Worker::Sync).start();
    let worker = server.worker();
    autotrim_with(["trim", &worker.to_string()])
        .says(1, &["takes no signal for a trim", "AUTOTRIM_SIGNAL=SIGRTMIN+18"]);
    assert_eq!((get(server.port, "/small").status(), server.worker()), (200, worker));
}

#[test]
fn a_process_whose_library_was_told_to_do_nothing_gets_none() {
    let server = asking().env("AUTOTRIM_DISABLE", "1").start();
    let worker = server.worker();
    autotrim_with(["trim", &worker.to_string()]).says(1, &["AUTOTRIM_DISABLE"]);
    assert_eq!((get(server.port, "/small").status(), server.worker()), (200, worker));
}

#[test]
fn a_process_that_the_signal_would_end_gets_none() {
    // It takes the library's handler away.
    let directory = open_directory();
    let done = directory.path().join("done");
    let program = "import signal, sys; signal.signal(signal.SIGRTMIN + 18, signal.SIG_DFL); open(sys.argv[1], 'w'); signal.pause()";
    let mut command = Command::new(python());
    clean_environment(&mut command)
        .args(["-c", program])
        .arg(&done)
        .env("LD_PRELOAD", library())
        .env(SIGNAL.0, SIGNAL.1);
    let mut running = Running::start(&mut command);
    wait_within(LIMIT, "the handler's end", || done.exists().then_some(()));
    autotrim_with(["trim", &running.pid().to_string()]).says(1, &["would be ended by it"]);
    assert!(running.is_alive());
}

#[test]
fn a_signal_that_means_something_else_is_never_sent() {
    for value in ["SIGTERM", "15", "9", "0", "off", "SIGRTMIN+99", "65", "-1"] {
        let server = Gunicorn::preloaded(Worker::Sync).env("AUTOTRIM_SIGNAL", value).start();
        let worker = server.worker();
        autotrim_with(["trim", &worker.to_string()]).says(1, &["takes no signal for a trim"]);
        assert_eq!((get(server.port, "/small").status(), server.worker()), (200, worker), "{value}");
    }
}

#[test]
fn a_process_without_the_library_gets_no_signal() {
    let directory = open_directory();
    let program = waiting_program(directory.path(), "gcc", &[]);
    let mut command = Command::new(&program);
    let mut running = Running::start(command.env(SIGNAL.0, SIGNAL.1)).has_become(&program);
    autotrim_with(["trim", &running.pid().to_string()]).says(1, &["does not have the library"]);
    assert!(running.is_alive());
    autotrim_with(["trim", "4194305"]).says(1, &["no process 4194305"]);
    autotrim_with(["trim", "-1"]).says(2, &[]);
}

#[test]
fn without_permission_no_signal_is_sent() {
    if !is_root("asking as another user") {
        return;
    }
    let server = asking().start();
    let worker = server.worker();
    finish_as_nobody(autotrim().args(["trim", &worker.to_string()])).says(1, &["not permitted", "no signal is sent"]);
    assert_eq!((get(server.port, "/small").status(), server.worker()), (200, worker));
}
