//! The `hooks!` macro: a hook is exported under the name of a libc function. Its declaration is checked against libc's at
//! compile time, and the function that it stands in front of is the next definition of its name ([`crate::sys::next`]).

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
        mod next {
            use super::*;
            $(
                /// The function that the hook of this name stands in front of.
                #[allow(non_upper_case_globals)] // SAFETY: the hook's own signature, checked below.
                pub static $name: Next<hooks!(@type [$($kind)?] ($($type),+) -> $result)> =
                    unsafe { Next::new(hooks!(@name $name)) };
            )+

        }

        /// Looks up what stands behind them, so that no hook has to.
        pub fn resolve_all() {
            $( let _ = next::$name.get(); )+
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
                    // SAFETY: as above; or a function that looks at none of them.
                    unsafe { next::$name.get_or_refuse()($($argument),+) }
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
