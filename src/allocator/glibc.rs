//! glibc's malloc: malloc_trim.

use core::ffi::{CStr, c_char, c_int, c_void};
use core::mem::transmute;

use super::{Malloc, Name, named};
use crate::hooks::next;

type MallocTrim = unsafe extern "C" fn(usize) -> c_int;
type LibcVersion = unsafe extern "C" fn() -> *const c_char;

/// glibc's malloc, where it is the program's.
#[derive(Clone, Copy)]
pub struct Glibc {
    malloc_trim: MallocTrim,
}

impl Glibc {
    /// `None` unless `malloc` and all that is called here are libc's own. Writes its name.
    pub fn find(malloc: Malloc, name: &mut Name) -> Option<Glibc> {
        let version = malloc.function(c"gnu_get_libc_version")?;
        let malloc_trim = malloc.function(c"malloc_trim")?;
        // The one after our own hook.
        let mallopt = next::mallopt.get()?;
        if !malloc.defines(mallopt as *const c_void) {
            return None;
        }
        // SAFETY: the symbols are glibc's own, just found in the object that defines gnu_get_libc_version, and have these
        // types (malloc.h, gnu/libc-version.h). The version is a static C string.
        unsafe {
            let version = CStr::from_ptr(transmute::<*const c_void, LibcVersion>(version)());
            named(name, "glibc-").bytes(version.to_bytes());
            Some(Glibc { malloc_trim: transmute::<*const c_void, MallocTrim>(malloc_trim) })
        }
    }

    /// Gives free memory back to the kernel, but `pad` bytes at the top of the heap. Its return value says nothing
    /// about what was released. Holds each arena's lock while it walks it.
    pub fn release(&self, pad: u64) {
        let pad = usize::try_from(pad).unwrap_or(usize::MAX);
        // SAFETY: glibc's malloc_trim, thread-safe (malloc_trim(3), MT-Safe).
        unsafe { (self.malloc_trim)(pad) };
    }
}
