//! AUTOTRIM_PRESSURE: systemd's protocol over a FIFO and a socket, and the kernel's own files.

mod common;
#[path = "common/fixture.rs"]
mod fixture;

use common::log::Line;
use common::process::{cpu_time, open_files, own_threads};
use common::script::Script;
use common::{LIMIT, wait_within};
use fixture::Fixture;
use std::fs::{File, OpenOptions};
use std::io::{Read, Write};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::net::UnixListener;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

/// No further trim for so long after one.
const HOLD_OFF: Duration = Duration::from_secs(2);

/// A process that serves nothing, whose thread has started.
fn start(environment: &[(&str, &str)]) -> Script {
    let worker = Script::start("worker.py", &["wait"], environment);
    wait_within(LIMIT, "a thread", || (!own_threads(worker.pid()).is_empty()).then_some(()));
    worker
}

fn wait_for_trims(worker: &Script, number: usize) -> Line {
    wait_within(LIMIT, "a trim", || worker.log().trims("pressure").lines.get(number - 1).cloned())
}

fn trims(worker: &Script) -> usize {
    worker.log().event("trim").lines.len()
}

fn make_fifo(path: &Path) {
    let path = std::ffi::CString::new(path.as_os_str().as_bytes()).expect("a path");
    // SAFETY: a C string.
    assert_eq!(unsafe { libc::mkfifo(path.as_ptr(), 0o600) }, 0, "mkfifo");
}

/// The thread sleeps: it is not asked all the time.
fn is_at_rest(worker: &Script) {
    let before = cpu_time(worker.pid());
    std::thread::sleep(Duration::from_secs(1));
    let used = cpu_time(worker.pid()) - before;
    assert!(used < Duration::from_millis(150), "{used:?} of CPU time in a second");
}

/// systemd's own test: a byte in a FIFO that the environment names.
#[test]
fn a_fifo_tells_of_pressure() {
    let directory = tempfile::tempdir().expect("a directory");
    let path = directory.path().join("fifo");
    make_fifo(&path);
    let worker = start(&[("AUTOTRIM_PRESSURE", "auto"), ("MEMORY_PRESSURE_WATCH", path.to_str().expect("a path"))]);
    wait_within(LIMIT, "the FIFO", || open_files(worker.pid()).contains(&path.display().to_string()).then_some(()));
    assert_eq!(trims(&worker), 0);
    let mut fifo = OpenOptions::new().write(true).open(&path).expect("the FIFO");
    let start = Instant::now();
    fifo.write_all(b"x").expect("write");
    let trim = wait_for_trims(&worker, 1);
    assert!(trim.number("rss_before_kb") > trim.number("rss_after_kb") + 40_000, "{trim:?}");
    // Held off: told again and again, it trims once in two seconds at most, and does so again and again.
    let mut number = 1;
    while number < 4 {
        fifo.write_all(&[b'x'; 1000]).expect("write");
        std::thread::sleep(Duration::from_millis(50));
        number = trims(&worker);
        // Counted from before the first byte: a look that comes late only sees more time.
        let most = 1 + start.elapsed().as_secs() / HOLD_OFF.as_secs();
        assert!(number as u64 <= most, "{number} trims in {:?}", start.elapsed());
        assert!(start.elapsed() < LIMIT, "{number} trims in {LIMIT:?}");
    }
    // The last writer leaves: that is no event, and none without end.
    drop(fifo);
    is_at_rest(&worker);
    std::thread::sleep(HOLD_OFF);
    let number = trims(&worker);
    OpenOptions::new().write(true).open(&path).expect("the FIFO").write_all(b"x").expect("write");
    wait_for_trims(&worker, number + 1);
}

/// systemd's own test: the socket gets what MEMORY_PRESSURE_WRITE says, and sends a byte.
#[test]
fn a_socket_tells_of_pressure() {
    let directory = tempfile::tempdir().expect("a directory");
    let path = directory.path().join("socket");
    let listener = UnixListener::bind(&path).expect("a socket");
    let environment = [
        ("AUTOTRIM_PRESSURE", "auto"),
        ("MEMORY_PRESSURE_WATCH", path.to_str().expect("a path")),
        ("MEMORY_PRESSURE_WRITE", "aGVsbG8K"),
    ];
    let worker = start(&environment);
    let (mut connection, _) = listener.accept().expect("a connection");
    let mut hello = [0; 6];
    connection.read_exact(&mut hello).expect("the payload");
    assert_eq!(&hello, b"hello\n");
    assert_eq!(trims(&worker), 0);
    connection.write_all(b"z").expect("write");
    wait_for_trims(&worker, 1);
    // The manager goes away: that is no pressure.
    drop(connection);
    std::thread::sleep(HOLD_OFF);
    is_at_rest(&worker);
    assert_eq!(trims(&worker), 1);
    assert_eq!(own_threads(worker.pid()).len(), 1);
}

