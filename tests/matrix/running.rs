//! A server that runs: its processes, their counts, its output; dropping it stops it.

use super::common::http::Connection;
use super::common::log::Log;
use super::common::process::{children, clean_environment, end_with_this_test, has_mapped, send_signal};
use super::common::stats::{Counts, counts, followed};
use super::common::{LIMIT, library, wait_within};
use super::place::{Mode, Place, Site};
use super::server::{Ready, Server, Start};
use procfs::process::{Process, all_processes};
use std::cell::RefCell;
use std::collections::BTreeMap;
use std::ffi::OsString;
use std::fs::File;
use std::path::PathBuf;
use std::process::{Child, Stdio};
use std::time::{Duration, Instant};

const NOTHING: Counts = Counts { requests: 0, in_flight: 0, trims: 0 };

/// How the server is run.
pub struct Setting {
    pub mode: Mode,
    /// Objects to preload, the library first; none for a plain run. Every user may read them.
    pub preload: Vec<PathBuf>,
    pub environment: Vec<(&'static str, OsString)>,
}

impl Setting {
    /// Without the library.
    pub fn plain(mode: Mode) -> Self {
        Self { mode, preload: Vec::new(), environment: Vec::new() }
    }

    /// Under the library, with nothing to do but count. (With no trigger on at all it would not even do that.)
    pub fn counting(mode: Mode, site: &Site) -> Self {
        Self::preloaded(mode, site, &[("AUTOTRIM_INTERVAL", "1000000000")])
    }

    /// Under the library, logging, with the other triggers off.
    pub fn preloaded(mode: Mode, site: &Site, options: &[(&'static str, &str)]) -> Self {
        let others = [("AUTOTRIM_GROWTH", "0"), ("AUTOTRIM_IDLE", "0"), ("AUTOTRIM_LOG", "debug")];
        let environment = others.iter().chain(options).map(|&(name, value)| (name, value.into())).collect();
        Self { mode, preload: vec![site.library()], environment }
    }
}

/// A running server.
pub struct Running<'a> {
    pub server: &'a Server,
    pub place: Place,
    /// The server under test, then what runs beside it.
    programs: Vec<Child>,
    preloaded: bool,
    /// Every process ever seen of each program, so that none is left behind.
    seen: RefCell<Vec<u32>>,
    /// The last counts of every process, also of those that have ended.
    last: RefCell<BTreeMap<u32, Counts>>,
}

impl<'a> Running<'a> {
    /// Starts the server and waits until it serves; no request is sent.
    pub fn start(server: &'a Server, site: &Site, setting: &Setting) -> Self {
        let place = Place::new(site, setting.mode);
        let preloaded = !setting.preload.is_empty();
        let mut running =
            Self { server, place, programs: Vec::new(), preloaded, seen: RefCell::default(), last: RefCell::default() };
        for (number, (start, ready)) in server.beside.iter().enumerate() {
            let child = running.spawn(start, &format!("beside{number}"), &Setting::plain(setting.mode));
            running.programs.push(child);
            running.wait_until_ready(ready);
        }
        let child = running.spawn(&server.start, "server", setting);
        running.programs.insert(0, child);
        running.wait_until_ready(&server.ready);
        if preloaded {
            let processes = running.processes();
            assert!(processes.iter().any(|&pid| has_mapped(pid, &library())), "not loaded: {}", running.output());
        }
        running
    }

    fn spawn(&self, start: &Start, name: &str, setting: &Setting) -> Child {
        let file = |end: &str| File::create(self.place.path(&format!("{name}.{end}"))).expect("a file for the output");
        let mut command = start(&self.place);
        // What the description has set is kept.
        let own: Vec<_> =
            command.get_envs().map(|(name, value)| (name.to_owned(), value.map(OsString::from))).collect();
        clean_environment(&mut command);
        for (name, value) in own {
            command.env(name, value.unwrap_or_default());
        }
        command.envs(setting.environment.iter().map(|(name, value)| (name, value)));
        if !setting.preload.is_empty() {
            let objects: Vec<_> = setting.preload.iter().map(|object| object.as_os_str()).collect();
            command.env("LD_PRELOAD", objects.join(":".as_ref()));
        }
        if command.get_current_dir().is_none() {
            command.current_dir(self.place.directory());
        }
        command.stdin(Stdio::null()).stdout(file("stdout")).stderr(file("stderr"));
        end_with_this_test(&mut command).spawn().unwrap_or_else(|problem| panic!("{command:?}: {problem}"))
    }

    fn wait_until_ready(&mut self, ready: &Ready) {
        let start = Instant::now();
        while !self.is_ready(ready) {
            for program in &mut self.programs {
                let ended = program.try_wait().expect("wait for a server");
                assert!(ended.is_none(), "{} ended: {}", self.server.name, self.output());
            }
            assert!(start.elapsed() < LIMIT, "{} does not become ready: {}", self.server.name, self.output());
            std::thread::sleep(Duration::from_millis(10));
        }
    }

