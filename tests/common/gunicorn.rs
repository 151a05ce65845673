//! Real gunicorn servers: started plain or under the library, watched through their log, always stopped.

use super::http::{Answer, get};
use super::log::{Line, Log};
use super::process::{anonymous_kb, children, clean_environment, end_with_this_test, has_mapped, send_signal};
use super::{LIMIT, library, python, servers, wait_within};
use std::ffi::OsString;
use std::fs::File;
use std::path::PathBuf;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};
use tempfile::TempDir;

/// gunicorn's `--timeout` in seconds, of which a sync worker sleeps half in its select, and a stop's `--graceful-timeout`.
/// Either is much longer than `LIMIT`: what should have ended a wait and did not fails the test, and no busy machine does.
const TIMEOUT: &str = "600";
const GRACEFUL_TIMEOUT: &str = "300";

/// gunicorn's worker classes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Worker {
    Sync,
    Gthread,
    Gevent,
    Uvicorn,
}

impl Worker {
    /// The name that `--worker-class` takes.
    pub fn class(self) -> &'static str {
        match self {
            Self::Sync => "sync",
            Self::Gthread => "gthread",
            Self::Gevent => "gevent",
            Self::Uvicorn => "uvicorn.workers.UvicornWorker",
        }
    }

    /// The application in tests/servers/app.py that speaks the worker's protocol.
    fn application(self) -> &'static str {
        if self == Self::Uvicorn { "app:asgi" } else { "app:wsgi" }
    }
}

/// A server that has not been started.
pub struct Gunicorn {
    worker: Worker,
    application: Option<&'static str>,
    workers: usize,
    preload: bool,
    arguments: Vec<String>,
    environment: Vec<(OsString, OsString)>,
}

impl Gunicorn {
    /// One worker process of this class, under the library with its default options.
    pub fn preloaded(worker: Worker) -> Self {
        Self { worker, application: None, workers: 1, preload: true, arguments: Vec::new(), environment: Vec::new() }
    }

    /// One worker process of this class, without the library.
    pub fn plain(worker: Worker) -> Self {
        Self { preload: false, ..Self::preloaded(worker) }
    }

    /// Serves another application than tests/servers/app.py.
    pub fn application(self, application: &'static str) -> Self {
        Self { application: Some(application), ..self }
    }

    /// Sets the number of worker processes.
    pub fn workers(self, workers: usize) -> Self {
        Self { workers, ..self }
    }

    /// Adds command line arguments.
    pub fn arguments(mut self, arguments: &[&str]) -> Self {
        self.arguments.extend(arguments.iter().map(|&argument| argument.to_owned()));
        self
    }

    /// Sets an environment variable.
    pub fn env(mut self, name: &str, value: impl Into<OsString>) -> Self {
        self.environment.push((name.into(), value.into()));
        self
    }

    /// Trims by count only, after every `interval` requests, and logs each trim. Whatever trims cost: on a busy machine they take
    /// long.
    pub fn trimming_every(self, interval: u32) -> Self {
        self.env("AUTOTRIM_INTERVAL", interval.to_string())
            .env("AUTOTRIM_GROWTH", "0")
            .env("AUTOTRIM_IDLE", "0")
            .env("AUTOTRIM_OVERHEAD", "0")
            .env("AUTOTRIM_LOG", "debug")
    }

    /// Starts the server and waits until every worker is about to serve. No request is sent: that would be
    /// counted.
    pub fn start(self) -> Server {
        let directory = tempfile::tempdir().expect("a temporary directory");
        let file = |name| File::create(directory.path().join(name)).expect("a file for the output");
        // The script and not `python -m gunicorn`: the kernel names the process after it.
        let mut command = Command::new(python().with_file_name("gunicorn"));
        clean_environment(&mut command)
            .args(["--bind", "127.0.0.1:0", "--worker-class", self.worker.class()])
            .args(["--workers", &self.workers.to_string(), "--keep-alive", "30"])
            .args(["--timeout", TIMEOUT, "--graceful-timeout", GRACEFUL_TIMEOUT])
            .arg("--pythonpath")
            .arg(servers())
            .arg("--config")
            .arg(servers().join("gunicorn_ready.py"))
            .args(&self.arguments)
            .arg(self.application.unwrap_or(self.worker.application()))
            .envs(self.environment)
            .current_dir(directory.path())
            .stdin(Stdio::null())
            .stdout(file("stdout"))
            .stderr(file("stderr"));
        if self.preload {
            command.env("LD_PRELOAD", library());
        }
        let child = end_with_this_test(&mut command).spawn().expect("gunicorn could not be started");
        let mut server = Server { child, directory, port: 0, exit: None, seen: Vec::new() };
        server.wait_until_ready(self.workers);
        let preloaded = |&pid: &u32| has_mapped(pid, &library());
        if self.preload {
            assert!(server.workers().iter().all(preloaded), "the library is not loaded: {}", server.stderr());
        }
        server
    }
}

/// A file that is made when this is dropped, also by a test that fails.
struct MadeAtLast(PathBuf);

impl Drop for MadeAtLast {
    fn drop(&mut self) {
        let _ = File::create(&self.0);
    }
}

/// A running server; dropping it stops it.
pub struct Server {
    child: Child,
    directory: TempDir,
    pub port: u16,
    exit: Option<ExitStatus>,
    /// Every worker ever seen, so that none outlives a master that had to be killed.
    seen: Vec<u32>,
}

impl Server {
    /// The master's process id.
    pub fn master(&self) -> u32 {
        self.child.id()
    }

