//! Signals and cancellation of the calling thread.

use core::ffi::{c_int, c_long, c_void};
use core::mem::MaybeUninit;
use core::ptr;
use core::sync::atomic::{AtomicU8, AtomicU64, AtomicUsize, Ordering::Relaxed};

use super::errno::keeping_errno;
use super::{files, filter, real, sockets};
use crate::decide::SECOND;
use crate::pure::text::number_of;
use crate::sys::next::Next;

/// A thread's signal mask.
pub type Mask = libc::sigset_t;

/// Faults of the running instruction: blocked, they would kill the host without its own handler.
const FAULTS: [c_int; 6] = [libc::SIGSEGV, libc::SIGBUS, libc::SIGFPE, libc::SIGILL, libc::SIGTRAP, libc::SIGSYS];

/// The signals of before real-time ones came.
const STANDARD: core::ops::RangeInclusive<c_int> = 1..=31;

/// `PTHREAD_CANCEL_DISABLE` and `PTHREAD_CANCEL_DEFERRED`, the same in glibc and musl; the libc crate has neither.
const CANCEL_DISABLE: c_int = 1;
const CANCEL_DEFERRED: c_int = 0;

unsafe extern "C" {
    /// pthread_setcancelstate(3) and pthread_setcanceltype(3). In libc itself, also before glibc 2.34.
    fn pthread_setcancelstate(state: c_int, before: *mut c_int) -> c_int;
    fn pthread_setcanceltype(kind: c_int, before: *mut c_int) -> c_int;
}

/// `struct _pthread_cleanup_buffer` (glibc sysdeps/nptl/pthread.h): four words.
#[repr(C)]
struct CleanupBuffer([usize; 4]);

type Push = unsafe extern "C" fn(*mut CleanupBuffer, unsafe extern "C" fn(*mut c_void), *mut c_void);
type Pop = unsafe extern "C" fn(*mut CleanupBuffer, c_int);

// SAFETY (both): as glibc's pthread.h declared them; in libpthread before 2.34, in libc since, and in musl's, whose buffer has three words.
static PUSH: Next<Push> = unsafe { Next::new(c"_pthread_cleanup_push") };
static POP: Next<Pop> = unsafe { Next::new(c"_pthread_cleanup_pop") };

/// Looks up what [`Shield::wait`] needs, so that no hook has to.
pub fn resolve() {
    let _ = (PUSH.get(), POP.get());
}

/// What [`shield`] found, for [`Shield::end`].
#[derive(Clone, Copy)]
pub struct Shield {
    /// The caller's own mask.
    pub mask: Mask,
    /// Whether signals are blocked. Who filters system calls may have refused that.
    pub is_up: bool,
    cancel_state: c_int,
    cancel_type: c_int,
}

/// Blocks all signals of this thread but faults, and disables its cancellation: nothing can interrupt, and so
/// no handler can leave by longjmp, what runs until [`Shield::end`].
pub fn shield() -> Shield {
    let (mut cancel_state, mut cancel_type) = (0, 0);
    // SAFETY: valid for writing; the state and the type are two that exist. Deferred: where cancellation is allowed again
    // it acts in the wait, or at the end, where the mask is the caller's.
    unsafe {
        pthread_setcancelstate(CANCEL_DISABLE, &mut cancel_state);
        pthread_setcanceltype(CANCEL_DEFERRED, &mut cancel_type);
    }
    let mut mask = MaybeUninit::<Mask>::zeroed();
    // SAFETY: all sets are valid for reading or writing, and zeros are one; sigprocmask (not pthread_sigmask, which is in
    // libpthread before glibc 2.32) acts on the calling thread on Linux.
    unsafe {
        let is_up = libc::sigprocmask(libc::SIG_BLOCK, &all_but_faults(), mask.as_mut_ptr()) == 0;
        Shield { mask: mask.assume_init(), is_up, cancel_state, cancel_type }
    }
}

