//! The release build on other systems than the one it was built on: other versions of glibc, musl, programs that load no
//! library or not this one, and another architecture.

mod common;
#[path = "common/release.rs"]
mod release;

use common::http::get;
use common::log::Log;
use common::process::{clean_environment, end_with_this_test};
use common::{LIMIT, python, servers};
use std::ffi::CStr;
use std::fs::File;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

const TRIMS_BY_COUNT: [(&str, &str); 5] = [
    ("AUTOTRIM_INTERVAL", "5"),
    ("AUTOTRIM_GROWTH", "0"),
    ("AUTOTRIM_IDLE", "0"),
    ("AUTOTRIM_OVERHEAD", "0"),
    ("AUTOTRIM_LOG", "debug"),
];

/// The log of a process that answered 20 requests and trimmed after each fifth, and has nothing else to say.
fn assert_trims_of_20_requests(log: &Log, allocator: &str) {
    assert_eq!(log.pids().len(), 1, "{log:?}");
    assert_eq!(log.lines[0].event, "enabled");
    assert_eq!(log.lines[0].text("allocator"), allocator);
    let trims = log.trims("requests");
    assert_eq!(trims.numbers("requests"), [5, 10, 15, 20]);
    assert_eq!(trims.numbers("in_flight"), [0; 4]);
    assert_eq!(log.lines.len(), 1 + 4, "{log:?}");
}

fn this_glibc() -> String {
    // SAFETY: no preconditions; a static C string.
    let version = unsafe { CStr::from_ptr(libc::gnu_get_libc_version()) };
    format!("glibc-{}", version.to_str().expect("a version"))
}

/// What a program needs that scripts/test installs.
fn lacking(program: &str) -> String {
    format!("{program} is missing: scripts/test installs it")
}

// Python servers.

struct Server(Child);

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Runs tests/servers/plain_server.py by `command`, which sets LD_PRELOAD itself; the log of 20 requests.
fn log_of_server(command: &mut Command) -> Log {
    let directory = tempfile::tempdir().expect("a temporary directory");
    let stderr = directory.path().join("stderr");
    command.envs(TRIMS_BY_COUNT).stdin(Stdio::null()).stdout(Stdio::piped());
    command.stderr(File::create(&stderr).expect("a file for the output"));
    let mut server = Server(end_with_this_test(command).spawn().expect("the server could not be started"));
    let mut port = String::new();
    BufReader::new(server.0.stdout.take().expect("a pipe")).read_line(&mut port).expect("its stdout");
    let read = || String::from_utf8_lossy(&std::fs::read(&stderr).expect("its stderr")).into_owned();
    let port = port.trim().parse().unwrap_or_else(|_| panic!("no port: {}", read()));
    for _ in 0..20 {
        assert_eq!(get(port, "/").text(), "hello");
    }
    // The last trim comes after the last answer.
    let start = Instant::now();
    loop {
        let log = Log::read(read().as_bytes());
        if log.event("trim").lines.len() >= 4 {
            return log;
        }
        assert!(start.elapsed() < LIMIT, "waited {LIMIT:?} in vain for the fourth trim: {}", read());
        std::thread::sleep(Duration::from_millis(10));
    }
}

#[test]
fn works_on_this_glibc() {
    let mut command = Command::new(python());
    clean_environment(&mut command).arg(servers().join("plain_server.py")).env("LD_PRELOAD", release::x86_64());
    assert_trims_of_20_requests(&log_of_server(&mut command), &this_glibc());
}

/// In a root directory that scripts/roots made, where /proc is not mounted either.
fn works_in_debian(suite: &str, allocator: &str) {
    let root = release::path_from("scripts/roots").join(suite);
    for file in [release::x86_64(), servers().join("plain_server.py")] {
        release::install(&file, &root);
    }
    let mut command = Command::new("chroot");
    clean_environment(&mut command).arg(&root);
    // By env and not here: chroot itself runs on this system.
    command.args(["/usr/bin/env", "LD_PRELOAD=/libautotrim.so", "/usr/bin/python3", "/plain_server.py"]);
    let log = log_of_server(&mut command);
    assert_trims_of_20_requests(&log, allocator);
    assert!(log.event("trim").lines.iter().all(|line| line.text("rss_after_kb") == "unknown"), "{log:?}");
}