#[test]
fn a_path_can_be_named_without_a_manager() {
    let directory = tempfile::tempdir().expect("a directory");
    let path = directory.path().join("fifo");
    make_fifo(&path);
    let worker = start(&[("AUTOTRIM_PRESSURE", path.to_str().expect("a path"))]);
    File::options().write(true).open(&path).expect("the FIFO").write_all(b"x").expect("write");
    wait_for_trims(&worker, 1);
}

/// A server that serves says so, once.
#[test]
fn what_cannot_be_watched_is_a_warning() {
    let server = common::gunicorn::Gunicorn::preloaded(common::gunicorn::Worker::Sync);
    let server = server.env("AUTOTRIM_PRESSURE", "/nowhere/at/all").env("AUTOTRIM_LOG", "warn").start();
    wait_within(LIMIT, "a thread", || (!own_threads(server.worker()).is_empty()).then_some(()));
    assert_eq!(server.log().lines, []);
    for _ in 0..3 {
        assert_eq!(common::http::get(server.port, "/small").text(), "hello");
    }
    server.wait_for_line("a word", |line| line.event == "unavailable" && line.text("what") == "pressure");
    assert_eq!(server.log().lines.len(), 1, "{:?}", server.log());
}

/// What cannot be watched is said to whoever asks for every trim, and the rest goes on.
#[test]
fn what_cannot_be_watched_is_left() {
    let directory = tempfile::tempdir().expect("a directory");
    let plain = directory.path().join("plain");
    std::fs::write(&plain, "some avg10=0.00 avg60=0.00 avg300=0.00 total=1\n").expect("a file");
    let plain = plain.to_str().expect("a path");
    for (watch, write) in [("/nowhere/at/all", ""), ("relative/path", ""), (plain, ""), (plain, "no base64!")] {
        let environment = [
            ("AUTOTRIM_PRESSURE", "auto"),
            ("MEMORY_PRESSURE_WATCH", watch),
            ("MEMORY_PRESSURE_WRITE", write),
            ("AUTOTRIM_PERIOD", "500ms"),
        ];
        let worker = start(&environment);
        worker.wait_for_line("a word", |line| line.event == "unavailable" && line.text("what") == "pressure");
        let before = trims(&worker);
        wait_within(LIMIT, "trims by period", || (trims(&worker) > before + 1).then_some(()));
        assert_eq!(worker.log().trims("pressure").lines, []);
        let open = open_files(worker.pid());
        assert!(!open.iter().any(|name| name == plain || name.contains("signalfd")), "{open:?}");
    }
}

#[test]
fn the_manager_can_switch_it_off() {
    for value in ["", "/dev/null"] {
        let worker = start(&[("AUTOTRIM_PRESSURE", "auto"), ("MEMORY_PRESSURE_WATCH", value)]);
        std::thread::sleep(Duration::from_millis(300));
        assert!(open_files(worker.pid()).iter().all(|name| !name.contains("pressure")));
        assert_eq!(worker.log().lines, []);
    }
}

/// A memory cgroup with a limit that a reader of a large file runs into all the time, and the PSI file that tells of it.
struct Squeeze {
    limit: PathBuf,
    pressure: PathBuf,
}

impl Squeeze {
    const LIMIT: &str = "16777216";

