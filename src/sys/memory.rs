//! Memory of our own, from the kernel and not from the heap that we watch; and this process's RSS.

use core::arch::asm;
use core::ffi::{CStr, c_int, c_void};
use core::mem::{MaybeUninit, size_of, size_of_val};
use core::ptr;
use core::sync::atomic::{AtomicBool, AtomicUsize, Ordering::Relaxed};

use super::{filter, own};
use crate::pure::text::number;
use crate::sys::errno::{errno, keeping_errno};

/// Anonymous RSS and its kin, in pages.
const STATM: &CStr = c"/proc/self/statm";
/// What is locked and what is swapped out, and how many threads there are, among others.
const STATUS: &CStr = c"/proc/self/status";

/// What of all this process's memory is shared.
const ROLLUP: &CStr = c"/proc/self/smaps_rollup";

/// Bytes per page: 4 KiB to 64 KiB, asked, never assumed.
pub fn page_size() -> u64 {
    // SAFETY: no preconditions; the kernel always passes AT_PAGESZ.
    (unsafe { libc::getauxval(libc::AT_PAGESZ) }).max(4096)
}

/// A type of which all-zero bytes are a valid value, and of which a value may turn into zeros between any
/// two instructions of its first thread (when the process is forked).
///
/// # Safety
/// As it says.
pub unsafe trait ZeroIsValid: Sync {}

/// Memory of zeros that reads as zeros again in a forked child: by `MADV_WIPEONFORK` (Linux 4.14), or, on older
/// kernels, by [`wipe`] in the fork handler. `None` where neither can be had, or no memory.
pub fn wiped_on_fork<T: ZeroIsValid>() -> Option<&'static T> {
    let length = size_of::<T>();
    // SAFETY: a new private mapping, placed by the kernel.
    let page = unsafe {
        libc::mmap(
            ptr::null_mut(),
            length,
            libc::PROT_READ | libc::PROT_WRITE,
            libc::MAP_PRIVATE | libc::MAP_ANONYMOUS,
            -1,
            0,
        )
    };
    if page == libc::MAP_FAILED {
        return None;
    }
    // SAFETY: our own mapping.
    let wiped_by_kernel =
        !filter::is_restricted() && unsafe { libc::madvise(page, length, libc::MADV_WIPEONFORK) } == 0;
    if !wiped_by_kernel && !HAS_FORK_HANDLER.load(Relaxed) {
        // SAFETY: our own mapping, to which no reference exists yet.
        unsafe { libc::munmap(page, length) };
        return None;
    }
    // SAFETY: mapped for good, zeroed, page-aligned, long enough, and zero is a valid T.
    Some(unsafe { &*page.cast::<T>() })
}

/// Zeroes `memory`. For the fork handler: the child has one thread, and it is in there.
pub fn wipe<T: ZeroIsValid>(memory: &'static T) {
    // SAFETY: from `wiped_on_fork`, so writable; zero is a valid T at any time; nobody else is running.
    unsafe { ptr::write_bytes(ptr::from_ref(memory).cast_mut(), 0, 1) };
}

static HAS_FORK_HANDLER: AtomicBool = AtomicBool::new(false);

/// A fork handler.
type Handler = Option<extern "C" fn()>;

/// Has `handler` called in the child of each fork(3). For the constructor: it allocates.
pub fn at_fork_in_child(handler: extern "C" fn()) {
    HAS_FORK_HANDLER.store(at_fork(None, None, Some(handler)), Relaxed);
}

/// Has these called around each fork(3), as pthread_atfork(3) does; false where that is impossible. For the constructor.
pub fn at_fork(before: Handler, in_parent: Handler, in_child: Handler) -> bool {
    type Register = unsafe extern "C" fn(Handler, Handler, Handler, *const c_void) -> c_int;
    // glibc's pthread_atfork under the name that is a symbol of libc.so in all versions (nptl/register-atfork.c); musl has the other one, which
    // takes the first three.
    let names = [c"__register_atfork", c"pthread_atfork"].into_iter();
    let Some(register) = names.map(crate::sys::symbol).find(|function| !function.is_null()) else { return false };
    // SAFETY: the signature of the first, and the second does not look at a fourth argument; this library, and so each handler, is never unloaded.
    unsafe {
        let register = core::mem::transmute::<*const c_void, Register>(register);
        register(before, in_parent, in_child, ptr::null()) == 0
    }
}

