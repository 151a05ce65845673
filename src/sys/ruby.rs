//! Ruby's garbage collector, and which waits are Ruby's own.
//!
//! All functions are exported by libruby, or by a `ruby` that is built without it, from 2.7 to 3.4.

use core::ffi::{c_int, c_void};
use core::mem::transmute;

use super::objects;
use super::optional::optional;
use crate::sys;

/// Ruby's `Qfalse`.
const FALSE: usize = 0;

type IsSo = unsafe extern "C" fn() -> c_int;
type Work = unsafe extern "C" fn(*mut c_void) -> *mut c_void;
type WithLock = unsafe extern "C" fn(Work, *mut c_void) -> *mut c_void;
type Switch = unsafe extern "C" fn() -> usize;

/// The program's own Ruby.
#[derive(Clone, Copy)]
pub struct Ruby {
    is_ruby_thread: IsSo,
    has_lock: IsSo,
    with_lock: WithLock,
    collect: Switch,
    disable: Switch,
    enable: Switch,
    /// Where the code of libruby, or of `ruby`, begins and ends.
    code: [usize; 2],
}

impl Ruby {
    /// `None` where the program has no Ruby when it starts, or one that is linked into another program: whose code there is
    /// Ruby's own cannot be told. For the constructor.
    pub fn find() -> Option<Ruby> {
        if optional().ruby.is_null() {
            return None;
        }
        let symbol = |name| Some(sys::symbol(name)).filter(|address| !address.is_null());
        let with_lock = symbol(c"rb_thread_call_with_gvl")?;
        let code = objects::code_of_interpreter(with_lock, b"ruby")?;
        // SAFETY: each has the type under which ruby/thread.h, ruby/internal/gc.h and ruby/internal/intern/gc.h declare it; the two that look at the thread
        // are declared in Ruby's internal/thread.h, and used by its own extensions.
        unsafe {
            Some(Ruby {
                is_ruby_thread: transmute::<*const c_void, IsSo>(symbol(c"ruby_native_thread_p")?),
                has_lock: transmute::<*const c_void, IsSo>(symbol(c"ruby_thread_has_gvl_p")?),
                with_lock: transmute::<*const c_void, WithLock>(with_lock),
                collect: transmute::<*const c_void, Switch>(symbol(c"rb_gc_start")?),
                disable: transmute::<*const c_void, Switch>(symbol(c"rb_gc_disable")?),
                enable: transmute::<*const c_void, Switch>(symbol(c"rb_gc_enable")?),
                code,
            })
        }
    }

    /// Whether a call that returns to `caller` is made by Ruby itself, on one of its threads that has left the interpreter lock for as long as
    /// it waits.
    pub fn waits_itself(&self, caller: usize) -> bool {
        let [first, last] = self.code;
        // SAFETY: no preconditions: both look at thread-local storage. The second says whether the thread is outside of a blocking region.
        (first..last).contains(&caller) && unsafe { (self.is_ruby_thread)() != 0 && (self.has_lock)() == 0 }
    }

    /// Has `work` called with the interpreter lock held, as soon as it can be had. To be called in a wait of Ruby's own
    /// ([`Ruby::waits_itself`]) with nothing held: Ruby looks for interrupts at the end, and what those raise leaves by longjmp, through the
    /// caller of this, as it leaves such a wait at its beginning and at its end.
    pub fn with_lock(&self, work: Work) {
        // SAFETY: the thread is in a blocking region: else Ruby would end the program.
        unsafe { (self.with_lock)(work, core::ptr::null_mut()) };
    }

    /// A full collection, unless the program has switched collections off (GC.disable); whether there was one. For [`Ruby::with_lock`]'s `work`.
    pub fn collect(&self) -> bool {
        // SAFETY: the interpreter lock is held. Finalizers run as they may at the end of any wait of Ruby's own, and Ruby catches what they raise.
        unsafe {
            let is_on = (self.disable)() == FALSE;
            if is_on {
                (self.enable)();
                (self.collect)();
            }
            is_on
        }
    }
}