    /// `None`, with the reason printed, where the kernel or missing root makes it impossible.
    fn new() -> Option<Self> {
        let name = format!("autotrim-test-{}", std::process::id());
        let mounts = std::fs::read_to_string("/proc/self/mounts").expect("mounts");
        let mount = |wanted: &dyn Fn(&str, &str) -> bool| {
            let mut lines = mounts.lines().map(|line| line.split(' ').collect::<Vec<_>>());
            lines.find(|fields| wanted(fields[2], fields[3])).map(|fields| PathBuf::from(fields[1]).join(&name))
        };
        let Some(unified) = mount(&|kind, _| kind == "cgroup2") else {
            return skipped("there is no cgroup2 file system");
        };
        let memory = mount(&|kind, options| kind == "cgroup" && options.split(',').any(|option| option == "memory"));
        let squeeze = Self { limit: memory.unwrap_or_else(|| unified.clone()), pressure: unified };
        for directory in [&squeeze.limit, &squeeze.pressure] {
            if let Err(problem) = std::fs::create_dir_all(directory) {
                return skipped(&format!("{}: {problem}", directory.display()));
            }
        }
        if !squeeze.pressure.join("memory.pressure").exists() {
            return skipped("the kernel has no PSI (CONFIG_PSI, psi=1)");
        }
        let limits = ["memory.limit_in_bytes", "memory.max"].map(|file| squeeze.limit.join(file));
        if !limits.iter().any(|limit| std::fs::write(limit, Self::LIMIT).is_ok()) {
            return skipped("no memory controller to set a limit with");
        }
        Some(squeeze)
    }

    /// A process in both cgroups that writes a file far larger than the limit and reads it, again and again.
    fn run(&self, file: &Path) -> std::process::Child {
        let join = [&self.limit, &self.pressure].map(|group| format!("echo $$ >{}/cgroup.procs", group.display()));
        let file = file.display();
        let work = format!("head -c 256M /dev/zero >{file} && while cat {file} >/dev/null; do :; done");
        let script = format!("{} && {} && {work}", join[0], join[1]);
        let mut command = Command::new("sh");
        common::process::end_with_this_test(&mut command);
        command.args(["-c", &script]).stdin(Stdio::null()).spawn().expect("sh")
    }
}

impl Drop for Squeeze {
    fn drop(&mut self) {
        for directory in [&self.limit, &self.pressure] {
            let start = Instant::now();
            while std::fs::remove_dir(directory).is_err() && directory.exists() && start.elapsed() < LIMIT {
                for pid in std::fs::read_to_string(directory.join("cgroup.procs")).unwrap_or_default().lines() {
                    common::process::send_signal(pid.parse().expect("a process id"), libc::SIGKILL);
                }
                std::thread::sleep(Duration::from_millis(20));
            }
        }
    }
}

fn skipped<T>(reason: &str) -> Option<T> {
    eprintln!("SKIPPED: {reason}");
    None
}

/// The kernel tells of real stalls in a cgroup; when the cgroup is removed, its file would tell for ever.
#[test]
fn real_pressure_in_a_cgroup_trims() {
    let Some(squeeze) = Squeeze::new() else { return };
    let directory =
        tempfile::tempdir_in(env!("CARGO_MANIFEST_DIR").to_owned() + "/target").expect("a directory on a disk");
    let large = directory.path().join("large");
    let file = squeeze.pressure.join("memory.pressure");
    let worker = start(&[("AUTOTRIM_PRESSURE", file.to_str().expect("a path"))]);
    wait_within(LIMIT, "the file", || open_files(worker.pid()).contains(&file.display().to_string()).then_some(()));
    std::thread::sleep(HOLD_OFF);
    assert_eq!(trims(&worker), 0, "no stall yet");
    let mut reader = squeeze.run(&large);
    let trim = wait_for_trims(&worker, 1);
    assert!(trim.number("rss_before_kb") > trim.number("rss_after_kb") + 40_000, "{trim:?}");
    let stalled = std::fs::read_to_string(&file).expect("memory.pressure");
    assert!(!stalled.lines().next().expect("some").ends_with("total=0"), "{stalled}");
    let _ = reader.kill();
    let _ = reader.wait();
    drop(squeeze);
    std::thread::sleep(HOLD_OFF);
    is_at_rest(&worker);
    assert_eq!(own_threads(worker.pid()).len(), 1);
    wait_within(LIMIT, "the file's end", || {
        (!open_files(worker.pid()).iter().any(|name| name.contains("memory.pressure"))).then_some(())
    });
}

