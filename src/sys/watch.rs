//! Descriptors that tell of memory pressure, and the wait for them. For the thread of our own.

use core::ffi::CStr;
use core::ffi::{c_int, c_long, c_void};
use core::mem::{MaybeUninit, size_of};
use core::ptr;

use super::own::{self, BELL, SOURCE};
use super::signals::{self, Info, Mask, timespec};
use super::uncancelled;
use crate::decide::MILLISECOND;
use crate::pure::pressure::{DEFAULT_PAYLOAD, Path, own_cgroup, some_total};
use crate::sys::errno::errno;
use crate::sys::real;

/// How long the source is left alone after it has told something: a fifth of a second, as in the kernel's own shortest
/// windows. Whoever writes without end costs no more than that.
const DEAF: u64 = 200 * MILLISECOND;

type Write = unsafe extern "C" fn(c_int, *const c_void, usize) -> isize;

/// How a descriptor tells, and what was known when it did so last.
#[derive(Clone, Copy)]
enum Kind {
    /// A PSI file with a trigger: the microseconds stalled.
    Stalls(u64),
    /// A cgroup's memory.events, or another of its files that tell of changes.
    Events,
    /// A FIFO or a socket, which says anything.
    Stream,
}

/// What a descriptor told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Told {
    /// Nothing of interest.
    Nothing,
    /// Memory pressure.
    Pressure,
    /// That it will tell nothing more.
    Gone,
}

/// A descriptor that tells of memory pressure.
pub struct Source {
    file: c_int,
    kind: Kind,
}

/// Opens what a service manager or an operator named, and writes `payload` (empty = nothing) right away.
pub fn open(path: &Path, payload: &[u8]) -> Option<Source> {
    let mut path = *path;
    path.byte(0);
    let (file, kind) = match own::stat(c_string(&path)?)?.st_mode & libc::S_IFMT {
        // A PSI file tells nothing without a trigger; others of a cgroup tell of each change.
        libc::S_IFREG => {
            let default = if path.as_bytes().ends_with(b".events\0") { b"" } else { DEFAULT_PAYLOAD };
            return open_file(&path, if payload.is_empty() { default } else { payload });
        }
        // For reading alone it would end, and tell so for ever, when the last writer goes away.
        libc::S_IFIFO => (open_as(&path, libc::O_RDWR).or_else(|| open_as(&path, libc::O_RDONLY))?, Kind::Stream),
        libc::S_IFSOCK => (connect(&path)?, Kind::Stream),
        _ => return None,
    };
    begin(file, kind, payload)
}

/// The best that the kernel has: this process's cgroup's memory.pressure; its memory.events where that cannot be written
/// (containers mount cgroups read-only); the machine's.
pub fn open_best() -> Option<Source> {
    let mut buffer = [0u8; 1024];
    let in_own_cgroup = |name: &str, payload, buffer: &[u8]| {
        let mut path = Path::new();
        path.text("/sys/fs/cgroup").bytes(own_cgroup(buffer)?).text(name);
        open_file(path.byte(0), payload)
    };
    let cgroup = read_at_start(c"/proc/self/cgroup", &mut buffer).unwrap_or_default();
    in_own_cgroup("/memory.pressure", DEFAULT_PAYLOAD, cgroup)
        .or_else(|| in_own_cgroup("/memory.events", b"", cgroup))
        .or_else(|| open_file(Path::new().text("/proc/pressure/memory").byte(0), DEFAULT_PAYLOAD))
}

/// A file of the kernel's; `path` ends with a zero byte.
fn open_file(path: &Path, payload: &[u8]) -> Option<Source> {
    const CGROUP2: c_long = 0x6367_7270;
    let file = open_as(path, if payload.is_empty() { libc::O_RDONLY } else { libc::O_RDWR })?;
    let mut status = MaybeUninit::<libc::statfs>::uninit();
    // SAFETY: `status` is valid for writing, and read only where fstatfs succeeded.
    let system = unsafe { (libc::fstatfs(file, status.as_mut_ptr()) == 0).then(|| status.assume_init().f_type) };
    let kind = match system.map(|system| system as c_long) {
        Some(CGROUP2 | libc::PROC_SUPER_MAGIC) => {
            let mut buffer = [0u8; 256];
            // This also begins the watch of memory.events: the kernel tells of what changed since it was read.
            uncancelled::read_from_start(file, &mut buffer)
                .map(|text| some_total(text).map_or(Kind::Events, Kind::Stalls))
        }
        _ => None,
    };
    match kind {
        Some(kind) => begin(file, kind, payload),
        None => {
            SOURCE.close(file);
            None
        }
    }
}

