//! The raw edge: everything that asks the kernel or libc directly. Safe to call, from any thread.
//!
//! No function here calls a name that this library exports; where one is needed (`write`, `close`, `poll`)
//! it is the next definition, or a system call. None allocates, and none changes errno unless it says so.

pub mod cell;
pub mod cpus;
pub mod directory;
pub mod errno;
pub mod files;
pub mod filter;
pub mod handler;
pub mod huge_pages;
pub mod java;
pub mod libc_in_use;
pub mod memory;
pub mod next;
pub mod node;
pub mod objects;
pub mod optional;
pub mod own;
pub mod page_map;
pub mod pools;
pub mod python;
pub mod real;
pub mod ruby;
pub mod signals;
pub mod sockets;
pub mod stderr;
#[cfg(feature = "often")]
pub mod tally;
pub mod threads;
pub mod uncancelled;
pub mod watch;

use core::ffi::{CStr, c_char, c_long, c_void};
use core::mem::MaybeUninit;
use core::slice;

use next::Next;

unsafe extern "C" {
    /// environ(7). Read in the constructor only, before the program can change it.
    static environ: *const *const c_char;
}

/// This process's id. glibc asks the kernel each time (since 2.25): right in a vfork child too.
pub fn pid() -> i32 {
    // SAFETY: no preconditions.
    unsafe { libc::getpid() }
}

type Syscall = unsafe extern "C" fn(c_long, ...) -> c_long;
// SAFETY: syscall(2) as libc declares it.
static SYSCALL: Next<Syscall> = unsafe { Next::new(c"syscall") };

/// Whether this process has children, as far as is known: yes where that may not be asked. None is waited for.
pub fn has_children() -> bool {
    if filter::is_restricted() {
        return true;
    }
    let flags = libc::WEXITED | libc::WNOHANG | libc::WNOWAIT;
    errno::keeping_errno(|| {
        // SAFETY: waitid(2) of any child, which stays as it is; nothing is written.
        let found = SYSCALL.get().map_or(0, |syscall| unsafe {
            syscall(libc::SYS_waitid, libc::P_ALL as c_long, 0 as c_long, 0 as c_long, flags as c_long, 0 as c_long)
        });
        found == 0 || errno::errno() != libc::ECHILD
    })
}

/// The calling thread's id, as in `/proc/PID/task`; 0 where libc has no `syscall`, or this is no call to make. glibc has had
/// gettid(2) only since 2.30.
pub fn thread() -> i32 {
    if filter::is_restricted() {
        return 0;
    }
    // SAFETY: gettid(2) takes nothing and cannot fail.
    SYSCALL.get().map_or(0, |syscall| unsafe { syscall(libc::SYS_gettid) } as i32)
}

/// Monotonic time in nanoseconds; never 0. From the vDSO: no system call.
#[inline(never)]
pub fn now() -> u64 {
    read_clock(libc::CLOCK_MONOTONIC).max(1)
}

/// The same, as of the last tick: 4 ms old at most, for a third of the price.
#[inline]
pub fn coarse_now() -> u64 {
    read_clock(libc::CLOCK_MONOTONIC_COARSE).max(1)
}

/// Whose CPU time is measured.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Clock {
    /// That of all threads of the process.
    Process,
    /// That of the calling thread.
    Thread,
}

/// CPU time used so far, in nanoseconds. Where this is no call to make, as if a processor were always kept busy.
pub fn cpu_time(whose: Clock) -> u64 {
    if filter::is_restricted() {
        return now();
    }
    read_clock(match whose {
        Clock::Process => libc::CLOCK_PROCESS_CPUTIME_ID,
        Clock::Thread => libc::CLOCK_THREAD_CPUTIME_ID,
    })
}

/// Minor page faults of the process so far; `None` where this is no call to make.
pub fn page_faults() -> Option<u64> {
    if filter::is_restricted() {
        return None;
    }
    let mut usage = MaybeUninit::<libc::rusage>::zeroed();
    // SAFETY: `usage` is valid for writing, and all zeros is a valid one (getrusage(2)).
    let usage = unsafe {
        libc::getrusage(libc::RUSAGE_SELF, usage.as_mut_ptr());
        usage.assume_init()
    };
    u64::try_from(usage.ru_minflt).ok()
}

