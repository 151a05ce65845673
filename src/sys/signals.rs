//! Signals and cancellation of the calling thread.

use core::ffi::c_int;
use core::mem::MaybeUninit;
use core::ptr;

use super::sockets;

/// A thread's signal mask.
pub type Mask = libc::sigset_t;

/// Faults of the running instruction: blocked, they would kill the host without its own handler.
const FAULTS: [c_int; 7] =
    [libc::SIGSEGV, libc::SIGBUS, libc::SIGFPE, libc::SIGILL, libc::SIGTRAP, libc::SIGABRT, libc::SIGSYS];

/// `PTHREAD_CANCEL_DISABLE`, the same in glibc and musl; the libc crate declares neither.
const CANCEL_DISABLE: c_int = 1;

unsafe extern "C" {
    /// pthread_setcancelstate(3). In libc itself, also before glibc 2.34.
    fn pthread_setcancelstate(state: c_int, before: *mut c_int) -> c_int;
}

/// What [`shield`] found, for [`Shield::lower`].
#[derive(Clone, Copy)]
pub struct Shield {
    /// The caller's own mask.
    pub mask: Mask,
    cancel: c_int,
}

/// Blocks all signals of this thread but faults, and disables its cancellation: nothing can interrupt, and so
/// no handler can leave by longjmp, what runs until [`Shield::lower`].
pub fn shield() -> Shield {
    let cancel = disable_cancellation();
    let mut mask = MaybeUninit::<Mask>::uninit();
    // SAFETY: all sets are valid for reading or writing; sigprocmask (not pthread_sigmask, which is in libpthread
    // before glibc 2.32) acts on the calling thread on Linux, and cannot fail with SIG_BLOCK.
    unsafe {
        libc::sigprocmask(libc::SIG_BLOCK, &all_but_faults(), mask.as_mut_ptr());
        Shield { mask: mask.assume_init(), cancel }
    }
}

impl Shield {
    /// Lets cancellation through again; signals stay blocked. For a wait that takes the caller's mask itself.
    pub fn allow_cancellation(&self) {
        // SAFETY: the state that `shield` found.
        unsafe { pthread_setcancelstate(self.cancel, ptr::null_mut()) };
    }

    /// Disables cancellation again.
    pub fn forbid_cancellation(&self) {
        disable_cancellation();
    }

    /// Restores the caller's mask: signals that came meanwhile are delivered now.
    pub fn lower(&self) {
        // SAFETY: the mask that `shield` found.
        unsafe { libc::sigprocmask(libc::SIG_SETMASK, &self.mask, ptr::null_mut()) };
    }

    /// Restores mask and cancellation.
    pub fn end(&self) {
        self.lower();
        self.allow_cancellation();
    }

    /// Whether the thread may be in the handler of a fault, which may have struck inside malloc, with an arena's lock
    /// held: a handler runs with its signal blocked, or on the alternate stack (sigaltstack(2)), and a
    /// thread that serves has no reason for either.
    pub fn is_in_fault_handler(&self) -> bool {
        // SAFETY: the mask is initialised, the numbers are valid.
        let blocked = |signal: &c_int| unsafe { libc::sigismember(&self.mask, *signal) == 1 };
        FAULTS.iter().any(blocked) || is_on_alternate_stack()
    }

    /// Whether lowering the shield will run a handler after which a blocking call on `descriptor` would have
    /// failed with EINTR: one without SA_RESTART, or any if the socket has a receive timeout (signal(7)).
    pub fn interrupts(&self, descriptor: c_int) -> bool {
        let mut pending = MaybeUninit::<Mask>::uninit();
        // SAFETY: `pending` is valid for writing; it is read only where sigpending succeeded.
        let pending = unsafe {
            if libc::sigpending(pending.as_mut_ptr()) != 0 {
                return false;
            }
            pending.assume_init()
        };
        (1..=64).any(|signal| {
            // SAFETY: both sets are initialised; an invalid number is answered with −1.
            let comes =
                unsafe { libc::sigismember(&pending, signal) == 1 && libc::sigismember(&self.mask, signal) == 0 };
            comes && handler_interrupts(signal, descriptor)
        })
    }
}

fn is_on_alternate_stack() -> bool {
    let mut stack = MaybeUninit::<libc::stack_t>::uninit();
    // SAFETY: `stack` is valid for writing; it is read only where sigaltstack succeeded.
    unsafe {
        libc::sigaltstack(ptr::null(), stack.as_mut_ptr()) == 0
            && stack.assume_init_ref().ss_flags & libc::SS_ONSTACK != 0
    }
}

fn handler_interrupts(signal: c_int, descriptor: c_int) -> bool {
    let mut action = MaybeUninit::<libc::sigaction>::uninit();
    // SAFETY: `action` is valid for writing; it is read only where sigaction succeeded.
    let action = unsafe {
        if libc::sigaction(signal, ptr::null(), action.as_mut_ptr()) != 0 {
            return false;
        }
        action.assume_init()
    };
    let handled = action.sa_sigaction != libc::SIG_DFL && action.sa_sigaction != libc::SIG_IGN;
    handled && (action.sa_flags & libc::SA_RESTART == 0 || sockets::has_receive_timeout(descriptor))
}

/// Runs `write`, which says whether it failed with EPIPE, so that the host sees no SIGPIPE of it.
pub fn without_sigpipe(write: impl FnOnce() -> bool) {
    let (mut set, mut before, mut pending) =
        (MaybeUninit::uninit(), MaybeUninit::<Mask>::uninit(), MaybeUninit::uninit());
    // SAFETY: all sets are valid for reading or writing, and initialised before they are read.
    unsafe {
        libc::sigemptyset(set.as_mut_ptr());
        libc::sigaddset(set.as_mut_ptr(), libc::SIGPIPE);
        libc::sigpending(pending.as_mut_ptr());
        let was_pending = libc::sigismember(pending.as_ptr(), libc::SIGPIPE) == 1;
        libc::sigprocmask(libc::SIG_BLOCK, set.as_ptr(), before.as_mut_ptr());
        if write() && !was_pending {
            // SIGPIPE of a write goes to the thread that wrote: it is there, and taken away unseen.
            let at_once = libc::timespec { tv_sec: 0, tv_nsec: 0 };
            libc::sigtimedwait(set.as_ptr(), ptr::null_mut(), &at_once);
        }
        libc::sigprocmask(libc::SIG_SETMASK, before.as_ptr(), ptr::null_mut());
    }
}

fn disable_cancellation() -> c_int {
    let mut before = 0;
    // SAFETY: `before` is valid for writing; the state is one of the two that exist.
    unsafe { pthread_setcancelstate(CANCEL_DISABLE, &mut before) };
    before
}

fn all_but_faults() -> Mask {
    let mut set = MaybeUninit::<Mask>::uninit();
    // SAFETY: `set` is valid for writing, and initialised by sigfillset.
    unsafe {
        libc::sigfillset(set.as_mut_ptr());
        for signal in FAULTS {
            libc::sigdelset(set.as_mut_ptr(), signal);
        }
        set.assume_init()
    }
}