fn begin(file: c_int, kind: Kind, payload: &[u8]) -> Option<Source> {
    let file = SOURCE.keep(file);
    // SAFETY: `payload` is valid for its length. SIGPIPE is blocked in this thread.
    let write = |write: Write| unsafe { write(file, payload.as_ptr().cast(), payload.len()) };
    if !payload.is_empty() && real::write.known().map(write) != isize::try_from(payload.len()).ok() {
        SOURCE.end();
        return None;
    }
    (file >= 0).then_some(Source { file, kind })
}

impl Source {
    fn events(&self) -> i16 {
        match self.kind {
            Kind::Stream => libc::POLLIN,
            _ => libc::POLLPRI,
        }
    }

    /// What an event on the descriptor says. An event of a PSI file is believed only where stalls have grown: some kernels
    /// tell of a first one that never was. The file of a cgroup that was removed would tell for ever.
    fn told(&mut self, events: i16) -> Told {
        const ENDED: i16 = libc::POLLERR | libc::POLLHUP | libc::POLLNVAL;
        if events == 0 {
            return Told::Nothing;
        }
        if events & libc::POLLNVAL != 0 || !SOURCE.is_ours() {
            return Told::Gone;
        }
        let mut buffer = [0u8; 256];
        match &mut self.kind {
            Kind::Stalls(_) if events & ENDED != 0 => Told::Gone,
            Kind::Stalls(before) => match uncancelled::read_from_start(self.file, &mut buffer).and_then(some_total) {
                None => Told::Gone,
                Some(total) if total == *before => Told::Nothing,
                Some(total) => {
                    *before = total;
                    Told::Pressure
                }
            },
            // Here an error is part of every event (kernfs), and reading tells whether the cgroup is still there.
            Kind::Events => uncancelled::read_from_start(self.file, &mut buffer).map_or(Told::Gone, |_| Told::Pressure),
            Kind::Stream => match discard(self.file, &mut buffer) {
                true => Told::Pressure,
                false if events & ENDED != 0 || events & libc::POLLIN != 0 => Told::Gone,
                false => Told::Nothing,
            },
        }
    }
}

/// Reads and forgets what is there; whether there was anything.
fn discard(file: c_int, buffer: &mut [u8]) -> bool {
    let Some(read) = real::read.known() else { return false };
    let mut any = false;
    // Who writes without end is heard next time.
    for _ in 0..64 {
        // SAFETY: `buffer` is valid for its length.
        if unsafe { read(file, buffer.as_mut_ptr().cast(), buffer.len()) } <= 0 {
            break;
        }
        any = true;
    }
    any
}

/// What the thread waits for: the signal that is for it, and a source where there is one.
pub struct Watch {
    /// The signal that the thread takes; it is blocked there.
    signal: c_int,
    source: Option<Source>,
    /// Until when the source is left alone: it has just told something, and more of that would bring nothing.
    deaf_until: u64,
    /// A signalfd, so that the signal ends a wait for the source. It is never read: it only rings.
    bell: c_int,
    /// What came with the signal taken last.
    pub info: Info,
}

impl Watch {
    /// A wait for `signal` and `source`.
    pub fn new(signal: c_int, source: Option<Source>) -> Watch {
        let bell = if source.is_some() { BELL.keep(signalfd(signal)) } else { -1 };
        Watch { signal, source, deaf_until: 0, bell, info: Info::new() }
    }

