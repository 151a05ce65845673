//! What is in force in a process: the library's version, whether it acts, its options, whose the signal's handler is.

use super::complaints;
use super::findings::{Findings, Level};
use crate::arguments::assignment;
use crate::block::Age;
use crate::in_force::{Handler, InForce, State};
use crate::options::{Options, TABLE};
use crate::target::Target;
use crate::units;

/// All of it, as the library says itself; of one that is too old, as far as the environment tells.
pub fn of(target: &Target, findings: &mut Findings) {
    let (age, in_force) = target.block().map(|block| (Some(block.age()), block.in_force())).unwrap_or_default();
    version(age, in_force.as_ref(), findings);
    if let Some(in_force) = &in_force {
        state(in_force, findings);
    }
    if let Some(options) = target.options() {
        of_options(&options, age, in_force.as_ref(), findings);
    }
    match &in_force {
        Some(in_force) if !in_force.version.is_empty() => {
            let changed = in_force.changed();
            let text = if changed.is_empty() { "defaults".into() } else { changed.join(" ") };
            findings.add("options", Level::Info, text);
            signal(in_force, findings);
        }
        _ => environment(target, findings),
    }
}

fn version(age: Option<Age>, in_force: Option<&InForce>, findings: &mut Findings) {
    let version = in_force.map_or(String::new(), |in_force| format!(" {}", in_force.version));
    let own = env!("CARGO_PKG_VERSION");
    let (level, text) = match age {
        Some(Age::Older) => (
            Level::Warning,
            format!(
                "the library{version} is older than this command ({own}), and tells less: what is missing here it does not know; the process has the new one when it is restarted"
            ),
        ),
        Some(Age::Newer) => (
            Level::Warning,
            format!(
                "the library{version} is newer than this command ({own}), and tells more: use the command that came with it"
            ),
        ),
        Some(Age::Same) => (Level::Info, format!("{}: the same as this command knows", version.trim())),
        None => return,
    };
    findings.add("version", level, text);
}

fn state(in_force: &InForce, findings: &mut Findings) {
    let text = match in_force.state {
        State::Active | State::LeftAlone => return,
        State::Secure => "the process was started in secure mode (setuid, setgid or capabilities): nothing is done",
        State::NoAllocator => "nothing is done: there is no known way to release memory of this malloc",
        State::Retired => "the process has restricted its own system calls (seccomp), and is left alone since then",
    };
    let level = if in_force.state == State::Retired { Level::Warning } else { Level::Problem };
    let why = if in_force.state == State::NoAllocator { format!(" ({})", in_force.allocator) } else { String::new() };
    findings.add("state", level, format!("{text}{why}"));
}

/// What is wrong with the options. What this command does not know, a newer library may.
fn of_options(options: &Options, age: Option<Age>, in_force: Option<&InForce>, findings: &mut Findings) {
    if age == Some(Age::Newer) && in_force.is_some() {
        let known = Options { unknown: [None; TABLE.len()], more_unknown: 0, ..*options };
        complaints(&known, findings);
    } else {
        complaints(options, findings);
    }
    if !options.is_active() {
        let text = "AUTOTRIM_DISABLE, AUTOTRIM_PROGRAMS or the lack of any trigger leaves this process alone";
        findings.add("options", Level::Problem, text.into());
    }
}

fn signal(in_force: &InForce, findings: &mut Findings) {
    let (level, text) = match in_force.signal_handler {
        Handler::None => return,
        Handler::Installed => (Level::Good, "the library's handler is installed: autotrim trim can ask"),
        Handler::Taken => {
            (Level::Problem, "it was ignored, or had a handler, when the program started, and asks for nothing")
        }
        Handler::Replaced => (Level::Warning, "the program has put a handler of its own in the place of the library's"),
    };
    findings.add("signal", level, text.into());
}

/// What the environment sets, as the library has read it.
fn environment(target: &Target, findings: &mut Findings) {
    let Some(environment) = target.environment() else { return };
    let mut set: Vec<String> = environment
        .iter()
        .filter(|(name, _)| TABLE.iter().any(|entry| *name == entry.name))
        .map(|(name, value)| units::printable(&assignment(name, value).to_string_lossy()))
        .collect();
    set.sort_unstable();
    let text = if set.is_empty() { "defaults".into() } else { set.join(" ") };
    findings.add("options", Level::Info, text);
}
