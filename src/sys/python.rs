//! CPython's cyclic garbage collector, and its queue of calls to be made on the main thread.
//!
//! All functions that are called are public: of the stable ABI (since 3.2; PyGC_IsEnabled since 3.10), but for PyGILState_Check (3.4). Where the
//! interpreter is not up none is called that does more than to say so.

use core::ffi::{c_int, c_void};
use core::mem::transmute;
use core::sync::atomic::{AtomicUsize, Ordering::Relaxed};

use super::objects;
use super::optional::{Optional, optional};
use crate::sys;

/// What CPython calls on its main thread; 0 = no exception.
type Call = extern "C" fn(*mut c_void) -> c_int;

type AddPendingCall = unsafe extern "C" fn(Call, *mut c_void) -> c_int;
type Collect = unsafe extern "C" fn() -> isize;
type ThreadState = unsafe extern "C" fn() -> *const c_void;
type IsSo = unsafe extern "C" fn() -> c_int;
type Ensure = unsafe extern "C" fn() -> c_int;
type Release = unsafe extern "C" fn(c_int);

/// The program's own CPython.
#[derive(Clone, Copy)]
pub struct Python {
    add_pending_call: AddPendingCall,
    collect: Collect,
    /// Absent before 3.10.
    is_enabled: Option<IsSo>,
    thread_state: ThreadState,
    is_initialized: IsSo,
    ensure: Ensure,
    release: Release,
    holds_lock: IsSo,
    /// Where the code of libpython, or of `python…`, begins and ends.
    code: [usize; 2],
}

/// The modules that wait for what Python code waits for (a socket's timeout is a poll), where each is a library of its own: what its file's name begins with.
const MODULES: [&[u8]; 2] = [b"select.", b"_socket."];
/// Where they are; zeros = not known yet.
static PLACES: [[AtomicUsize; 2]; 2] = [const { [const { AtomicUsize::new(0) }; 2] }; 2];

impl Python {
    /// `None` where the program has no CPython when it starts, or a free-threaded one. Before 3.8, when Py_BytesMain came,
    /// PyGC_Collect did not respect gc.disable(). For the constructor.
    pub fn find() -> Option<Python> {
        let &Optional { python, python_without_lock, python_tkinter, python_ssl, .. } = optional();
        if python.is_null() || !python_without_lock.is_null() {
            return None;
        }
        let function = |name| Some(sys::symbol(name)).filter(|address| !address.is_null());
        function(c"Py_BytesMain")?;
        // SAFETY: each has the type under which Python.h declares it.
        unsafe {
            Some(Python {
                add_pending_call: transmute::<*const c_void, AddPendingCall>(function(c"Py_AddPendingCall")?),
                collect: transmute::<*const c_void, Collect>(function(c"PyGC_Collect")?),
                is_enabled: function(c"PyGC_IsEnabled").map(|address| transmute::<*const c_void, IsSo>(address)),
                thread_state: transmute::<*const c_void, ThreadState>(function(c"PyGILState_GetThisThreadState")?),
                is_initialized: transmute::<*const c_void, IsSo>(function(c"Py_IsInitialized")?),
                ensure: transmute::<*const c_void, Ensure>(python),
                release: transmute::<*const c_void, Release>(function(c"PyGILState_Release")?),
                holds_lock: transmute::<*const c_void, IsSo>(function(c"PyGILState_Check")?),
                // Where these are in there, so are X11 and OpenSSL, whose waits are not CPython's.
                code: match python_tkinter.is_null() && python_ssl.is_null() {
                    true => objects::code_of_interpreter(python, b"python").unwrap_or_default(),
                    false => [0, 0],
                },
            })
        }
    }

    /// Has `call` made between two bytecodes of the main thread, which holds the interpreter lock then; whether it will
    /// be. Needs no interpreter lock. To be called on the main thread, with signals blocked: who else could end the
    /// interpreter meanwhile, or hold the queue's lock on this thread?
    pub fn schedule(&self, call: Call) -> bool {
        // SAFETY: the first two only look (the second at thread-local storage, null before and after the interpreter's
        // life). The queue exists as long as this thread's state does.
        unsafe {
            self.is_up()
                && !(self.thread_state)().is_null()
                && (self.add_pending_call)(call, core::ptr::null_mut()) == 0
        }
    }

    /// Whether the interpreter is up, and not on its way down.
    pub fn is_up(&self) -> bool {
        // SAFETY: no preconditions.
        unsafe { (self.is_initialized)() != 0 }
    }

    /// Whether a call that returns to `caller` is made by CPython itself, which has left the interpreter lock for it.
    pub fn waits_itself(&self, caller: usize) -> bool {
        // SAFETY: no preconditions: it looks whose the lock is. Where several interpreters make that unknown it says 1.
        if unsafe { (self.holds_lock)() } != 0 {
            return false;
        }
        let [first, last] = self.code;
        let is_module = || PLACES.iter().any(|[start, end]| (start.load(Relaxed)..end.load(Relaxed)).contains(&caller));
        (first..last).contains(&caller) || is_module() || {
            let Some(mapping) = objects::mapping_of(caller) else { return false };
            let place = MODULES.iter().zip(&PLACES).find(|(name, _)| mapping.name.starts_with(name));
            if let Some((_, [start, end])) = place {
                start.store(mapping.start, Relaxed);
                end.store(mapping.end, Relaxed);
            }
            place.is_some()
        }
    }

    /// Does `work` with the interpreter lock held, if the calling thread is one of CPython's; whether it did. To be called where this thread does not
    /// hold it. No code of Python's runs when it is taken or left.
    pub fn holding_lock(&self, work: impl FnOnce()) -> bool {
        // SAFETY: the first two only look. This thread has a state, which outlives the pair of calls.
        unsafe {
            if !self.is_up() || (self.thread_state)().is_null() {
                return false;
            }
            let before = (self.ensure)();
            work();
            (self.release)(before);
            true
        }
    }

    /// A full collection; nothing where the program has switched collections off (gc.disable), and what it has frozen
    /// (gc.freeze) is left alone. False where it is known to have been nothing. For a call that [`Python::schedule`] has arranged.
    pub fn collect(&self) -> bool {
        // SAFETY: the interpreter lock is held. It keeps a pending exception, and does nothing within a collection.
        unsafe {
            let is_enabled = self.is_enabled.is_none_or(|is_enabled| is_enabled() != 0);
            if is_enabled {
                (self.collect)();
            }
            is_enabled
        }
    }
}
