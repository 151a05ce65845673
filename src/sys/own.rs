//! Descriptors of our own, in a table that is the host's too.
//!
//! The host may close any number, and have another file under it the next moment; a forked child has copies of what another
//! thread of ours had open. So each of our descriptors bears a mark that one of the host's has not: status flags that mean
//! nothing on what is only read, or on what only we write. What has not the mark is neither read nor closed: on any doubt
//! a descriptor stays open, in a child until exec at the latest.

use core::ffi::{CStr, c_int};
use core::mem::MaybeUninit;
use core::sync::atomic::{AtomicI32, AtomicU64, Ordering::Relaxed};

use super::errno::{errno, keeping_errno};
use super::{files, filter, real, uncancelled};

/// The system's error number.
pub type Error = c_int;

/// What the names of our files begin with.
pub const PREFIX: &[u8] = b"autotrim-";

/// The mark. Both can be set on every kind of file (fcntl(2), F_SETFL), and nobody appends to a directory, a signalfd or a
/// file that he has opened for reading.
const MARK: c_int = libc::O_APPEND | libc::O_NONBLOCK;
/// The flags that must be just those that a descriptor of ours was given.
const COMPARED: c_int = MARK | libc::O_ACCMODE | libc::O_NOFOLLOW | libc::O_DIRECTORY;
/// The first number behind the standard streams, which no file of ours ever is: who closed one of those means it to be closed.
const FIRST: c_int = 3;
/// The first number for what stays open: what the host opens has the numbers that it would have had.
const OUT_OF_THE_WAY: c_int = 500;

/// A small file such as `/proc/self/statm`, for one look.
pub static SMALL_FILE: Own = Own::none();
/// The directory of the metrics, for one visit.
pub static DIRECTORY: Own = Own::none();
/// A file in there.
pub static FILE: Own = Own::none();
/// What tells of memory pressure.
pub static SOURCE: Own = Own::none();
/// What wakes the thread that waits for it.
pub static BELL: Own = Own::none();

/// The last descriptor of ours for one purpose. Zeros = there was none yet.
pub struct Own {
    number: AtomicI32,
    flags: AtomicI32,
    /// Which file it stands for; 0 = not noted, the mark suffices.
    device: AtomicU64,
    inode: AtomicU64,
}

impl Own {
    const fn none() -> Own {
        Own { number: AtomicI32::new(0), flags: AtomicI32::new(0), device: AtomicU64::new(0), inode: AtomicU64::new(0) }
    }

    /// Opens a file in a directory (or `AT_FDCWD`), with the mark. For writing only where the standard streams' numbers are
    /// taken ([`with_low_numbers_taken`]). Changes errno.
    pub fn open(&self, directory: c_int, path: &CStr, flags: c_int) -> Result<c_int, Error> {
        let flags = flags | MARK | libc::O_CLOEXEC | libc::O_NOCTTY;
        let file = uncancelled::open(directory, path, flags);
        let file = behind(file, FIRST);
        if file < 0 {
            return Err(errno());
        }
        self.inode.store(0, Relaxed);
        self.flags.store(flags & COMPARED, Relaxed);
        self.number.store(file, Relaxed);
        Ok(file)
    }

    /// Keeps a descriptor: it gets the mark if it has not, a number that is out of the host's way, and is known as this very
    /// file from here on. Its new number; −1 where it is none.
    pub fn keep(&self, file: c_int) -> c_int {
        let file = behind(file, OUT_OF_THE_WAY);
        // SAFETY: takes numbers.
        let flags = unsafe { libc::fcntl(file, libc::F_GETFL) };
        if flags < 0 {
            return -1;
        }
        if flags & MARK != MARK {
            // SAFETY: as above.
            unsafe { libc::fcntl(file, libc::F_SETFL, flags | MARK) };
        }
        let (device, inode) = files::identity(file).unwrap_or_default();
        self.device.store(device, Relaxed);
        self.inode.store(inode, Relaxed);
        self.flags.store((flags | MARK) & COMPARED, Relaxed);
        self.number.store(file, Relaxed);
        file
    }

    /// Whether `file` is a descriptor of ours for this purpose. Changes errno.
    pub fn is(&self, file: c_int) -> bool {
        // SAFETY: takes a number.
        let flags = unsafe { libc::fcntl(file, libc::F_GETFL) };
        let (device, inode) = (self.device.load(Relaxed), self.inode.load(Relaxed));
        flags >= 0
            && flags & COMPARED == self.flags.load(Relaxed)
            && (inode == 0 || files::identity(file) == Some((device, inode)))
    }

    /// Whether the last one still is.
    pub fn is_ours(&self) -> bool {
        let file = self.number.load(Relaxed);
        file >= FIRST && self.is(file)
    }