#[test]
fn works_on_glibc_2_31_of_debian_bullseye() {
    works_in_debian("bullseye", "glibc-2.31");
}

#[test]
fn works_on_glibc_2_41_of_debian_trixie() {
    works_in_debian("trixie", "glibc-2.41");
}

#[test]
fn works_on_glibc_2_43_of_debian_forky() {
    works_in_debian("forky", "glibc-2.43");
}

/// A fixture that any glibc runs.
fn compile_for_all(source: &str) -> Program {
    compile(cross_compiler("x86_64-linux-gnu.2.17").args(["-D_GNU_SOURCE", "-O1", "-pthread"]), source)
}

/// Runs a program by this system's kernel and the other's C library.
fn run_in_debian(suite: &str, environment: &[&str], program: &Path, arguments: &[&str]) -> Outcome {
    let libraries = path_of_libraries(suite);
    // By env: `run` cleans the environment.
    let mut command = Command::new("env");
    command.args(environment).arg(libraries.join("ld-linux-x86-64.so.2")).arg("--library-path").arg(&libraries);
    run(command.arg(program).args(arguments))
}

/// tests/fixtures/tops.c: where its threads wait, and where they have ended.
fn tops_come_back_in_debian(suite: &str) {
    let program = compile_for_all("tops.c");
    for how in ["wait", "end"] {
        let held = |preload: &str| {
            let outcome = run_in_debian(suite, &[&format!("LD_PRELOAD={preload}")], &program.path, &[how]);
            let last = outcome.stdout.lines().last().and_then(|line| line.parse::<u64>().ok());
            last.unwrap_or_else(|| panic!("{suite}, {how}: no number: {outcome:?}"))
        };
        let (plain, preloaded) = (held(""), held(&release::x86_64().display().to_string()));
        assert!(plain > 64 * 1024 && preloaded < 16 * 1024, "{suite}, {how}: {plain} KB, {preloaded} KB");
    }
}

fn path_of_libraries(suite: &str) -> PathBuf {
    release::path_from("scripts/roots").join(suite).join("lib/x86_64-linux-gnu")
}

#[test]
fn tops_come_back_on_glibc_2_31_of_debian_bullseye() {
    tops_come_back_in_debian("bullseye");
}

#[test]
fn tops_come_back_on_glibc_2_41_of_debian_trixie() {
    tops_come_back_in_debian("trixie");
}

#[test]
fn tops_come_back_on_glibc_2_43_of_debian_forky() {
    tops_come_back_in_debian("forky");
}

/// tests/fixtures/live_memory.c: what is in use is told, by mallinfo as by mallinfo2, past what an int can tell.
fn live_memory_is_known_in_debian(suite: &str) {
    const NOISE_KB: u64 = 64 << 10;
    let program = compile_for_all("live_memory.c");
    let preload = format!("LD_PRELOAD={}", release::x86_64().display());
    let options = ["AUTOTRIM_SIGNAL=SIGUSR2", "AUTOTRIM_OVERHEAD=0", "AUTOTRIM_LOG=debug"];
    let outcome = run_in_debian(suite, &[&[preload.as_str()], options.as_slice()].concat(), &program.path, &[]);
    let lines = outcome.stdout.lines();
    let held: Vec<u64> = lines.take(10).map(|line| line.parse().expect("a number")).collect();
    let live = outcome.log().trims("signal").numbers("live_kb");
    assert_eq!((live.len(), held.len()), (10, 10), "{suite}: {outcome:?}");
    for (live, held) in live.into_iter().zip(held) {
        assert!((held..held + NOISE_KB).contains(&live), "{suite}: {live} KB of {held} KB: {outcome:?}");
    }
}

#[test]
fn live_memory_is_known_on_glibc_2_31_of_debian_bullseye() {
    live_memory_is_known_in_debian("bullseye");
}

