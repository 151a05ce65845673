//! Whether this thread is in a signal handler: by the frame that the kernel has put on the stack for one.
//!
//! The kernel saves the interrupted registers there, in a layout that is part of its interface to programs, and so each
//! handler that has not returned is found by what was saved, whatever its mask, its flags and its runtime's
//! trampoline. Below our own frames nothing is looked at: handlers that were left by siglongjmp are gone.

use core::ffi::c_void;
use core::mem::MaybeUninit;
use core::ptr;
use core::sync::atomic::{AtomicUsize, Ordering::Relaxed};

use super::errno::keeping_errno;
use super::filter;
use super::objects;
use super::signals::{self, Shield};
use frame::{Frame, WORDS};

mod frame;

/// What the stack says.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Handlers {
    /// No handler is running on this thread.
    None,
    /// All that run have interrupted code that holds no lock of malloc's, libc's or the dynamic linker's.
    Harmless,
    /// One may have interrupted malloc.
    Dangerous,
    /// The stack is an unknown one, and larger than one looks through.
    Unknown,
}

/// Stacks that are known (the first thread's, one of glibc's) are looked through that far, others only so far.
const KNOWN: usize = 16 << 20;
const UNKNOWN: usize = 256 << 10;

/// The code that malloc consists of, or that a handler may have interrupted while it holds what malloc needs: the
/// allocators', libc's and its threads', the dynamic linker's, the vDSO's. Pairs of addresses; zeros = none.
static CODE: [[AtomicUsize; 2]; 12] = [const { [const { AtomicUsize::new(0) }; 2] }; 12];

/// Notes the code around `function` for [`handlers`]; null is nothing. For the constructor.
pub fn beware_of(function: *const c_void) {
    objects::each_code_segment(function, |start, end| {
        let known = |pair: &[AtomicUsize; 2]| pair[0].load(Relaxed) == start;
        if !CODE.iter().any(known)
            && let Some([first, last]) = CODE.iter().find(|pair| pair[1].load(Relaxed) == 0)
        {
            first.store(start, Relaxed);
            last.store(end, Relaxed);
        }
    });
}

/// Notes libc, the dynamic linker and the vDSO for [`handlers`]. For the constructor.
pub fn prepare() {
    // SAFETY: no preconditions; an absent entry reads 0.
    beware_of(unsafe { libc::getauxval(libc::AT_SYSINFO_EHDR) } as *const c_void);
    beware_of(libc::sigaction as *const () as *const c_void);
    // The dynamic linker's own.
    beware_of(super::symbol(c"__tls_get_addr"));
    // In a library of its own before glibc 2.34.
    beware_of(super::symbol(c"pthread_create"));
}

fn is_dangerous(address: usize) -> bool {
    CODE.iter().any(|[first, last]| (first.load(Relaxed)..last.load(Relaxed)).contains(&address))
}

/// Which handlers run on this thread, under its `shield`.
#[inline(never)]
pub fn handlers(shield: &Shield) -> Handlers {
    // valgrind lays its frames out in its own way, and hides the vDSO. There a handler is known by its blocked signal. Emulators of
    // aarch64 have no vDSO either, but the kernel's layout.
    // SAFETY: no preconditions.
    if cfg!(target_arch = "x86_64") && unsafe { libc::getauxval(libc::AT_SYSINFO_EHDR) } == 0 {
        return if shield.is_unblocked() { Handlers::None } else { Handlers::Dangerous };
    }
    // No handler has begun since signals are blocked: its frame is above the shield. Below are only our own frames, whose buffers hold
    // what earlier handlers have left.
    let here = ptr::from_ref(shield) as usize;
    if is_on_alternate_stack() {
        return Handlers::Dangerous;
    }
    match end_of_stack(here) {
        Some(end) => look_through(here, end),
        None => Handlers::Unknown,
    }
}

/// Where the stack that `here` is on ends.
fn end_of_stack(here: usize) -> Option<usize> {
    let above = |end: usize| end.checked_sub(here).filter(|&length| length <= KNOWN).map(|_| end);
    // What the kernel put at the end of the first stack (getauxval(3), AT_RANDOM). Nothing else is mapped within 128 MB below
    // (arch_pick_mmap_layout), so that all of it is one stack.
    // SAFETY: no preconditions.
    if let Some(end) = above(unsafe { libc::getauxval(libc::AT_RANDOM) } as usize) {
        return Some(end);
    }
    // glibc keeps a thread's descriptor at the end of its stack, also of one that the program has provided.
    if let Some(end) = above(frame::thread_pointer())
        && signals::end_of_readable(here, end) == end
    {
        return Some(end);
    }
    // A coroutine's, perhaps, or an alternate stack where one may not ask for it: up to a page that cannot be read.
    let farthest = here.saturating_add(UNKNOWN);
    let end = if filter::is_restricted() { farthest } else { signals::end_of_readable(here, farthest) };
    (end < farthest).then_some(end)
}

fn look_through(here: usize, end: usize) -> Handlers {
    let mut found = Handlers::None;
    let mut at = here.next_multiple_of(16) + frame::KEY_OFFSET;
    while at < end.saturating_sub(size_of::<u64>()) {
        // SAFETY: between the stack pointer and the end of the stack, or below a page that cannot be read.
        if frame::is_key(unsafe { ptr::read_volatile(at as *const u64) })
            && let Some(frame) = frame_around(at, here, end)
        {
            match is_dangerous(frame.instruction) && !waited(&frame) {
                true => return Handlers::Dangerous,
                false => found = Handlers::Harmless,
            }
        }
        at += 16;
    }
    found
}

/// The frame whose key is at `at`, if there is one. What an earlier handler has left in a buffer that nobody has filled looks the
/// same, but for the registers that were saved above it: those reach far into frames that are in use.
fn frame_around(at: usize, here: usize, end: usize) -> Option<Frame> {
    let start = at.checked_sub(frame::KEY * size_of::<u64>()).filter(|&start| start >= here)?;
    let mut words = [0u64; WORDS];
    for (index, word) in words.iter_mut().enumerate() {
        // SAFETY: from `start`, which is on the stack, to `at`.
        *word = unsafe { ptr::read_volatile((start as *const u64).add(index)) };
    }
    // SAFETY: up to `end` it is one stack.
    let read = |at| unsafe { ptr::read_volatile(at as *const u32) };
    Frame::read(&words, start).filter(|_| frame::has_registers(start, end, read))
}

/// Whether what was interrupted is a call in which a thread waits for others: it was not in malloc.
fn waited(frame: &Frame) -> bool {
    // SAFETY: an address of code that can be read, which is never unmapped, and what precedes it.
    frame
        .interrupted_call(|before| unsafe { ptr::read_unaligned((frame.instruction - before) as *const u32) })
        .is_some_and(frame::is_wait)
}

fn is_on_alternate_stack() -> bool {
    if filter::is_restricted() {
        return false;
    }
    let mut stack = MaybeUninit::<libc::stack_t>::uninit();
    // SAFETY: `stack` is valid for writing; it is read only where sigaltstack succeeded.
    keeping_errno(|| unsafe {
        libc::sigaltstack(ptr::null(), stack.as_mut_ptr()) == 0
            && stack.assume_init_ref().ss_flags & libc::SS_ONSTACK != 0
    })
}
