//! A thread of our own. pthread_create is in libpthread before glibc 2.34, which this library must not need: it is looked up.

use core::ffi::{CStr, c_int, c_long, c_void};
use core::mem::MaybeUninit;
use core::ptr;

use crate::hooks::next as real;
use crate::interpose::Next;

/// What a thread runs.
pub type Run = extern "C" fn(*mut c_void) -> *mut c_void;

type Attributes = libc::pthread_attr_t;
type Create = unsafe extern "C" fn(*mut libc::pthread_t, *const Attributes, Run, *mut c_void) -> c_int;
type Init = unsafe extern "C" fn(*mut Attributes) -> c_int;
type SetStackSize = unsafe extern "C" fn(*mut Attributes, usize) -> c_int;
type SetDetachState = unsafe extern "C" fn(*mut Attributes, c_int) -> c_int;

// SAFETY (all four): as pthread.h declares them.
static CREATE: Next<Create> = unsafe { Next::new(c"pthread_create") };
static INIT: Next<Init> = unsafe { Next::new(c"pthread_attr_init") };
static SET_STACK_SIZE: Next<SetStackSize> = unsafe { Next::new(c"pthread_attr_setstacksize") };
static SET_DETACH_STATE: Next<SetDetachState> = unsafe { Next::new(c"pthread_attr_setdetachstate") };

/// More than any PTHREAD_STACK_MIN (128 KB on aarch64); of it, what is touched takes memory.
const STACK: usize = 192 * 1024;

/// Looks up what [`start`] needs. For the constructor.
pub fn resolve() {
    let _ = (CREATE.get(), INIT.get(), SET_STACK_SIZE.get(), SET_DETACH_STATE.get());
}

/// Starts a detached thread that runs `run`, with the calling thread's signal mask; whether it did. Takes malloc's and the
/// dynamic linker's locks for a moment.
pub fn start(run: Run) -> bool {
    let (Some(create), Some(init), Some(set_stack_size), Some(set_detach_state)) =
        (CREATE.known(), INIT.known(), SET_STACK_SIZE.known(), SET_DETACH_STATE.known())
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
        [STACK, 16 * STACK].into_iter().any(|size| {
            set_stack_size(attributes.as_mut_ptr(), size);
            create(thread.as_mut_ptr(), attributes.as_ptr(), run, ptr::null_mut()) == 0
        })
    }
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