#[test]
fn live_memory_is_known_on_glibc_2_43_of_debian_forky() {
    live_memory_is_known_in_debian("forky");
}

// Programs that serve themselves.

/// What a program left.
#[derive(Debug)]
struct Outcome {
    stdout: String,
    stderr: String,
}

impl Outcome {
    fn log(&self) -> Log {
        Log::read(self.stderr.as_bytes())
    }
}

/// Runs a program to its good end.
fn run(command: &mut Command) -> Outcome {
    clean_environment(command).envs(TRIMS_BY_COUNT).stdin(Stdio::null());
    let name = command.get_program().to_string_lossy().into_owned();
    let output = command.output().unwrap_or_else(|_| panic!("{}", lacking(&name)));
    let text = |bytes| String::from_utf8(bytes).expect("text");
    let outcome = Outcome { stdout: text(output.stdout), stderr: text(output.stderr) };
    assert!(output.status.success(), "{name}: {}: {}", output.status, outcome.stderr);
    outcome
}

fn run_preloaded(program: &Path) -> Outcome {
    // By env: `run` cleans the environment.
    let preload = format!("LD_PRELOAD={}", release::x86_64().display());
    run(Command::new("env").arg(preload).arg(program))
}

/// A program that a test compiled, in a directory that goes when it goes.
struct Program {
    _directory: tempfile::TempDir,
    path: PathBuf,
}

/// tests/fixtures/serves_itself.c, by a compiler and its flags.
fn serves_itself(compiler: &mut Command) -> Program {
    compiler.args(["-Wall", "-Wextra", "-Werror", "-O2"]);
    compile(compiler, "serves_itself.c")
}

fn compile(compiler: &mut Command, source: &str) -> Program {
    let directory = tempfile::tempdir().expect("a temporary directory");
    let path = directory.path().join("serves_itself");
    let name = compiler.get_program().to_string_lossy().into_owned();
    compiler.arg("-o").arg(&path).arg(common::root().join("tests/fixtures").join(source));
    let status = compiler.status().unwrap_or_else(|_| panic!("{}", lacking(&name)));
    assert!(status.success(), "{name} fails");
    Program { _directory: directory, path }
}

/// The C compiler that scripts/build-release links with: it knows other architectures.
fn cross_compiler(target: &str) -> Command {
    release::x86_64();
    let mut command = Command::new(python());
    command.args(["-m", "ziglang", "cc", "-target", target]);
    command
}

/// The fixture itself, before it is used to show that something else is quiet.
#[test]
fn a_c_program_is_served_here() {
    let outcome = run_preloaded(&serves_itself(&mut Command::new("cc")).path);
    assert_eq!(outcome.stdout, "loaded\n20 answers\n");
    assert_trims_of_20_requests(&outcome.log(), &this_glibc());
}

/// musl's dynamic linker loads it, taking libc.so.6 and libdl.so.2 for itself. More of it is in tests/musl.rs.
#[test]
fn works_on_musl() {
    let outcome = run_preloaded(&serves_itself(&mut Command::new("musl-gcc")).path);
    assert_eq!(outcome.stdout, "loaded\n20 answers\n");
    assert_trims_of_20_requests(&outcome.log(), "musl");
}

#[test]
fn a_static_program_is_unaffected() {
    let outcome = run_preloaded(&serves_itself(Command::new("cc").arg("-static")).path);
    assert_eq!(outcome.stdout, "not loaded\n20 answers\n");
    assert_eq!(outcome.stderr, "");
}

/// The one place where the library is seen: the dynamic linker's own message, with any 64-bit library.
#[test]
fn a_32_bit_program_ignores_it() {
    let program = serves_itself(&mut cross_compiler("x86-linux-gnu.2.17"));
    let linker = "/lib/ld-linux.so.2";
    assert!(Path::new(linker).exists(), "{}", lacking(linker));
    let outcome = run_preloaded(&program.path);
    assert_eq!(outcome.stdout, "not loaded\n20 answers\n");
    let library = release::x86_64();
    let expected = format!(
        "ERROR: ld.so: object '{}' from LD_PRELOAD cannot be preloaded (wrong ELF class: ELFCLASS64): ignored.\n",
        library.display()
    );
    assert_eq!(outcome.stderr, expected);
}

