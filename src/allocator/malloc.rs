//! Whose malloc the program uses.

use core::ffi::{CStr, c_int, c_void};
use core::mem::{MaybeUninit, transmute};
use core::ptr;

use crate::sys;
use crate::sys::objects::Object;

/// The object whose malloc the program uses.
#[derive(Clone, Copy)]
pub struct Malloc(Object);

impl Malloc {
    /// `None` where its functions lie in more than one object. Whoever replaces malloc has to define the first three (glibc
    /// manual, Replacing malloc), and every known allocator defines the fourth.
    pub fn find() -> Option<Malloc> {
        let mut malloc = None;
        for name in [c"malloc", c"calloc", c"realloc", c"malloc_usable_size"] {
            let function = sys::symbol(name);
            let object = Object::of(function)?;
            if !(object.is_program() && is_stub(function))
                && malloc.replace(object).is_some_and(|other| other != object)
            {
                return None;
            }
        }
        malloc.map(Malloc)
    }

    /// The function `name` of the same object; `None` also where another one stands in front of it.
    pub fn function(self, name: &CStr) -> Option<*const c_void> {
        Some(sys::symbol(name)).filter(|&function| self.defines(function))
    }

    /// Whether `function` lies in the same object.
    #[inline(never)]
    pub fn defines(self, function: *const c_void) -> bool {
        !function.is_null() && Object::of(function) == Some(self.0)
    }
}

/// Whether `function` is undefined where it was found. A program linked to a fixed address that takes a function's address
/// has a stub of its own for it, which dlsym finds first (Debian's python3 and Node: malloc and free).
fn is_stub(function: *const c_void) -> bool {
    type Dladdr1 = unsafe extern "C" fn(*const c_void, *mut libc::Dl_info, *mut *const libc::Elf64_Sym, c_int) -> c_int;
    const RTLD_DL_SYMENT: c_int = 1;
    let dladdr1 = sys::symbol(c"dladdr1");
    if dladdr1.is_null() {
        return false;
    }
    let mut info = MaybeUninit::<libc::Dl_info>::uninit();
    let mut symbol: *const libc::Elf64_Sym = ptr::null();
    // SAFETY: glibc's dladdr1 (dladdr(3)); both results are valid for writing, and a symbol is read only where one was found.
    unsafe {
        let dladdr1 = transmute::<*const c_void, Dladdr1>(dladdr1);
        dladdr1(function, info.as_mut_ptr(), &mut symbol, RTLD_DL_SYMENT) != 0
            && !symbol.is_null()
            && (*symbol).st_shndx == 0
    }
}