    /// Waits so many nanoseconds at most (`None` = for ever) for one of the two; what the source told, and
    /// whether the signal came, with `info`.
    pub fn wait(&mut self, nanoseconds: Option<u64>) -> (Told, bool) {
        let Some(source) = &mut self.source else {
            return (Told::Nothing, self.info.take(self.signal, nanoseconds));
        };
        let deaf = self.deaf_until.saturating_sub(super::now());
        // A negative number is passed over.
        let heard = if deaf == 0 { source.file } else { -1 };
        let mut files = [(heard, source.events()), (self.bell, libc::POLLIN)].map(|(fd, events)| libc::pollfd {
            fd,
            events,
            revents: 0,
        });
        let nanoseconds = if deaf == 0 { nanoseconds } else { Some(deaf.min(nanoseconds.unwrap_or(deaf))) };
        let timeout = nanoseconds.map(timespec);
        let timeout = timeout.as_ref().map_or(ptr::null(), ptr::from_ref);
        // SAFETY: two entries, and a timeout that outlives the call.
        let ready =
            real::ppoll.known().map_or(-1, |ppoll| unsafe { ppoll(files.as_mut_ptr(), 2, timeout, ptr::null()) });
        let [of_source, of_bell] = match ready {
            // A signal that cannot be blocked: glibc's own, by which a thread changes the user of all, or a debugger's.
            ..0 if errno() == libc::EINTR => [0, 0],
            ..0 => {
                // Not to be: the source is given up, and time alone counts.
                self.give_up();
                return (Told::Gone, false);
            }
            _ => files.map(|file| file.revents),
        };
        let told = source.told(of_source);
        if of_source != 0 {
            self.deaf_until = super::now().saturating_add(DEAF);
        }
        if told == Told::Gone {
            self.give_up();
        }
        if of_bell != 0 && !BELL.is_ours() {
            // The host closed it, and has perhaps another file there, which may ring for ever. Without it a signal waits for
            // an event or a deadline.
            self.bell = -1;
        }
        (told, self.info.take(self.signal, Some(0)))
    }

    /// Gives back the signal just taken, and takes none any more.
    pub fn ignore_signals(&mut self) {
        self.info.hand_back();
        self.signal = 0;
        self.bell = -1;
        BELL.end();
    }

    fn give_up(&mut self) {
        self.source = None;
        SOURCE.end();
        BELL.end();
    }
}

fn signalfd(signal: c_int) -> c_int {
    let flags = c_long::from(libc::SFD_CLOEXEC | libc::SFD_NONBLOCK);
    let mask: Mask = signals::only(signal);
    // The kernel's own set is one word.
    // SAFETY: the mask outlives the call.
    real::syscall.known().map_or(-1, |syscall| unsafe {
        syscall(libc::SYS_signalfd4, -1 as c_long, ptr::from_ref(&mask), 8 as c_long, flags) as c_int
    })
}

/// `None` where it is too long.
fn c_string(path: &Path) -> Option<&CStr> {
    CStr::from_bytes_until_nul(path.as_bytes()).ok()
}

fn open_as(path: &Path, access: c_int) -> Option<c_int> {
    SOURCE.open(libc::AT_FDCWD, c_string(path)?, access).ok()
}

fn connect(path: &Path) -> Option<c_int> {
    let mut address = libc::sockaddr_un { sun_family: libc::AF_UNIX as _, sun_path: [0; 108] };
    let path = path.as_bytes();
    if path.len() > address.sun_path.len() {
        return None;
    }
    for (slot, &byte) in address.sun_path.iter_mut().zip(path) {
        *slot = byte as _;
    }
    // SAFETY: plain numbers.
    let file = unsafe { libc::socket(libc::AF_UNIX, libc::SOCK_STREAM | libc::SOCK_CLOEXEC | libc::SOCK_NONBLOCK, 0) };
    if file < 0 {
        return None;
    }
    let length = size_of::<libc::sockaddr_un>() as libc::socklen_t;
    // SAFETY: an address of this length.
    let connected = real::connect.known().map(|connect| unsafe { connect(file, (&raw const address).cast(), length) });
    let file = SOURCE.keep(file);
    if connected != Some(0) {
        SOURCE.end();
        return None;
    }
    Some(file)
}

/// The first bytes of the file at a path.
fn read_at_start<'a>(path: &CStr, buffer: &'a mut [u8]) -> Option<&'a [u8]> {
    let file = SOURCE.open(libc::AT_FDCWD, path, libc::O_RDONLY).ok()?;
    let read = uncancelled::read_from_start(file, buffer);
    SOURCE.close(file);
    read
}
