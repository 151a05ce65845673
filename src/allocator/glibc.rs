//! glibc's malloc: malloc_trim, and what is set at start.

use core::ffi::{CStr, c_char, c_int, c_void};
use core::mem::transmute;

use super::{Malloc, Name, named};
use crate::options::{Arenas, Options};
use crate::sys;
use crate::sys::optional::optional;

type MallocTrim = unsafe extern "C" fn(usize) -> c_int;
type Mallopt = unsafe extern "C" fn(c_int, c_int) -> c_int;
type LibcVersion = unsafe extern "C" fn() -> *const c_char;

/// Kept beside a fixed `M_TRIM_THRESHOLD`: setting that freezes glibc's dynamic mmap threshold at 128 K, and then
/// reusing a 1 MB buffer costs an mmap and all its page faults each time. This is the most that mallopt
/// takes on 64-bit machines (HEAP_MAX_SIZE / 2, glibc malloc/malloc.c).
const MMAP_THRESHOLD: c_int = 32 << 20;

/// glibc's malloc, where it is the program's.
#[derive(Clone, Copy)]
pub struct Glibc {
    malloc_trim: MallocTrim,
    mallopt: Mallopt,
}

impl Glibc {
    /// `None` unless `malloc` and all that is called here are libc's own. Writes its name.
    pub fn find(malloc: Malloc, name: &mut Name) -> Option<Glibc> {
        let version = malloc.function(c"gnu_get_libc_version")?;
        let (malloc_trim, mallopt) = (malloc.function(c"malloc_trim")?, malloc.function(c"mallopt")?);
        // SAFETY: the three symbols are glibc's own, just found in the object that defines gnu_get_libc_version, and have these
        // types (malloc.h, gnu/libc-version.h). The version is a static C string.
        unsafe {
            let version = CStr::from_ptr(transmute::<*const c_void, LibcVersion>(version)());
            named(name, "glibc-").bytes(version.to_bytes());
            Some(Glibc {
                malloc_trim: transmute::<*const c_void, MallocTrim>(malloc_trim),
                mallopt: transmute::<*const c_void, Mallopt>(mallopt),
            })
        }
    }

    /// Sets malloc up as the options ask, before any other thread exists; `M_ARENA_MAX` as set, 0 = left alone. What
    /// the user set for glibc itself wins over `auto`.
    pub fn prepare(&self, options: &Options) -> i32 {
        let arenas = match options.arenas {
            Arenas::AtMost(number) => number,
            Arenas::Auto if tuned_by_user() => 0,
            Arenas::Auto => i32::from(allocates_under_a_lock()),
        };
        if arenas > 0 {
            self.set(libc::M_ARENA_MAX, arenas);
        }
        if options.trim_threshold > 0 {
            self.set(libc::M_TRIM_THRESHOLD, i32::try_from(options.trim_threshold).unwrap_or(i32::MAX));
            self.set(libc::M_MMAP_THRESHOLD, MMAP_THRESHOLD);
        }
        arenas
    }

    /// Gives free memory back to the kernel, but `pad` bytes at the top of the heap. Its return value says nothing
    /// about what was released. Holds each arena's lock while it walks it.
    pub fn release(&self, pad: u64) {
        let pad = usize::try_from(pad).unwrap_or(usize::MAX);
        // SAFETY: glibc's malloc_trim, thread-safe (malloc_trim(3), MT-Safe).
        unsafe { (self.malloc_trim)(pad) };
    }

    fn set(&self, parameter: c_int, value: c_int) {
        // SAFETY: glibc's mallopt; an unsuitable value is refused with 0 and changes nothing.
        unsafe { (self.mallopt)(parameter, value) };
    }
}

/// Whether the environment already limits glibc's arenas.
fn tuned_by_user() -> bool {
    sys::is_set(b"MALLOC_ARENA_MAX")
        || sys::environment()
            .filter_map(|assignment| assignment.strip_prefix(b"GLIBC_TUNABLES="))
            .any(|tunables| tunables.windows(ARENA_TUNABLE.len()).any(|name| name == ARENA_TUNABLE))
}

const ARENA_TUNABLE: &[u8] = b"glibc.malloc.arena_max=";

/// Whether an interpreter lock serialises allocation anyway, so that one arena costs nothing: CPython, but not a
/// free-threaded build (which alone exports `_Py_MergeZeroLocalRefcount`), and Ruby.
fn allocates_under_a_lock() -> bool {
    let optional = optional();
    (!optional.python.is_null() && optional.python_without_lock.is_null()) || !optional.ruby.is_null()
}