/// Linked with libc, so that the library is loaded, and without.
#[test]
fn go_programs_are_unaffected() {
    for linked_with_libc in ["1", "0"] {
        let cache = tempfile::tempdir().expect("a temporary directory");
        let mut compiler = Command::new("go");
        compiler.arg("build").env("CGO_ENABLED", linked_with_libc).env("GOCACHE", cache.path());
        let outcome = run_preloaded(&compile(&mut compiler, "serves_itself.go").path);
        assert_eq!(outcome.stdout, "20 answers\n");
        assert_eq!(outcome.stderr, "");
    }
}

/// QEMU's emulator of programs for 64-bit ARM, with pages of so many bytes and the library preloaded.
fn emulator(page: &str) -> Command {
    let system = "/usr/aarch64-linux-gnu";
    assert!(Path::new(system).join("lib/libc.so.6").exists(), "{}", lacking("glibc for aarch64"));
    let mut emulator = Command::new("qemu-aarch64-static");
    emulator.args(["-p", page, "-L", system, "-E"]).arg(format!("LD_PRELOAD={}", release::aarch64().display()));
    emulator
}

/// With each size of pages that Linux has there.
#[test]
fn works_on_aarch64() {
    let program = serves_itself(&mut cross_compiler("aarch64-linux-gnu.2.17"));
    for page in ["4096", "16384", "65536"] {
        let outcome = run(emulator(page).arg(&program.path));
        assert_eq!(outcome.stdout, "loaded\n20 answers\n");
        let log = outcome.log();
        assert_trims_of_20_requests(&log, log.lines[0].text("allocator"));
    }
}

/// tests/fixtures/tops.c, as above. The emulator's own memory counts, too.
#[test]
fn tops_come_back_on_aarch64() {
    let program =
        compile(cross_compiler("aarch64-linux-gnu.2.36").args(["-D_GNU_SOURCE", "-O1", "-pthread"]), "tops.c");
    for page in ["4096", "16384", "65536"] {
        for how in ["wait", "end"] {
            let held = |disabled| {
                let mut emulator = emulator(page);
                emulator.args(["-E", disabled]).arg(&program.path).arg(how);
                let outcome = run(&mut emulator);
                let last = outcome.stdout.lines().last().and_then(|line| line.parse::<u64>().ok());
                last.unwrap_or_else(|| panic!("{page}, {how}: no number: {outcome:?}"))
            };
            let (plain, preloaded) = (held("AUTOTRIM_DISABLE=1"), held("AUTOTRIM_DISABLE=0"));
            assert!(plain > 64 * 1024 && preloaded < 32 * 1024, "{page}, {how}: {plain} KB, {preloaded} KB");
        }
    }
}

/// There the kernel's frame for a handler is another one, and so is what it is known by.
#[test]
fn nothing_is_trimmed_in_a_handler_on_aarch64() {
    let mut compiler = cross_compiler("aarch64-linux-gnu.2.36");
    let program = compile(compiler.args(["-D_GNU_SOURCE", "-O1", "-pthread"]), "waits_in_handler.c");
    for how in ["plain", "nodefer", "unblocked", "alternate", "nested", "thread", "left"] {
        let mut emulator = emulator("4096");
        emulator.args(["-E", "AUTOTRIM_INTERVAL=1", "-E", "AUTOTRIM_OVERHEAD=0"]).arg(&program.path).arg(how);
        let mut requests = run(&mut emulator).log().trims("requests").numbers("requests");
        assert!(requests.len() > 8, "{how}: {requests:?}");
        // The last request is no handler's.
        requests.pop();
        assert!(requests.iter().all(|requests| requests % 2 == 1), "{how}: trims in a handler: {requests:?}");
    }
}