/// The value at `place` in this process's own memory, or `None` where it cannot be read: a call that passes a bad pointer
/// is the kernel's to refuse, not ours to crash on.
pub fn read<T: Copy>(place: *const T) -> Option<T> {
    let mut value = [MaybeUninit::<T>::uninit()];
    // SAFETY: all of it was written where the copy succeeded, by another value of the type.
    read_into(place.cast(), &mut value).then(|| unsafe { value[0].assume_init() })
}

/// Fills `values` with what stands at `place`; false where not all of it can be read.
pub fn read_into<T: Copy>(place: *const T, values: &mut [T]) -> bool {
    let length = size_of_val(values);
    // SAFETY: all of `place` has just been read by the kernel. Unaligned, as far as we know.
    are_readable(place as usize, length)
        && unsafe {
            ptr::copy_nonoverlapping(place.cast::<u8>(), values.as_mut_ptr().cast::<u8>(), length);
            true
        }
}

/// Whether so many bytes at `place` can be read.
fn are_readable(place: usize, length: usize) -> bool {
    const SMALLEST_PAGE: usize = 4096;
    let Some(last) = place.checked_add(length.saturating_sub(1)) else { return false };
    if is_on_stack(place, last) {
        return true;
    }
    let mut at = place;
    while at <= last {
        if !is_readable(at as *const u8) {
            return false;
        }
        at = (at & !(SMALLEST_PAGE - 1)).saturating_add(SMALLEST_PAGE);
    }
    true
}

/// Whether this is memory of a caller on the first thread's stack, as vectors and timeouts mostly are: that is never unmapped.
fn is_on_stack(first: usize, last: usize) -> bool {
    const NEAR: usize = 16 << 20;
    let here = &raw const first as usize;
    let end = END_OF_STACK.load(Relaxed);
    here <= first && last < end && end - here <= NEAR
}

/// See [`is_on_stack`].
static END_OF_STACK: AtomicUsize = AtomicUsize::new(0);

/// Whether [`is_readable`] may ask. Not under valgrind, which hides the vDSO, and would complain to its user.
static MAY_ASK: AtomicBool = AtomicBool::new(false);

/// For the constructor.
pub fn prepare() {
    // SAFETY: no preconditions; an absent entry reads 0. What the kernel put at the end of the first stack is AT_RANDOM.
    let [random, vdso] = [libc::AT_RANDOM, libc::AT_SYSINFO_EHDR].map(|entry| unsafe { libc::getauxval(entry) });
    END_OF_STACK.store(random as usize, Relaxed);
    MAY_ASK.store(vdso != 0 || cfg!(not(target_arch = "x86_64")), Relaxed);
}

/// Whether the kernel may be asked what can be read.
#[inline(always)]
pub fn may_ask() -> bool {
    MAY_ASK.load(Relaxed)
}

/// Whether this thread's stack goes on so far that a trim has room: glibc's needs little, but other allocators call functions that
/// the dynamic linker looks up then, which saves the vector registers (_dl_runtime_resolve_xsavec) on top of its own frames.
pub fn has_stack_left() -> bool {
    const NEEDED: usize = 12 << 10;
    const STEP: usize = 4 << 10;
    let marker = 0u8;
    let here = ptr::from_ref(&marker) as usize;
    (STEP..=NEEDED).step_by(STEP).all(|below| is_readable(here.wrapping_sub(below) as *const u8))
}

