//! Where the memory is: of the process, and of the cgroup that it is in.

use procfs::process::MMapPath;

use super::findings::{Findings, Level};
use crate::cgroup::Cgroup;
use crate::target::Target;
use crate::units;

/// From this share of the limit on, memory is short.
const NEARLY_FULL: f64 = 0.9;

/// What RSS consists of.
pub fn of_process(target: &Target, findings: &mut Findings) {
    let status = &target.status;
    let kilobytes = |size: Option<u64>| size.unwrap_or(0) * 1024;
    let (anonymous, file, shared) = (kilobytes(status.rssanon), kilobytes(status.rssfile), kilobytes(status.rssshmem));
    let heap = target.process.smaps().ok().map(|maps| {
        let heap = maps.iter().filter(|map| matches!(map.pathname, MMapPath::Heap));
        heap.filter_map(|map| map.extension.map.get("Anonymous")).sum::<u64>()
    });
    let parts = match heap {
        Some(heap) => {
            let other = anonymous.saturating_sub(heap);
            format!("heap {} + other anonymous {}", units::bytes(heap), units::bytes(other))
        }
        None => format!("anonymous {}", units::bytes(anonymous)),
    };
    let total = units::bytes(anonymous + file + shared);
    let (file, shared) = (units::bytes(file), units::bytes(shared));
    findings.add("memory", Level::Info, format!("RSS {total} = {parts} + files {file} + shared {shared}"));
}

/// The cgroup beside the process: its growth may be something else altogether.
pub fn of_cgroup(target: &Target, findings: &mut Findings) {
    let Some(group) = Cgroup::of(target) else { return };
    let limit = group.limit.map_or(", no limit".into(), |limit| format!(" of {}", units::bytes(limit)));
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
    let full = group.limit.is_some_and(|limit| group.current as f64 > NEARLY_FULL * limit as f64);
    findings.add("cgroup", if full { Level::Warning } else { Level::Info }, text);
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
