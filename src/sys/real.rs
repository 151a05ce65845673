//! The real functions behind hooks of ours that we call ourselves: by their own names the calls would come back to us. And malloc, which
//! is to be glibc's own.

use core::ffi::{c_int, c_long, c_void};

use libc::{
    epoll_event, fd_set, nfds_t, pollfd, pthread_attr_t, pthread_t, sigset_t, size_t, sockaddr, socklen_t, ssize_t,
    timespec, timeval,
};

use super::next::Next;

/// What a thread runs.
pub type Run = extern "C" fn(*mut c_void) -> *mut c_void;

/// Declares them by their names. The signatures are checked against libc's, but where `#[variadic]` says that C declares
/// `...` after the first argument.
macro_rules! real {
    ($($(#[$kind:ident])? fn $name:ident($($type:ty),+) -> $result:ty;)+) => {
        $(
            /// The next definition of this name.
            #[allow(non_upper_case_globals)] // SAFETY: libc's own signature, checked below.
            pub static $name: Next<real!(@type [$($kind)?] ($($type),+) -> $result)> = unsafe {
                Next::new(match core::ffi::CStr::from_bytes_with_nul(concat!(stringify!($name), "\0").as_bytes()) {
                    Ok(name) => name,
                    Err(_) => unreachable!(),
                })
            };
            const _: real!(@type [$($kind)?] ($($type),+) -> $result) = libc::$name;
        )+

        /// Looks all of them up, so that nothing has to later.
        pub fn resolve_all() {
            $( let _ = $name.get(); )+
        }
    };
    (@type [variadic] ($first:ty) -> $result:ty) => { unsafe extern "C" fn($first, ...) -> $result };
    (@type [] ($($type:ty),+) -> $result:ty) => { unsafe extern "C" fn($($type),+) -> $result };
}

real! {
    fn read(c_int, *mut c_void, size_t) -> ssize_t;
    fn write(c_int, *const c_void, size_t) -> ssize_t;
    fn connect(c_int, *const sockaddr, socklen_t) -> c_int;
    fn poll(*mut pollfd, nfds_t, c_int) -> c_int;
    fn ppoll(*mut pollfd, nfds_t, *const timespec, *const sigset_t) -> c_int;
    fn select(c_int, *mut fd_set, *mut fd_set, *mut fd_set, *mut timeval) -> c_int;
    fn pselect(c_int, *mut fd_set, *mut fd_set, *mut fd_set, *const timespec, *const sigset_t) -> c_int;
    fn epoll_wait(c_int, *mut epoll_event, c_int, c_int) -> c_int;
    fn epoll_pwait(c_int, *mut epoll_event, c_int, c_int, *const sigset_t) -> c_int;
    fn epoll_pwait2(c_int, *mut epoll_event, c_int, *const timespec, *const sigset_t) -> c_int;
    fn mallopt(c_int, c_int) -> c_int;
    fn malloc(size_t) -> *mut c_void;
    fn realloc(*mut c_void, size_t) -> *mut c_void;
    fn free(*mut c_void) -> ();
    fn pthread_create(*mut pthread_t, *const pthread_attr_t, Run, *mut c_void) -> c_int;
    #[variadic] fn prctl(c_int) -> c_int;
    #[variadic] fn syscall(c_long) -> c_long;
}