    /// The worker processes that run now.
    pub fn workers(&self) -> Vec<u32> {
        children(self.master())
    }

    /// The worker of a server that has one.
    pub fn worker(&self) -> u32 {
        let workers = self.workers();
        assert_eq!(workers.len(), 1, "one worker expected: {}", self.stderr());
        workers[0]
    }

    /// The worker's anonymous resident memory in KB.
    pub fn anonymous_kb(&self) -> u64 {
        anonymous_kb(self.worker()).expect("RssAnon of the worker")
    }

    /// A path in the server's own temporary directory.
    pub fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    /// What all processes of the server wrote to stderr so far.
    pub fn stderr(&self) -> String {
        String::from_utf8_lossy(&self.written("stderr")).into_owned()
    }

    /// The library's log so far.
    pub fn log(&self) -> Log {
        Log::read(&self.written("stderr"))
    }

    /// Waits until the log holds a line that `wanted` accepts, and returns the first.
    pub fn wait_for_line(&self, what: &str, wanted: impl Fn(&Line) -> bool) -> Line {
        self.wait_for_log(what, |log| log.lines.iter().find(|line| wanted(line)).cloned())
    }

    /// Waits until `probe` finds what it looks for in the log.
    pub fn wait_for_log<T>(&self, what: &str, probe: impl Fn(&Log) -> Option<T>) -> T {
        let start = Instant::now();
        loop {
            if let Some(found) = probe(&self.log()) {
                return found;
            }
            assert!(start.elapsed() < LIMIT, "waited {LIMIT:?} in vain for {what}:\n{}", self.stderr());
            std::thread::sleep(Duration::from_millis(10));
        }
    }

    /// Waits until so many worker processes run and none of them is one of `gone`; their ids.
    pub fn wait_for_workers(&mut self, number: usize, gone: &[u32]) -> Vec<u32> {
        let workers = wait_within(LIMIT, &format!("{number} workers, none of {gone:?}"), || {
            let workers = self.workers();
            let ready = self.stderr();
            let serves = |pid: &u32| ready.contains(&format!("Worker ready: {pid}\n")) && !gone.contains(pid);
            (workers.len() == number && workers.iter().all(serves)).then_some(workers)
        });
        self.seen.extend(&workers);
        workers
    }

    /// Opens a request, runs `meanwhile` while its handler is at work, and only then has it answer; the answer.
    pub fn while_one_is_open(&self, meanwhile: impl FnOnce()) -> Answer {
        let (open, end) = (self.path("open"), self.path("end"));
        for file in [&open, &end] {
            let _ = std::fs::remove_file(file);
        }
        let path = format!("/small?marker={}&until={}", open.display(), end.display());
        std::thread::scope(|scope| {
            let request = scope.spawn(|| get(self.port, &path));
            {
                let _end = MadeAtLast(end);
                wait_within(LIMIT, "the open request's handler", || open.exists().then_some(()));
                meanwhile();
            }
            request.join().expect("the open request")
        })
    }

    /// Sends a signal to the master.
    pub fn signal(&self, signal: i32) {
        send_signal(self.master(), signal);
    }

    /// Stops the server gracefully; its exit status. A signal that a worker's wait has lost fails this.
    pub fn stop(&mut self) -> ExitStatus {
        self.stop_with(libc::SIGTERM)
    }

    /// Stops the server with a signal of the caller's choice.
    pub fn stop_with(&mut self, signal: i32) -> ExitStatus {
        self.seen.extend(self.workers());
        self.signal(signal);
        self.wait_for_exit(LIMIT).unwrap_or_else(|| panic!("does not stop: {}", self.stderr()))
    }

    /// Stops the server gracefully and returns the whole log.
    pub fn stop_and_read_log(&mut self) -> Log {
        let exit = self.stop();
        assert!(exit.success(), "{exit}: {}", self.stderr());
        self.log()
    }

    fn written(&self, name: &str) -> Vec<u8> {
        std::fs::read(self.path(name)).expect("the server's output")
    }

    /// Everything on stdout, where neither gunicorn nor the library has anything to say.
    pub fn stdout(&self) -> String {
        String::from_utf8_lossy(&self.written("stdout")).into_owned()
    }

    fn wait_until_ready(&mut self, workers: usize) {
        self.port = wait_within(LIMIT, "gunicorn's port", || {
            assert!(self.wait_for_exit(Duration::ZERO).is_none(), "gunicorn ended: {}", self.stderr());
            let stderr = self.stderr();
            let (_, after) = stderr.split_once("Listening at: http://127.0.0.1:")?;
            after.split_once([',', ' '])?.0.parse().ok()
        });
        self.wait_for_workers(workers, &[]);
    }

    fn wait_for_exit(&mut self, limit: Duration) -> Option<ExitStatus> {
        let start = Instant::now();
        while self.exit.is_none() {
            self.exit = self.child.try_wait().expect("wait for gunicorn");
            if self.exit.is_none() && start.elapsed() >= limit {
                return None;
            }
            std::thread::sleep(Duration::from_millis(5));
        }
        self.exit
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        if self.exit.is_some() {
            return;
        }
        self.seen.extend(self.workers());
        self.signal(libc::SIGTERM);
        if self.wait_for_exit(Duration::from_secs(5)).is_some() {
            return;
        }
        let stubborn: Vec<u32> = self.workers().into_iter().filter(|pid| self.seen.contains(pid)).collect();
        let _ = self.child.kill();
        let _ = self.child.wait();
        for pid in stubborn {
            send_signal(pid, libc::SIGKILL);
        }
    }
}