    fn is_ready(&self, ready: &Ready) -> bool {
        match *ready {
            Ready::Listening => is_listening(self.place.port),
            Ready::BackendListening => is_listening(self.place.backend),
            Ready::Says(text, times) => self.output().matches(text).count() >= times,
        }
    }

    /// Where the clients connect.
    pub fn port(&self) -> u16 {
        self.place.port
    }

    /// The main process of the server under test.
    pub fn main(&self) -> u32 {
        self.programs[0].id()
    }

    /// All processes of the server under test that run now: its main process and the descendants of that.
    pub fn processes(&self) -> Vec<u32> {
        let all = all_processes().expect("/proc").filter_map(|process| process.ok()?.stat().ok());
        let all: Vec<_> =
            all.filter(|stat| stat.state != 'Z').map(|stat| (stat.pid as u32, stat.ppid as u32)).collect();
        let mut found = vec![self.main()];
        let mut at = 0;
        while let Some(&of) = found.get(at) {
            found.extend(all.iter().filter(|(_, parent)| *parent == of).map(|(pid, _)| pid));
            at += 1;
        }
        self.seen.borrow_mut().extend(&found);
        found
    }

    /// The counts of all processes together, those that have ended included as they were last seen.
    pub fn counts(&self) -> Counts {
        let mut last = self.last.borrow_mut();
        for ended in last.values_mut() {
            ended.in_flight = 0; // of a process that has ended
        }
        for pid in self.processes() {
            if let Some(now) = counts(pid) {
                last.insert(pid, now);
            }
        }
        last.values().fold(NOTHING, |sum, one| Counts {
            requests: sum.requests + one.requests,
            in_flight: sum.in_flight + one.in_flight,
            trims: sum.trims + one.trims,
        })
    }

    /// The counts once they have settled: nothing in flight and a number of further requests that is `expected`, for a
    /// while; or what they are after a longer one.
    pub fn settled(&self, before: Counts, expected: impl Fn(u64) -> bool) -> Counts {
        const CALM: Duration = Duration::from_millis(40);
        const LONGEST: Duration = Duration::from_secs(60);
        let start = Instant::now();
        let mut calm_since = Instant::now();
        let mut counts = self.counts();
        loop {
            std::thread::sleep(Duration::from_millis(5));
            let now = self.counts();
            if now != counts {
                (counts, calm_since) = (now, Instant::now());
            }
            let at_rest = now.in_flight == 0 || self.server.in_flight_at_rest.is_some();
            let as_expected = expected(now.requests - before.requests) && at_rest;
            if calm_since.elapsed() >= CALM && (as_expected || start.elapsed() >= LONGEST) {
                return now;
            }
        }
    }

    /// The counts once there is nothing more to come of what clients have left behind.
    pub fn counts_at_rest(&self) -> Counts {
        self.wait_for_rest();
        self.settled(self.counts(), |_| true)
    }

    /// Waits until what clients have left behind is answered, where that is not seen because requests stay in flight: /slow takes 0.6 s
    /// for it.
    pub fn wait_for_late_answers(&self) {
        if self.server.in_flight_at_rest.is_some() {
            std::thread::sleep(Duration::from_secs(1));
            self.wait_for_rest();
        }
    }

    /// Waits until the server has accepted the connection from this port and read all that has come on it, or closed it; not for
    /// ever, as a server need not. Returns when it had not yet, as was seen last.
    pub fn wait_until_read(&self, client: u16) -> Instant {
        const LONGEST: Duration = Duration::from_secs(5);
        let start = Instant::now();
        let mut unread = start;
        loop {
            let looked = Instant::now();
            if !has_unread(self.port(), client) || start.elapsed() >= LONGEST {
                return unread;
            }
            unread = looked;
            std::thread::sleep(Duration::from_millis(2));
        }
    }

    /// The same, and for a server behind the one that the client talks to to have read it, too: in no time otherwise, as /slow
    /// takes only 0.6 s.
    pub fn wait_until_at_work(&self, client: u16) -> Instant {
        let unread = self.wait_until_read(client);
        if !self.server.beside.is_empty() {
            std::thread::sleep(Duration::from_millis(50));
        }
        unread
    }

    /// Whether something comes on this connection: within so long, or later where the server only has had no processor yet.
    pub fn answers_within(&self, connection: &Connection, limit: Duration) -> bool {
        connection.is_readable_within(limit) || {
            self.wait_until_read(connection.local_port());
            self.wait_for_rest();
            connection.is_readable_within(Duration::from_millis(10))
        }
    }

    /// Waits until no thread of the server has had anything to do for a while; not for ever, as a server need not rest.
    fn wait_for_rest(&self) {
        const LOOKS: usize = 10;
        const LONGEST: Duration = Duration::from_secs(10);
        let (start, mut calm) = (Instant::now(), 0);
        while calm < LOOKS && start.elapsed() < LONGEST {
            std::thread::sleep(Duration::from_millis(5));
            let beside =
                self.programs[1..].iter().flat_map(|program| [vec![program.id()], children(program.id())].concat());
            calm = if self.processes().into_iter().chain(beside).all(is_asleep) { calm + 1 } else { 0 };
        }
    }

