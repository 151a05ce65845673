//! Processes made to harm whoever looks at them, as root looks into containers: the command ends, takes little, opens nothing that is
//! not a file, leaves the container's root alone, and writes nothing that drives a terminal.

mod support;

use std::ffi::OsStr;
use std::fs::File;
use std::io::Read;
use std::os::fd::{FromRawFd, OwnedFd};
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use serde_json::Value;
use support::common::library;
use support::common::process::clean_environment;
use support::{Running, autotrim, copy, is_root, open_directory, run, script};

/// More than the command ever needs, and far less than it is offered.
const MOST_KILOBYTES: i64 = 100 << 10;
/// What takes longer hangs.
const LIMIT: &str = "120";

/// What a command left: its code, all that it wrote, and the most memory that it had.
struct Outcome {
    code: i32,
    stdout: Vec<u8>,
    stderr: Vec<u8>,
    kilobytes: i64,
}

/// `autotrim` with these arguments, to its end.
fn look<A: AsRef<OsStr>>(arguments: impl IntoIterator<Item = A>) -> Outcome {
    outcome(autotrim().args(arguments))
}

#[track_caller]
fn outcome(command: &mut Command) -> Outcome {
    let directory = open_directory();
    let [stdout, stderr] = ["stdout", "stderr"].map(|name| directory.path().join(name));
    let mut limited = Command::new("timeout");
    clean_environment(&mut limited).arg(LIMIT).arg(command.get_program()).args(command.get_args());
    limited.envs(command.get_envs().filter_map(|(name, value)| Some((name, value?))));
    limited.stdin(Stdio::null());
    limited.stdout(File::create(&stdout).expect("a file")).stderr(File::create(&stderr).expect("a file"));
    // Waited for below, where the kernel tells what it took.
    #[allow(clippy::zombie_processes)]
    let child = limited.spawn().expect("timeout");
    let mut status = 0;
    // SAFETY: zeros are a valid value, and the call writes an int and a struct; nobody else waits for this child.
    let usage = unsafe {
        let mut usage: libc::rusage = std::mem::zeroed();
        assert_eq!(libc::wait4(child.id() as i32, &mut status, 0, &mut usage), child.id() as i32);
        usage
    };
    let read = |path: &Path| std::fs::read(path).expect("what was written");
    let outcome = Outcome {
        code: libc::WEXITSTATUS(status),
        stdout: read(&stdout),
        stderr: read(&stderr),
        kilobytes: usage.ru_maxrss,
    };
    outcome.is_harmless();
    outcome
}

impl Outcome {
    /// Asserts that it ended by itself, with little, and wrote text without control characters.
    #[track_caller]
    fn is_harmless(&self) {
        let said = format!("{:?} {:?}", String::from_utf8_lossy(&self.stdout), String::from_utf8_lossy(&self.stderr));
        // A panic's is 101, timeout's 124.
        assert!([0, 1, 2, 126, 127].contains(&self.code), "{}: {said}", self.code);
        assert!(self.kilobytes < MOST_KILOBYTES, "{} kB: {said}", self.kilobytes);
        for text in [&self.stdout, &self.stderr] {
            let text = std::str::from_utf8(text).unwrap_or_else(|error| panic!("{error}: {said}"));
            let turns = |character| ('\u{202a}'..='\u{202e}').contains(&character);
            assert!(
                !text.chars().any(|character| character.is_control() && character != '\n' || turns(character)),
                "{said}"
            );
        }
    }

    fn text(&self) -> String {
        String::from_utf8_lossy(&[&self.stdout[..], &self.stderr].concat()).into_owned()
    }

    fn json(&self) -> Value {
        serde_json::from_slice(&self.stdout).unwrap_or_else(|error| panic!("{error}: {}", self.text()))
    }

    /// What the doctor says of the library.
    fn of_library(&self) -> String {
        let document = self.json();
        let finding =
            document["findings"].as_array().and_then(|all| all.iter().find(|one| one["subject"] == "library"));
        finding.unwrap_or_else(|| panic!("{document}"))["text"].as_str().expect("text").to_owned()
    }
}

/// Compiles a C program or, with `-shared`, a library.
fn compiled(path: &Path, source: &str, flags: &[&str]) -> PathBuf {
    let file = path.with_extension("c");
    std::fs::write(&file, source).expect("the source");
    let mut compiler = Command::new("cc");
    compiler.args(["-D_GNU_SOURCE", "-w"]).args(flags).arg("-o").args([path, &file]);
    assert!(compiler.status().expect("cc").success());
    path.to_owned()
}

fn pid(running: &Running) -> String {
    running.pid().to_string()
}

