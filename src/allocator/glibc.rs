//! glibc's malloc: malloc_trim.

use core::ffi::{CStr, c_char, c_int, c_void};
use core::mem::transmute;

use super::malloc::Malloc;
use super::name::{Name, named};
use super::settings::{hugetlb, is_hugetlbfs};
use crate::pure::text::number;
use crate::pure::usage::{Info, Usage};
use crate::sys::{self, memory, real};

type MallocTrim = unsafe extern "C" fn(usize) -> c_int;
/// mallinfo2 (glibc 2.33), or mallinfo, whose numbers wrap.
#[derive(Clone, Copy)]
enum Mallinfo {
    Wide(Wide),
    Narrow(Narrow),
}

type Wide = unsafe extern "C" fn() -> Info<usize>;
type Narrow = unsafe extern "C" fn() -> Info<c_int>;

type LibcVersion = unsafe extern "C" fn() -> *const c_char;

/// glibc's malloc, where it is the program's.
#[derive(Clone, Copy)]
pub struct Glibc {
    malloc_trim: MallocTrim,
    mallinfo: Option<Mallinfo>,
}

impl Glibc {
    /// `None` unless `malloc` and all that is called here are libc's own. Writes its name.
    pub fn find(malloc: Malloc, name: &mut Name) -> Option<Glibc> {
        let version = malloc.function(c"gnu_get_libc_version")?;
        let malloc_trim = malloc.function(c"malloc_trim")?;
        // The one after our own hook.
        let mallopt = real::mallopt.get()?;
        // Their tops are released by blocks of just this malloc.
        let functions =
            [mallopt as *const c_void, real::malloc.get()? as *const c_void, real::realloc.get()? as *const c_void];
        if !functions.into_iter().all(|function| malloc.defines(function)) {
            return None;
        }
        // SAFETY: the symbols are glibc's own, just found in the object that defines gnu_get_libc_version, and have these
        // types (malloc.h, gnu/libc-version.h). The version is a static C string.
        unsafe {
            let version = CStr::from_ptr(transmute::<*const c_void, LibcVersion>(version)());
            named(name, "glibc-").bytes(version.to_bytes());
            let malloc_trim = transmute::<*const c_void, MallocTrim>(malloc_trim);
            Some(Glibc { malloc_trim, mallinfo: Mallinfo::find(malloc) })
        }
    }

    /// Gives free memory back to the kernel, but `pad` bytes at the top of the heap. Its return value says nothing
    /// about what was released. Holds each arena's lock while it walks it.
    pub fn release(&self, pad: u64) {
        let pad = usize::try_from(pad).unwrap_or(usize::MAX);
        // SAFETY: glibc's malloc_trim, thread-safe (malloc_trim(3), MT-Safe).
        unsafe { (self.malloc_trim)(pad) };
    }

    /// What is in use right after a trim, if `last` was live before. Walks over all free chunks, and holds each arena's lock
    /// meanwhile.
    pub fn usage(&self, last: u64) -> Option<Usage> {
        let page = memory::page_size();
        // SAFETY: glibc's own, where malloc may be called. It takes the locks that malloc_trim takes; it is MT-Unsafe (mallinfo(3)) only in
        // that it reads two words of malloc's parameters without one, which may be a little older than the rest.
        unsafe {
            match self.mallinfo? {
                Mallinfo::Wide(ask) => Some(ask().usage(page)),
                Mallinfo::Narrow(ask) => Some(ask().usage(page, last, memory::writable())),
            }
        }
    }
}

impl Mallinfo {
    fn find(malloc: Malloc) -> Option<Mallinfo> {
        // SAFETY: glibc's own functions, of the types that malloc.h declares.
        let wide = |function| Mallinfo::Wide(unsafe { transmute::<*const c_void, Wide>(function) });
        let narrow = |function| Mallinfo::Narrow(unsafe { transmute::<*const c_void, Narrow>(function) });
        malloc.function(c"mallinfo2").map(wide).or_else(|| malloc.function(c"mallinfo").map(narrow))
    }
}

/// Whether malloc_trim would destroy data: glibc.malloc.hugetlb=2, or a size, has the heap in pages of hugetlbfs, and Linux 5.18
/// to 6.0 rounds the end of what MADV_DONTNEED is asked to take up to such a page (mended in 6.1 by "fix unexpected data loss
/// with MADV_DONTNEED on hugetlbfs").
pub fn is_dangerous() -> bool {
    hugetlb().any(is_hugetlbfs) && sys::kernel(rounds_up)
}

/// Whether a kernel of this release does.
fn rounds_up(release: &[u8]) -> bool {
    let mut numbers = release.split(|byte| !byte.is_ascii_digit()).map(number);
    let (major, minor) = (numbers.next().flatten(), numbers.next().flatten());
    matches!((major, minor), (Some(5), Some(18..)) | (Some(6), Some(0)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_kernels_that_round_up_are_known() {
        for release in ["5.18.0", "5.19.17-2-amd64", "6.0.12", "6.0"] {
            assert!(rounds_up(release.as_bytes()), "{release}");
        }
        for release in ["5.17.9", "6.1.0-44-amd64", "6.18.44", "5.4.0-1", "4.19", "", "x"] {
            assert!(!rounds_up(release.as_bytes()), "{release}");
        }
    }

    #[test]
    fn only_pages_of_hugetlbfs_are_meant() {
        for (value, is) in [("0", false), ("1", false), ("", false), ("2", true), ("2097152", true), ("0x200000", true)]
        {
            assert_eq!(is_hugetlbfs(value.as_bytes()), is, "{value}");
        }
    }
}