fn read_clock(clock: libc::clockid_t) -> u64 {
    let mut time = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: `time` is valid for writing. These clocks always exist; where one cannot be read, nothing is written.
    unsafe { libc::clock_gettime(clock, &mut time) };
    (time.tv_sec as u64).saturating_mul(1_000_000_000).saturating_add(time.tv_nsec as u64)
}

/// Whether the kernel started this program in secure mode (setuid, capabilities: getauxval(3), AT_SECURE).
pub fn is_secure() -> bool {
    // SAFETY: no preconditions; an absent entry reads 0.
    unsafe { libc::getauxval(libc::AT_SECURE) != 0 }
}

/// The last component of the path that was executed: a script's own name, not its interpreter's, as in
/// `ps -o comm` (getauxval(3), AT_EXECFN; the string lives as long as the process). `?` where unknown.
pub fn program() -> &'static [u8] {
    // SAFETY: no preconditions; an absent entry reads 0.
    let path = unsafe { libc::getauxval(libc::AT_EXECFN) } as *const c_char;
    if path.is_null() {
        return b"?";
    }
    // SAFETY: the kernel put a C string there, on the initial stack, which is never unmapped.
    let path = unsafe { CStr::from_ptr(path) }.to_bytes();
    path.rsplit(|&byte| byte == b'/').next().unwrap_or(path)
}

/// The environment as `NAME=value`. For the constructor: later the program may have changed it.
pub fn environment() -> impl Iterator<Item = &'static [u8]> {
    // SAFETY: libc set `environ` before any constructor ran.
    let mut entry = unsafe { environ };
    core::iter::from_fn(move || {
        if entry.is_null() {
            return None;
        }
        // SAFETY: `entry` points into the null-terminated array; it moves on only past a non-null element.
        let assignment = unsafe { *entry };
        if assignment.is_null() {
            return None;
        }
        // SAFETY: the element just read was not the terminator.
        entry = unsafe { entry.add(1) };
        // SAFETY: each element is a C string.
        Some(unsafe { CStr::from_ptr(assignment) }.to_bytes())
    })
}

/// Whether the environment sets `name`.
pub fn is_set(name: &[u8]) -> bool {
    environment().any(|assignment| assignment.strip_prefix(name).is_some_and(|rest| rest.starts_with(b"=")))
}

/// The address of `name` as the program itself resolves it; null where nothing defines it. For the
/// constructor, and a thread of our own: a look-up that fails allocates an error text, which is dropped at once.
pub fn symbol(name: &CStr) -> *const c_void {
    // SAFETY: the name is a C string; dlerror clears what a failed look-up left for the program to find.
    unsafe {
        let address = libc::dlsym(libc::RTLD_DEFAULT, name.as_ptr());
        if address.is_null() {
            libc::dlerror();
        }
        address
    }
}

/// What `answer` says of the kernel's release, such as `6.1.0-44-amd64`; false where that is unknown.
pub fn kernel(answer: fn(&[u8]) -> bool) -> bool {
    let mut names = MaybeUninit::<libc::utsname>::uninit();
    // SAFETY: `names` is valid for writing, and holds C strings where uname(2) succeeded.
    unsafe {
        libc::uname(names.as_mut_ptr()) == 0
            && answer(CStr::from_ptr(names.assume_init_ref().release.as_ptr()).to_bytes())
    }
}

/// `count` elements at `data`, or none where `data` is null.
///
/// # Safety
/// Where `data` is not null, `count` elements must be readable there for the life of the slice.
pub unsafe fn slice_at<'a, T>(data: *const T, count: usize) -> &'a [T] {
    if data.is_null() || count == 0 {
        return &[];
    }
    // SAFETY: the caller's promise.
    unsafe { slice::from_raw_parts(data, count) }
}
