//! Allocators other than glibc's: the function of each that gives its free memory back.
//!
//! Each is its own public, thread-safe function on its own memory, whichever `malloc` the program uses. None is called
//! at start: jemalloc's first mallctl, even of `version`, costs every process 156 KB to more than 1 MB of memory.

use core::ffi::{CStr, c_char, c_int, c_void};
use core::mem::transmute;
use core::ptr;

use super::fork;
use super::malloc::Malloc;
use super::name::{Name, named};
use crate::sys;
use crate::sys::optional::{Optional, optional};

type Mallctl = unsafe extern "C" fn(*const c_char, *mut c_void, *mut usize, *mut c_void, usize) -> c_int;
type ReleaseFreeMemory = unsafe extern "C" fn();
/// It returns nothing, and since 2022 a size: not looked at.
type ReleaseMemoryToSystem = unsafe extern "C" fn(usize);
type Collect = unsafe extern "C" fn(bool);
type GperftoolsVersion = unsafe extern "C" fn(*mut c_int, *mut c_int, *mut *const c_char) -> *const c_char;
type MimallocVersion = unsafe extern "C" fn() -> c_int;

/// All arenas: `MALLCTL_ARENAS_ALL` is 4096 since jemalloc 5.0 (jemalloc_macros.h). Older ones answer ENOENT.
const PURGE: &CStr = c"arena.4096.purge";

/// Those in use besides glibc's.
#[derive(Clone, Copy)]
pub struct Others {
    malloc: Option<Release>,
    /// Under their own prefix, beside whatever `malloc` is.
    jemalloc: Option<Mallctl>,
    mimalloc: Option<Collect>,
}

/// How the allocator that `malloc` is releases memory.
#[derive(Clone, Copy)]
enum Release {
    Jemalloc(Mallctl),
    Gperftools(ReleaseFreeMemory),
    Google(ReleaseMemoryToSystem),
}

impl Others {
    /// Those in use: what `malloc` is, unless that is glibc's, and what stands beside it. Writes their names.
    pub fn find(malloc: Option<Malloc>, name: &mut Name) -> Others {
        let malloc = malloc.and_then(|malloc| Release::find(malloc, name));
        let &Optional { prefixed_jemalloc: jemalloc, mimalloc, .. } = optional();
        if !jemalloc.is_null() {
            named(name, "jemalloc");
        }
        if !mimalloc.is_null() {
            name_mimalloc(named(name, "mimalloc"));
        }
        if !mimalloc.is_null() || matches!(malloc, Some(Release::Google(_))) {
            fork::install();
        }
        // SAFETY: a null function pointer is None. The types are those of jemalloc.h and mimalloc.h.
        unsafe {
            let jemalloc = transmute::<*const c_void, Option<Mallctl>>(jemalloc);
            Others { malloc, jemalloc, mimalloc: transmute::<*const c_void, Option<Collect>>(mimalloc) }
        }
    }

    /// Has each give back what it can.
    pub fn release(&self) {
        if let Some(malloc) = self.malloc {
            malloc.release();
        }
        if let Some(mallctl) = self.jemalloc {
            purge(mallctl);
        }
        if let Some(collect) = self.mimalloc {
            // SAFETY: mimalloc's mi_collect acts on the calling thread's heap, abandoned ones, and the arenas.
            fork::unless_forking(|| unsafe { collect(true) });
        }
    }
}

impl Release {
    fn find(malloc: Malloc, name: &mut Name) -> Option<Release> {
        let &Optional { jemalloc, gperftools, google, .. } = optional();
        // SAFETY: each function has the type under which its allocator's header declares it: jemalloc.h,
        // gperftools/malloc_extension_c.h, tcmalloc/internal_malloc_extension.h.
        unsafe {
            if malloc.defines(jemalloc) {
                named(name, "jemalloc");
                Some(Release::Jemalloc(transmute::<*const c_void, Mallctl>(jemalloc)))
            } else if malloc.defines(gperftools) {
                name_gperftools(named(name, "gperftools-tcmalloc"));
                Some(Release::Gperftools(transmute::<*const c_void, ReleaseFreeMemory>(gperftools)))
            } else if malloc.defines(google) {
                named(name, "google-tcmalloc");
                Some(Release::Google(transmute::<*const c_void, ReleaseMemoryToSystem>(google)))
            } else {
                None
            }
        }
    }

    fn release(self) {
        match self {
            Release::Jemalloc(mallctl) => purge(mallctl),
            // SAFETY: takes the page heap's lock itself (gperftools tcmalloc.cc).
            Release::Gperftools(release) => unsafe { release() },
            // SAFETY: takes its own locks (tcmalloc.cc). As much as a size can say and still be rounded up to pages.
            Release::Google(release) => fork::unless_forking(|| unsafe { release(isize::MAX as usize) }),
        }
    }
}

fn purge(mallctl: Mallctl) {
    // SAFETY: jemalloc's mallctl, thread-safe; the name is a C string, and nothing is read or written.
    unsafe { mallctl(PURGE.as_ptr(), ptr::null_mut(), ptr::null_mut(), ptr::null_mut(), 0) };
}

/// `gperftools 2.10` → `-2.10`.
fn name_gperftools(name: &mut Name) {
    let version = sys::symbol(c"tc_version");
    if version.is_null() {
        return;
    }
    // SAFETY: tc_version (gperftools/tcmalloc.h) only writes where a pointer is not null, and returns a static C string.
    let version = unsafe {
        let version = transmute::<*const c_void, GperftoolsVersion>(version);
        CStr::from_ptr(version(ptr::null_mut(), ptr::null_mut(), ptr::null_mut()))
    };
    if let Some(number) = version.to_bytes().strip_prefix(b"gperftools ") {
        name.byte(b'-').bytes(number);
    }
}

fn name_mimalloc(name: &mut Name) {
    let version = sys::symbol(c"mi_version");
    if version.is_null() {
        return;
    }
    // SAFETY: mi_version (mimalloc.h) returns a constant.
    let version = unsafe { transmute::<*const c_void, MimallocVersion>(version)() };
    let (major, minor, patch) = mimalloc_version(version.unsigned_abs());
    name.byte(b'-').number(major.into()).byte(b'.').number(minor.into()).byte(b'.').number(patch.into());
}

/// 209, 3206 and 20302 are 2.0.9, 3.2.6 and 2.3.2: `MI_MALLOC_VERSION` has had three forms.
fn mimalloc_version(version: u32) -> (u32, u32, u32) {
    match version {
        0..1_000 => (version / 100, version / 10 % 10, version % 10),
        1_000..10_000 => (version / 1_000, version / 100 % 10, version % 100),
        _ => (version / 10_000, version / 100 % 100, version % 100),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn mimalloc_versions_are_read_in_each_of_their_forms() {
        assert_eq!(mimalloc_version(209), (2, 0, 9));
        assert_eq!(mimalloc_version(227), (2, 2, 7));
        assert_eq!(mimalloc_version(3010), (3, 0, 10));
        assert_eq!(mimalloc_version(3206), (3, 2, 6));
        assert_eq!(mimalloc_version(20302), (2, 3, 2));
        assert_eq!(mimalloc_version(30403), (3, 4, 3));
    }
}
