//! "It does nothing" always has an answer: each reason is counted where it is decided, and told.

mod support;

use std::io::{Read, Write};
use std::net::TcpStream;
use std::os::unix::net::UnixListener;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

use serde_json::{Value, json};
use support::common::gunicorn::{Gunicorn, Worker};
use support::common::http::get;
use support::common::process::{clean_environment, end_with_this_test};
use support::common::{LIMIT, library, python, servers, wait_within};
use support::{autotrim_with, open_directory};

fn report(pid: u32) -> Value {
    autotrim_with(["status", "--json", &pid.to_string()]).json()["processes"][0].clone()
}

/// How often this was the reason.
fn skipped(report: &Value, reason: &str) -> u64 {
    report["skipped"][reason].as_u64().unwrap_or(0)
}

/// What the doctor says of it is among its findings.
#[track_caller]
fn doctor_says(pid: u32, words: &str) {
    let finished = autotrim_with(["doctor", &pid.to_string()]);
    assert!(finished.stdout.contains(words), "{words}: {}", finished.stdout);
}

/// Asks until a reason has been counted.
fn until_skipped(pid: u32, reason: &str, ask: impl Fn()) -> Value {
    wait_within(LIMIT, reason, || {
        ask();
        Some(report(pid)).filter(|report| skipped(report, reason) > 0)
    })
}

/// A server that prints its port, and ends with the test.
struct Served {
    child: std::process::Child,
    port: u16,
}

impl Served {
    fn start(command: &mut Command) -> Served {
        let command = end_with_this_test(command).stdin(Stdio::null()).stdout(Stdio::piped());
        let mut child = command.spawn().expect("a server");
        let mut line = String::new();
        let mut output = child.stdout.take().expect("its output");
        while !line.ends_with('\n') {
            let mut byte = [0];
            output.read_exact(&mut byte).expect("its port");
            line.push(byte[0].into());
        }
        Served { port: line.trim().parse().expect("a port"), child }
    }

    fn python(program: &[&str], options: &[(&str, &str)]) -> Served {
        let mut command = Command::new(python());
        clean_environment(&mut command).args(program).env("LD_PRELOAD", library());
        Served::start(command.envs(options.iter().copied()))
    }

    fn pid(&self) -> u32 {
        self.child.id()
    }
}

