//! gdb, for one function call in another process. Whatever happens, it lets go of the process again.
//!
//! It is told what to do line by line (its machine interface, gdb/MI), reads no symbols, which takes seconds in large programs while
//! they stand still, and is in a session of its own: an interrupt from the terminal reaches neither it nor, through it, the process. What is
//! sent to gdb itself it does not see either, since it leaves the process in the middle of the call then. It lets go where its input ends.

use std::ffi::OsStr;
use std::io::{BufRead, BufReader, Write};
use std::os::unix::process::CommandExt;
use std::path::PathBuf;
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::time::{Duration, Instant};

use nix::sys::signal::{SigHandler, SigSet, Signal, kill, signal};
use nix::unistd::Pid;

/// How long it may take for all but the call: it reads a program's headers, and stops some hundred threads at most.
const PATIENCE: Duration = Duration::from_secs(20);
/// And to end, once it was asked to.
const END: Duration = Duration::from_secs(5);
/// What would end us, or gdb, while the process is in its hands.
const SIGNALS: [Signal; 5] = [Signal::SIGHUP, Signal::SIGINT, Signal::SIGQUIT, Signal::SIGTERM, Signal::SIGPIPE];

/// Where gdb is.
pub fn find() -> Option<PathBuf> {
    let list = std::env::var_os("PATH")?;
    std::env::split_paths(&list).map(|directory| directory.join("gdb")).find(|path| path.is_file())
}

/// A process in gdb's hands, all of its threads stopped.
pub struct Session {
    pid: i32,
    child: Child,
    /// Until nothing more is asked of it.
    input: Option<ChildStdin>,
    lines: Receiver<String>,
    number: u32,
    /// Whether the process has stopped.
    stopped: bool,
    /// Since when it stands still; nothing where it does not.
    since: Option<Instant>,
    before: Vec<(Signal, SigHandler)>,
}

impl Session {
    /// Has `gdb` stop process `pid`. What it says where it cannot is the error.
    pub fn attach(gdb: &OsStr, pid: i32) -> Result<Session, String> {
        let mut command = Command::new(gdb);
        command.args(["-nx", "-nh", "--quiet", "--interpreter=mi2"]);
        for setting in ["auto-load off", "debuginfod enabled off", "auto-solib-add off", "exec-file-mismatch off"] {
            command.args(["-iex", &format!("set {setting}")]);
        }
        command.env_remove("LD_PRELOAD").env("LC_ALL", "C");
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null());
        let blocked: SigSet = SIGNALS.into_iter().collect();
        // SAFETY: these are bare system calls, and so allowed between fork and exec.
        unsafe {
            command.pre_exec(move || {
                libc::setsid();
                Ok(blocked.thread_block()?)
            });
        }
        let mut child = command.spawn().map_err(|error| error.to_string())?;
        let (input, output) = (child.stdin.take(), child.stdout.take());
        let (sender, lines) = channel();
        // It ends with gdb's output.
        std::thread::spawn(move || {
            let lines = BufReader::new(output.into_iter().next().expect("a pipe")).lines().map_while(Result::ok);
            lines.take_while(|line| sender.send(line.clone()).is_ok()).count();
        });
        let mut session =
            Session { pid, child, input, lines, number: 0, stopped: false, since: None, before: ignore_signals() };
        for setting in ["language c", "confirm off", "non-stop off", "unwindonsignal off", "print thread-events off"] {
            session.ask(&format!("-gdb-set {setting}"), Some(PATIENCE))?;
        }
        // Signals go to the process as ever.
        for signals in ["all", "SIGINT"] {
            let handle = format!("handle {signals} nostop noprint pass");
            session.ask(&format!("-interpreter-exec console \"{handle}\""), Some(PATIENCE))?;
        }
        // Named first, it is not searched for, and none of its symbols are read.
        session.ask(&format!("-file-exec-file /proc/{pid}/exe"), Some(PATIENCE))?;
        session.since = Some(Instant::now());
        session.ask(&format!("-target-attach {pid}"), Some(PATIENCE))?;
        let start = Instant::now();
        while !session.stopped {
            session.line(Some(PATIENCE.saturating_sub(start.elapsed()))).map_err(|_| "the process does not stop")?;
        }
        // All threads run during the call: one of them may hold what it waits for.
        session.ask("-gdb-set scheduler-locking off", Some(PATIENCE))?;
        Ok(session)
    }

    /// Calls the function at `address` with one argument, 0, in `thread`. There is no end to how long that may take: to leave in the middle
    /// of it would be the end of the process.
    pub fn call(&mut self, thread: i32, address: u64) -> Result<(), String> {
        let threads = self.ask("-thread-info", Some(PATIENCE))?;
        let number = gdb_number(&threads, thread).ok_or("it does not know the thread")?;
        self.ask(&format!("-thread-select {number}"), Some(PATIENCE))?;
        let call = format!("-data-evaluate-expression \"((int (*)(unsigned long)) {address:#x})(0)\"");
        self.ask(&call, None).map(|_| ())
    }

    /// Lets the process go on; the answer is how long it stood still.
    pub fn let_go(&mut self) -> Result<Duration, String> {
        self.ask("-target-detach", Some(PATIENCE))?;
        Ok(self.since.take().map_or(Duration::ZERO, |since| since.elapsed()))
    }

    /// Sends a command, and waits for what comes of it, without a limit for as long as it takes.
    fn ask(&mut self, command: &str, limit: Option<Duration>) -> Result<String, String> {
        self.number += 1;
        let number = self.number;
        let input = self.input.as_mut().ok_or("its input has ended")?;
        writeln!(input, "{number}{command}").map_err(|error| error.to_string())?;
        let (start, prefix) = (Instant::now(), format!("{number}^"));
        loop {
            let line = self.line(limit.map(|limit| limit.saturating_sub(start.elapsed())));
            let line = line.map_err(|error| match error {
                RecvTimeoutError::Timeout => format!("gdb has not answered {command} for {} s", PATIENCE.as_secs()),
                RecvTimeoutError::Disconnected => "gdb has ended".to_owned(),
            })?;
            let Some(result) = line.strip_prefix(&prefix) else { continue };
            return match result.strip_prefix("error,msg=") {
                Some(message) => Err(message.trim_matches('"').replace("\\n", " ").replace('\\', "")),
                None => Ok(result.to_owned()),
            };
        }
    }

    /// What it says next.
    fn line(&mut self, limit: Option<Duration>) -> Result<String, RecvTimeoutError> {
        let line = match limit {
            Some(limit) => self.lines.recv_timeout(limit)?,
            None => self.lines.recv().map_err(|_| RecvTimeoutError::Disconnected)?,
        };
        self.stopped |= line.starts_with("*stopped");
        Ok(line)
    }

    /// Whether gdb has ended within this time.
    fn has_ended(&mut self, limit: Duration) -> bool {
        let start = Instant::now();
        while start.elapsed() < limit {
            if !matches!(self.child.try_wait(), Ok(None)) {
                return true;
            }
            std::thread::sleep(Duration::from_millis(5));
        }
        false
    }
}

