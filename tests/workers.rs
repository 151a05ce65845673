//! Task workers, which serve nothing: they hold no more than without the library, and AUTOTRIM_PERIOD gives back what their
//! tasks leave.

mod common;

use common::log::Log;
use common::process::{
    children, clean_environment, end_with_this_test, has_forked_soon, kill_with_children, own_threads, send_signal,
};
use common::{LIMIT, free_port, library, python, root, servers, wait_within};
use std::fs::File;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::path::Path;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::Duration;

/// A program that runs until it is dropped; its output is in a file.
struct Running {
    child: Child,
    name: String,
    directory: std::path::PathBuf,
}

impl Running {
    fn start(name: &str, directory: &Path, command: &mut Command) -> Self {
        let file = |kind: &str| File::create(directory.join(format!("{name}.{kind}"))).expect("a file");
        command.current_dir(directory).stdin(Stdio::null()).stdout(file("stdout")).stderr(file("stderr"));
        let child = end_with_this_test(command).spawn().unwrap_or_else(|problem| panic!("{name}: {problem}"));
        Self { child, name: name.to_owned(), directory: directory.to_owned() }
    }

    fn read(&self, kind: &str) -> String {
        let bytes = std::fs::read(self.directory.join(format!("{}.{kind}", self.name))).unwrap_or_default();
        String::from_utf8_lossy(&bytes).into_owned()
    }

    fn log(&self) -> Log {
        Log::read(self.read("stderr").as_bytes())
    }

    /// Waits for a text in what the program wrote.
    fn wait_for(&self, text: &str) {
        let written = || self.read("stdout") + &self.read("stderr");
        wait_within(LIMIT, text, || written().contains(text).then_some(()));
    }

    fn stop(&mut self) -> ExitStatus {
        send_signal(self.child.id(), libc::SIGTERM);
        wait_within(LIMIT, "the end", || self.child.try_wait().expect("wait"))
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        kill_with_children(&mut self.child);
    }
}

/// A Redis server in memory, and its URL.
fn redis(directory: &Path) -> (Running, String) {
    let port = free_port();
    let mut command = Command::new("redis-server");
    clean_environment(&mut command).args(["--port", &port.to_string(), "--bind", "127.0.0.1"]);
    command.args(["--save", "", "--appendonly", "no"]);
    let running = Running::start("redis", directory, &mut command);
    wait_within(LIMIT, "Redis", || {
        let mut connection = TcpStream::connect(("127.0.0.1", port)).ok()?;
        connection.write_all(b"PING\r\n").ok()?;
        let mut answer = [0; 5];
        connection.read_exact(&mut answer).ok().filter(|()| &answer == b"+PONG")
    });
    (running, format!("redis://127.0.0.1:{port}/0"))
}

fn trimmed(command: &mut Command) -> &mut Command {
    command.env("LD_PRELOAD", library()).env("AUTOTRIM_PERIOD", "1s").env("AUTOTRIM_LOG", "debug")
}

/// What the process that did a task holds after it in MiB. The result of `ask` is the last word that it prints.
fn after_a_task(preloaded: bool, worker: impl Fn(&str) -> Command, ask: impl Fn(&str, &str) -> Command) -> u64 {
    let directory = tempfile::tempdir().expect("a directory");
    let (_redis, url) = redis(directory.path());
    let mut worker = worker(&url);
    if preloaded {
        worker.env("LD_PRELOAD", library());
    }
    let mut worker = Running::start("worker", directory.path(), &mut worker);
    let ask = |task: &str| {
        let output = ask(&url, task).current_dir(directory.path()).output().expect("python");
        assert!(output.status.success(), "{output:?} {}", worker.read("stderr"));
        let text = String::from_utf8(output.stdout).expect("text");
        text.split_whitespace().last().and_then(|word| word.parse().ok()).unwrap_or_else(|| panic!("{text}"))
    };
    for _ in 0..2 {
        let _: u64 = ask("blocks");
    }
    let left = ask("left");
    assert!(worker.log().lines.is_empty(), "{}", worker.read("stderr"));
    worker.stop();
    left
}

fn of_the_environment(name: &str, url: &str) -> Command {
    let mut command = Command::new(python().with_file_name(name));
    clean_environment(&mut command).env("REDIS_URL", url).env("PYTHONPATH", servers());
    command
}

/// A task's garbage is three times as much.
const MARGIN_MIB: u64 = 16;

fn celery_holds_no_more(pool: &str) {
    let worker = |url: &str| {
        let mut command = of_the_environment("celery", url);
        command.args(["--app", "tasks", "worker", "--concurrency", "1", "--pool", pool]);
        command
    };
    let ask = |url: &str, task: &str| {
        let mut command = of_the_environment("python", url);
        command.args(["-c", &format!("import tasks; print(tasks.{task}.delay().get(timeout=60))")]);
        command
    };
    let [plain, preloaded] = [false, true].map(|preloaded| after_a_task(preloaded, worker, ask));
    assert!(preloaded <= plain + MARGIN_MIB, "{pool}: {preloaded} MiB, {plain} MiB without the library");
}

#[test]
fn a_celery_worker_holds_no_more_than_without_the_library() {
    celery_holds_no_more("prefork");
}

#[test]
fn a_celery_worker_without_a_pool_holds_no_more_than_without_the_library() {
    celery_holds_no_more("solo");
}

