//! `autotrim doctor --try`: one malloc_trim in a process that was not prepared for it, and where it is refused.

mod support;

use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use procfs::process::Process;
use support::common::gunicorn::{Gunicorn, Worker};
use support::common::http::get;
use support::common::package::file_of;
use support::common::process::{anonymous_kb, clean_environment, queue_signal, send_signal};
use support::common::{LIMIT, library, python, wait_within};
use support::{Finished, Running, autotrim, autotrim_with, finish, go_program, open_directory, waiting_program};

/// It has let go of half a gigabyte in blocks between which some are still in use, and goes on: each turn is a byte in its file. Threads that
/// use malloc all the time make it a program like others.
const PROGRAM: &str = r#"
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <unistd.h>
enum { BLOCKS = 100000, SIZE = 2000, KEPT = 200 };
static char *blocks[BLOCKS];
static int turns, signals;
static void count(int number) { (void)number; (void)!write(signals, "s", 1); }
static void *work(void *none) {
    for (;;) { char *block = malloc(3000); memset(block, 1, 3000); usleep(100); free(block); }
    return none;
}
int main(int number, char **arguments) {
    turns = open(arguments[1], O_CREAT | O_WRONLY | O_APPEND, 0600);
    signals = open(arguments[2], O_CREAT | O_WRONLY | O_APPEND, 0600);
    signal(SIGRTMIN + 3, count);
    /* khugepaged would take back what a trim gave. */
    prctl(PR_SET_THP_DISABLE, 1, 0, 0, 0);
    for (int i = 0; i < BLOCKS; i++) memset(blocks[i] = malloc(SIZE), 1, SIZE);
    for (int i = 0; i < BLOCKS; i++) if (i % KEPT) free(blocks[i]);
    pthread_t thread;
    for (int i = 0; i < 3; i++) pthread_create(&thread, NULL, work, NULL);
    for (;;) { poll(NULL, 0, 20); (void)!write(turns, "t", 1); for (int i = 0; i < BLOCKS; i += KEPT) if (*blocks[i] != 1) abort(); }
}
"#;
/// Most of what it has freed, in kilobytes.
const FREED: u64 = 150 << 10;

fn try_it(pid: u32) -> Finished {
    autotrim_with(["doctor", "--try", "--yes", "--json", &pid.to_string()])
}

/// Who traces a process; 0 = nobody.
fn tracer(pid: u32) -> i32 {
    Process::new(pid as i32).and_then(|process| process.status()).expect("it lives").tracerpid
}

fn compile(directory: &Path, name: &str, source: &str) -> PathBuf {
    let (file, program) = (directory.join(name).with_extension("c"), directory.join(name));
    std::fs::write(&file, source).expect("the source");
    let mut compiler = Command::new("cc");
    assert!(compiler.args(["-O1", "-pthread", "-o"]).args([&program, &file]).status().expect("cc").success());
    program
}

/// The program, once it waits and all is freed.
struct Holder {
    running: Running,
    directory: tempfile::TempDir,
}

impl Holder {
    fn start() -> Self {
        let directory = open_directory();
        let program = compile(directory.path(), "holder", PROGRAM);
        let mut command = Command::new(&program);
        clean_environment(&mut command).args(["turns", "signals"].map(|name| directory.path().join(name)));
        let holder = Self { running: Running::start(&mut command), directory };
        holder.goes_on();
        holder
    }

    fn count(&self, name: &str) -> u64 {
        std::fs::metadata(self.directory.path().join(name)).map_or(0, |file| file.len())
    }

    /// Nobody traces it, and it takes turns.
    fn goes_on(&self) {
        let before = self.count("turns");
        wait_within(LIMIT, "turns without a tracer", || {
            (tracer(self.running.pid()) == 0 && self.count("turns") > before + 2).then_some(())
        });
    }
}