/// A terminal's colours, the 8-bit form of the same, a title, what turns text round, and bytes that are no text.
const EVIL: &[u8] = b"\xff\x1b[31m\xc2\x9b1m\x1b]0;x\x07\xe2\x80\xae\x7f";

fn evil(directory: &Path, rest: &str) -> PathBuf {
    directory.join(std::ffi::OsString::from_vec([EVIL, rest.as_bytes()].concat()))
}

/// All that a process can choose: its name, its program's, the library's, its sockets', its environment.
#[test]
fn names_of_any_bytes_are_shown_and_drive_no_terminal() {
    const NAMED: &str = r#"
        #include <stddef.h>
        #include <sys/prctl.h>
        #include <sys/socket.h>
        #include <sys/un.h>
        #include <unistd.h>
        int main(int count, char **arguments)
        {
            prctl(PR_SET_NAME, "\xff\x1b[31m:\n\\x");
            for (int n = 0; n < 2; n++) {
                struct sockaddr_un name = { AF_UNIX, "/\n\xff\x1b[31m" };
                name.sun_path[0] = n ? '@' : 0;
                int socket_ = socket(AF_UNIX, SOCK_STREAM, 0);
                bind(socket_, (void *)&name, offsetof(struct sockaddr_un, sun_path) + 12);
                listen(socket_, 1);
            }
            for (;;) pause();
        }"#;
    let directory = open_directory();
    let program = compiled(&directory.path().join("named"), NAMED, &[]);
    let program = copy(&program, &evil(directory.path(), "program"), 0o755);
    let library = copy(&library(), &evil(directory.path(), "memory.so"), 0o755);
    let mut command = Command::new(&program);
    let variable = OsStr::from_bytes(EVIL);
    command.env("LD_PRELOAD", &library).env("AUTOTRIM_IDLE", variable).env("AUTOTRIM_METRICS_DIR", variable);
    command.current_dir(directory.path()).env("AUTOTRIM_\x1b[31m", "x").env("AUTOTRIM_PERIOD", "1s");
    let running = Running::start(&mut command).has_become(&program);
    for arguments in [&["status"][..], &["status", "--plot"], &["doctor"], &["doctor", "--json"], &["trim"], &["plot"]]
    {
        let outcome = look(arguments.iter().copied().chain([pid(&running).as_str()]));
        assert!(outcome.text().contains('?') || outcome.text().contains('\u{fffd}'), "{}", outcome.text());
    }
    let process = look(["status", "--json", &pid(&running)]).json()["processes"][0].clone();
    assert_eq!(process["pid"], running.pid(), "{process}");
    assert!(process["library"].as_str().is_some_and(|path| path.ends_with("memory.so")), "{process}");
    assert!(process["program"].as_str().is_some_and(|name| name.starts_with('\u{fffd}')), "{process}");
    look(["status"]);
    // Without the library, and what is only looked at.
    let mut plain = Command::new(&program);
    plain.current_dir(directory.path()).env("LD_PRELOAD", evil(directory.path(), "libautotrim.so"));
    let plain = Running::start(&mut plain).has_become(&program);
    for command in ["status", "doctor", "trim", "plot"] {
        look([command, &pid(&plain)]);
    }
    assert!(look(["doctor", "--json", &pid(&plain)]).of_library().contains("libautotrim.so cannot be read"));
}

#[test]
fn failures_drive_no_terminal() {
    let directory = open_directory();
    let said = |command: &mut Command| {
        let outcome = outcome(command);
        assert_ne!(outcome.code, 0, "{}", outcome.text());
        assert!(!outcome.stderr.is_empty() || !outcome.stdout.is_empty());
    };
    let missing = evil(directory.path(), "missing");
    let orphan = script(&directory.path().join("orphan"), "#!/no\x1b[31m\u{9b}1m/such -x\n");
    let by_env = script(&directory.path().join("by-env"), "#!/usr/bin/env -S no\x1b[31msuch\n");
    let text = script(&evil(directory.path(), "text"), "exit 2\n");
    for program in [&missing, &orphan, &by_env] {
        said(run().arg("--").arg(program));
        said(autotrim().args(["doctor", "--"]).arg(program));
    }
    said(run().arg("--").arg(&text).env("AUTOTRIM_IDLE", "\x1b[31m").env("AUTOTRIM_\u{9b}", "1"));
    said(autotrim().args(["run", "--library"]).arg(&missing).args(["--", "true"]));
    said(autotrim().args(["doctor", "--library"]).arg(&missing).args(["--", "true"]));
    said(autotrim().args(["status", "\x1b[31m"]));
    said(autotrim().arg("\x1b[31m\u{9b}1m"));
    said(autotrim().args(["run", "--idle", "\x1b[31m", "true"]));
    said(autotrim().args(["plot", "-o", "\x1b[31m.png", "1"]));
    said(autotrim().arg("generate").arg(text.join("below")));
}