#[test]
fn an_rq_worker_holds_no_more_than_without_the_library() {
    let worker = |url: &str| {
        let mut command = of_the_environment("rq", url);
        command.args(["worker", "--worker-class", "rq.worker.SimpleWorker", "--url", url]);
        command
    };
    let ask = |url: &str, task: &str| {
        let job = if task == "left" { "anonymous_mib" } else { task };
        let mut command = of_the_environment("python", url);
        let ask = format!(
            "import os, time, redis, rq
job = rq.Queue(connection=redis.Redis.from_url(os.environ['REDIS_URL'])).enqueue('jobs.{job}')
while not job.is_finished:
    assert not job.is_failed
    time.sleep(0.05)
print(job.return_value(refresh=True))"
        );
        command.args(["-c", &ask]);
        command
    };
    let [plain, preloaded] = [false, true].map(|preloaded| after_a_task(preloaded, worker, ask));
    assert!(preloaded <= plain + MARGIN_MIB, "{preloaded} MiB, {plain} MiB without the library");
}

/// The pool's processes read their tasks from a pipe: no wait point, and no connection.
#[test]
fn a_celery_worker_is_trimmed_by_period() {
    let directory = tempfile::tempdir().expect("a directory");
    let (_redis, url) = redis(directory.path());
    let celery = |arguments: &[&str]| {
        let mut command = Command::new(python().with_file_name("celery"));
        clean_environment(&mut command).env("REDIS_URL", &url).env("PYTHONPATH", servers());
        command.args(["--app", "tasks"]).args(arguments);
        command
    };
    let mut worker = celery(&["worker", "--concurrency", "2", "--loglevel", "info"]);
    // Else there would be nothing left to do when the period is over.
    worker.env("AUTOTRIM_GROWTH", "0");
    let mut worker = Running::start("celery", directory.path(), trimmed(&mut worker));
    worker.wait_for(" ready.");
    // The thread starts when a task is read, after a child's first second: which task that is depends on the machine.
    let trim = wait_within(2 * LIMIT, "a trim that released a task's garbage", || {
        let called = celery(&["call", "tasks.fragment"]).current_dir(directory.path()).output().expect("celery");
        assert!(called.status.success(), "{called:?}");
        worker.wait_for("succeeded");
        std::thread::sleep(Duration::from_secs(2));
        let trims = worker.log().trims("period").lines;
        trims.into_iter().find(|line| line.number("rss_before_kb") > line.number("rss_after_kb") + 40_000)
    });
    assert!(children(worker.child.id()).contains(&trim.pid), "{trim:?}");
    assert_eq!(own_threads(trim.pid).len(), 1);
    let master = worker.child.id();
    assert!(!has_forked_soon(master, trim.pid) || own_threads(master).is_empty(), "it has forked");
    assert!(worker.stop().success(), "{}", worker.read("stderr"));
    assert!(!worker.read("stderr").contains("Traceback"), "{}", worker.read("stderr"));
}

/// Stops what scripts/pulp started.
struct Services<'a>(&'a Path);

impl Drop for Services<'_> {
    fn drop(&mut self) {
        let pids = std::fs::read_to_string(self.0.join("pids")).unwrap_or_default();
        for (pid, signal) in pids.lines().zip([libc::SIGINT, libc::SIGTERM]) {
            let pid = pid.parse().expect("a process id");
            send_signal(pid, signal);
            wait_within(LIMIT, "a service's end", || (!Path::new(&format!("/proc/{pid}")).exists()).then_some(()));
        }
    }
}

/// It supervises the tasks, each in a child of its own: trimmed before, and after it has forked.
#[test]
fn a_pulp_worker_is_trimmed_by_period() {
    let directory = tempfile::tempdir().expect("a directory");
    let directory = directory.path();
    let _services = Services(directory);
    let mut set_up = Command::new(root().join("scripts/pulp"));
    let output = set_up.arg(directory).stderr(Stdio::inherit()).output().expect("bash");
    assert!(output.status.success(), "scripts/pulp failed; scripts/test installs what it needs");
    let venv = String::from_utf8(output.stdout).expect("a path");
    let venv = venv.lines().last().expect("a path as the last line").to_owned();
    let variables = std::fs::read_to_string(directory.join("environment")).expect("the environment");
    let pulp = |program: &str| {
        let mut command = Command::new(Path::new(&venv).join("bin").join(program));
        clean_environment(&mut command).envs(variables.lines().filter_map(|line| line.split_once('=')));
        command
    };
    let mut worker = Running::start("worker", directory, trimmed(&mut pulp("pulpcore-worker")));
    worker.wait_for("discovered");
    let pid = worker.child.id();
    wait_within(LIMIT, "a thread", || (!own_threads(pid).is_empty()).then_some(()));
    let count = || worker.log().of(pid).trims("period").lines.len();
    let before = count();
    wait_within(LIMIT, "trims on the thread", || (count() > before + 1).then_some(()));

    let dispatch = "from django_guid import set_guid
from pulpcore.tasking.tasks import dispatch
from pulpcore.app.tasks import orphan_cleanup
set_guid('tests')
dispatch(orphan_cleanup, exclusive_resources=['tests'])";
    let mut manager = pulp("pulpcore-manager");
    let dispatched = manager.args(["shell", "--command", dispatch]).current_dir(directory).output().expect("Pulp");
    assert!(dispatched.status.success(), "{dispatched:?}");
    worker.wait_for("Task completed");
    let before = count();
    wait_within(LIMIT, "trims after a task", || (count() > before + 1).then_some(()));
    assert!(worker.stop().success(), "{}", worker.read("stderr"));
    assert!(!worker.read("stderr").contains("Traceback"), "{}", worker.read("stderr"));
}