impl Shield {
    /// Runs `wait`, a call that takes the caller's mask itself, with cancellation as the caller has it. A thread that is
    /// cancelled in it runs its cleanup handlers with its own mask.
    pub fn wait(&self, wait: impl FnOnce() -> c_int) -> c_int {
        let mut buffer = CleanupBuffer([0; 4]);
        let cleanup = PUSH.known().zip(POP.known());
        // SAFETY: the buffer outlives the pair of calls, and so does `self`; the state is the one that `shield` found.
        unsafe {
            if let Some((push, _)) = cleanup {
                push(&mut buffer, restore_mask, ptr::from_ref(&self.mask).cast_mut().cast());
            }
            pthread_setcancelstate(self.cancel_state, ptr::null_mut());
        }
        let result = wait();
        // SAFETY: as above.
        unsafe {
            pthread_setcancelstate(CANCEL_DISABLE, ptr::null_mut());
            if let Some((_, pop)) = cleanup {
                pop(&mut buffer, 0);
            }
        }
        result
    }

    /// The caller's mask, with `signal` blocked too.
    pub fn mask_with(&self, signal: c_int) -> Mask {
        let mut mask = self.mask;
        // SAFETY: an initialised set; an invalid number is refused.
        unsafe { libc::sigaddset(&mut mask, signal) };
        mask
    }

    /// Whether the caller blocked no standard signal.
    pub fn is_unblocked(&self) -> bool {
        !STANDARD.clone().any(|signal| contains(&self.mask, signal))
    }

    /// Restores what the caller had. Cancellation comes first, because a handler that runs when the mask is restored may
    /// leave by longjmp; being deferred, it acts only when the type is restored last.
    pub fn end(&self) {
        // SAFETY: the state, mask and type that `shield` found.
        unsafe {
            pthread_setcancelstate(self.cancel_state, ptr::null_mut());
            if self.is_up {
                libc::sigprocmask(libc::SIG_SETMASK, &self.mask, ptr::null_mut());
            }
            pthread_setcanceltype(self.cancel_type, ptr::null_mut());
        }
    }

    /// Whether ending the shield will run a handler after which a blocking call on `descriptor` would have
    /// failed with EINTR: one without SA_RESTART, or any if the socket has a receive timeout (signal(7)).
    pub fn interrupts(&self, pending: Pending, descriptor: c_int) -> bool {
        self.delivers(pending, |flags| flags & libc::SA_RESTART == 0 || sockets::has_receive_timeout(descriptor))
    }

    /// The same of a wait that any handler ends: poll, select, epoll_wait.
    pub fn interrupts_wait(&self, pending: Pending) -> bool {
        self.delivers(pending, |_| true)
    }

    fn delivers(&self, pending: Pending, interrupts: impl Fn(c_int) -> bool) -> bool {
        let Some(pending) = pending.take() else { return false };
        (1..=64).any(|signal| {
            let comes = contains(&pending, signal) && !contains(&self.mask, signal);
            comes && flags_of_handler(signal).is_some_and(&interrupts)
        })
    }
}

/// A way to ask which signals are pending, found before they may be: by sigpending(2), or where that is not to be called, by
/// an open file of /proc.
pub struct Pending(Option<files::Status>);

impl Pending {
    /// `None` where there is none: what comes meanwhile could not be seen. [`Pending::take`] has to follow.
    pub fn prepare() -> Option<Pending> {
        if !filter::is_restricted() {
            return Some(Pending(None));
        }
        files::Status::open().map(|file| Pending(Some(file)))
    }

    /// The signals that are pending for this thread, which blocks them.
    fn take(self) -> Option<Mask> {
        let mut pending = MaybeUninit::<Mask>::zeroed();
        // SAFETY: `pending` is valid for writing; it is read only where sigpending succeeded.
        if self.0.is_none() && unsafe { libc::sigpending(pending.as_mut_ptr()) == 0 } {
            // SAFETY: as said.
            return Some(unsafe { pending.assume_init() });
        }
        let bits = pending_by_file(self.0.or_else(files::Status::open)?)?;
        // SAFETY: the kernel's set is the first word of libc's; zeros are a valid rest.
        unsafe {
            pending.as_mut_ptr().cast::<u64>().write(bits);
            Some(pending.assume_init())
        }
    }
}

/// What is pending for the thread and for the process, by its /proc/PID/status. Apart, for its buffer's sake.
#[cold]
#[inline(never)]
fn pending_by_file(status: files::Status) -> Option<u64> {
    let mut buffer = [0u8; 2048];
    let status = status.read(&mut buffer)?;
    let hexadecimal = |name| number_of(filter::field(status, name)?, 16);
    Some(hexadecimal(b"SigPnd:")? | hexadecimal(b"ShdPnd:")?)
}

