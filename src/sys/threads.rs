//! A thread of our own. pthread_create is in libpthread before glibc 2.34, which this library must not need: it is looked up.

use core::ffi::{CStr, c_int, c_long, c_void};
use core::mem::MaybeUninit;
use core::ptr;
use core::sync::atomic::AtomicU32;

use super::signals::Info;
use crate::decide::MILLISECOND;
use crate::sys::errno::errno;
use crate::sys::next::Next;
use crate::sys::real::{self, Run};

type Attributes = libc::pthread_attr_t;
type Init = unsafe extern "C" fn(*mut Attributes) -> c_int;
type SetStackSize = unsafe extern "C" fn(*mut Attributes, usize) -> c_int;
type SetDetachState = unsafe extern "C" fn(*mut Attributes, c_int) -> c_int;

// SAFETY (all three): as pthread.h declares them.
static INIT: Next<Init> = unsafe { Next::new(c"pthread_attr_init") };
static SET_STACK_SIZE: Next<SetStackSize> = unsafe { Next::new(c"pthread_attr_setstacksize") };
static SET_DETACH_STATE: Next<SetDetachState> = unsafe { Next::new(c"pthread_attr_setdetachstate") };

/// More than any PTHREAD_STACK_MIN (128 KB on aarch64); of it, what is touched takes memory.
pub const STACK: usize = 192 * 1024;

const FUTEX_WAIT: c_int = libc::FUTEX_WAIT | libc::FUTEX_PRIVATE_FLAG;
const FUTEX_WAKE: c_int = libc::FUTEX_WAKE | libc::FUTEX_PRIVATE_FLAG;

/// Looks up what [`start`] needs. For the constructor.
pub fn resolve() {
    let _ = (INIT.get(), SET_STACK_SIZE.get(), SET_DETACH_STATE.get());
}

/// Starts a detached thread that runs `run` on `argument`, with a stack of so many bytes and the calling thread's signal mask; whether it did.
/// Takes malloc's and the dynamic linker's locks for a moment.
pub fn start(run: Run, argument: u64, stack: usize) -> bool {
    let (Some(create), Some(init), Some(set_stack_size), Some(set_detach_state)) =
        (real::pthread_create.known(), INIT.known(), SET_STACK_SIZE.known(), SET_DETACH_STATE.known())
    else {
        return false;
    };
    let mut attributes = MaybeUninit::<Attributes>::uninit();
    let mut thread = MaybeUninit::<libc::pthread_t>::uninit();
    // SAFETY: initialised by the first call; glibc's attributes hold nothing that need be given back.
    unsafe {
        init(attributes.as_mut_ptr());
        set_detach_state(attributes.as_mut_ptr(), libc::PTHREAD_CREATE_DETACHED);
        // A program with much thread-local storage needs a larger one (EINVAL).
        [stack, 16 * stack].into_iter().any(|size| {
            set_stack_size(attributes.as_mut_ptr(), size);
            create(thread.as_mut_ptr(), attributes.as_ptr(), run, argument as *mut c_void) == 0
        })
    }
}

/// Waits while `word` is `value`, or for less.
pub fn wait_while(word: &AtomicU32, value: u32) {
    if let Some(syscall) = real::syscall.get() {
        // SAFETY: futex(2) with a valid word, and no timeout.
        unsafe { syscall(libc::SYS_futex, word.as_ptr(), FUTEX_WAIT, value, ptr::null::<libc::timespec>()) };
    }
}

/// Wakes who waits for `word` to change. The word may be gone by now: then there is nobody to wake.
pub fn wake(word: *const AtomicU32) {
    if let Some(syscall) = real::syscall.get() {
        // SAFETY: futex(2) looks for waiters by the address alone.
        unsafe { syscall(libc::SYS_futex, word, FUTEX_WAKE, 1) };
    }
}

/// The id of the calling thread of our own. Asked for under a filter of system calls, too: it is there because an option wants it.
pub fn own_id() -> i32 {
    // SAFETY: gettid(2) takes nothing.
    real::syscall.known().map_or(0, |syscall| unsafe { syscall(libc::SYS_gettid) } as i32)
}

/// Who else there is in the process.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Company {
    /// The first thread; others perhaps.
    First,
    /// Others, but the first one has ended, by pthread_exit(3).
    Others,
    /// Nobody: the program has ended. glibc counts our thread among the program's own, and would wait for it.
    None,
}

/// Who there is beside the calling thread of our own. In doubt the first one.
pub fn company() -> Company {
    // Of a process whose first thread has ended, and so has no memory any more, the program is not told (proc(5)).
    let mut target = [0u8; 1];
    // SAFETY: a C string, and a buffer that is valid for its length.
    let length = unsafe { libc::readlink(c"/proc/self/exe".as_ptr(), target.as_mut_ptr().cast(), target.len()) };
    if length >= 0 || errno() != libc::ENOENT {
        return Company::First;
    }
    match count() {
        // The first one stays in the list until the process has ended.
        Some(2) => Company::None,
        Some(3..) => Company::Others,
        _ => Company::First,
    }
}

/// How many threads the process has, the first one with them even if it has ended; `None` without /proc. Changes errno.
pub fn count() -> Option<usize> {
    // A directory for each thread, and each has a link to this one (fs/proc/base.c, proc_task_getattr).
    usize::try_from(super::own::stat(c"/proc/self/task")?.st_nlink).ok()?.checked_sub(2)
}

/// Has another thread, made as the program's own are, be the last one: glibc runs exit(3) where the last thread ends.
pub fn end_on_another() {
    extern "C" fn end(other: *mut c_void) -> *mut c_void {
        let mut pause = Info::new();
        while signal(other as i32, 0) {
            pause.take(0, Some(MILLISECOND));
        }
        ptr::null_mut()
    }
    let (mut thread, own) = (MaybeUninit::<libc::pthread_t>::uninit(), own_id() as usize as *mut c_void);
    // SAFETY: valid for writing; without attributes. Nobody joins it: the process ends with it.
    real::pthread_create.known().map(|create| unsafe { create(thread.as_mut_ptr(), ptr::null(), end, own) });
}

/// Names the calling thread, as seen in `/proc/PID/task/TID/comm`.
pub fn set_name(name: &CStr) {
    if let Some(prctl) = real::prctl.known() {
        // SAFETY: PR_SET_NAME takes a C string (prctl(2)).
        unsafe { prctl(libc::PR_SET_NAME, name.as_ptr(), 0 as c_long, 0 as c_long, 0 as c_long) };
    }
}

/// Sends a signal to one thread of this process; false where there is none of this id.
pub fn signal(thread: i32, signal: c_int) -> bool {
    let (thread, signal) = (c_long::from(thread), c_long::from(signal));
    real::syscall.known().is_some_and(|syscall| {
        // SAFETY: three numbers (tgkill(2)).
        unsafe { syscall(libc::SYS_tgkill, c_long::from(libc::getpid()), thread, signal) == 0 }
    })
}
