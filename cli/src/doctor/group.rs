//! The memory of the cgroup that a process is in: its growth may be something else than the process altogether.

use super::findings::{Findings, Level};
use crate::cgroup::{Cgroup, Events, Limit};
use crate::target::Target;
use crate::units;

/// From this share of the limit on, memory is short.
const NEARLY_FULL: f64 = 0.9;

/// What it has, its limit, and what has come of that.
pub fn of(target: &Target, findings: &mut Findings) {
    let Some(group) = Cgroup::of(target) else { return };
    let limit = group.limit.as_ref().map_or(", no limit".into(), |limit| format!(" of {}", limit_of(limit, &group)));
    let part = |size: Option<u64>| size.map_or("?".into(), units::bytes);
    let text = format!(
        "{}{limit}: anonymous {}, page cache {}, kernel {}; {} (v{})",
        units::bytes(group.current),
        part(group.anonymous),
        part(group.page_cache),
        part(group.kernel),
        group.path.display(),
        group.version,
    );
    let full = group.limit.as_ref().filter(|limit| limit.current as f64 > NEARLY_FULL * limit.bytes as f64);
    findings.add("cgroup", if full.is_some() { Level::Warning } else { Level::Info }, text);
    if let Some(limit) = full {
        let text = format!(
            "its cgroup has {} of {}: AUTOTRIM_PRESSURE=auto trims when memory is short, and a higher limit ends the shortage",
            units::bytes(limit.current),
            units::bytes(limit.bytes)
        );
        findings.advise(limit.current, text);
    }
    events(&group.events, findings);
    others(&group, target.pid, findings);
    if group.page_cache.is_some_and(|cache| cache > group.current / 2) {
        let text = "most of it is page cache: files that were read or written, by whichever process; the kernel takes it \
                    back when memory is short, and no trim changes it";
        findings.add("cgroup", Level::Info, text.into());
    }
    if group.kernel.is_some_and(|kernel| kernel > group.current / 2) {
        let text = "most of it is the kernel's own: what it remembers of files, and of processes that come and go (exec \
                    probes); no trim changes it";
        findings.add("cgroup", Level::Info, text.into());
    }
}

/// A limit, and whose it is where it is not the group's own.
fn limit_of(limit: &Limit, group: &Cgroup) -> String {
    let bytes = units::bytes(limit.bytes);
    if limit.path == group.path {
        bytes
    } else {
        format!("{bytes} that {} may have, which has {}", limit.path.display(), units::bytes(limit.current))
    }
}

/// What has come of the limit so far.
fn events(events: &Events, findings: &mut Findings) {
    let counted = [
        (events.killed, "processes ended by the OOM killer"),
        (events.max, "times at the limit"),
        (events.high, "times slowed down (memory.high)"),
    ];
    let said: Vec<String> = counted
        .iter()
        .filter(|(count, _)| *count > 0)
        .map(|(count, what)| format!("{} {what}", units::count(*count)))
        .collect();
    if !said.is_empty() {
        let level = if events.killed > 0 { Level::Warning } else { Level::Info };
        findings.add("cgroup", level, format!("so far {}", said.join(", ")));
    }
}

/// The processes beside `pid`.
fn others(group: &Cgroup, pid: i32, findings: &mut Findings) {
    let (own, others): (Vec<_>, Vec<_>) = group.processes.iter().partition(|process| process.pid == pid);
    let Some(largest) = others.iter().max_by_key(|process| process.anonymous) else { return };
    let text = format!(
        "{} processes with {} of anonymous RSS, this one {}; the largest other is {} ({}) with {}",
        group.processes.len(),
        units::bytes(group.processes.iter().map(|process| process.anonymous).sum()),
        units::bytes(own.iter().map(|process| process.anonymous).sum()),
        largest.pid,
        largest.name,
        units::bytes(largest.anonymous),
    );
    findings.add("cgroup", Level::Info, text);
}
