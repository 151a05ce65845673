//! Commands that are executed in a container beside its server (exec probes, shells): do they load the library, too?

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use procfs::process::{Process, Status, all_processes};

use super::findings::{Findings, Level};
use crate::target::{SYSTEM_PRELOADS, Target, preload_names, text};
use crate::variables::Environment;

const HELPS: &str = "autotrim run -- CMD as the container's command sets it for the server alone, and env --unset=LD_PRELOAD in \
                     front of a probe's command keeps it out there";

/// Says so, and what helps.
pub fn of(target: &Target, findings: &mut Findings) {
    let Some(library) = target.library() else { return };
    let Some(name) = library.path.file_name() else { return };
    let names = |list: &[u8]| preload_names(list).iter().any(|path| path.file_name() == Some(name));
    if target.root().and_then(|root| root.read(Path::new(SYSTEM_PRELOADS))).is_ok_and(|list| names(&list)) {
        let text = "/etc/ld.so.preload names the library: every command executed there loads it, too (exec probes, shells); \
                    AUTOTRIM_PROGRAMS names those it works in";
        findings.add("probes", Level::Info, text.into());
        return;
    }
    if let Some(first) = first_of_container(target)
        && let Some(all) = first.open_relative("environ").ok().and_then(|environ| Environment::read(environ).ok())
        && all.get(OsStr::new("LD_PRELOAD")).is_some_and(|list| names(list.as_bytes()))
    {
        let text = format!(
            "LD_PRELOAD names the library for the first process of its container: where the image or the pod sets it, each \
             command executed there loads the library, too (exec probes, shells). That does no harm, but each takes longer to \
             start: {HELPS}"
        );
        findings.add("probes", Level::Info, text);
    }
}

/// The process that is number one where `target` is, unless that is where we are.
fn first_of_container(target: &Target) -> Option<Process> {
    let namespace = |process: &Path| std::fs::read_link(process.join("ns/pid")).ok();
    let path = |pid: i32| PathBuf::from(format!("/proc/{pid}"));
    let theirs = namespace(&path(target.pid))?;
    let is_first =
        |status: &Status| status.nspid.as_ref().is_some_and(|pids| pids.len() > 1 && pids.last() == Some(&1));
    all_processes().ok()?.flatten().find(|process| {
        text(process, "status").is_ok_and(|status| is_first(&status))
            && namespace(&path(process.pid)).as_ref() == Some(&theirs)
    })
}
