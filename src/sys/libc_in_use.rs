//! Whose C library the program uses: glibc or musl. One file serves both: each function that it calls is in either, or is looked up.

use core::ffi::{CStr, c_char, c_void};
use core::mem::transmute;

use crate::pure::text::Text;
use crate::sys;

/// The C library.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Libc {
    /// Of this version, such as `2.36`.
    Glibc(&'static [u8]),
    /// It tells no version.
    Musl,
}

impl Libc {
    /// `None` where it is another one. For the constructor.
    pub fn find() -> Option<Libc> {
        type Version = unsafe extern "C" fn() -> *const c_char;
        // First: what stands in for glibc under musl (gcompat) tells a version of glibc's. This is a step of the start of musl's dynamic
        // linker, which looks it up itself by this name (ldso/dynlink.c).
        if !sys::symbol(c"__dls3").is_null() {
            return Some(Libc::Musl);
        }
        let version = sys::symbol(c"gnu_get_libc_version");
        if version.is_null() {
            return None;
        }
        // SAFETY: glibc's own symbol has this type (gnu/libc-version.h), and returns a static C string.
        Some(Libc::Glibc(unsafe { CStr::from_ptr(transmute::<*const c_void, Version>(version)()) }.to_bytes()))
    }

    /// glibc's version; empty where it is another one.
    pub const fn glibc(self) -> &'static [u8] {
        match self {
            Libc::Glibc(version) => version,
            Libc::Musl => b"",
        }
    }

    /// Its name, and where it tells one its version: `glibc-2.36`, `musl`.
    pub fn name(self) -> Text<24> {
        let mut name = Text::new();
        match self {
            Libc::Glibc(version) => name.text("glibc-").bytes(version),
            Libc::Musl => name.text("musl"),
        };
        name
    }

    /// Whether its select(2) tells in its timeout what was left, as the kernel does; musl's passes the kernel a copy.
    pub fn tells_rest_of_select(self) -> bool {
        self != Libc::Musl
    }
}
