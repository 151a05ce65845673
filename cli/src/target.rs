//! A process that runs, and the library in it.

use std::collections::{BTreeMap, HashMap};
use std::ffi::{OsStr, OsString};
use std::fs::OpenOptions;
use std::io::{self, Read};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use procfs::process::{MMPermissions, MMapPath, Process, Status};
use procfs::{Current, ProcError, ProcResult, Uptime};

use crate::arguments::{assignment, parsed};
use crate::block::{Block, Unread};
use crate::failure::Failure;
use crate::options::Options;
use crate::{memory, units};

/// Where preloads are named for all programs (ld.so(8)).
pub const SYSTEM_PRELOADS: &str = "/etc/ld.so.preload";
/// Of getauxval(3): the path that was executed.
const AT_EXECFN: u64 = 31;

/// A process, seen through /proc. Where something cannot be read, it is empty.
pub struct Target {
    /// Its id, as we see it.
    pub pid: i32,
    /// /proc/PID.
    pub process: Process,
    /// /proc/PID/status.
    pub status: Status,
    /// Every mapped file; nothing where reading them is not permitted.
    pub files: Option<Vec<Mapped>>,
}

/// A file that is mapped into a process.
#[derive(Clone, Debug)]
pub struct Mapped {
    /// Its path in the process's own mount namespace.
    pub path: PathBuf,
    /// Whether another file or none has this name now.
    pub deleted: bool,
    /// Where its first byte is mapped.
    pub base: u64,
    /// Where that mapping ends.
    end: u64,
    /// Whether any of it is code.
    executable: bool,
    device: (i32, i32),
    inode: u64,
}

impl Target {
    /// Looks at process `pid`.
    pub fn open(pid: i32) -> Result<Target, Failure> {
        let look = || {
            let process = Process::new(pid)?;
            let status = process.status()?;
            let files = match mapped_files(&process) {
                Err(ProcError::PermissionDenied(_)) => None,
                files => Some(files?),
            };
            Ok(Target { pid, process, status, files })
        };
        look().map_err(|error: ProcError| match error {
            ProcError::NotFound(_) => Failure::not_done(format!("there is no process {pid}")),
            other => Failure::not_done(format!("process {pid}: {other}")),
        })
    }

    /// Whether it has memory of its own: no thread of the kernel has, and no process that has ended.
    pub fn has_memory(&self) -> bool {
        self.status.vmsize.is_some()
    }

    /// Its name: of a script the script's own, not its interpreter's.
    pub fn name(&self) -> String {
        units::printable(&self.status.name)
    }

    /// Its id as it knows it itself.
    pub fn own_pid(&self) -> i32 {
        self.status.nspid.as_ref().and_then(|pids| pids.last().copied()).unwrap_or(self.pid)
    }

    /// Whether it has one id only, the one that we see.
    pub fn is_in_our_namespace(&self) -> bool {
        self.status.nspid.as_ref().is_none_or(|pids| pids.len() < 2)
    }

    /// How long it has been running, to a hundredth of a second.
    pub fn age(&self) -> Option<Duration> {
        let ticks = procfs::ticks_per_second() as f64;
        let (now, start) = (Uptime::current().ok()?.uptime, self.process.stat().ok()?.starttime as f64 / ticks);
        Some(Duration::from_secs_f64((now - start).max(1.0 / ticks)))
    }

    /// The environment that it was started with; nothing where reading it is not permitted.
    pub fn environment(&self) -> Option<HashMap<OsString, OsString>> {
        self.process.environ().ok()
    }

    /// The options as the library in this process has read them; nothing where the environment cannot be read.
    pub fn options(&self) -> Option<Options> {
        let environment = self.environment()?;
        // For the rest of a short life: the options refer to it.
        let program = self.program().leak();
        Some(parsed(program, environment.iter().map(|(name, value)| assignment(name, value))))
    }

    /// The name by which the library knows the program: the last component of what was executed.
    fn program(&self) -> Vec<u8> {
        let path = self.process.auxv().ok().and_then(|values| values.get(&AT_EXECFN).copied());
        let path = path.and_then(|at| memory::read_string(self.pid, at, libc::PATH_MAX as usize).ok());
        let path = path.unwrap_or_else(|| self.status.name.clone().into_bytes());
        path.rsplit(|&byte| byte == b'/').next().unwrap_or(&path).to_vec()
    }

