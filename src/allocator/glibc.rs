//! glibc's malloc: malloc_trim, and what is set at start.

use core::ffi::{CStr, c_char, c_int, c_void};
use core::mem::transmute;

use super::{Malloc, Name, named};
use crate::options::{Arenas, Options, TrimThreshold};
use crate::sys;
use crate::sys::optional::optional;

type MallocTrim = unsafe extern "C" fn(usize) -> c_int;
type Mallopt = unsafe extern "C" fn(c_int, c_int) -> c_int;
type LibcVersion = unsafe extern "C" fn() -> *const c_char;

/// Kept beside a fixed `M_TRIM_THRESHOLD`: setting that freezes glibc's dynamic mmap threshold at 128 K, and then
/// reusing a 1 MB buffer costs an mmap and all its page faults each time. This is the most that mallopt
/// takes on 64-bit machines (HEAP_MAX_SIZE / 2, glibc malloc/malloc.c).
const MMAP_THRESHOLD: c_int = 32 << 20;

/// Where glibc's dynamic rule for `M_TRIM_THRESHOLD` ends: twice the mmap threshold (malloc/malloc.c, `__libc_free`). On the way there
/// free(3) gives back the top of the heap after each large answer, only to fault it in again for the next: a budget decides that better.
const TRIM_THRESHOLD: c_int = 2 * MMAP_THRESHOLD;

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
        let one_arena = options.arenas == Arenas::Auto && !is_tuned(&ARENAS) && allocates_under_a_lock();
        let arenas = match options.arenas {
            Arenas::AtMost(number) => number,
            Arenas::Auto => i32::from(one_arena),
        };
        if arenas > 0 {
            self.set(libc::M_ARENA_MAX, arenas);
        }
        let takes_over = one_arena && options.rules.growth.is_on() && !is_tuned(&THRESHOLDS);
        let threshold = match options.trim_threshold {
            TrimThreshold::At(bytes) => i32::try_from(bytes).unwrap_or(i32::MAX),
            TrimThreshold::Auto if takes_over => TRIM_THRESHOLD,
            TrimThreshold::Auto => 0,
        };
        if threshold > 0 {
            self.set(libc::M_TRIM_THRESHOLD, threshold);
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

/// What a user may have set for glibc itself: a variable, and a tunable of the same meaning (malloc/arena.c, `ptmalloc_init`).
type Tuning = (&'static [u8], &'static [u8]);

const ARENAS: [Tuning; 1] = [(b"MALLOC_ARENA_MAX", b"glibc.malloc.arena_max=")];

/// Any of these freezes the dynamic rule.
const THRESHOLDS: [Tuning; 4] = [
    (b"MALLOC_TRIM_THRESHOLD_", b"glibc.malloc.trim_threshold="),
    (b"MALLOC_MMAP_THRESHOLD_", b"glibc.malloc.mmap_threshold="),
    (b"MALLOC_TOP_PAD_", b"glibc.malloc.top_pad="),
    (b"MALLOC_MMAP_MAX_", b"glibc.malloc.mmap_max="),
];

/// Whether the environment already sets one of these.
fn is_tuned(tunings: &[Tuning]) -> bool {
    tunings.iter().any(|&(variable, tunable)| {
        sys::is_set(variable)
            || sys::environment()
                .filter_map(|assignment| assignment.strip_prefix(b"GLIBC_TUNABLES="))
                .flat_map(|tunables| tunables.split(|&byte| byte == b':'))
                .any(|assignment| assignment.starts_with(tunable))
    })
}

/// Whether an interpreter lock serialises allocation anyway, so that one arena costs nothing: CPython, but not a
/// free-threaded build (which alone exports `_Py_MergeZeroLocalRefcount`), and Ruby.
fn allocates_under_a_lock() -> bool {
    let optional = optional();
    (!optional.python.is_null() && optional.python_without_lock.is_null()) || !optional.ruby.is_null()
}