/// memory.events is told of by the kernel as all files of this kind are (kernfs_notify). Where the memory controller is not in the
/// unified hierarchy there is only cgroup.events to show it with: it changes when the last process leaves.
#[test]
fn a_change_in_a_cgroups_events_trims() {
    let mounts = std::fs::read_to_string("/proc/self/mounts").expect("mounts");
    let mount = mounts.lines().map(|line| line.split(' ').collect::<Vec<_>>()).find(|fields| fields[2] == "cgroup2");
    let Some(mount) = mount else { return skipped("there is no cgroup2 file system").unwrap_or(()) };
    let group = PathBuf::from(mount[1]).join(format!("autotrim-events-{}", std::process::id()));
    if let Err(problem) = std::fs::create_dir(&group) {
        return skipped(&format!("{}: {problem}", group.display())).unwrap_or(());
    }
    let group = Removed(group);
    let file = group.0.join("cgroup.events");
    let worker = start(&[("AUTOTRIM_PRESSURE", file.to_str().expect("a path"))]);
    wait_within(LIMIT, "the file", || open_files(worker.pid()).contains(&file.display().to_string()).then_some(()));
    assert_eq!(trims(&worker), 0, "nothing changed yet");
    let join = format!("echo $$ >{}/cgroup.procs", group.0.display());
    assert!(Command::new("sh").args(["-c", &join]).status().expect("sh").success());
    wait_for_trims(&worker, 1);
    drop(group);
    std::thread::sleep(HOLD_OFF);
    // The kernel need not tell that the file is gone; nor does it tell so for ever.
    is_at_rest(&worker);
    assert_eq!(own_threads(worker.pid()).len(), 1);
}

/// A directory that is removed when this is dropped.
struct Removed(PathBuf);

impl Drop for Removed {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir(&self.0);
    }
}

/// Without a service manager the kernel is asked: the own cgroup, or the machine.
#[test]
fn the_kernel_is_asked_where_nobody_says_what_to_watch() {
    if !Path::new("/proc/pressure/memory").exists() && !Path::new("/sys/fs/cgroup/cgroup.controllers").exists() {
        return skipped("neither PSI nor a unified cgroup hierarchy").unwrap_or(());
    }
    let worker = start(&[("AUTOTRIM_PRESSURE", "auto")]);
    wait_within(LIMIT, "a file", || {
        let known = |name: &String| name.ends_with("/memory.pressure") || name.ends_with("/memory.events");
        let open = open_files(worker.pid());
        open.iter().any(|name| known(name) || name == "/proc/pressure/memory").then_some(())
    });
    is_at_rest(&worker);
}

/// glibc interrupts every thread where one changes the user of all.
#[test]
fn a_change_of_user_does_not_end_the_watch() {
    let directory = tempfile::tempdir().expect("a directory");
    let path = directory.path().join("fifo");
    make_fifo(&path);
    let fixture = Fixture::new("thread_and_user").argument(&path).env("AUTOTRIM_PRESSURE", &path);
    let log = fixture.env("AUTOTRIM_INTERVAL", "0").is_unchanged();
    assert!(!log.trims("pressure").lines.is_empty(), "{log:?}");
}

/// Its numbers may become the host's.
#[test]
fn an_eventfd_in_the_place_of_the_threads_descriptors_is_the_hosts() {
    let directory = tempfile::tempdir().expect("a directory");
    let path = directory.path().join("fifo");
    make_fifo(&path);
    let fixture = Fixture::new("host_opens_it_too").argument("thread").env("AUTOTRIM_PRESSURE", &path);
    // On the thread.
    let log = fixture.env("AUTOTRIM_PERIOD", "300ms").is_unchanged();
    assert!(log.trims("period").lines.iter().any(|line| line.text("wait") == "thread"), "{log:?}");
}

/// Whoever writes without end is heard now and then, and costs no more than that.
#[test]
fn a_flood_does_not_keep_the_thread_busy() {
    let directory = tempfile::tempdir().expect("a directory");
    let path = directory.path().join("fifo");
    make_fifo(&path);
    let worker = start(&[("AUTOTRIM_PRESSURE", path.to_str().expect("a path"))]);
    wait_within(LIMIT, "the FIFO", || open_files(worker.pid()).contains(&path.display().to_string()).then_some(()));
    let mut command = Command::new(common::python());
    common::process::end_with_this_test(&mut command).arg(common::servers().join("floods.py")).arg(&path);
    let mut flood = command.spawn().expect("python");
    wait_for_trims(&worker, 1);
    let (before, start) = (cpu_time(worker.pid()), Instant::now());
    std::thread::sleep(Duration::from_secs(3));
    let (used, passed) = (cpu_time(worker.pid()) - before, start.elapsed());
    assert!(used < passed / 8, "{used:?} of CPU time in {passed:?}");
    // It is still heard, as soon as the budget allows.
    wait_for_trims(&worker, 2);
    let _ = flood.kill();
    let _ = flood.wait();
}
