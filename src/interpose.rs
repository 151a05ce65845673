//! The `hooks!` macro and what it needs: the next definition of a symbol, and errno.
//!
//! A hook is exported under the name of a libc function. Its declaration is checked against libc's at compile
//! time, and the function that it stands in front of is found by `dlsym(RTLD_NEXT)`: another preloaded
//! library's, or libc's.

use core::ffi::{CStr, c_int};
use core::marker::PhantomData;
use core::mem::{size_of, transmute_copy};
use core::num::NonZeroUsize;

use once_cell::race::OnceNonZeroUsize;

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

    fn function(address: NonZeroUsize) -> F {
        // SAFETY: the address came from `dlsym` for this name, and `new`'s caller promised that F fits.
        unsafe { transmute_copy::<usize, F>(&address.get()) }
    }
}

impl Symbol {
    /// Looks the symbol up. It does so once per symbol, in the constructor; a call from a constructor that
    /// ran before ours gets here earlier. `dlsym` of a symbol that exists does not allocate (glibc
    /// elf/dl-sym.c); two threads at once find the same address.
    #[cold]
    #[inline(never)]
    fn resolve(&self) -> Option<NonZeroUsize> {
        // SAFETY: the name is a C string; dlsym has no other precondition.
        let address = unsafe { libc::dlsym(libc::RTLD_NEXT, self.name.as_ptr()) };
        let Some(address) = NonZeroUsize::new(address as usize) else {
            // SAFETY: no preconditions. The program must not find our failure.
            unsafe { libc::dlerror() };
            return None;
        };
        let _ = self.address.set(address);
        Some(address)
    }
}

/// What a hook returns when there is no function behind it: −1, with errno = ENOSYS.
pub trait Failure {
    /// The value −1.
    const FAILED: Self;
}

impl Failure for c_int {
    const FAILED: c_int = -1;
}

impl Failure for isize {
    const FAILED: isize = -1;
}

impl Failure for i64 {
    const FAILED: i64 = -1;
}

/// Sets errno, and returns −1 as libc's functions do.
#[cold]
#[inline(never)]
pub fn fail<R: Failure>(code: c_int) -> R {
    set_errno(code);
    R::FAILED
}

/// The calling thread's errno.
pub fn errno() -> c_int {
    // SAFETY: libc returns a pointer that is valid for the life of the thread.
    unsafe { *libc::__errno_location() }
}

/// Sets the calling thread's errno.
pub fn set_errno(code: c_int) {
    // SAFETY: as in `errno`.
    unsafe { *libc::__errno_location() = code }
}

/// Runs `work`, which may call into libc, and leaves errno as it was.
pub fn keeping_errno<R>(work: impl FnOnce() -> R) -> R {
    let before = errno();
    let result = work();
    set_errno(before);
    result
}

/// Defines the exported functions: `fn name(argument: type, …) -> type = |next| body;`, or `= if condition => |next| body`
/// where nothing but the next definition is called unless `condition` holds, and what it returned is handed to an `else
/// |result| expression` if there is one.
///
/// In `body` the arguments stand under their names, and `next()` calls the next definition with just these
/// arguments. The signature is checked against `libc::name`, but where `#[undeclared]` says that the libc crate
/// has no such function. `#[variadic]` is for what C declares with `...` after the first argument.
macro_rules! hooks {
    ($($(#[$kind:ident])? fn $name:ident($($argument:ident: $type:ty),+ $(,)?) -> $result:ty
       = $(if $condition:expr =>)? |$next:ident| $body:expr $(, else |$after:ident| $other:expr)?;)+) => {
        /// The next definition of each hooked symbol.
        pub mod next {
            use super::*;
            $(
                /// The function that the hook of this name stands in front of.
                #[allow(non_upper_case_globals)] // SAFETY: the hook's own signature, checked below.
                pub static $name: Next<hooks!(@type [$($kind)?] ($($type),+) -> $result)> =
                    unsafe { Next::new(hooks!(@name $name)) };
            )+

            /// Looks all of them up, so that no hook has to.
            pub fn resolve_all() {
                $( let _ = $name.get(); )+
            }
        }
        $(
            hooks!(@check [$($kind)?] $name ($($type),+) -> $result);

            // The unit tests' own binary must not be interposed.
            #[cfg_attr(not(test), unsafe(no_mangle))]
            pub unsafe extern "C" fn $name($($argument: $type),+) -> $result {
                #[inline(always)]
                fn next($($argument: $type),+) -> $result {
                    match next::$name.known() {
                        // SAFETY: the caller's own arguments, handed on to the function it called.
                        Some(function) => unsafe { function($($argument),+) },
                        None => late($($argument),+),
                    }
                }
                /// Before the constructor: apart, so that the fast path can jump to the function and need no frame.
                #[cold]
                #[inline(never)]
                fn late($($argument: $type),+) -> $result {
                    match next::$name.get() {
                        // SAFETY: as above.
                        Some(function) => unsafe { function($($argument),+) },
                        None => fail(libc::ENOSYS),
                    }
                }
                hooks!(@body [$($condition)?] $next ($($argument: $type),+) -> $result { $body } [$($after $other)?])
            }
        )+
    };
    (@body [] $next:ident ($($argument:ident: $type:ty),+) -> $result:ty { $body:expr } []) => {{
        // By value: the fast path keeps its arguments in registers.
        let $next = move || next($($argument),+);
        $body
    }};
    (@body [$condition:expr] $next:ident ($($argument:ident: $type:ty),+) -> $result:ty { $body:expr }
     [$($after:ident $other:expr)?]) => {{
        /// What is seldom the case: apart, for the same reason.
        #[inline(never)]
        fn concerned($($argument: $type),+) -> $result {
            let $next = move || next($($argument),+);
            $body
        }
        if $condition {
            concerned($($argument),+)
        } else {
            let result = next($($argument),+);
            $( let $after = result; let result = $other; )?
            result
        }
    }};
    (@name $name:ident) => {
        match core::ffi::CStr::from_bytes_with_nul(concat!(stringify!($name), "\0").as_bytes()) {
            Ok(name) => name,
            Err(_) => unreachable!(),
        }
    };
    (@type [variadic] ($first:ty, $($type:ty),+) -> $result:ty) => {
        unsafe extern "C" fn($first, ...) -> $result
    };
    (@type [$($kind:ident)?] ($($type:ty),+) -> $result:ty) => {
        unsafe extern "C" fn($($type),+) -> $result
    };
    (@check [undeclared] $name:ident ($($type:ty),+) -> $result:ty) => {};
    (@check [$($kind:ident)?] $name:ident ($($type:ty),+) -> $result:ty) => {
        const _: hooks!(@type [$($kind)?] ($($type),+) -> $result) = libc::$name;
    };
}
pub(crate) use hooks;