#[test]
fn one_trim_gives_back_what_is_free_and_the_process_goes_on() {
    let holder = Holder::start();
    let before = anonymous_kb(holder.running.pid()).expect("RSS");
    assert!(before > FREED, "{before}");
    let finished = try_it(holder.running.pid());
    let after = anonymous_kb(holder.running.pid()).expect("RSS");
    assert_eq!((finished.code, finished.stderr.as_str()), (Some(0), ""), "{}", finished.stdout);
    assert!(after + FREED < before, "{before} → {after}: {}", finished.stdout);
    let findings = finished.json()["findings"].clone();
    let texts: Vec<_> = findings.as_array().expect("findings").iter().map(|finding| &finding["text"]).collect();
    let [told, meaning] = texts.as_slice() else { panic!("{findings}") };
    let told = told.as_str().expect("text");
    assert!(told.starts_with("RSS ") && told.contains(" → ") && told.contains("by malloc_trim(0) in "), "{told}");
    assert!(meaning.as_str().is_some_and(|text| text.contains("were free and held by malloc")), "{findings}");
    holder.goes_on();
    // There is nothing left.
    let again = try_it(holder.running.pid());
    assert!(again.stdout.contains("little was free"), "{}", again.stdout);
    holder.goes_on();
}

#[test]
fn a_server_answers_as_before() {
    let server = Gunicorn::plain(Worker::Gthread).start();
    for _ in 0..3 {
        assert_eq!(get(server.port, "/fragment").status(), 200);
        let finished = try_it(server.worker());
        assert_eq!(finished.code, Some(0), "{}", finished.stderr);
    }
    assert_eq!(get(server.port, "/small").status(), 200);
    assert_eq!(autotrim_with(["doctor", "--try", "--yes", &server.worker().to_string()]).code, Some(0));
}

/// They are queued, so that each counts.
#[test]
fn no_signal_is_lost() {
    let holder = Holder::start();
    let (pid, mut sent) = (holder.running.pid(), 0);
    for _ in 0..3 {
        let mut command = autotrim();
        command.args(["doctor", "--try", "--yes", &pid.to_string()]).stdout(Stdio::null()).stderr(Stdio::null());
        let mut trying = command.spawn().expect("the command");
        while trying.try_wait().expect("wait").is_none() {
            queue_signal(pid, libc::SIGRTMIN() + 3, 0);
            sent += 1;
            std::thread::sleep(Duration::from_millis(2));
        }
    }
    wait_within(LIMIT, "all signals", || (holder.count("signals") == sent).then_some(()));
    holder.goes_on();
}

/// However the command ends, and whenever: gdb lets go.
#[test]
fn the_process_goes_on_when_the_command_is_ended() {
    let holder = Holder::start();
    for (index, signal) in
        [libc::SIGKILL, libc::SIGTERM, libc::SIGINT, libc::SIGHUP].into_iter().cycle().take(16).enumerate()
    {
        let mut command = autotrim();
        command.args(["doctor", "--try", "--yes", &holder.running.pid().to_string()]);
        let mut trying = command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().expect("the command");
        std::thread::sleep(Duration::from_millis(60 * index as u64));
        send_signal(trying.id(), signal);
        trying.wait().expect("wait");
        holder.goes_on();
    }
}

/// Nor does gdb leave it in the middle of the call, whatever is sent to gdb itself, as the end of a service or a container does.
#[test]
fn the_process_goes_on_when_gdb_is_asked_to_end() {
    let holder = Holder::start();
    let pid = holder.running.pid();
    for (index, signal) in
        [libc::SIGTERM, libc::SIGINT, libc::SIGHUP, libc::SIGQUIT].into_iter().cycle().take(8).enumerate()
    {
        let mut command = autotrim();
        command.args(["doctor", "--try", "--yes", &pid.to_string()]);
        let mut trying = command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().expect("the command");
        let gdb = wait_within(LIMIT, "gdb", || Some(tracer(pid)).filter(|&tracer| tracer > 0));
        std::thread::sleep(Duration::from_millis(8 * index as u64));
        send_signal(gdb as u32, signal);
        assert!(trying.wait().expect("wait").success(), "{signal}");
        holder.goes_on();
    }
}