/// Up to which address, `end` at most, the pages after that of `here` can be read. With all signals blocked but faults: the
/// kernel is asked to block what stands in each page, and so says which it cannot read.
pub fn end_of_readable(here: usize, end: usize) -> usize {
    let page = super::memory::page_size() as usize;
    let Some(syscall) = real::syscall.known() else { return here };
    let mut at = here.wrapping_add(1).next_multiple_of(page);
    let first = at;
    // SAFETY: rt_sigprocmask(2) reads the kernel's set of eight bytes, if it can.
    let is_readable = |at: usize| unsafe {
        syscall(libc::SYS_rt_sigprocmask, c_long::from(libc::SIG_BLOCK), at, ptr::null::<Mask>(), 8 as c_long) == 0
    };
    while at < end && keeping_errno(|| is_readable(at)) {
        at += page;
    }
    if at != first {
        // SAFETY: a set that outlives the call: what was blocked before.
        unsafe { libc::sigprocmask(libc::SIG_SETMASK, &all_but_faults(), ptr::null_mut()) };
    }
    at.min(end)
}

/// The flags of a signal's handler; `None` where it has none.
fn flags_of_handler(signal: c_int) -> Option<c_int> {
    let mut action = MaybeUninit::<libc::sigaction>::uninit();
    // SAFETY: `action` is valid for writing; it is read only where sigaction succeeded.
    let action = unsafe {
        if libc::sigaction(signal, ptr::null(), action.as_mut_ptr()) != 0 {
            return None;
        }
        action.assume_init()
    };
    (action.sa_sigaction != libc::SIG_DFL && action.sa_sigaction != libc::SIG_IGN).then_some(action.sa_flags)
}

/// Which of this process's handlers have calls restarted that they interrupt (SA_RESTART).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Restarts {
    /// All of them, or there are none.
    All = 1,
    /// Some do, others do not.
    Some = 2,
    /// None of them.
    None = 3,
}

/// Asked once a second, as of `now`: it takes as many system calls as there are signals. `u64::MAX` = now in any case.
pub fn restarts(now: u64) -> Restarts {
    static KNOWN: AtomicU8 = AtomicU8::new(0);
    static UNTIL: AtomicU64 = AtomicU64::new(0);
    if now < UNTIL.load(Relaxed) {
        match KNOWN.load(Relaxed) {
            1 => return Restarts::All,
            2 => return Restarts::Some,
            3 => return Restarts::None,
            _ => {}
        }
    }
    let (mut some, mut others) = (false, false);
    for signal in (1..=64).filter(|signal| !FAULTS.contains(signal)) {
        if let Some(flags) = flags_of_handler(signal) {
            some |= flags & libc::SA_RESTART != 0;
            others |= flags & libc::SA_RESTART == 0;
        }
    }
    let found = match (some, others) {
        (_, false) => Restarts::All,
        (true, true) => Restarts::Some,
        (false, true) => Restarts::None,
    };
    KNOWN.store(found as u8, Relaxed);
    UNTIL.store(now.checked_add(SECOND).unwrap_or(0), Relaxed);
    found
}

/// The value with which systemd's programs take `SIGRTMIN+18` as a request to release memory
/// (src/basic/common-signal.h, COMMON_SIGNAL_COMMAND_MEMORY_PRESSURE); without it the signal asks for something else.
const RELEASE_MEMORY: usize = 0x300;

/// `SIGRTMIN+18` in glibc.
const COMMON_SIGNAL: c_int = 34 + 18;

/// What is called when the signal comes; 0 = nothing.
static ASKED: AtomicUsize = AtomicUsize::new(0);

