//! The objects that the dynamic linker has loaded: the program, its libraries and what was preloaded.

use core::ffi::{c_int, c_void};

use super::files;
use crate::pure::mappings::{self, Mapping};

/// A loaded object, by the address of its program headers.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Object(*const c_void);

/// Calls `each` with the bounds of each segment of readable code of the object that `address` lies in. For the constructor.
pub fn each_code_segment(address: *const c_void, mut each: impl FnMut(usize, usize)) {
    struct Walk<'a> {
        address: usize,
        each: &'a mut dyn FnMut(usize, usize),
    }
    unsafe extern "C" fn walk(info: *mut libc::dl_phdr_info, _size: usize, walk: *mut c_void) -> c_int {
        // SAFETY: dl_iterate_phdr passes a valid object description, and `walk` as it was given.
        let (info, walk) = unsafe { (&*info, &mut *walk.cast::<Walk>()) };
        // SAFETY: as many headers as the description says.
        let headers = unsafe { super::slice_at(info.dlpi_phdr, usize::from(info.dlpi_phnum)) };
        if !holds(info, headers, walk.address) {
            return 0;
        }
        for header in headers {
            const CODE: u32 = libc::PF_X | libc::PF_R;
            if header.p_type == libc::PT_LOAD && header.p_flags & CODE == CODE {
                let start = (info.dlpi_addr as usize).wrapping_add(header.p_vaddr as usize);
                (walk.each)(start, start.wrapping_add(header.p_memsz as usize));
            }
        }
        1
    }
    let mut state = Walk { address: address as usize, each: &mut each };
    if !address.is_null() {
        // SAFETY: `walk` matches the callback's type, and gets `state` while it lives.
        unsafe { libc::dl_iterate_phdr(Some(walk), (&raw mut state).cast()) };
    }
}

/// Where the code of an interpreter's own begins and ends, in whose object `address` lies; `None` where that is the program itself, and this
/// is no program whose name begins with `name`: what there is not the interpreter's cannot be told. For the constructor.
pub fn code_of_interpreter(address: *const c_void, name: &[u8]) -> Option<[usize; 2]> {
    let mut path = [0; 4096];
    if Object::of(address)?.is_program() && !executable(&mut path).starts_with(name) {
        return None;
    }
    let mut code = [usize::MAX, 0];
    each_code_segment(address, |start, end| {
        let [first, last] = &mut code;
        (*first, *last) = (start.min(*first), end.max(*last));
    });
    Some(code)
}

/// The name of the program's file, without its directory: a script is run by its interpreter's.
fn executable(path: &mut [u8]) -> &[u8] {
    // SAFETY: a C string, and a buffer that is valid for its length.
    let length = unsafe { libc::readlink(c"/proc/self/exe".as_ptr(), path.as_mut_ptr().cast(), path.len()) };
    let path = usize::try_from(length).ok().and_then(|length| path.get(..length)).unwrap_or_default();
    path.rsplit(|&byte| byte == b'/').next().unwrap_or_default()
}

/// What is mapped at `address`, by /proc/self/maps: unlike dl_iterate_phdr(3) it waits for no lock.
pub fn mapping_of(address: usize) -> Option<Mapping> {
    let mut search = mappings::Search::new(address);
    let mut buffer = [0; 512];
    files::read_in_pieces(c"/proc/self/maps", &mut buffer, |piece| search.read(piece))
}

/// Whether `address` lies in one of an object's segments.
fn holds(info: &libc::dl_phdr_info, headers: &[libc::Elf64_Phdr], address: usize) -> bool {
    let offset = address.wrapping_sub(info.dlpi_addr as usize);
    headers.iter().any(|header| {
        header.p_type == libc::PT_LOAD && offset.wrapping_sub(header.p_vaddr as usize) < header.p_memsz as usize
    })
}

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
        if !holds(info, headers, search.address) {
            return 0;
        }
        search.found = Some(Object(info.dlpi_phdr.cast()));
        1
    }
}