    /// Waits until the server has closed the last connection of a client; at most `limit`.
    pub fn wait_for_closed_connections(&self, limit: Duration) -> bool {
        let start = Instant::now();
        while has_connection(self.port()) {
            if start.elapsed() > limit {
                return false;
            }
            std::thread::sleep(Duration::from_millis(5));
        }
        true
    }

    /// Descriptors that are followed now, all processes together.
    pub fn followed(&self) -> usize {
        self.processes().into_iter().filter_map(followed).sum()
    }

    /// The library's log so far.
    pub fn log(&self) -> Log {
        Log::read(&self.read("server.stderr"))
    }

    /// All that the server has written so far: stdout, stderr and the file `log` in its directory.
    pub fn output(&self) -> String {
        let names = ["server.stdout", "server.stderr", "log", "beside0.stderr", "beside0.stdout"];
        names.map(|name| String::from_utf8_lossy(&self.read(name)).into_owned()).concat()
    }

    fn read(&self, name: &str) -> Vec<u8> {
        std::fs::read(self.place.path(name)).unwrap_or_default()
    }

    /// Stops the server and all of its processes.
    pub fn stop(mut self) {
        self.end();
    }

    fn end(&mut self) {
        if self.programs.is_empty() {
            return;
        }
        if self.preloaded || self.programs.len() == 1 {
            self.processes();
        }
        let mut programs = std::mem::take(&mut self.programs);
        let mut seen = self.seen.take();
        seen.extend(programs.iter().flat_map(|program| children(program.id())));
        seen.sort_unstable();
        seen.dedup();
        let own: Vec<u32> = programs.iter().map(Child::id).collect();
        for (number, program) in programs.iter_mut().enumerate() {
            send_signal(program.id(), if number == 0 { self.server.stop_signal } else { libc::SIGTERM });
            let start = Instant::now();
            while program.try_wait().is_ok_and(|ended| ended.is_none()) && start.elapsed() < Duration::from_secs(5) {
                std::thread::sleep(Duration::from_millis(5));
            }
            let _ = program.kill();
            let _ = program.wait();
        }
        // Only what still lives in this server's directory is ours: ids are used again.
        let directory = self.place.directory();
        let is_left = |pid: &u32| std::fs::read_link(format!("/proc/{pid}/cwd")).is_ok_and(|cwd| cwd == directory);
        for pid in seen.into_iter().filter(|pid| !own.contains(pid)).filter(is_left) {
            send_signal(pid, libc::SIGKILL);
        }
    }
}

impl Drop for Running<'_> {
    fn drop(&mut self) {
        self.end();
    }
}

/// Whether the kernel knows a socket on this port of ours whose line `wanted` accepts: its fields as in proc(5), from the
/// number on.
fn has_socket(port: u16, wanted: impl Fn(&[&str]) -> bool) -> bool {
    let tables = ["/proc/net/tcp", "/proc/net/tcp6"].map(|path| std::fs::read_to_string(path).unwrap_or_default());
    let end = format!(":{port:04X}");
    let is_wanted = |line: &str| {
        let fields: Vec<_> = line.split_ascii_whitespace().collect();
        fields.len() > 9 && fields[1].ends_with(&end) && wanted(&fields)
    };
    tables.iter().flat_map(|table| table.lines()).any(is_wanted)
}

fn is_listening(port: u16) -> bool {
    has_socket(port, |fields| fields[3] == "0A")
}

/// Whether the server's side of a connection is open: in no state of TIME_WAIT, CLOSE, LISTEN.
fn has_connection(port: u16) -> bool {
    has_socket(port, |fields| !matches!(fields[3], "06" | "07" | "0A"))
}

/// Whether the server's side of this client's connection, if it is not closed, has bytes that nobody has read, or is not
/// accepted: it then has no inode.
fn has_unread(port: u16, client: u16) -> bool {
    let end = format!(":{client:04X}");
    has_socket(port, |fields| {
        fields[2].ends_with(&end)
            && matches!(fields[3], "01" | "03" | "08")
            && (fields[9] == "0" || !fields[4].ends_with(":00000000"))
    })
}

/// Whether no thread of a process runs, or would if there were a processor free.
fn is_asleep(pid: u32) -> bool {
    let threads = Process::new(pid as i32).and_then(|process| process.tasks());
    threads.is_ok_and(|mut threads| {
        threads.all(|thread| thread.and_then(|thread| thread.stat()).is_ok_and(|stat| stat.state == 'S'))
    })
}

/// Waits until something listens on the port.
pub fn wait_for_listener(port: u16) {
    wait_within(LIMIT, "a listener", || is_listening(port).then_some(()));
}