#[test]
fn another_malloc_is_refused() {
    let jemalloc = file_of("libjemalloc2", "libjemalloc.so.2");
    let mut command = Command::new("sleep");
    let running = Running::start(clean_environment(&mut command).arg("600").env("LD_PRELOAD", &jemalloc));
    let running = running.has_loaded(&jemalloc);
    try_it(running.pid()).says(1, &["its malloc is not glibc's (jemalloc)", "nothing was done"]);
    let directory = open_directory();
    for (compiler, flags, malloc) in [("musl-gcc", &[][..], "musl"), ("gcc", &["-static"][..], "none")] {
        let program = waiting_program(directory.path(), compiler, flags);
        let running = Running::start(&mut Command::new(&program)).has_become(&program);
        try_it(running.pid()).says(1, &[&format!("its malloc is not glibc's ({malloc})")]);
    }
}

#[test]
fn a_process_with_the_library_is_told_to_ask_it() {
    let mut command = Command::new(python());
    clean_environment(&mut command).args(["-c", "import time; time.sleep(600)"]).env("LD_PRELOAD", library());
    let running = Running::start(&mut command).has_loaded(&library());
    try_it(running.pid()).says(1, &["it has the library, which trims by itself (autotrim status"]);
}

#[test]
fn huge_heaps_are_refused() {
    let mut command = Command::new("sleep");
    let tunables = "glibc.malloc.hugetlb=2";
    let running = Running::start(clean_environment(&mut command).arg("600").env("GLIBC_TUNABLES", tunables));
    let sleep = Path::new("/usr/bin/sleep").canonicalize().expect("sleep");
    try_it(running.has_become(&sleep).pid()).says(1, &["glibc.malloc.hugetlb is set there"]);
}

/// The first madvise would be its end.
#[test]
fn strict_seccomp_is_refused() {
    const STRICT: &str = "#include <linux/seccomp.h>\n#include <sys/prctl.h>\n#include <unistd.h>\n\
                          int main(void) { int ends[2]; if (pipe(ends)) return 1; prctl(PR_SET_SECCOMP, SECCOMP_MODE_STRICT); char byte;\n\
                          for (;;) if (read(ends[0], &byte, 1) < 0) continue; }\n";
    let directory = open_directory();
    let program = compile(directory.path(), "strict", STRICT);
    let running = Running::start(&mut Command::new(&program)).has_become(&program);
    wait_within(LIMIT, "its seccomp", || {
        let status = Process::new(running.pid() as i32).and_then(|process| process.status()).expect("it lives");
        (status.seccomp == Some(1)).then_some(())
    });
    try_it(running.pid()).says(1, &["it is under strict seccomp", "nothing was done"]);
}

/// It stays stopped, and debugged by who debugs it.
#[test]
fn a_process_that_is_stopped_or_debugged_is_left_alone() {
    let directory = open_directory();
    let program = waiting_program(directory.path(), "cc", &[]);
    let running = Running::start(&mut Command::new(&program)).has_become(&program);
    let pid = running.pid();
    let state = || Process::new(pid as i32).and_then(|process| process.stat()).expect("it lives").state;
    send_signal(pid, libc::SIGSTOP);
    wait_within(LIMIT, "its stop", || (state() == 'T').then_some(()));
    try_it(pid).says(1, &["it is stopped by a signal"]);
    assert_eq!(state(), 'T');
    send_signal(pid, libc::SIGCONT);
    let strace = Running::start(Command::new("strace").args(["-p", &pid.to_string()]));
    wait_within(LIMIT, "strace", || (tracer(pid) == strace.pid() as i32).then_some(()));
    try_it(pid).says(1, &[&format!("process {} is debugging it already", strace.pid())]);
    assert_eq!(tracer(pid), strace.pid() as i32);
}