/// Whether the byte at `place` can be read, by the kernel's word: it looks at a new signal mask before it looks at what is to be
/// done with it, and that is nothing (rt_sigprocmask(2), EFAULT and EINVAL). A call that libc makes in every program.
#[inline(always)]
pub fn is_readable(place: *const u8) -> bool {
    if !may_ask() {
        return is_copied(place);
    }
    // The kernel's set has eight bytes: within one page.
    let set = place as usize & !7;
    let result: isize;
    // SAFETY: changes nothing, whatever `set` is.
    #[cfg(target_arch = "x86_64")]
    unsafe {
        asm!("syscall", inlateout("rax") libc::SYS_rt_sigprocmask as isize => result, in("rdi") 99, in("rsi") set,
            in("rdx") 0, in("r10") 8, lateout("rcx") _, lateout("r11") _, options(nostack));
    }
    // SAFETY: the same.
    #[cfg(target_arch = "aarch64")]
    unsafe {
        asm!("svc #0", in("x8") libc::SYS_rt_sigprocmask, inlateout("x0") 99isize => result, in("x1") set, in("x2") 0,
            in("x3") 8, options(nostack));
    }
    result == -(libc::EINVAL as isize)
}

/// The same by process_vm_readv(2); false where that is not to be had.
#[cold]
#[inline(never)]
fn is_copied(place: *const u8) -> bool {
    let mut byte = 0u8;
    let local = libc::iovec { iov_base: (&raw mut byte).cast(), iov_len: 1 };
    let remote = libc::iovec { iov_base: place.cast_mut().cast(), iov_len: 1 };
    // SAFETY: `local` is valid for writing its length; the kernel checks `remote`.
    !filter::is_restricted()
        && keeping_errno(|| unsafe { libc::process_vm_readv(libc::getpid(), &local, 1, &remote, 1, 0) == 1 })
}

/// Writes `value` at `place` in this process's own memory, if it can be written.
pub fn write<T: Copy>(place: *mut T, value: T) {
    let local = libc::iovec { iov_base: (&raw const value).cast_mut().cast(), iov_len: size_of::<T>() };
    let remote = libc::iovec { iov_base: place.cast(), iov_len: size_of::<T>() };
    // SAFETY: `local` is valid for reading its length; the kernel checks `remote` (process_vm_writev(2)).
    keeping_errno(|| unsafe {
        if filter::is_restricted()
            || libc::process_vm_writev(libc::getpid(), &local, 1, &remote, 1, 0) < 0 && errno() != libc::EFAULT
        {
            // Not permitted by a filter or in an old container: write it as libc itself would.
            place.write(value);
        }
    });
}

/// Whether `block` lies below the end of the heap that brk(2) makes: what the kernel maps lies above it, as a rule.
pub fn is_below_break(block: *const c_void) -> bool {
    // SAFETY: changes nothing; libc knows the answer without a system call.
    block < unsafe { libc::sbrk(0) }.cast_const()
}

/// Anonymous RSS in bytes: resident minus file-backed and shared pages (proc(5), statm). `None` without
/// /proc. Takes a few microseconds and, for that time, one descriptor.
pub fn anonymous_rss() -> Option<u64> {
    let mut buffer = [0u8; 96];
    let statm = own::read(STATM, &mut buffer)?;
    Some(anonymous_pages(statm)?.saturating_mul(page_size()))
}

/// All private memory that this process may write to, in memory or not, in bytes (proc(5), statm: data and stack). No limit where it
/// cannot be read.
pub fn writable() -> u64 {
    let mut buffer = [0u8; 96];
    let pages = own::read(STATM, &mut buffer).and_then(writable_pages);
    pages.map_or(u64::MAX, |pages| pages.saturating_mul(page_size()))
}

/// What cannot be given back or is not in memory, in bytes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Held {
    /// Locked (mlock(2), mlockall(2)): the kernel refuses to take it.
    pub locked: u64,
    /// Swapped out.
    pub swapped: u64,
}

/// What `/proc/self/status` says of that; nothing where it cannot be read.
#[inline(never)]
pub fn held() -> Held {
    let mut buffer = [0u8; 1024];
    own::read(STATUS, &mut buffer).map(Held::of).unwrap_or_default()
}

/// Anonymous memory, in bytes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Shared {
    /// All of it.
    pub anonymous: u64,
    /// What another process has as well, since one was forked from the other.
    pub shared: u64,
}