impl Drop for Served {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[test]
fn a_request_in_flight() {
    let server = Gunicorn::preloaded(Worker::Gthread).trimming_every(1).arguments(&["--threads", "4"]);
    let server = server.env("AUTOTRIM_DEFER", "10m").env("AUTOTRIM_IDLE", "0").env("AUTOTRIM_GROWTH", "0").start();
    let is_due = || {
        let told = report(server.worker());
        let due = (&told["due"]["trigger"], &told["due"]["waits_for"], &told["why_not"]);
        due == (&json!("requests"), &json!("in_flight"), &json!("in flight"))
    };
    // One that has been open for some seconds is waited for no longer.
    let told = (0..5).any(|_| {
        let mut told = false;
        let answer = server.while_one_is_open(|| {
            get(server.port, "/small");
            // It is decided at the next wait.
            told = (0..20).any(|_| {
                std::thread::sleep(Duration::from_millis(20));
                is_due()
            });
        });
        assert_eq!(answer.status(), 200);
        told
    });
    assert!(told, "{}", report(server.worker()));
    wait_within(LIMIT, "the trim", || (report(server.worker())["due"] == Value::Null).then_some(()));
    assert!(skipped(&report(server.worker()), "in_flight") > 0);
}

#[test]
fn a_budget_that_is_spent() {
    let server = Gunicorn::preloaded(Worker::Gthread).env("AUTOTRIM_OVERHEAD", "0.0001").env("AUTOTRIM_IDLE", "0");
    let server = server.env("AUTOTRIM_INTERVAL", "0").start();
    // What comes back after the first trim has cost too many page faults.
    let report = until_skipped(server.worker(), "overhead", || assert_eq!(get(server.port, "/fragment").status(), 200));
    assert_eq!((&report["due"]["waits_for"], &report["why_not"]), (&json!("overhead"), &json!("budget")), "{report}");
    doctor_says(server.worker(), "× the budget was spent (AUTOTRIM_OVERHEAD)");
}

#[test]
fn memory_that_is_locked() {
    let program = servers().join("locked.py");
    let options = [("AUTOTRIM_INTERVAL", "1"), ("AUTOTRIM_OVERHEAD", "0")];
    let server = Served::python(&[program.to_str().expect("a path")], &options);
    let report = until_skipped(server.pid(), "locked", || assert_eq!(get(server.port, "/").text(), "hello"));
    assert!(["mlocked", "-"].contains(&report["why_not"].as_str().unwrap_or("-")), "{report}");
    doctor_says(server.pid(), "× memory is locked (mlockall)");
}

/// 20,000 bytes of each answer are kept.
#[test]
fn nothing_to_gain() {
    let server = Gunicorn::preloaded(Worker::Gthread).application("growing:wsgi");
    let server =
        server.env("AUTOTRIM_INTERVAL", "0").env("AUTOTRIM_GROWTH", "1M").env("AUTOTRIM_OVERHEAD", "0").start();
    let ask = || (0..100).for_each(|_| assert_eq!(get(server.port, "/leak").status(), 200));
    until_skipped(server.worker(), "nothing_to_gain", ask);
    doctor_says(server.worker(), "× nothing to gain: the last trim had brought little");
}

/// It restricts its own system calls, after its first answer.
#[test]
fn a_filter() {
    let program = r#"
import ctypes, socket, struct
libc = ctypes.CDLL(None)
listener = socket.create_server(("127.0.0.1", 0))
print(listener.getsockname()[1], flush=True)
answered = 0
while True:
    connection, _ = listener.accept()
    connection.recv(65536)
    connection.sendall(b"HTTP/1.0 200 OK\r\nContent-Length: 5\r\n\r\nhello")
    connection.close()
    answered += 1
    if answered == 3:
        allow = ctypes.create_string_buffer(struct.pack("HBBI", 6, 0, 0, 0x7fff0000))
        filters = ctypes.create_string_buffer(struct.pack("HxxxxxxQ", 1, ctypes.addressof(allow)))
        assert libc.prctl(38, 1, 0, 0, 0) == 0
        assert libc.prctl(22, 2, filters) == 0
"#;
    let server = Served::python(&["-c", program], &[]);
    let ask = || assert_eq!(get(server.port, "/").text(), "hello");
    let report = until_skipped(server.pid(), "filter", ask);
    assert_eq!((&report["in_force"]["state"], &report["why_not"]), (&json!("retired"), &json!("filter")), "{report}");
    doctor_says(server.pid(), "has restricted its own system calls (seccomp)");
}

#[test]
fn what_tells_of_pressure_is_lost() {
    let directory = open_directory();
    let path = directory.path().join("socket");
    let manager = UnixListener::bind(&path).expect("a socket");
    let server = Gunicorn::preloaded(Worker::Sync).env("AUTOTRIM_PRESSURE", &path).start();
    assert_eq!(get(server.port, "/small").status(), 200);
    let (connection, _) = manager.accept().expect("the worker's connection");
    assert_eq!(skipped(&report(server.worker()), "source"), 0);
    drop(connection);
    until_skipped(server.worker(), "source", || {});
    doctor_says(server.worker(), "× what tells of memory pressure is not to be had, or was lost");
}

/// A handler that has interrupted libc, and may have interrupted malloc, waits; nothing else ever does.
#[test]
fn a_handler_on_the_stack() {
    let directory = open_directory();
    let text = r#"
        #include <netinet/in.h>
        #include <poll.h>
        #include <signal.h>
        #include <stdio.h>
        #include <stdlib.h>
        #include <string.h>
        #include <sys/socket.h>
        #include <sys/time.h>
        #include <unistd.h>
        static char work[1 << 20];
        static volatile sig_atomic_t handled;
        static void wait_here(int signal) { (void)signal; poll(NULL, 0, 1); handled++; }
        int main(void) {
            struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
            socklen_t length = sizeof address;
            int listener = socket(AF_INET, SOCK_STREAM, 0);
            char request[4096], *large;
            if (bind(listener, (void *)&address, length) || listen(listener, 8)) abort();
            getsockname(listener, (void *)&address, &length);
            printf("%d\n", ntohs(address.sin_port));
            fflush(stdout);
            int connection = accept(listener, NULL, NULL);
            static const char answer[] = "HTTP/1.0 200 OK\r\nContent-Length: 5\r\n\r\nhello";
            if (recv(connection, request, sizeof request, 0) <= 0) abort();
            if (send(connection, answer, sizeof answer - 1, 0) <= 0) abort();
            close(connection);
            signal(SIGALRM, wait_here);
            setitimer(ITIMER_REAL, &(struct itimerval){{0, 20000}, {0, 20000}}, NULL);
            memset(work, 'a', sizeof work - 1);
            while (handled < 100)
                if (strcspn(work, "xyz") != sizeof work - 1) abort();
            setitimer(ITIMER_REAL, &(struct itimerval){{0, 0}, {0, 0}}, NULL);
            for (;;) pause();
        }"#;
    let program = compiled(directory.path(), text);
    let mut command = Command::new(&program);
    clean_environment(&mut command).env("LD_PRELOAD", library()).env("AUTOTRIM_INTERVAL", "1");
    let server = Served::start(&mut command);
    assert_eq!(get(server.port, "/").text(), "hello");
    let report = until_skipped(server.pid(), "handler", || {});
    assert_eq!((&report["trims"], &report["why_not"]), (&json!(0), &json!("handler on stack")), "{report}");
    assert_eq!(report["due"]["waits_for"], "handler", "{report}");
    doctor_says(server.pid(), "× a signal handler was on the stack that may have interrupted malloc");
}

fn compiled(directory: &Path, text: &str) -> std::path::PathBuf {
    let (source, program) = (directory.join("program.c"), directory.join("program"));
    std::fs::write(&source, text).expect("the source");
    let compiled = Command::new("cc").args(["-D_GNU_SOURCE", "-O1", "-o"]).args([&program, &source]).status();
    assert!(compiled.expect("cc").success());
    program
}

/// It has received a request, and computes: no thread comes to a wait.
#[test]
fn no_wait_point() {
    let program = r#"
import socket
listener = socket.create_server(("127.0.0.1", 0))
print(listener.getsockname()[1], flush=True)
connection, _ = listener.accept()
connection.recv(65536)
connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello")
connection.recv(65536)
held = b"x" * (64 << 20)
while True:
    sum(range(1000))
"#;
    let server = Served::python(&["-c", program], &[]);
    let mut client = TcpStream::connect(("127.0.0.1", server.port)).expect("a connection");
    let mut answer = [0; 43];
    client.write_all(b"GET / HTTP/1.1\r\n\r\n").expect("a request");
    client.read_exact(&mut answer).expect("an answer");
    client.write_all(b"GET / HTTP/1.1\r\n\r\n").expect("a request");
    let told = wait_within(LIMIT, "that none comes", || report(server.pid())["why_not"].as_str().map(str::to_owned));
    assert!(told.starts_with("no wait for 1"), "{told}");
}

/// A program may write over its environment; what is in force its library tells.
#[test]
fn options_of_a_program_that_writes_over_its_environment() {
    let program = r#"
import ctypes, select, socket
listener = socket.create_server(("127.0.0.1", 0))
start, end = (int(n) for n in open("/proc/self/stat").read().rpartition(")")[2].split()[47:49])
ctypes.memset(start, 0, end - start)
print(listener.getsockname()[1], flush=True)
while True:
    select.select([listener], [], [])
    connection, _ = listener.accept()
    connection.recv(65536)
    connection.sendall(b"HTTP/1.0 200 OK\r\nContent-Length: 5\r\n\r\nhello")
    connection.close()
"#;
    let options = [("AUTOTRIM_GROWTH", "7M"), ("AUTOTRIM_SIGNAL", "SIGRTMIN+18"), ("AUTOTRIM_IDLE", "soon")];
    let server = Served::python(&["-c", program], &options);
    assert_eq!(get(server.port, "/").text(), "hello");
    let environment = std::fs::read(format!("/proc/{}/environ", server.pid())).expect("its environment");
    assert!(environment.iter().all(|&byte| byte == 0), "it was to be written over");
    doctor_says(server.pid(), "AUTOTRIM_GROWTH=7M AUTOTRIM_SIGNAL=52");
    doctor_says(server.pid(), "AUTOTRIM_IDLE=soon is not a duration");
    doctor_says(server.pid(), "the library's handler is installed");
    let trim = autotrim_with(["trim", "--timeout", "120", &server.pid().to_string()]);
    assert_eq!(trim.code, Some(0), "{}", trim.stderr);
}
