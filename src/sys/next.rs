//! The next definition of a symbol: another preloaded library's, or libc's, by `dlsym(RTLD_NEXT)`.

use core::ffi::{CStr, c_void};
use core::marker::PhantomData;
use core::mem::{size_of, transmute_copy};
use core::num::NonZeroUsize;
use core::ptr;

use once_cell::race::OnceNonZeroUsize;

use super::errno::fail;

/// A function of type `F`, by the symbol's name: the next definition after this library's.
pub struct Next<F> {
    symbol: Symbol,
    signature: PhantomData<fn() -> F>,
}

struct Symbol {
    name: &'static CStr,
    address: OnceNonZeroUsize,
}

impl<F: Copy> Next<F> {
    /// # Safety
    /// `F` must be a function pointer type that fits the symbol `name`: [`Next::get`] reinterprets the
    /// address as an `F`.
    pub const unsafe fn new(name: &'static CStr) -> Self {
        const { assert!(size_of::<F>() == size_of::<usize>()) }
        Next { symbol: Symbol { name, address: OnceNonZeroUsize::new() }, signature: PhantomData }
    }

    /// The function, if it has been looked up: one load.
    #[inline(always)]
    pub fn known(&self) -> Option<F> {
        self.symbol.address.get().map(Self::function)
    }

    /// The function, or `None` where no later object defines the symbol.
    #[inline]
    pub fn get(&self) -> Option<F> {
        self.known().or_else(|| self.symbol.resolve().map(Self::function))
    }

    /// The function, or where no later object defines the symbol, one that fails with ENOSYS.
    #[inline(always)]
    pub fn get_or_refuse(&self) -> F {
        Self::function(self.symbol.resolve_or_refuse())
    }

    fn function(address: NonZeroUsize) -> F {
        // SAFETY: the address came from `dlsym` for this name, and `new`'s caller promised that F fits.
        unsafe { transmute_copy::<usize, F>(&address.get()) }
    }
}

/// Fails as libc's functions do. On both architectures the caller cleans up, so it may be called with any arguments, and −1 is −1
/// in a register of any width.
extern "C" fn refuse() -> isize {
    fail(libc::ENOSYS)
}

impl Symbol {
    /// The address, or that of [`refuse`]. Apart, because each hook has a call of it.
    #[cold]
    #[inline(never)]
    fn resolve_or_refuse(&self) -> NonZeroUsize {
        self.resolve().or_else(|| NonZeroUsize::new(refuse as *const () as usize)).unwrap_or(NonZeroUsize::MAX)
    }

    /// Looks the symbol up. It does so once per symbol, in the constructor; a call from a constructor that
    /// ran before ours gets here earlier. `dlsym` of a symbol that exists does not allocate (glibc
    /// elf/dl-sym.c); two threads at once find the same address.
    #[cold]
    #[inline(never)]
    fn resolve(&self) -> Option<NonZeroUsize> {
        // SAFETY: the name is a C string; dlsym has no other precondition.
        let mut address = unsafe { libc::dlsym(libc::RTLD_NEXT, self.name.as_ptr()) };
        if address.is_null() {
            address = self.find_in_libpthread();
        }
        let Some(address) = NonZeroUsize::new(address as usize) else {
            // SAFETY: no preconditions. The program must not find our failure.
            unsafe { libc::dlerror() };
            return None;
        };
        let _ = self.address.set(address);
        Some(address)
    }

    /// Before glibc 2.34 a program that has no threads itself may load a library that has, and with it libpthread, where nobody else
    /// finds it.
    fn find_in_libpthread(&self) -> *mut c_void {
        // SAFETY: C strings; what is loaded already is not loaded again, and stays.
        unsafe {
            let library = libc::dlopen(c"libpthread.so.0".as_ptr(), libc::RTLD_LAZY | libc::RTLD_NOLOAD);
            if library.is_null() { ptr::null_mut() } else { libc::dlsym(library, self.name.as_ptr()) }
        }
    }
}