/// What `/proc/self/smaps_rollup` says of that (Linux 4.14); `None` where it cannot be read. The kernel walks through all pages for it:
/// some milliseconds for a gigabyte.
#[inline(never)]
pub fn shared() -> Option<Shared> {
    let mut buffer = [0u8; 1024];
    Shared::of(own::read(ROLLUP, &mut buffer)?)
}

/// How much of this process's memory is in huge pages, as [`shared`] reads it.
#[inline(never)]
pub fn in_huge_pages() -> Option<u64> {
    let mut buffer = [0u8; 1024];
    Some(field(own::read(ROLLUP, &mut buffer)?, b"AnonHugePages:", b" kB")?.saturating_mul(1024))
}

impl Shared {
    /// What was written to before the fork is dirty, and pages of files are not.
    fn of(rollup: &[u8]) -> Option<Shared> {
        let bytes = |name: &[u8]| Some(field(rollup, name, b" kB")?.saturating_mul(1024));
        Some(Shared { anonymous: bytes(b"Anonymous:")?, shared: bytes(b"Shared_Dirty:")? })
    }
}

/// How many threads this process has; `None` where that cannot be read.
#[inline(never)]
pub fn threads() -> Option<u64> {
    // Threads stands behind the list of groups, which may be long.
    let mut buffer = [0u8; 1024];
    field(own::read(STATUS, &mut buffer)?, b"Threads:", b"")
}

/// A number of `/proc/self/status`, and its unit.
fn field(status: &[u8], name: &[u8], unit: &[u8]) -> Option<u64> {
    number(filter::field(status, name)?.strip_suffix(unit)?)
}

impl Held {
    fn of(status: &[u8]) -> Held {
        let bytes = |name: &[u8]| field(status, name, b" kB").unwrap_or(0).saturating_mul(1024);
        Held { locked: bytes(b"VmLck:"), swapped: bytes(b"VmSwap:") }
    }
}

/// The second number of statm, resident, minus the third, shared.
fn anonymous_pages(statm: &[u8]) -> Option<u64> {
    let mut numbers = statm.split(|&byte| byte == b' ').skip(1).map(number);
    Some(numbers.next()??.saturating_sub(numbers.next()??))
}

/// The sixth number of statm.
fn writable_pages(statm: &[u8]) -> Option<u64> {
    number(statm.split(|&byte| byte == b' ').nth(5)?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_may_be_written_to_is_the_sixth_number() {
        assert_eq!(writable_pages(b"765 398 370 5 0 123 0\n"), Some(123));
        assert_eq!(writable_pages(b"765 398 370 5 0"), None);
    }

    #[test]
    fn anonymous_is_resident_minus_shared() {
        assert_eq!(anonymous_pages(b"765 398 370 5 0 123 0\n"), Some(28));
    }

    #[test]
    fn what_is_locked_and_swapped_is_read_from_the_status() {
        let status = b"Name:\tx\nVmLck:\t    2048 kB\nVmPin:\t       0 kB\nVmSwap:\t      12 kB\nThreads:\t1\n";
        assert_eq!(Held::of(status), Held { locked: 2 << 20, swapped: 12 << 10 });
        assert_eq!(Held::of(b"VmLck:\t12"), Held::default());
        assert_eq!(field(status, b"Threads:", b""), Some(1));
    }

    #[test]
    fn what_is_shared_is_read_from_the_rollup() {
        let rollup =
            b"561f-7ffd ---p 0 00:00 0 [rollup]\nRss: 9000 kB\nShared_Clean: 4000 kB\nShared_Dirty:     2048 kB\n\
                       Private_Dirty: 900 kB\nAnonymous:      3072 kB\nLazyFree: 0 kB\n";
        assert_eq!(Shared::of(rollup), Some(Shared { anonymous: 3 << 20, shared: 2 << 20 }));
        assert_eq!(Shared::of(b"Shared_Dirty: 12 kB\nAnonym"), None);
    }

    #[test]
    fn a_strange_statm_is_no_number() {
        for statm in ["", "1", "1 2", "1 2 x 4", "1 99999999999999999999999 3 4"] {
            assert_eq!(anonymous_pages(statm.as_bytes()), None, "{statm}");
        }
    }
}