/// Has `asked` called when `signal` asks for a trim, unless it has a handler already, or whoever
/// started the program has it ignored; whether it will be. A handler that the program installs later takes this one's place.
pub fn install(signal: c_int, asked: fn()) -> bool {
    let free = handler_of(signal) == Some(libc::SIG_DFL);
    if free {
        ASKED.store(asked as usize, Relaxed);
        let mut action = MaybeUninit::<libc::sigaction>::zeroed();
        // SAFETY: zeros are a valid action with an empty mask; the handler is async-signal-safe, and never unloaded. On the
        // alternate stack where there is one: Go's threads want that.
        unsafe {
            let action = action.assume_init_mut();
            action.sa_sigaction = handle as *const () as usize;
            action.sa_flags = libc::SA_SIGINFO | libc::SA_RESTART | libc::SA_ONSTACK;
            libc::sigaction(signal, action, ptr::null_mut());
        }
    }
    free
}

/// Whether our own handler is the one that `signal` has.
pub fn is_installed(signal: c_int) -> bool {
    handler_of(signal) == Some(handle as *const () as usize)
}

fn handler_of(signal: c_int) -> Option<usize> {
    let mut action = MaybeUninit::<libc::sigaction>::uninit();
    // SAFETY: `action` is valid for writing; it is read only where sigaction succeeded.
    unsafe {
        (libc::sigaction(signal, ptr::null(), action.as_mut_ptr()) == 0).then(|| action.assume_init_ref().sa_sigaction)
    }
}

extern "C" fn handle(_: c_int, info: *mut libc::siginfo_t, _: *mut c_void) {
    // SAFETY: the kernel passes one to a handler with SA_SIGINFO.
    if unsafe { asks(&*info) } {
        let asked = ASKED.load(Relaxed);
        if asked != 0 {
            // SAFETY: a function of this type, stored before the handler was installed.
            let asked = unsafe { core::mem::transmute::<usize, fn()>(asked) };
            keeping_errno(asked);
        }
    }
}

/// Whether a signal that came asks for a trim.
fn asks(info: &libc::siginfo_t) -> bool {
    // SAFETY: a plain `kill` has zeros there (kernel/signal.c).
    let value = unsafe { info.si_value().sival_ptr } as usize & 0xffff_ffff;
    info.si_signo != COMMON_SIGNAL || value == RELEASE_MEMORY
}

/// A mask as the kernel keeps it: one word (rt_sigprocmask(2)).
pub fn word(mask: &Mask) -> u64 {
    // SAFETY: glibc's set begins with the kernel's.
    unsafe { ptr::from_ref(mask).cast::<u64>().read() }
}

/// Sets the calling thread's mask.
pub fn set_word(word: u64) {
    let mut mask = only(0);
    // SAFETY: as above; an initialised set.
    unsafe {
        ptr::from_mut(&mut mask).cast::<u64>().write(word);
        libc::sigprocmask(libc::SIG_SETMASK, &mask, ptr::null_mut());
    }
}

/// The set of one signal; of none where that is 0.
pub fn only(signal: c_int) -> Mask {
    let mut set = MaybeUninit::<Mask>::uninit();
    // SAFETY: `set` is valid for writing, and initialised by sigemptyset; an invalid number is refused.
    unsafe {
        libc::sigemptyset(set.as_mut_ptr());
        libc::sigaddset(set.as_mut_ptr(), signal);
        set.assume_init()
    }
}

/// Nanoseconds as the kernel takes them.
pub fn timespec(nanoseconds: u64) -> libc::timespec {
    libc::timespec { tv_sec: (nanoseconds / SECOND) as _, tv_nsec: (nanoseconds % SECOND) as _ }
}

/// What came with a signal.
pub struct Info(MaybeUninit<libc::siginfo_t>);

impl Info {
    /// Of none as yet.
    pub fn new() -> Info {
        Info(MaybeUninit::zeroed())
    }

    /// Waits so many nanoseconds at most (`None` = for ever) for `signal` (0 = none), and takes it; whether it came.
    #[inline(never)]
    pub fn take(&mut self, signal: c_int, nanoseconds: Option<u64>) -> bool {
        let (set, timeout) = (only(signal), nanoseconds.map(timespec));
        // SAFETY: valid for reading or writing.
        unsafe {
            let timeout = timeout.as_ref().map_or(ptr::null(), ptr::from_ref);
            libc::sigtimedwait(&set, self.0.as_mut_ptr(), timeout) > 0
        }
    }

    /// Whether the signal asks for a trim.
    pub fn asks(&self) -> bool {
        // SAFETY: zeros are a valid value.
        asks(unsafe { self.0.assume_init_ref() })
    }

