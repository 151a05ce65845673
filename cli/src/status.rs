//! `autotrim status`: what the library does in each process that has it.

mod report;
mod table;

use std::io::{IsTerminal, stdout};
use std::path::Path;
use std::process::ExitCode;

use procfs::process::all_processes;
use serde::Serialize;

use crate::arguments::Status;
use crate::block::Unread;
use crate::failure::Failure;
use crate::target::Target;
use crate::{terminal, units};
pub use report::Report;

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
    let Some(pause) = arguments.watch else {
        let look = look(arguments);
        show(arguments, &look);
        return Ok(ExitCode::from(u8::from(!look.complete)));
    };
    let redraw = !arguments.json && stdout().is_terminal();
    loop {
        let look = look(arguments);
        if redraw {
            draw(arguments, &look, pause.as_secs_f64())
        } else {
            show(arguments, &look)
        }
        std::thread::sleep(pause);
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

fn look(arguments: &Status) -> Look {
    let metrics = arguments.metrics_dir.as_deref();
    let mut look = Look { reports: Vec::new(), notes: Vec::new(), closed: 0, complete: true };
    if arguments.pids.is_empty() {
        let own = std::process::id() as i32;
        let mut pids: Vec<i32> =
            all_processes().into_iter().flatten().filter_map(|process| Some(process.ok()?.pid)).collect();
        pids.sort_unstable();
        for target in pids.into_iter().filter(|pid| *pid != own).filter_map(|pid| Target::open(pid).ok()) {
            look.add(&target, metrics);
        }
        if look.reports.is_empty() {
            look.complete = false;
            look.notes.push("no process has the library".into());
        }
        if look.closed > 0 {
            look.notes.push(format!(
                "not permitted to look at {} more: CAP_SYS_PTRACE is needed for those of other users",
                look.closed
            ));
        }
        return look;
    }
    for &pid in &arguments.pids {
        match Target::open(pid) {
            Ok(target) => {
                let (shown, closed) = (look.reports.len(), look.closed);
                look.add(&target, metrics);
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
    look
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

    fn add(&mut self, target: &Target, metrics: Option<&Path>) {
        let report = match target.files {
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
        self.reports.push(report);
    }
}

fn show(arguments: &Status, look: &Look) {
    if arguments.json {
        let document = Document { version: JSON_VERSION, not_inspected: look.closed, processes: &look.reports };
        terminal::json(&document);
    } else if !look.reports.is_empty() {
        terminal::draw(&(table::table(&look.reports, arguments.plot, stdout().is_terminal()) + "\n"));
    }
    for note in &look.notes {
        terminal::complain(note);
    }
}

/// Over what was there before, line by line, so that nothing flickers.
fn draw(arguments: &Status, look: &Look, pause: f64) {
    const CLEAR_TO_END_OF_LINE: &str = "\x1b[K";
    const HOME: &str = "\x1b[H";
    const CLEAR_BELOW: &str = "\x1b[J";
    // A long line is cut at the edge, not continued on the next.
    const CUT: &str = "\x1b[?7l";
    const WRAP: &str = "\x1b[?7h";
    let mut text = format!("autotrim status, every {pause} s (Ctrl-C ends it)\n\n");
    if !look.reports.is_empty() {
        text += &table::table(&look.reports, arguments.plot, true);
        text += "\n";
    }
    for note in &look.notes {
        text += &format!("\n{}", units::printable(note));
    }
    let rows = rows_of_terminal();
    let lines: Vec<&str> = text.lines().take(rows).collect();
    let mut output = [CUT, HOME].concat();
    for (number, line) in lines.iter().enumerate() {
        output += if number > 0 { "\r\n" } else { "" };
        output += line;
        output += CLEAR_TO_END_OF_LINE;
    }
    output += CLEAR_BELOW;
    output += WRAP;
    terminal::draw(&output);
}

fn rows_of_terminal() -> usize {
    // SAFETY: zeros are a valid value, and the call writes one.
    let size = unsafe {
        let mut size: libc::winsize = std::mem::zeroed();
        libc::ioctl(libc::STDOUT_FILENO, libc::TIOCGWINSZ, &mut size);
        size
    };
    if size.ws_row == 0 { usize::MAX } else { size.ws_row.into() }
}
