//! The memory of the cgroup that a process is in: what the OOM killer of a container goes by.

use std::collections::HashMap;
use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::path::{Component, Path, PathBuf};

use procfs::process::{Process, Status};

use crate::target::{Target, text};
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
        let (version, group) = group(&target.read("cgroup")?)?;
        let path = directory(version, &group)?;
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

/// The cgroup for memory in `/proc/PID/cgroup`, and its version. Its name is of whatever bytes who made it liked.
fn group(text: &[u8]) -> Option<(u8, PathBuf)> {
    let fields = |line: &[u8]| -> Option<(Vec<u8>, Vec<u8>, PathBuf)> {
        let mut fields = line.splitn(3, |&byte| byte == b':');
        let mut next = || fields.next();
        let (hierarchy, controllers, name) = (next()?, next()?, next()?);
        Some((hierarchy.to_vec(), controllers.to_vec(), PathBuf::from(OsStr::from_bytes(name))))
    };
    let lines = || text.split(|&byte| byte == b'\n').filter_map(fields);
    let v1 = lines().find(|(_, controllers, _)| controllers.split(|&byte| byte == b',').any(|name| name == b"memory"));
    let v2 = || lines().find(|(hierarchy, ..)| hierarchy == b"0");
    v1.map(|(.., name)| (1, name)).or_else(|| v2().map(|(.., name)| (2, name)))
}

/// Where we see a cgroup: below its hierarchy's mount, of which a container may see a part only.
fn directory(version: u8, name: &Path) -> Option<PathBuf> {
    let mounts = Process::myself().ok()?.mountinfo().ok()?;
    let mount = mounts.0.into_iter().find(|mount| match version {
        1 => mount.fs_type == "cgroup" && mount.super_options.contains_key("memory"),
        _ => mount.fs_type == "cgroup2",
    })?;
    let below = name.strip_prefix(&mount.root).unwrap_or(name);
    // One that is not below the part that we see begins with `/..`.
    let below = if below.components().any(|part| part == Component::ParentDir) { Path::new("") } else { below };
    let path = mount.mount_point.join(below.strip_prefix("/").unwrap_or(below));
    Some(if path.is_dir() { path } else { mount.mount_point })
}

fn processes(path: &Path) -> Vec<Member> {
    let list = std::fs::read_to_string(path.join("cgroup.procs")).unwrap_or_default();
    let member = |pid| {
        let status: Status = text(&Process::new(pid).ok()?, "status").ok()?;
        Some(Member { pid, name: units::printable(&status.name), anonymous: status.rssanon? * 1024 })
    };
    list.lines().filter_map(|pid| member(pid.parse().ok()?)).collect()
}