    /// Closes a descriptor, if it still is ours.
    pub fn close(&self, file: c_int) {
        if file >= FIRST && self.is(file) {
            uncancelled::close(file);
        }
    }

    /// Closes the last one, if it still is ours.
    pub fn end(&self) {
        self.close(self.number.swap(0, Relaxed));
    }
}

/// The first bytes of a small file; `None` where it cannot be read. Another thread may fork meanwhile, so the descriptor is known as ours. Who filters system calls may not allow what that takes.
pub fn read<'a>(path: &CStr, buffer: &'a mut [u8]) -> Option<&'a [u8]> {
    if filter::is_restricted() {
        return files::read_at_once(path, buffer);
    }
    keeping_errno(|| {
        let file = SMALL_FILE.open(libc::AT_FDCWD, path, libc::O_RDONLY | libc::O_NOFOLLOW).ok()?;
        let read = uncancelled::read_from_start(file, buffer);
        SMALL_FILE.close(file);
        read
    })
}

/// The same of a file of any length, of which `take` gets piece after piece.
pub fn read_all(path: &CStr, buffer: &mut [u8], mut take: impl FnMut(&[u8])) {
    let mut take = |piece: &[u8]| {
        take(piece);
        None::<()>
    };
    if filter::is_restricted() {
        files::read_in_pieces(path, buffer, take);
        return;
    }
    keeping_errno(|| {
        if let Ok(file) = SMALL_FILE.open(libc::AT_FDCWD, path, libc::O_RDONLY | libc::O_NOFOLLOW) {
            files::pieces(file, buffer, &mut take);
            SMALL_FILE.close(file);
        }
    });
}

/// In a forked child: closes its copies of what another thread had open when the process forked. The kernel copies
/// descriptors before memory (kernel/fork.c, copy_process), which may be news of the next visit already; numbers are given
/// out from the lowest, so the next one's is the same but in the rarest cases.
pub fn close_inherited() {
    // Who filters system calls may not allow fcntl: there they stay open until exec.
    if filter::is_restricted() {
        return;
    }
    keeping_errno(|| {
        [&SMALL_FILE, &DIRECTORY, &SOURCE, &BELL].into_iter().for_each(Own::end);
        if is_metrics(&FILE) {
            FILE.end();
        }
    });
}

/// A log may be open for appending too: the file of the metrics is known by its name as well.
fn is_metrics(file: &Own) -> bool {
    let (number, mut path) = (file.number.load(Relaxed), [0; 384]);
    if number == 0 {
        return false;
    }
    let path = files::target(number, &mut path).unwrap_or_default();
    path.rsplit(|&byte| byte == b'/').next().is_some_and(|name| name.starts_with(PREFIX))
}

/// Runs `work`, during which nothing that is opened gets a standard stream's number: copies of `file` have those that are
/// free. A thread of the host's that writes to a stream which it has closed would write into ours.
pub fn with_low_numbers_taken<R>(file: c_int, work: impl FnOnce() -> R) -> R {
    // SAFETY: takes numbers.
    if (0..FIRST).all(|number| unsafe { libc::fcntl(number, libc::F_GETFD) } >= 0) {
        return work();
    }
    let mut copies = [-1; FIRST as usize];
    for copy in &mut copies {
        // SAFETY: takes numbers.
        *copy = unsafe { libc::fcntl(file, libc::F_DUPFD_CLOEXEC, 0) };
        if *copy < 0 || *copy >= FIRST {
            break;
        }
    }
    let result = work();
    for copy in copies.into_iter().filter(|&copy| copy >= 0) {
        uncancelled::close(copy);
    }
    result
}

/// The same file under a number from `first` on, if it has not one already and there is one.
fn behind(file: c_int, first: c_int) -> c_int {
    if file < 0 || file >= first {
        return file;
    }
    // SAFETY: a descriptor that has just been made, and a number.
    let moved = unsafe { libc::fcntl(file, libc::F_DUPFD_CLOEXEC, first) };
    if moved < 0 && file >= FIRST {
        return file;
    }
    uncancelled::close(file);
    moved
}

/// What stat(2) says of a path; no descriptor is needed for that. By its number: the function is another one in older
/// glibcs. Changes errno.
pub fn stat(path: &CStr) -> Option<libc::stat> {
    let mut status = MaybeUninit::<libc::stat>::uninit();
    let syscall = real::syscall.get()?;
    // SAFETY: a C string, and `status`, laid out as the kernel's on 64-bit systems, is valid for writing, and initialised where
    // the call succeeded.
    unsafe {
        let result =
            syscall(libc::SYS_newfstatat, i64::from(libc::AT_FDCWD), path.as_ptr(), status.as_mut_ptr(), 0_i64);
        (result == 0).then(|| status.assume_init())
    }
}
