//! `autotrim status`: what the library does in each process that has it.

mod gain;
mod report;
mod screen;
mod share;
mod table;
mod why_not;

use std::cmp::Reverse;
use std::io::{IsTerminal, stdout};
use std::path::Path;
use std::process::ExitCode;
use std::time::Duration;

use procfs::process::all_processes;
use serde::Serialize;

use crate::arguments::Status;
use crate::block::{Age, Unread};
use crate::failure::Failure;
use crate::target::Target;
use crate::{terminal, units};
pub use report::Report;
use screen::{Keys, Wake};
use share::Shares;
use table::Layout;

/// Grows when a field of the JSON changes its meaning; new fields do not count.
const JSON_VERSION: u32 = 1;

/// What `--json` writes.
#[derive(Serialize)]
struct Document<'a> {
    version: u32,
    /// Processes that could not be looked at.
    not_inspected: usize,
    processes: &'a [Report],
}

/// One look at all processes.
struct Look {
    reports: Vec<Report>,
    /// What else is to be said.
    notes: Vec<String>,
    /// Processes that could not be looked at.
    closed: usize,
    /// Whether everything asked for is there.
    complete: bool,
}

/// Shows it once, or again and again.
pub fn status(arguments: &Status) -> Result<ExitCode, Failure> {
    let mut shares = Shares::default();
    let Some(pause) = arguments.watch else {
        let look = look(arguments, &mut shares);
        show(arguments, &look);
        return Ok(ExitCode::from(u8::from(!look.complete)));
    };
    if !arguments.json && stdout().is_terminal() {
        watch(arguments, pause, &mut shares);
        return Ok(ExitCode::SUCCESS);
    }
    loop {
        show(arguments, &look(arguments, &mut shares));
        std::thread::sleep(pause);
    }
}

/// In a terminal, until somebody presses `q`.
fn watch(arguments: &Status, pause: Duration, shares: &mut Shares) {
    let keys = Keys::take();
    // How wide the terminal was when the columns were laid out, and for how many processes.
    let mut laid_out: Option<(Option<usize>, Layout)> = None;
    loop {
        let look = look(arguments, shares);
        let (width, rows) = screen::size().unzip();
        if laid_out.as_ref().is_none_or(|(before, _)| *before != width) && !look.reports.is_empty() {
            laid_out = Some((width, Layout::still(&look.reports, arguments.plot, width)));
        }
        let mut text = format!("autotrim status, every {} s (q ends it)\n\n", pause.as_secs_f64());
        if let Some((_, layout)) = laid_out.as_ref().filter(|_| !look.reports.is_empty()) {
            text += &layout.table(&look.reports, true);
            text += "\n";
        }
        for note in &look.notes {
            text += &format!("\n{}", units::printable(note));
        }
        screen::draw(&text, rows.unwrap_or(usize::MAX));
        if keys.wait(pause) == Wake::Quit {
            terminal::draw("\n");
            return;
        }
    }
}

/// What is known of one process, for `plot` and `doctor` too.
pub fn report(target: &Target, metrics: Option<&Path>) -> Report {
    Report::of(target, metrics)
}

/// Why there are no counters, and what helps.
pub fn why_unread(why: &Unread) -> String {
    match why {
        Unread::NotPermitted => {
            let scope = std::fs::read_to_string("/proc/sys/kernel/yama/ptrace_scope").unwrap_or_default();
            let scope = match scope.trim() {
                "" | "0" => String::new(),
                scope => format!(" (kernel.yama.ptrace_scope is {scope})"),
            };
            // SAFETY: takes nothing and cannot fail.
            let help = match unsafe { libc::geteuid() } {
                0 => "start the container with --cap-add SYS_PTRACE",
                _ => "run this as root, give it CAP_SYS_PTRACE",
            };
            format!("not permitted to read its memory{scope}: {help}, or start the process with AUTOTRIM_METRICS_DIR")
        }
        Unread::Gone => "it has ended".into(),
        Unread::NotBegun => "it has served no connection yet".into(),
        Unread::OtherVersion(version) => {
            format!(
                "its library is another version than this command (block {version}): use the command that came with it"
            )
        }
        Unread::NoBlock => "its counters cannot be found".into(),
    }
}

/// Whether we have CAP_SYS_PTRACE (capabilities(7)).
fn may_trace() -> bool {
    const CAP_SYS_PTRACE: u32 = 19;
    let own = procfs::process::Process::myself().and_then(|process| process.status());
    own.is_ok_and(|status| status.capeff >> CAP_SYS_PTRACE & 1 == 1)
}

