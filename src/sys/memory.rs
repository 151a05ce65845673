//! Memory of our own, from the kernel and not from the heap that we watch; and this process's RSS.

use core::ffi::{c_int, c_void};
use core::mem::size_of;
use core::ptr;

use super::files;

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

/// Memory of zeros that reads as zeros again in a forked child: `MADV_WIPEONFORK` (Linux 4.14), or a fork
/// handler on older kernels. `None` where neither can be had, or no memory.
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
    let wiped = unsafe { libc::madvise(page, length, libc::MADV_WIPEONFORK) } == 0;
    if !wiped && !fork_handler::register(page, length) {
        // SAFETY: our own mapping, to which no reference exists yet.
        unsafe { libc::munmap(page, length) };
        return None;
    }
    // SAFETY: mapped for good, zeroed, page-aligned, long enough, and zero is a valid T.
    Some(unsafe { &*page.cast::<T>() })
}

/// Anonymous RSS in bytes: resident minus file-backed and shared pages (proc(5), statm). `None` without
/// /proc. Takes a few microseconds and, for that time, one descriptor.
pub fn anonymous_rss() -> Option<u64> {
    let mut buffer = [0u8; 96];
    let statm = files::read(c"/proc/self/statm", &mut buffer)?;
    Some(anonymous_pages(statm)?.saturating_mul(page_size()))
}

/// The second number of statm, resident, minus the third, shared.
fn anonymous_pages(statm: &[u8]) -> Option<u64> {
    let mut numbers = statm.split(|&byte| byte == b' ').skip(1).map(|field| {
        field.iter().try_fold(0u64, |number, &digit| {
            let digit = digit.is_ascii_digit().then(|| u64::from(digit.wrapping_sub(b'0')))?;
            number.checked_mul(10)?.checked_add(digit)
        })
    });
    Some(numbers.next()??.saturating_sub(numbers.next()??))
}

/// What kernels before 4.14 need: glibc's and musl's `pthread_atfork`, under the name that both share as
/// a real symbol of libc.
mod fork_handler {
    use super::*;
    use core::sync::atomic::{AtomicPtr, AtomicUsize, Ordering::Relaxed};

    static PAGE: AtomicPtr<c_void> = AtomicPtr::new(ptr::null_mut());
    static LENGTH: AtomicUsize = AtomicUsize::new(0);

    type Handler = Option<unsafe extern "C" fn()>;
    type Register = unsafe extern "C" fn(Handler, Handler, Handler, *const c_void) -> c_int;

    unsafe extern "C" fn in_child() {
        let page = PAGE.load(Relaxed);
        // SAFETY: registered below with a mapping that is never unmapped; the child has one thread.
        unsafe { ptr::write_bytes(page.cast::<u8>(), 0, LENGTH.load(Relaxed)) };
    }

    /// Whether `page` will be zeroed in each forked child.
    pub fn register(page: *mut c_void, length: usize) -> bool {
        let register = crate::sys::symbol(c"__register_atfork");
        if register.is_null() || !PAGE.load(Relaxed).is_null() {
            return false;
        }
        LENGTH.store(length, Relaxed);
        PAGE.store(page, Relaxed);
        // SAFETY: glibc's own signature (nptl/register-atfork.c); this library is never unloaded.
        unsafe {
            let register = core::mem::transmute::<*const c_void, Register>(register);
            register(None, None, Some(in_child), ptr::null()) == 0
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn anonymous_is_resident_minus_shared() {
        assert_eq!(anonymous_pages(b"765 398 370 5 0 123 0\n"), Some(28));
    }

    #[test]
    fn a_strange_statm_is_no_number() {
        for statm in ["", "1", "1 2", "1 2 x 4", "1 99999999999999999999999 3 4"] {
            assert_eq!(anonymous_pages(statm.as_bytes()), None, "{statm}");
        }
    }
}