impl Drop for Session {
    fn drop(&mut self) {
        let went = if self.since.is_some() { self.let_go().map(|_| ()) } else { Ok(()) };
        let ended = went.and_then(|()| self.ask("-gdb-exit", Some(END)));
        let is_clean = ended.is_ok() && self.has_ended(END);
        if !is_clean {
            // It detaches where its input ends, too; by force it is ended only where nothing else does it.
            drop(self.input.take());
            if !self.has_ended(END) {
                let _ = self.child.kill();
                let _ = self.child.wait();
            }
        }
        // It was not stopped before. This also takes back a stop that gdb has asked for and not waited for (signal(7)).
        if !is_clean || is_stopped(self.pid) {
            let _ = kill(Pid::from_raw(self.pid), Signal::SIGCONT);
        }
        for &(name, action) in &self.before {
            // SAFETY: what was set before.
            let _ = unsafe { signal(name, action) };
        }
    }
}

/// From here on what would end us does not; the actions until now.
fn ignore_signals() -> Vec<(Signal, SigHandler)> {
    // SAFETY: no handler is installed.
    let ignore = |name: Signal| unsafe { signal(name, SigHandler::SigIgn) };
    SIGNALS.into_iter().filter_map(|name| Some((name, ignore(name).ok()?))).collect()
}

/// Whether a process is stopped by a signal.
pub fn is_stopped(pid: i32) -> bool {
    procfs::process::Process::new(pid).and_then(|process| process.stat()).is_ok_and(|stat| stat.state == 'T')
}

/// gdb's own number of a thread: `{id="3",target-id="Thread 0x7f12 (LWP 4711)",…}`, or `target-id="process 4711"` of the only one.
fn gdb_number(threads: &str, id: i32) -> Option<u32> {
    threads.split("{id=\"").skip(1).find_map(|thread| {
        let (number, rest) = thread.split_once('"')?;
        let (_, target) = rest.split_once("target-id=\"")?;
        let target = target.split('"').next()?;
        let names = target.split(|letter: char| !letter.is_ascii_alphanumeric()).filter(|word| !word.is_empty());
        let words: Vec<&str> = names.collect();
        let is_it = words.windows(2).any(|pair| matches!(pair[0], "LWP" | "process") && pair[1].parse() == Ok(id));
        if is_it { number.parse().ok() } else { None }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn threads_are_known_by_the_kernels_number() {
        let threads = r#"done,threads=[{id="2",target-id="Thread 0x7f55 (LWP 71)",name="a",frame={level="0"}},{id="1",target-id="LWP 7",name="LWP 9"}]"#;
        assert_eq!([7, 71, 9, 1].map(|id| gdb_number(threads, id)), [Some(1), Some(2), None, None]);
        assert_eq!(gdb_number(r#"done,threads=[{id="1",target-id="process 4711"}]"#, 4711), Some(1));
        assert_eq!(gdb_number("done,threads=[]", 1), None);
    }
}