/// A root directory of its own, as of a container, with a program that waits there.
struct Contained {
    directory: tempfile::TempDir,
    running: Option<Running>,
}

impl Contained {
    /// Before it runs; `None` where it cannot.
    fn new(source: &str) -> Option<Contained> {
        if !is_root("a root directory of its own") {
            return None;
        }
        let directory = open_directory();
        ["etc", "lists", "metrics"]
            .iter()
            .for_each(|name| std::fs::create_dir(directory.path().join(name)).expect(name));
        let maps = procfs::process::Process::myself().and_then(|process| process.maps()).expect("our mappings");
        let mapped = |begin: &str| {
            let mut paths = maps.iter().filter_map(|map| match &map.pathname {
                procfs::process::MMapPath::Path(path) => Some(path),
                _ => None,
            });
            paths.find(|path| path.file_name().is_some_and(|name| name.as_bytes().starts_with(begin.as_bytes())))
        };
        for (begin, name) in [("ld-linux", "ld.so"), ("libc.so.6", "libc.so.6")] {
            copy(mapped(begin).expect(begin), &directory.path().join(name), 0o755);
        }
        let flags = ["-Wl,--dynamic-linker=/ld.so", "-Wl,-rpath,/"];
        compiled(&directory.path().join("program"), source, &flags);
        Some(Contained { directory, running: None })
    }

    fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    fn start(mut self, environment: &[(&str, &str)]) -> Contained {
        let mut command = Command::new("chroot");
        clean_environment(&mut command).arg(self.directory.path()).arg("/program").envs(environment.iter().copied());
        self.running = Some(Running::start(&mut command).has_become(&self.path("program")));
        self
    }

    fn pid(&self) -> String {
        pid(self.running.as_ref().expect("a process"))
    }
}

const WAITS: &str = "#include <unistd.h>\nint main(void) { for (;;) pause(); }\n";

/// Opens of a file, from now on; a handle that opens nothing does not count.
struct Opens(File);

impl Opens {
    fn of(path: &Path) -> Opens {
        let path = std::ffi::CString::new(path.as_os_str().as_bytes()).expect("a path");
        // SAFETY: a C string; the descriptor is nobody else's.
        unsafe {
            let descriptor = libc::inotify_init1(libc::IN_NONBLOCK | libc::IN_CLOEXEC);
            assert!(descriptor >= 0 && libc::inotify_add_watch(descriptor, path.as_ptr(), libc::IN_OPEN) >= 0);
            Opens(OwnedFd::from_raw_fd(descriptor).into())
        }
    }

    /// Whether there were any.
    fn any(&mut self) -> bool {
        self.0.read(&mut [0; 4096]).is_ok_and(|length| length > 0)
    }
}

#[test]
fn a_list_of_preloads_is_read_as_the_process_sees_it_and_not_followed_out_of_its_root() {
    let Some(contained) = Contained::new(WAITS) else { return };
    let contained = contained.start(&[]);
    let list = contained.path("etc/ld.so.preload");
    let outside = contained.path("lists/outside");
    std::fs::write(&outside, "/outside/libautotrim.so\n").expect("a list");
    let said = || look(["doctor", "--json", &contained.pid()]).of_library();
    assert!(said().contains("LD_PRELOAD was not set"), "{}", said());
    std::fs::write(&list, "/inside/libautotrim.so\n").expect("a list");
    assert!(said().contains("/inside/libautotrim.so cannot be read where the process looks for it"), "{}", said());
    let link = |to: &Path| {
        std::fs::remove_file(&list).and_then(|()| symlink(to, &list)).expect("a link");
        said()
    };
    // Within its root a link leads where it leads the process.
    std::fs::write(contained.path("lists/inside"), "/linked/libautotrim.so\n").expect("a list");
    assert!(link(Path::new("/lists/inside")).contains("/linked/libautotrim.so cannot be read"), "{}", said());
    assert!(link(Path::new("../../../lists/inside")).contains("/linked/libautotrim.so cannot be read"), "{}", said());
    for away in [&outside, Path::new("/proc/1/root/etc/passwd"), Path::new("/etc/ld.so.preload"), Path::new("/")] {
        assert!(link(away).contains("LD_PRELOAD was not set"), "{}: {}", away.display(), said());
    }
    // Nor is what the list names followed.
    std::fs::remove_file(&list).and_then(|()| std::fs::write(&list, "/lists/libautotrim.so")).expect("a list");
    symlink(library(), contained.path("lists/libautotrim.so")).expect("a link");
    assert!(said().contains("/lists/libautotrim.so cannot be read where the process looks for it"), "{}", said());
}

