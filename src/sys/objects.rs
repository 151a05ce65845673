//! The objects that the dynamic linker has loaded: the program, its libraries and what was preloaded.

use core::ffi::{c_int, c_void};

/// A loaded object, by the address of its program headers.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Object(*const c_void);

/// What [`Object::of`] looks for, and finds.
struct Search {
    address: usize,
    found: Option<Object>,
}

impl Object {
    /// The object that `address` lies in. Not by dladdr(3), which reads an object's whole symbol table. For the constructor:
    /// takes the dynamic linker's lock.
    pub fn of(address: *const c_void) -> Option<Object> {
        let mut search = Search { address: address as usize, found: None };
        // SAFETY: `look` matches the callback's type, and gets `search` while it lives.
        unsafe { libc::dl_iterate_phdr(Some(look), (&raw mut search).cast()) };
        search.found
    }

    /// Whether it is the program itself, which comes first (dl_iterate_phdr(3)).
    pub fn is_program(self) -> bool {
        // SAFETY: no preconditions; the kernel passes where it put the program's headers.
        self.0 as usize == unsafe { libc::getauxval(libc::AT_PHDR) } as usize
    }
}

unsafe extern "C" fn look(info: *mut libc::dl_phdr_info, _size: usize, search: *mut c_void) -> c_int {
    // SAFETY: dl_iterate_phdr passes a valid object description, and `search` as it was given.
    unsafe {
        let (info, search) = (&*info, &mut *search.cast::<Search>());
        let headers = super::slice_at(info.dlpi_phdr, usize::from(info.dlpi_phnum));
        let offset = search.address.wrapping_sub(info.dlpi_addr as usize);
        let holds = |header: &libc::Elf64_Phdr| {
            header.p_type == libc::PT_LOAD && offset.wrapping_sub(header.p_vaddr as usize) < header.p_memsz as usize
        };
        if !headers.iter().any(holds) {
            return 0;
        }
        search.found = Some(Object(info.dlpi_phdr.cast()));
        1
    }
}
