//! Whose malloc is this, how it is set up at start, and how it releases memory.

use core::ffi::{CStr, c_char, c_int, c_void};
use core::mem::{MaybeUninit, transmute};

use crate::options::{Arenas, Options};
use crate::sys;
use crate::sys::objects::Object;
use crate::text::Text;

type MallocTrim = unsafe extern "C" fn(usize) -> c_int;
type Mallopt = unsafe extern "C" fn(c_int, c_int) -> c_int;
type LibcVersion = unsafe extern "C" fn() -> *const c_char;

/// Kept beside a fixed `M_TRIM_THRESHOLD`: setting that freezes glibc's dynamic mmap threshold at 128 K, and then
/// reusing a 1 MB buffer costs an mmap and all its page faults each time. This is the most that mallopt
/// takes on 64-bit machines (HEAP_MAX_SIZE / 2, glibc malloc/malloc.c).
const MMAP_THRESHOLD: c_int = 32 << 20;

/// glibc's malloc: the only one that this version knows how to release.
#[derive(Clone, Copy)]
pub struct Allocator {
    malloc_trim: MallocTrim,
    mallopt: Mallopt,
    /// Its name and version, such as `glibc-2.36`.
    pub name: Text<24>,
    /// `M_ARENA_MAX` as set by [`Allocator::prepare`]; 0 = left alone.
    pub arenas: i32,
}

impl Allocator {
    /// The allocator that the program's `malloc` resolves to, or `None` where it is not one we know. Asked by
    /// address (dladdr): a replacement defines `malloc` in another object than libc's `malloc_trim`, which must
    /// then never be called.
    pub fn find() -> Option<Allocator> {
        let [trim, mallopt, version] = [c"malloc_trim", c"mallopt", c"gnu_get_libc_version"].map(sys::symbol);
        let libc = object_of(version)?;
        // malloc_usable_size: of the preloaded allocators each defines it, and no program takes its address.
        let functions = [definition(c"malloc"), sys::symbol(c"malloc_usable_size"), trim, mallopt];
        if functions.iter().any(|&function| object_of(function) != Some(libc)) {
            return None;
        }
        // SAFETY: the three symbols are glibc's own, just found in one object with gnu_get_libc_version, and
        // have these types (malloc.h, gnu/libc-version.h). The version is a static C string.
        unsafe {
            let version = CStr::from_ptr(transmute::<*const c_void, LibcVersion>(version)());
            Some(Allocator {
                malloc_trim: transmute::<*const c_void, MallocTrim>(trim),
                mallopt: transmute::<*const c_void, Mallopt>(mallopt),
                name: *Text::new().text("glibc-").bytes(version.to_bytes()),
                arenas: 0,
            })
        }
    }

    /// Sets malloc up as the options ask. To be called before any other thread exists. What the user set for
    /// glibc itself wins over `auto`.
    pub fn prepare(&mut self, options: &Options) {
        self.arenas = match options.arenas {
            Arenas::AtMost(number) => number,
            Arenas::Auto if tuned_by_user() => 0,
            Arenas::Auto => i32::from(allocates_under_a_lock()),
        };
        if self.arenas > 0 {
            self.set(libc::M_ARENA_MAX, self.arenas);
        }
        if options.trim_threshold > 0 {
            self.set(libc::M_TRIM_THRESHOLD, i32::try_from(options.trim_threshold).unwrap_or(i32::MAX));
            self.set(libc::M_MMAP_THRESHOLD, MMAP_THRESHOLD);
        }
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
    let optional = sys::optional::optional();
    (!optional.python.is_null() && optional.python_without_lock.is_null()) || !optional.ruby.is_null()
}

/// Where `name` is really defined. A program linked to a fixed address that takes a function's address has a stub of its
/// own for it, which dlsym finds first (Debian's python3 and Node: malloc); its symbol is undefined there.
fn definition(name: &CStr) -> *const c_void {
    type Dladdr1 = unsafe extern "C" fn(*const c_void, *mut libc::Dl_info, *mut *const libc::Elf64_Sym, c_int) -> c_int;
    const RTLD_DL_SYMENT: c_int = 1;
    let (found, dladdr1) = (sys::symbol(name), sys::symbol(c"dladdr1"));
    if found.is_null() || dladdr1.is_null() || !Object::of(found).is_some_and(Object::is_program) {
        return found;
    }
    let mut info = MaybeUninit::<libc::Dl_info>::uninit();
    let mut symbol: *const libc::Elf64_Sym = core::ptr::null();
    // SAFETY: glibc's dladdr1 (dladdr(3)); both results are valid for writing, and a symbol is read only where one was found.
    unsafe {
        let dladdr1 = transmute::<*const c_void, Dladdr1>(dladdr1);
        let is_stub = dladdr1(found, info.as_mut_ptr(), &mut symbol, RTLD_DL_SYMENT) != 0
            && !symbol.is_null()
            && (*symbol).st_shndx == 0;
        if is_stub { libc::dlsym(libc::RTLD_NEXT, name.as_ptr()) } else { found }
    }
}

fn object_of(function: *const c_void) -> Option<Object> {
    Object::of(function)
}
