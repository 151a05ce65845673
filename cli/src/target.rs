//! A process that runs, and the library in it.

use std::ffi::OsStr;
use std::fs::File;
use std::io::{self, BufReader, Read};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use procfs::process::{Process, Status};
use procfs::{Current, FromBufRead, ProcError, ProcResult, Uptime};

use crate::arguments::{assignment, parsed};
use crate::block::{Block, Unread};
use crate::failure::Failure;
use crate::in_force::InForce;
use crate::maps::{self, Mapped};
use crate::options::Options;
use crate::root::{self, Root};
use crate::variables::Environment;
use crate::{memory, units};

/// Where preloads are named for all programs (ld.so(8)).
pub const SYSTEM_PRELOADS: &str = "/etc/ld.so.preload";
/// Of getauxval(3): the path that was executed.
const AT_EXECFN: u64 = 31;
/// What the library's file has of the address space is less, and so it is of few other files.
const LARGEST: u64 = 1 << 20;

/// A process, seen through /proc. Where something cannot be read, it is empty.
pub struct Target {
    /// Its id, as we see it.
    pub pid: i32,
    /// /proc/PID.
    pub process: Process,
    /// /proc/PID/status.
    pub status: Status,
    /// Every mapped file with code; nothing where reading them is not permitted.
    pub files: Option<Vec<Mapped>>,
}

impl Target {
    /// Looks at process `pid`.
    pub fn open(pid: i32) -> Result<Target, Failure> {
        let look = || {
            let process = Process::new(pid)?;
            let status = text(&process, "status")?;
            let files = match process.open_relative("maps").and_then(|maps| Ok(maps::mapped(BufReader::new(maps))?)) {
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

    /// What its status says by now.
    pub fn status_now(&self) -> ProcResult<Status> {
        text(&self.process, "status")
    }

    /// The bytes of one of its files in /proc.
    pub fn read(&self, name: &str) -> Option<Vec<u8>> {
        let mut bytes = Vec::new();
        self.process.open_relative(name).ok()?.read_to_end(&mut bytes).ok()?;
        Some(bytes)
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
    pub fn environment(&self) -> Option<Environment> {
        Environment::read(self.process.open_relative("environ").ok()?).ok()
    }

    /// What the library says is in force; nothing where it is too old, or may not be read.
    pub fn in_force(&self) -> Option<InForce> {
        self.block().ok()?.in_force()
    }

    /// The options as the library in this process has read them: as it says itself, or as far as its environment tells; nothing where
    /// neither can be read.
    pub fn options(&self) -> Option<Options> {
        if let Some(options) = self.in_force().and_then(|in_force| in_force.options()) {
            return Some(options);
        }
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

    /// The library, if it is mapped: by its name, or under another name if it has the block.
    pub fn library(&self) -> Option<&Mapped> {
        let is_named = |file: &&Mapped| file.name_bytes().starts_with(b"libautotrim");
        let has_block = |file: &&Mapped| {
            file.size <= LARGEST
                && matches!(Block::find(self.pid, file.first.start), Ok(_) | Err(Unread::OtherVersion(_)))
        };
        let files = || self.files.iter().flatten();
        files().find(is_named).or_else(|| files().find(has_block))
    }

    /// Everything that this process was started to preload.
    pub fn preloads(&self) -> Vec<PathBuf> {
        let environment = self.environment();
        let variable = environment.as_ref().and_then(|environment| environment.get(OsStr::new("LD_PRELOAD")));
        let system = self.root().and_then(|root| root.read(Path::new(SYSTEM_PRELOADS))).unwrap_or_default();
        preload_names(&[variable.unwrap_or_default().as_bytes(), b"\n", &system].concat())
    }

    /// Its root directory, for paths of its own mount namespace.
    pub fn root(&self) -> io::Result<Root> {
        Root::of(self.pid)
    }

    /// A mapped file: through its mapping (for root), or by its path where that leads to it still.
    pub fn open_mapped(&self, file: &Mapped) -> io::Result<File> {
        let range = format!("{:x}-{:x}", file.first.start, file.first.end);
        let mapping = root::open(&Path::new("/proc").join(self.pid.to_string()).join("map_files").join(range));
        if file.deleted { mapping } else { mapping.or_else(|_| self.root()?.open(&file.path)) }
    }

    /// The library's block.
    pub fn block(&self) -> Result<Block, Unread> {
        if self.files.is_none() {
            return Err(Unread::NotPermitted);
        }
        let library = self.library().ok_or(Unread::NoBlock)?;
        Block::find(self.pid, library.first.start)
    }
}

/// What a file of `/proc/PID` says. Names in it may be of any bytes: what is not text is replaced.
pub fn text<T: FromBufRead>(process: &Process, name: &str) -> ProcResult<T> {
    let mut bytes = Vec::new();
    process.open_relative(name)?.read_to_end(&mut bytes)?;
    T::from_buf_read(String::from_utf8_lossy(&bytes).as_bytes())
}

/// The names in a preload list: separated by colons or white space (ld.so(8)).
pub fn preload_names(list: &[u8]) -> Vec<PathBuf> {
    list.split(|byte| *byte == b':' || byte.is_ascii_whitespace())
        .filter(|name| !name.is_empty())
        .map(|name| PathBuf::from(OsStr::from_bytes(name)))
        .collect()
}

impl Mapped {
    /// Its last component.
    pub fn name(&self) -> String {
        units::printable(&String::from_utf8_lossy(self.name_bytes()))
    }

    fn name_bytes(&self) -> &[u8] {
        self.path.file_name().unwrap_or_default().as_bytes()
    }
}