    /// Whether this process sent it to one of its own threads.
    pub fn is_own(&self) -> bool {
        // SAFETY: zeros are a valid value; a signal sent by tgkill has a sender.
        unsafe {
            let info = self.0.assume_init_ref();
            info.si_code == libc::SI_TKILL && info.si_pid() == libc::getpid()
        }
    }

    /// Sends the signal to the process again, as it was.
    pub fn hand_back(&self) {
        if let Some(syscall) = real::syscall.known() {
            // SAFETY: zeros are a valid value. rt_sigqueueinfo(2): to oneself any siginfo may be sent.
            unsafe {
                let signal = c_long::from(self.0.assume_init_ref().si_signo);
                syscall(libc::SYS_rt_sigqueueinfo, c_long::from(libc::getpid()), signal, self.0.as_ptr());
            }
        }
    }
}

/// Runs `write`, which says whether it failed in such a way that the kernel sent `signal` (SIGPIPE with EPIPE, SIGXFSZ with
/// EFBIG), so that the host sees none of it.
#[inline(never)]
pub fn without(signal: c_int, write: &mut dyn FnMut() -> bool) {
    let (mut set, mut before, mut pending) =
        (MaybeUninit::uninit(), MaybeUninit::<Mask>::uninit(), MaybeUninit::uninit());
    // SAFETY: all sets are valid for reading or writing, and initialised before they are read.
    unsafe {
        libc::sigemptyset(set.as_mut_ptr());
        libc::sigaddset(set.as_mut_ptr(), signal);
        libc::sigpending(pending.as_mut_ptr());
        let was_pending = libc::sigismember(pending.as_ptr(), signal) == 1;
        libc::sigprocmask(libc::SIG_BLOCK, set.as_ptr(), before.as_mut_ptr());
        if write() && !was_pending {
            // The signal of a write goes to the thread that wrote: it is there, and taken away unseen.
            let at_once = libc::timespec { tv_sec: 0, tv_nsec: 0 };
            libc::sigtimedwait(set.as_ptr(), ptr::null_mut(), &at_once);
        }
        libc::sigprocmask(libc::SIG_SETMASK, before.as_ptr(), ptr::null_mut());
    }
}

/// Runs where a thread leaves [`Shield::wait`] by cancellation. glibc also runs it where a handler leaves by longjmp: then
/// the mask is the handler's already, and stays.
unsafe extern "C" fn restore_mask(mask: *mut c_void) {
    let mut current = MaybeUninit::<Mask>::uninit();
    // SAFETY: pushed by `Shield::wait` with its own mask, while that stands on the stack; `current` is initialised by the
    // first call.
    unsafe {
        libc::sigprocmask(libc::SIG_BLOCK, ptr::null(), current.as_mut_ptr());
        if blocks_all(current.assume_init_ref()) {
            libc::sigprocmask(libc::SIG_SETMASK, mask.cast::<Mask>(), ptr::null_mut());
        }
    }
}

/// Whether a mask blocks every standard signal that can be blocked, but perhaps faults.
fn blocks_all(mask: &Mask) -> bool {
    let exempt = |signal| FAULTS.contains(&signal) || signal == libc::SIGKILL || signal == libc::SIGSTOP;
    STANDARD.clone().all(|signal| exempt(signal) || contains(mask, signal))
}

fn contains(mask: &Mask, signal: c_int) -> bool {
    // SAFETY: the mask is initialised; an invalid number is answered with −1.
    unsafe { libc::sigismember(mask, signal) == 1 }
}

/// All signals but faults, as the kernel keeps them.
const ALL_BUT_FAULTS: u64 = {
    // glibc's own two, with which it cancels threads and changes their user, are never blocked (sigfillset(3)).
    let mut word = !(1u64 << 31 | 1 << 32);
    let mut index = 0;
    while index < FAULTS.len() {
        word &= !(1 << (FAULTS[index] - 1));
        index += 1;
    }
    word
};

fn all_but_faults() -> Mask {
    let mut set = MaybeUninit::<Mask>::zeroed();
    // SAFETY: glibc's set begins with the kernel's (see `word`), and zeros are a valid rest.
    unsafe {
        set.as_mut_ptr().cast::<u64>().write(ALL_BUT_FAULTS);
        set.assume_init()
    }
}
