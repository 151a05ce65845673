//! The memory of the cgroup that a process is in: what the OOM killer of a container goes by.

use std::collections::HashMap;
use std::path::{Path, PathBuf};

use procfs::process::Process;

use crate::target::Target;
use crate::units;

/// A limit above this is none (cgroup v1 has no word for it).
const NO_LIMIT: u64 = 1 << 60;

/// What a cgroup's files say. Sizes are bytes.
pub struct Cgroup {
    /// Its directory.
    pub path: PathBuf,
    /// 1 or 2.
    pub version: u8,
    /// What counts against the limit.
    pub current: u64,
    /// The limit; `None` = none.
    pub limit: Option<u64>,
    /// Of it, memory of processes.
    pub anonymous: Option<u64>,
    /// Of it, page cache: of files, and shared.
    pub page_cache: Option<u64>,
    /// Of it, what the kernel keeps for it: entries of directories, buffers of sockets.
    pub kernel: Option<u64>,
    /// Anonymous RSS of each process in it.
    pub processes: Vec<Member>,
}

/// A process in a cgroup.
pub struct Member {
    /// Its id.
    pub pid: i32,
    /// Its name.
    pub name: String,
    /// Its anonymous RSS in bytes.
    pub anonymous: u64,
}

impl Cgroup {
    /// The cgroup that accounts the memory of `target`.
    pub fn of(target: &Target) -> Option<Cgroup> {
        let groups = target.process.cgroups().ok()?.0;
        let v1 = groups.iter().find(|group| group.controllers.iter().any(|name| name == "memory"));
        let (version, group) = match v1 {
            Some(group) => (1, group),
            None => (2, groups.iter().find(|group| group.hierarchy == 0)?),
        };
        let path = directory(version, &group.pathname)?;
        let number = |name: &str| std::fs::read_to_string(path.join(name)).ok()?.trim().parse::<u64>().ok();
        let statistics = std::fs::read_to_string(path.join("memory.stat")).unwrap_or_default();
        let statistics: HashMap<&str, u64> = statistics
            .lines()
            .filter_map(|line| line.split_once(' '))
            .filter_map(|(k, v)| Some((k, v.parse().ok()?)))
            .collect();
        let [current, limit, anonymous, page_cache] = match version {
            1 => ["memory.usage_in_bytes", "memory.limit_in_bytes", "total_rss", "total_cache"],
            _ => ["memory.current", "memory.max", "anon", "file"],
        };
        Some(Cgroup {
            version,
            current: number(current)?,
            limit: number(limit).filter(|&limit| limit < NO_LIMIT),
            anonymous: statistics.get(anonymous).copied(),
            page_cache: statistics.get(page_cache).copied(),
            // Before Linux 5.18 version 2 tells of the largest part of it only.
            kernel: match version {
                1 => number("memory.kmem.usage_in_bytes"),
                _ => statistics.get("kernel").or(statistics.get("slab")).copied(),
            },
            processes: processes(&path),
            path,
        })
    }
}

/// Where we see the cgroup `name`: below its hierarchy's mount, of which a container may see a part only.
fn directory(version: u8, name: &str) -> Option<PathBuf> {
    let mounts = Process::myself().ok()?.mountinfo().ok()?;
    let mount = mounts.0.into_iter().find(|mount| match version {
        1 => mount.fs_type == "cgroup" && mount.super_options.contains_key("memory"),
        _ => mount.fs_type == "cgroup2",
    })?;
    let below = Path::new(name).strip_prefix(&mount.root).unwrap_or(Path::new(name));
    let path = mount.mount_point.join(below.strip_prefix("/").unwrap_or(below));
    Some(if path.is_dir() { path } else { mount.mount_point })
}

fn processes(path: &Path) -> Vec<Member> {
    let list = std::fs::read_to_string(path.join("cgroup.procs")).unwrap_or_default();
    let member = |pid| {
        let status = Process::new(pid).ok()?.status().ok()?;
        Some(Member { pid, name: units::printable(&status.name), anonymous: status.rssanon? * 1024 })
    };
    list.lines().filter_map(|pid| member(pid.parse().ok()?)).collect()
}