/// It may have interrupted malloc.
#[test]
fn a_thread_that_waits_in_a_signal_handler_is_no_place() {
    const HANDLER: &str = "#include <signal.h>\n#include <unistd.h>\n\
                           static void stay(int number) { (void)number; for (;;) pause(); }\n\
                           int main(void) { signal(SIGUSR1, stay); raise(SIGUSR1); }\n";
    let directory = open_directory();
    let program = compile(directory.path(), "handler", HANDLER);
    let running = Running::start(&mut Command::new(&program)).has_become(&program);
    try_it(running.pid()).says(1, &["no thread waits", "outside of signal handlers"]);
}

/// The addresses of what it was are not those of what it is.
#[test]
fn a_process_that_executes_another_program_is_left_alone() {
    let directory = open_directory();
    // By chance it does so while gdb starts, or is at rest before or after.
    const AGAIN: &str = "#include <poll.h>\n#include <unistd.h>\n\
                         int main(int number, char **arguments) { (void)number; poll(NULL, 0, 30); execv(\"/proc/self/exe\", arguments); }\n";
    let program = compile(directory.path(), "again", AGAIN);
    let running = Running::start(&mut Command::new(&program)).has_become(&program);
    for _ in 0..3 {
        let finished = try_it(running.pid());
        assert!(!finished.stderr.contains("called from GDB"), "{}", finished.stderr);
        assert!(procfs::process::Process::new(running.pid() as i32).is_ok_and(|process| process.is_alive()));
    }
}

/// Some hundred bytes may be left of a goroutine's stack.
#[test]
fn a_stack_without_room_is_no_place() {
    const GOROUTINE: &str = "package main\n\nimport (\n\t\"C\"\n\t\"syscall\"\n)\n\n\
                             func main() {\n\tvar ends [2]int\n\tsyscall.Pipe(ends[:])\n\tsyscall.Read(ends[0], make([]byte, 1))\n}\n";
    // A waiting thread on 16 KiB, of which it has filled most; the first one is at a place that is no wait (FUTEX_WAIT).
    const FULL: &str = "#include <linux/futex.h>\n#include <pthread.h>\n#include <sys/syscall.h>\n#include <unistd.h>\n\
                        static void *stay(void *none) { volatile char full[4000]; full[0] = 0; for (;;) pause(); return none; }\n\
                        int main(void) { int word = 0; pthread_t thread; pthread_attr_t small; pthread_attr_init(&small);\n\
                        pthread_attr_setstacksize(&small, 16384); pthread_create(&thread, &small, stay, NULL);\n\
                        for (;;) syscall(SYS_futex, &word, FUTEX_WAIT, 0, NULL, NULL, 0); }\n";
    let directory = open_directory();
    for program in [go_program(directory.path(), GOROUTINE), compile(directory.path(), "full", FULL)] {
        // Signals by which Go interrupts itself would leave frames of handlers in its heap.
        let running = Running::start(Command::new(&program).env("GODEBUG", "asyncpreemptoff=1")).has_become(&program);
        // A thread of Go's own takes naps until all is quiet, and has a stack with room.
        let rest = [libc::SYS_futex, libc::SYS_read, libc::SYS_pause].map(|call| call.to_string());
        wait_within(LIMIT, "rest", || {
            let calls = Process::new(running.pid() as i32).and_then(|process| process.tasks()).expect("it lives");
            let mut calls = calls.map(|task| {
                let path = format!("/proc/{}/task/{}/syscall", running.pid(), task.expect("a thread").tid);
                std::fs::read_to_string(path).unwrap_or_default()
            });
            calls
                .all(|call| call.split(' ').next().is_some_and(|call| rest.iter().any(|rest| rest == call)))
                .then_some(())
        });
        try_it(running.pid()).says(1, &["no thread waits", "with room on its stack"]);
    }
}

