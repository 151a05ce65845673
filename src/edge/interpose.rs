//! The `hooks!` macro: a hook is exported under the name of a libc function. Its declaration is checked against libc's at
//! compile time, and the function that it stands in front of is the next definition of its name ([`crate::sys::next`]).

/// Defines the exported functions: `fn name(argument: type, …) -> type = |next| body;`, or `= if condition => |next| body`
/// where nothing but the next definition is called unless `condition` holds, and what it returned is handed to an `else
/// |result| expression` if there is one.
///
/// In `body` the arguments stand under their names, and `next()` calls the next definition with just these
/// arguments. The signature is checked against `libc::name`, but where `#[undeclared]` says that the libc crate
/// has no such function. `#[variadic]` is for what C declares with `...` after the first argument. Where `@caller(register…)` follows
/// the arguments, the address that the call returns to stands under this name: it is one more argument, in the first register that C's leave free on x86-64
/// and on aarch64.
macro_rules! hooks {
    ($($(#[$kind:ident])? fn $name:ident($($argument:ident: $type:ty),+ $(,)?) $(@$caller:ident($x86:literal, $aarch64:literal))? -> $result:ty
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

            hooks!(@export [$($caller $x86 $aarch64)?] $name ($($argument: $type),+) -> $result
                [$($condition)?] $next { $body } [$($after $other)?]);
        )+
    };
    (@export [] $name:ident ($($argument:ident: $type:ty),+) -> $result:ty
     [$($condition:expr)?] $next:ident { $body:expr } [$($after:ident $other:expr)?]) => {
        // The unit tests' own binary must not be interposed.
        #[cfg_attr(not(test), unsafe(no_mangle))]
        pub unsafe extern "C" fn $name($($argument: $type),+) -> $result {
            hooks!(@function $name ($($argument: $type),+) [] -> $result [$($condition)?] $next { $body } [$($after $other)?])
        }
    };
    (@export [$caller:ident $x86:literal $aarch64:literal] $name:ident ($($argument:ident: $type:ty),+) -> $result:ty
     [$($condition:expr)?] $next:ident { $body:expr } [$($after:ident $other:expr)?]) => {
        /// The hook, with the address that the call returns to.
        mod $name {
            use super::*;
            /// See [`hooks!`].
            pub unsafe extern "C" fn returning_to($($argument: $type),+, $caller: usize) -> $result {
                hooks!(@function $name ($($argument: $type),+) [$caller: usize] -> $result [$($condition)?] $next { $body } [$($after $other)?])
            }
        }
        #[cfg_attr(not(test), unsafe(no_mangle))]
        #[unsafe(naked)]
        pub unsafe extern "C" fn $name($($argument: $type),+) -> $result {
            #[cfg(target_arch = "x86_64")]
            naked_asm!(concat!("mov ", $x86, ", [rsp]"), "jmp {hook}", hook = sym $name::returning_to);
            #[cfg(target_arch = "aarch64")]
            naked_asm!(concat!("mov ", $aarch64, ", x30"), "b {hook}", hook = sym $name::returning_to);
        }
    };
    (@function $name:ident ($($argument:ident: $type:ty),+) [$($caller:ident: $address:ty)?] -> $result:ty
     [$($condition:expr)?] $next:ident { $body:expr } [$($after:ident $other:expr)?]) => {{
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
        hooks!(@body [$($condition)?] $next ($($argument: $type),+) [$($caller: $address)?] -> $result { $body } [$($after $other)?])
    }};
    (@body [] $next:ident ($($argument:ident: $type:ty),+) [] -> $result:ty { $body:expr } []) => {{
        // By value: the fast path keeps its arguments in registers.
        let $next = move || next($($argument),+);
        $body
    }};
    (@body [$condition:expr] $next:ident ($($argument:ident: $type:ty),+) [$($caller:ident: $address:ty)?] -> $result:ty { $body:expr }
     [$($after:ident $other:expr)?]) => {{
        /// What is seldom the case: apart, for the same reason.
        #[inline(never)]
        fn concerned($($argument: $type,)+ $($caller: $address)?) -> $result {
            let $next = move || next($($argument),+);
            $body
        }
        if $condition {
            concerned($($argument,)+ $($caller)?)
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