#[test]
fn what_is_no_file_is_not_opened_and_of_a_large_file_little_is_read() {
    let Some(contained) = Contained::new(WAITS) else { return };
    let contained = contained.start(&[]);
    let list = contained.path("etc/ld.so.preload");
    let make = |arguments: &[&str]| {
        let _ = std::fs::remove_file(&list);
        let made = Command::new(arguments[0]).args(&arguments[1..]).arg(&list).status();
        made.is_ok_and(|status| status.success())
    };
    let node = |kind: &str, numbers: &[&str]| {
        let mut made = Command::new("mknod");
        let _ = std::fs::remove_file(&list);
        made.arg(&list).arg(kind).args(numbers).status().is_ok_and(|status| status.success())
    };
    for (kind, numbers) in [("p", &[][..]), ("c", &["1", "5"]), ("c", &["1", "8"]), ("b", &["7", "200"])] {
        if !node(kind, numbers) {
            eprintln!("skipped: no device can be made here");
            continue;
        }
        let mut opens = Opens::of(&list);
        assert!(look(["doctor", "--json", &contained.pid()]).of_library().contains("LD_PRELOAD was not set"));
        look(["status", &contained.pid()]);
        assert!(!opens.any(), "{kind} {numbers:?} was opened");
    }
    assert!(make(&["mkdir"]));
    look(["doctor", &contained.pid()]);
    std::fs::remove_dir(&list).expect("the directory");
    // The doctor reads a file; who only lists processes has nothing to ask it for.
    std::fs::write(&list, "/x/libautotrim.so\n".repeat(2 << 20)).expect("a list of 36 MB");
    let mut opens = Opens::of(&list);
    look(["status"]);
    look(["status", &contained.pid()]);
    look(["trim", &contained.pid()]);
    assert!(!opens.any(), "opened for a process that maps nothing like the library");
    assert!(look(["doctor", "--json", &contained.pid()]).of_library().contains("/x/libautotrim.so cannot be read"));
    assert!(opens.any(), "else nothing was looked for");
}

/// Where the counters cannot be read, and a process says that it writes metrics.
#[test]
fn metrics_are_read_within_the_root_of_the_process() {
    const SAMPLE: &str = "autotrim_requests_total{} 77\nautotrim_verdict{verdict=\"st\x1b[31m\u{9b}able\"} 1\n";
    let Some(contained) = Contained::new(WAITS) else { return };
    compiled(&contained.path("libautotrim.so"), "int nothing(void) { return 0; }\n", &["-shared", "-nostdlib"]);
    let contained = contained.start(&[("AUTOTRIM_METRICS_DIR", "/metrics"), ("LD_PRELOAD", "/libautotrim.so")]);
    let file = contained.path(&format!("metrics/autotrim-{}.prom", contained.pid()));
    let requests = || {
        look(["status", &contained.pid()]);
        look(["status", "--json", &contained.pid()]).json()["processes"][0]["requests"].clone()
    };
    assert_eq!(requests(), Value::Null);
    std::fs::write(&file, SAMPLE).expect("metrics");
    assert_eq!(requests(), 77);
    let outside = contained.path("outside.prom");
    std::fs::rename(&file, &outside).and_then(|()| symlink(&outside, &file)).expect("a link");
    assert_eq!(requests(), Value::Null, "a link was followed out of the root");
    std::fs::remove_file(&file).and_then(|()| std::fs::write(&file, SAMPLE.repeat(1 << 20))).expect("metrics");
    assert!(requests().as_u64() < Some(77 * 2000), "{}", requests());
    std::fs::remove_file(&file).expect("the file");
    assert!(Command::new("mkfifo").arg(&file).status().expect("mkfifo").success());
    let mut opens = Opens::of(&file);
    assert_eq!(requests(), Value::Null);
    assert!(!opens.any(), "a FIFO was opened");
    std::fs::remove_file(&file)
        .and_then(|()| std::fs::write(&file, b"\xff 1\nautotrim_requests_total{} 7\n{{{=\""))
        .expect("it");
    assert_eq!(requests(), 7);
}