fn look(arguments: &Status, shares: &mut Shares) -> Look {
    let metrics = arguments.metrics_dir.as_deref();
    let mut look = Look { reports: Vec::new(), notes: Vec::new(), closed: 0, complete: true };
    if arguments.pids.is_empty() {
        let own = std::process::id() as i32;
        let mut pids: Vec<i32> =
            all_processes().into_iter().flatten().filter_map(|process| Some(process.ok()?.pid)).collect();
        pids.sort_unstable();
        for target in pids.into_iter().filter(|pid| *pid != own).filter_map(|pid| Target::open(pid).ok()) {
            look.add(&target, metrics, shares);
        }
        if look.reports.is_empty() {
            look.complete = false;
            look.notes.push("no process has the library".into());
        }
        // Who may look at all there is to look at, root where the kernel guards one more, can do nothing about it.
        if look.closed > 0 && (look.reports.is_empty() || !may_trace()) {
            look.notes.push(format!(
                "not permitted to look at {} more: CAP_SYS_PTRACE is needed for those of other users",
                look.closed
            ));
        }
        return look.finished();
    }
    for &pid in &arguments.pids {
        match Target::open(pid) {
            Ok(target) => {
                let (shown, closed) = (look.reports.len(), look.closed);
                look.add(&target, metrics, shares);
                if look.reports.len() == shown {
                    look.complete = false;
                    let name = target.name();
                    look.notes.push(if look.closed > closed {
                        format!("process {pid} ({name}): {}", why_unread(&Unread::NotPermitted))
                    } else {
                        format!("process {pid} ({name}) does not have the library")
                    });
                }
            }
            Err(failure) => {
                look.complete = false;
                look.notes.push(failure.to_string());
            }
        }
    }
    look.finished()
}

impl Look {
    /// Says something of a process: once, where it is the same of several.
    fn say(&mut self, who: &str, what: &str) {
        let end = format!(": {what}");
        match self.notes.iter_mut().find(|note| note.ends_with(&end)) {
            Some(note) => note.insert_str(note.len() - end.len(), &format!(", {who}")),
            None => self.notes.push(format!("process {who}{end}")),
        }
    }

    fn add(&mut self, target: &Target, metrics: Option<&Path>, shares: &mut Shares) {
        let mut report = match target.files {
            Some(_) if target.library().is_some() => Report::of(target, metrics),
            Some(_) => return,
            // Whether it has the library cannot be seen, but it may have written metrics. A kernel's thread has no memory.
            None => match Report::of_metrics(target, metrics) {
                Some(report) => report,
                None => {
                    self.closed += usize::from(target.has_memory());
                    return;
                }
            },
        };
        if let Some(note) = &report.note {
            self.complete &= report.is_known();
            let who = format!("{} ({})", report.pid, report.program);
            self.say(&who, note);
        }
        report.pss_bytes = shares.of(target);
        self.reports.push(report);
    }

    /// All processes are there: where most could be gained comes first, and last what has no counters.
    fn finished(mut self) -> Look {
        self.reports.sort_by_key(|report| (Reverse(report.gain_bytes), report.pid));
        self.note_ages();
        self
    }

    /// Libraries of other versions than this command.
    fn note_ages(&mut self) {
        for (age, text) in [
            (
                Age::Older,
                "an older library than this command, and tell less: `-` where they do not; restarted they have the new one",
            ),
            (Age::Newer, "a newer library than this command, which tells more: use the command that came with it"),
        ] {
            let number = self.reports.iter().filter(|report| report.library_is == Some(age)).count();
            if number > 0 {
                self.notes.push(format!("{number} of {} processes have {text}", self.reports.len()));
            }
        }
    }
}

/// How wide a table may be: as the terminal is, or COLUMNS says; nothing where neither is known, or it goes to a file or a pipe.
fn room(is_terminal: bool) -> Option<usize> {
    let said = || std::env::var("COLUMNS").ok()?.parse().ok();
    screen::size().filter(|_| is_terminal).map(|(columns, _)| columns).or_else(said)
}

fn show(arguments: &Status, look: &Look) {
    if arguments.json {
        let document = Document { version: JSON_VERSION, not_inspected: look.closed, processes: &look.reports };
        terminal::json(&document);
    } else if !look.reports.is_empty() {
        let is_terminal = stdout().is_terminal();
        let layout = Layout::fitting(&look.reports, arguments.plot, room(is_terminal));
        terminal::draw(&(layout.table(&look.reports, is_terminal) + "\n"));
    }
    for note in &look.notes {
        terminal::complain(note);
    }
}