/// It would not stop, and once it is let go it would.
#[test]
fn a_frozen_process_is_left_alone() {
    let group = Path::new("/sys/fs/cgroup/freezer").join(format!("autotrim-test-{}", std::process::id()));
    if std::fs::create_dir(&group).is_err() {
        return eprintln!("skipped: no cgroup that freezes can be made here");
    }
    let directory = open_directory();
    let program = waiting_program(directory.path(), "cc", &[]);
    let running = Running::start(&mut Command::new(&program)).has_become(&program);
    let set = |name: &str, value: &str| std::fs::write(group.join(name), value).expect("the cgroup");
    let state = || Process::new(running.pid() as i32).and_then(|process| process.stat()).expect("it lives").state;
    set("cgroup.procs", &running.pid().to_string());
    set("freezer.state", "FROZEN");
    wait_within(LIMIT, "frost", || (state() == 'D').then_some(()));
    let finished = try_it(running.pid());
    set("freezer.state", "THAWED");
    wait_within(LIMIT, "its rest", || (state() == 'S').then_some(()));
    drop(running);
    wait_within(LIMIT, "the end of its process", || std::fs::remove_dir(&group).ok());
    finished.says(1, &["no thread waits", "frozen"]);
}

#[test]
fn a_thread_that_computes_is_no_place() {
    let directory = open_directory();
    let program = compile(directory.path(), "computes", "int main(void) { for (volatile long i = 0;; i++) {} }\n");
    let running = Running::start(&mut Command::new(&program));
    let program = program.canonicalize().expect("the program");
    wait_within(LIMIT, "the program", || {
        let process = Process::new(running.pid() as i32).ok()?;
        (process.exe().ok()? == program && process.stat().ok()?.utime > 2).then_some(())
    });
    try_it(running.pid()).says(1, &["no thread waits"]);
}

/// At a terminal it asks. The sleep that the first trim interrupts goes on, and is a wait still.
#[test]
fn it_is_done_once_that_is_agreed_to() {
    let mut command = Command::new("sleep");
    let running = Running::start(clean_environment(&mut command).arg("600"));
    let running = running.has_become(&Path::new("/usr/bin/sleep").canonicalize().expect("sleep"));
    for (answer, code, words) in [
        ("y", 0, "by malloc_trim(0) in "),
        ("yes", 0, "by malloc_trim(0) in "),
        ("n", 1, "nothing was done"),
        ("", 1, "nothing was done"),
    ] {
        let line = format!("{} doctor --try {}", env!("CARGO_BIN_EXE_autotrim"), running.pid());
        let mut terminal = Command::new("script");
        clean_environment(&mut terminal).args(["--quiet", "--return", "--command", &line, "/dev/null"]);
        let mut terminal = terminal.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().expect("script");
        writeln!(terminal.stdin.take().expect("its input"), "{answer}").expect("the answer");
        let output = terminal.wait_with_output().expect("script");
        let said = String::from_utf8_lossy(&output.stdout);
        assert!(said.contains("Do it? [y/N] ") && said.contains(words), "{answer:?}: {said}");
        assert_eq!(output.status.code(), Some(code), "{answer:?}: {said}");
    }
}

#[test]
fn nobody_is_trimmed_unasked_or_without_gdb() {
    let directory = open_directory();
    let program = waiting_program(directory.path(), "cc", &[]);
    let running = Running::start(&mut Command::new(&program)).has_become(&program);
    let pid = running.pid().to_string();
    let words = ["gdb stops its threads", "malloc_trim(0)", "--yes does it without a question"];
    autotrim_with(["doctor", "--try", &pid]).says(2, &words);
    finish(autotrim().args(["doctor", "--try", "--yes", &pid]).env("PATH", "/no/such/directory"))
        .says(1, &["gdb is not installed"]);
    autotrim_with(["doctor", "--yes", &pid]).says(2, &["--try"]);
    autotrim_with(["doctor", "--try", "--", "true"]).says(2, &[]);
}