    /// The library, if it is mapped: by its name, or by a name that a preload list of this process has.
    pub fn library(&self) -> Option<&Mapped> {
        let preloads = self.preloads();
        let is_ours = |path: &Path| {
            let name = path.file_name().unwrap_or_default();
            name.as_bytes().starts_with(b"libautotrim")
                || preloads.iter().any(|preload| preload.file_name() == Some(name))
        };
        let mut candidates = self.files.iter().flatten().filter(|file| file.executable && is_ours(&file.path));
        // A preload of another name is the library only if it has the block.
        candidates.find(|file| {
            file.path.file_name().is_some_and(|name| name.as_bytes().starts_with(b"libautotrim"))
                || matches!(Block::find(self.pid, file.base), Ok(_) | Err(Unread::OtherVersion(_)))
        })
    }

    /// Everything that this process was started to preload.
    pub fn preloads(&self) -> Vec<PathBuf> {
        let environment = self.environment().unwrap_or_default();
        let variable = environment.get(OsStr::new("LD_PRELOAD")).map(|value| value.as_bytes().to_vec());
        let system = read_file(&self.path_in_root(Path::new(SYSTEM_PRELOADS))).ok();
        preload_names(&[variable.unwrap_or_default(), b"\n".to_vec(), system.unwrap_or_default()].concat())
    }

    /// How we reach a path of the process's own mount namespace.
    pub fn path_in_root(&self, path: &Path) -> PathBuf {
        let relative = path.strip_prefix("/").unwrap_or(path);
        Path::new("/proc").join(self.pid.to_string()).join("root").join(relative)
    }

    /// The content of a mapped file: through its mapping (for root), or by its path where that leads to it still.
    pub fn content(&self, file: &Mapped) -> io::Result<Vec<u8>> {
        let mapping = read_file(Path::new(&format!("/proc/{}/map_files/{:x}-{:x}", self.pid, file.base, file.end)));
        if file.deleted { mapping } else { mapping.or_else(|_| read_file(&self.path_in_root(&file.path))) }
    }

    /// The library's block.
    pub fn block(&self) -> Result<Block, Unread> {
        if self.files.is_none() {
            return Err(Unread::NotPermitted);
        }
        let library = self.library().ok_or(Unread::NoBlock)?;
        Block::find(self.pid, library.base)
    }
}

/// Reads a regular file: in another process's root anything may have its name, also what one would wait for, or what has no
/// end to speak of.
pub fn read_file(path: &Path) -> io::Result<Vec<u8>> {
    /// No program or library is larger.
    const LARGEST: u64 = 1 << 30;
    let file = OpenOptions::new().read(true).custom_flags(libc::O_NONBLOCK).open(path)?;
    if !file.metadata()?.is_file() {
        return Err(io::Error::new(io::ErrorKind::InvalidInput, "not a regular file"));
    }
    let mut content = Vec::new();
    file.take(LARGEST).read_to_end(&mut content)?;
    Ok(content)
}

/// The names in a preload list: separated by colons or white space (ld.so(8)).
pub fn preload_names(list: &[u8]) -> Vec<PathBuf> {
    list.split(|byte| *byte == b':' || byte.is_ascii_whitespace())
        .filter(|name| !name.is_empty())
        .map(|name| PathBuf::from(OsStr::from_bytes(name)))
        .collect()
}

impl Mapped {
    /// What tells this file from all others of this boot.
    pub fn identity(&self) -> ((i32, i32), u64) {
        (self.device, self.inode)
    }

    /// Its last component.
    pub fn name(&self) -> String {
        units::printable(&self.path.file_name().unwrap_or_default().to_string_lossy())
    }
}

fn mapped_files(process: &Process) -> ProcResult<Vec<Mapped>> {
    const DELETED: &[u8] = b" (deleted)";
    let mut files: BTreeMap<((i32, i32), u64), Mapped> = BTreeMap::new();
    for map in process.maps()? {
        let MMapPath::Path(path) = &map.pathname else { continue };
        let key = (map.dev, map.inode);
        let executable = map.perms.contains(MMPermissions::EXECUTE);
        let bytes = path.as_os_str().as_bytes();
        let (bytes, deleted) = bytes.strip_suffix(DELETED).map_or((bytes, false), |path| (path, true));
        let (base, end) = map.address;
        let file = files.entry(key).or_insert_with(|| Mapped {
            path: PathBuf::from(OsStr::from_bytes(bytes)),
            deleted,
            base,
            end,
            executable,
            device: map.dev,
            inode: map.inode,
        });
        file.executable |= executable;
        if map.offset == 0 && base < file.base {
            (file.base, file.end) = (base, end);
        }
    }
    Ok(files.into_values().collect())
}