/// As large as a disk can say, and a mapping of it.
#[test]
fn a_mapped_file_of_gigabytes_costs_nothing() {
    const MAPS: &str = r#"
        #include <fcntl.h>
        #include <sys/mman.h>
        #include <unistd.h>
        int main(int count, char **arguments)
        {
            for (int n = 1; n < count; n++)
                mmap(0, 4096, PROT_READ | PROT_EXEC, MAP_PRIVATE, open(arguments[n], O_RDONLY), 0);
            for (;;) pause();
        }"#;
    let directory = open_directory();
    let program = compiled(&directory.path().join("maps"), MAPS, &["-static"]);
    // SAFETY: returns a C string that lives for ever.
    let version = unsafe { std::ffi::CStr::from_ptr(libc::gnu_get_libc_version()) }.to_str().expect("text");
    let glibc = support::finish(Command::new("cc").arg("-print-file-name=libc.so.6")).stdout;
    for (source, expected) in [(None, "glibc".to_owned()), (Some(glibc.trim()), format!("glibc-{version}"))] {
        let name = directory.path().join("libc.so.6");
        let _ = std::fs::remove_file(&name);
        source.map_or_else(
            || drop(File::create(&name).expect("a file")),
            |file| drop(copy(Path::new(file), &name, 0o755)),
        );
        File::options().append(true).open(&name).and_then(|file| file.set_len(3 << 30)).expect("a file of 3 GB");
        let running = Running::start(Command::new(&program).arg(&name)).has_become(&program);
        let document = look(["doctor", "--json", &pid(&running)]).json();
        let findings = document["findings"].as_array().expect("findings");
        let found = findings.iter().find(|finding| finding["subject"] == "libc").expect("a libc");
        assert_eq!(found["text"], expected, "{document}");
    }
    // A program that is as large is looked at before it is started.
    let large = copy(&program, &directory.path().join("large"), 0o755);
    File::options().append(true).open(&large).and_then(|file| file.set_len(3 << 30)).expect("a file of 3 GB");
    assert!(outcome(run().arg("--").arg(&large)).text().contains("statically linked"));
}

/// A library by its name alone, whose block says anything.
#[test]
fn blocks_of_any_content_are_told_or_refused() {
    const LIES: &str = r#"
        #include <stdint.h>
        #include <stdlib.h>
        #include <unistd.h>
        static struct { int32_t pid, none; uint64_t words[1024]; } block;
        static unsigned char connections[4096];
        static uint64_t number = sizeof connections;
        struct directory { char magic[8]; uint32_t version, size; void *block; void *first; void *number; };
        struct directory autotrim_stats = { "autotrim", 1, sizeof block, &block, connections, &number };
        static uint64_t state;
        static uint64_t next(void) { state ^= state << 13; state ^= state >> 7; return state ^= state << 17; }
        __attribute__((constructor)) static void begin(void)
        {
            const char *seed = getenv("SEED");
            if (!seed) return;
            state = atoi(seed) * 0x9e3779b97f4a7c15;
            const int kind = next() % 4;
            for (int n = 0; n < 1024; n++)
                block.words[n] = kind == 0 ? UINT64_MAX : kind == 1 ? next() : next() >> next() % 64;
            block.pid = getpid();
            ((int32_t *)&block)[1] = 0;
            /* The sequence is even, but now and then. */
            for (int n = 0; n < 1024; n++)
                if (next() % 8) block.words[n] &= ~1UL;
            if (next() % 4 == 0) autotrim_stats.size = next() >> next() % 64;
            if (next() % 4 == 0) number = next() >> next() % 64;
            if (next() % 8 == 0) autotrim_stats.first = (void *)(next() >> next() % 64);
            if (next() % 8 == 0) autotrim_stats.number = (void *)(next() >> next() % 64);
            if (next() % 8 == 0) autotrim_stats.block = (void *)(next() >> next() % 64);
        }"#;
    let directory = open_directory();
    let library = compiled(&directory.path().join("libautotrim.so"), LIES, &["-shared", "-fPIC"]);
    let program = support::waiting_program(directory.path(), "cc", &[]);
    let (picture, seeds) = (directory.path().join("rss.svg"), std::env::var("AUTOTRIM_BLOCKS").ok());
    let mut shown = 0;
    for seed in 1..=seeds.and_then(|seeds| seeds.parse().ok()).unwrap_or(16) {
        let mut command = Command::new(&program);
        command.env("LD_PRELOAD", &library).env("SEED", seed.to_string());
        let running = Running::start(&mut command).has_become(&program);
        let pid = pid(&running);
        let report = look(["status", "--json", &pid]);
        shown += usize::from(report.json()["processes"][0]["source"] == "memory");
        look(["status", "--plot", &pid]);
        look(["doctor", &pid]);
        look([OsStr::new("plot"), OsStr::new("-o"), picture.as_os_str(), OsStr::new(&pid)]);
    }
    assert!(shown > 0, "else none was believed");
}
