//! A directory that others may write to as well: files are created and replaced in it without ever following what
//! somebody else has put there.
//!
//! Everything goes by a descriptor of the directory, which is held only for the time of one visit. Call with all
//! signals blocked and cancellation disabled.

use core::ffi::{CStr, c_int, c_long};
use core::mem::MaybeUninit;

use super::own::{self, DIRECTORY, Error, FILE};
use super::uncancelled;
use crate::pure::text::number;
use crate::sys::errno::errno;
use crate::sys::real;

/// Bytes of names that are read from a directory at a time, and how many times at most: a visit must end.
const BATCH: usize = 1024;
const BATCHES: usize = 64;

/// An open directory.
pub struct Directory(c_int);

/// A new file, open for writing.
pub struct File(c_int);

impl Directory {
    /// Opens `path`, which itself is not to be a symbolic link.
    pub fn open(path: &CStr) -> Result<Directory, Error> {
        DIRECTORY.open(libc::AT_FDCWD, path, libc::O_RDONLY | libc::O_DIRECTORY | libc::O_NOFOLLOW).map(Directory)
    }

    /// Creates a file that only we have: what stands under its name is removed, never opened. Readable by everybody
    /// whatever the umask.
    pub fn create(&self, name: &CStr) -> Result<File, Error> {
        let create = || FILE.open(self.0, name, libc::O_WRONLY | libc::O_CREAT | libc::O_EXCL | libc::O_NOFOLLOW);
        let file = own::with_low_numbers_taken(self.0, || {
            create().or_else(|error| {
                if error == libc::EEXIST {
                    self.remove(name);
                }
                create()
            })
        })?;
        // SAFETY: our own file.
        unsafe { libc::fchmod(file, 0o644) };
        Ok(File(file))
    }

    /// Gives a file another name, at once, in place of what stood there.
    pub fn rename(&self, from: &CStr, to: &CStr) -> Result<(), Error> {
        // SAFETY: as above.
        valid(unsafe { libc::renameat(self.0, from.as_ptr(), self.0, to.as_ptr()) }).map(drop)
    }

    /// Removes a file, if it is there and that is permitted.
    pub fn remove(&self, name: &CStr) {
        // SAFETY: an open directory and a C string.
        unsafe { libc::unlinkat(self.0, name.as_ptr(), 0) };
    }

    /// When a regular file was written last, in seconds since 1970, and what it begins with; `None` where it is anything
    /// else or cannot be read.
    pub fn read<'a>(&self, name: &CStr, buffer: &'a mut [u8]) -> Option<(i64, &'a [u8])> {
        let file = FILE.open(self.0, name, libc::O_RDONLY | libc::O_NOFOLLOW).ok()?;
        let status = status(file).filter(|status| status.st_mode & libc::S_IFMT == libc::S_IFREG);
        let text = status.and_then(|_| uncancelled::read_from_start(file, buffer));
        FILE.close(file);
        Some((status?.st_mtime, text?))
    }

    /// Calls `each` with the names in the directory, as bytes that begin with a C string; not all, where there are very many.
    pub fn entries(&self, each: &mut dyn FnMut(&[u8])) {
        /// `struct linux_dirent64` (getdents64(2)): inode, offset, the record's length, a type, then the name.
        const LENGTH_AT: usize = 16;
        const NAME_AT: usize = 19;
        let Some(syscall) = real::syscall.known() else { return };
        let mut batch = [0u8; BATCH];
        for _ in 0..BATCHES {
            // SAFETY: an open directory; `batch` is valid for its length.
            let length = unsafe {
                syscall(libc::SYS_getdents64, c_long::from(self.0), batch.as_mut_ptr(), BATCH, 0 as c_long, 0 as c_long)
            };
            let mut rest = usize::try_from(length).ok().and_then(|length| batch.get(..length)).unwrap_or_default();
            if rest.is_empty() {
                return;
            }
            while let Some(&[low, high]) = rest.get(LENGTH_AT..NAME_AT - 1) {
                let length = usize::from(u16::from_ne_bytes([low, high])).max(NAME_AT);
                each(rest.get(NAME_AT..length).unwrap_or_default());
                rest = rest.get(length..).unwrap_or_default();
            }
        }
    }

    /// Ends the visit.
    pub fn close(self) {
        DIRECTORY.close(self.0);
    }
}

impl File {
    /// Appends `bytes`; an error where not all of them could be written. Beyond the limit of a file's size the kernel sends
    /// SIGXFSZ too.
    pub fn write(&self, bytes: &[u8]) -> Result<(), Error> {
        if !FILE.is(self.0) {
            return Err(libc::EBADF);
        }
        match usize::try_from(uncancelled::write(self.0, bytes)) {
            Ok(length) if length == bytes.len() => Ok(()),
            Ok(_) => Err(libc::ENOSPC),
            Err(_) => Err(errno()),
        }
    }

    /// Closes the file.
    pub fn close(self) {
        FILE.close(self.0);
    }
}

/// Whether a process of this id is there; also where we may not ask.
pub fn is_running(pid: c_int) -> bool {
    // SAFETY: signal 0 asks only.
    unsafe { libc::kill(pid, 0) == 0 || errno() != libc::ESRCH }
}

/// Seconds since 1970.
pub fn today() -> i64 {
    let mut time = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: `time` is valid for writing; CLOCK_REALTIME always exists.
    unsafe { libc::clock_gettime(libc::CLOCK_REALTIME, &mut time) };
    time.tv_sec
}

/// Which pid namespace this process is in: its inode, as in `pid:[4026531836]` (namespaces(7)); 0 where the kernel does
/// not tell.
#[inline(never)]
pub fn pid_namespace() -> u64 {
    let mut target = [0u8; 32];
    // SAFETY: a C string, and a buffer that is valid for its length.
    let length = unsafe { libc::readlink(c"/proc/self/ns/pid".as_ptr(), target.as_mut_ptr().cast(), target.len()) };
    let target = usize::try_from(length).ok().and_then(|length| target.get(..length)).unwrap_or_default();
    target.strip_prefix(b"pid:[").and_then(|rest| number(rest.strip_suffix(b"]")?)).unwrap_or(0)
}

fn valid(result: c_int) -> Result<c_int, Error> {
    if result < 0 { Err(errno()) } else { Ok(result) }
}

fn status(file: c_int) -> Option<libc::stat> {
    let mut status = MaybeUninit::<libc::stat>::uninit();
    // SAFETY: `status` is valid for writing, and initialised where fstat returns 0.
    unsafe { (libc::fstat(file, status.as_mut_ptr()) == 0).then(|| status.assume_init()) }
}
