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
    /// The tightest limit, its own or that of a group around it; `None` = none.
    pub limit: Option<Limit>,
    /// What has come of limits so far.
    pub events: Events,
    /// Of it, memory of processes.
    pub anonymous: Option<u64>,
    /// Of it, page cache: of files, and shared.
    pub page_cache: Option<u64>,
    /// Of it, what the kernel keeps for it: entries of directories, buffers of sockets.
    pub kernel: Option<u64>,
    /// Anonymous RSS of each process in it.
    pub processes: Vec<Member>,
}

/// A limit, and the group that has it.
pub struct Limit {
    /// Its directory.
    pub path: PathBuf,
    /// How much its processes may have.
    pub bytes: u64,
    /// How much they have.
    pub current: u64,
}

/// How often memory was short.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Events {
    /// Allocations that were slowed down (memory.high).
    pub high: u64,
    /// Those that met the limit.
    pub max: u64,
    /// Processes that the OOM killer has ended.
    pub killed: u64,
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
        let number = |name: &str| number(&path.join(name));
        let statistics = table(&path.join("memory.stat"));
        let [current, limit, anonymous, page_cache] = match version {
            1 => ["memory.usage_in_bytes", "memory.limit_in_bytes", "total_rss", "total_cache"],
            _ => ["memory.current", "memory.max", "anon", "file"],
        };
        Some(Cgroup {
            version,
            current: number(current)?,
            limit: tightest(&path, limit, current),
            events: events(version, &path),
            anonymous: statistics.get(anonymous).copied(),
            page_cache: statistics.get(page_cache).copied(),
            // Before Linux 5.18 version 2 tells of the largest part of it only.
            kernel: match version {
                1 => number("memory.kmem.usage_in_bytes"),
                _ => statistics.get("kernel").or_else(|| statistics.get("slab")).copied(),
            },
            processes: processes(&path),
            path,
        })
    }
}

/// The smallest limit of a group and those around it, as far as we see them.
fn tightest(path: &Path, limit: &str, current: &str) -> Option<Limit> {
    let limits = path.ancestors().map_while(|path| {
        // Above the hierarchy's root there are no such files.
        let current = number(&path.join(current));
        path.join("cgroup.procs").exists().then_some((path, number(&path.join(limit)), current))
    });
    let limits = limits.filter_map(|(path, bytes, current)| {
        let bytes = bytes.filter(|&bytes| bytes < NO_LIMIT)?;
        Some(Limit { path: path.to_owned(), bytes, current: current? })
    });
    limits.min_by_key(|limit| limit.bytes)
}

fn events(version: u8, path: &Path) -> Events {
    match version {
        1 => Events {
            high: 0,
            max: number(&path.join("memory.failcnt")).unwrap_or(0),
            killed: table(&path.join("memory.oom_control")).get("oom_kill").copied().unwrap_or(0),
        },
        _ => {
            let events = table(&path.join("memory.events"));
            let count = |name: &str| events.get(name).copied().unwrap_or(0);
            Events { high: count("high"), max: count("max"), killed: count("oom_kill") }
        }
    }
}

/// A file of one number.
fn number(path: &Path) -> Option<u64> {
    std::fs::read_to_string(path).ok()?.trim().parse().ok()
}

/// A file of names and numbers.
fn table(path: &Path) -> HashMap<String, u64> {
    let text = std::fs::read_to_string(path).unwrap_or_default();
    let pairs = text.lines().filter_map(|line| line.split_once(' '));
    pairs.filter_map(|(name, value)| Some((name.to_owned(), value.trim().parse().ok()?))).collect()
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
