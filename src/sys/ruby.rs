//! Ruby's garbage collector, and which waits are Ruby's own.
//!
//! All functions are exported by libruby, or by a `ruby` that is built without it, from 2.7 to 3.4.

use core::ffi::{c_int, c_uint, c_void};
use core::mem::transmute;
use core::ptr;
use core::sync::atomic::{AtomicUsize, Ordering::Relaxed};

use super::objects;
use super::optional::optional;
use crate::pure::mappings::Name;
use crate::sys;

/// Ruby's `Qfalse`.
const FALSE: usize = 0;

type IsSo = unsafe extern "C" fn() -> c_int;
type Work = unsafe extern "C" fn(*mut c_void) -> *mut c_void;
type WithLock = unsafe extern "C" fn(Work, *mut c_void) -> *mut c_void;
type Switch = unsafe extern "C" fn() -> usize;
type Job = unsafe extern "C" fn(*mut c_void);
type Register = unsafe extern "C" fn(c_uint, Job, *mut c_void) -> c_int;

/// The event loops of Ruby's servers of fibers, whose threads wait in epoll_wait without the interpreter lock, and take EINTR for the end of a wait that found
/// nothing: nio4r (libev; Async up to 1, Puma's reactor, Action Cable) and io-event (Async from 2 on, Falcon). As [`objects::mapping_of`] gives their names.
const EVENT_LOOPS: [Name; 2] = [*b"nio4r_ext.so\0\0\0\0", *b"IO_Event.so\0\0\0\0\0"];

/// Where the code of the event loop begins and ends that was found, and what was looked up last and belongs to none.
static EVENT_LOOP: [AtomicUsize; 2] = [AtomicUsize::new(0), AtomicUsize::new(0)];
/// See [`EVENT_LOOP`].
static NO_EVENT_LOOP: AtomicUsize = AtomicUsize::new(0);

/// The program's own Ruby.
#[derive(Clone, Copy)]
pub struct Ruby {
    is_ruby_thread: IsSo,
    has_lock: IsSo,
    with_lock: WithLock,
    collect: Switch,
    disable: Switch,
    enable: Switch,
    /// Missing where nothing can be queued.
    register_job: Option<Register>,
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
                // ruby/debug.h.
                register_job: symbol(c"rb_postponed_job_register_one")
                    .map(|address| transmute::<*const c_void, Register>(address)),
                code,
            })
        }
    }

    /// Whether a call that returns to `caller` is made by Ruby itself, on one of its threads that has left the interpreter lock for as long as
    /// it waits.
    pub fn waits_itself(&self, caller: usize) -> bool {
        let [first, last] = self.code;
        (first..last).contains(&caller) && self.is_outside()
    }

    /// The same of an event loop of a gem's, where something can be queued.
    pub fn waits_in_event_loop(&self, caller: usize) -> bool {
        caller != 0 && self.register_job.is_some() && self.is_outside() && is_event_loop(caller)
    }

    /// Whether the calling thread is one of Ruby's that has left the interpreter lock.
    fn is_outside(&self) -> bool {
        // SAFETY: no preconditions: both look at thread-local storage. The second says whether the thread is outside of a blocking region.
        unsafe { (self.is_ruby_thread)() != 0 && (self.has_lock)() == 0 }
    }

    /// Has Ruby call `job`, with the interpreter lock held, when the calling thread next looks for interrupts: where it leaves the blocking region that it is
    /// in ([`Ruby::waits_in_event_loop`]), as Ruby has it run traps and finalizers there. No Ruby code runs in here.
    pub fn queue(&self, job: Job) {
        extern "C" fn register(jobs: *mut c_void) -> *mut c_void {
            // SAFETY: `jobs` is what is passed below, which lives until this returns. With the lock held the thread is the running one, by which
            // the job is noticed (vm_trace.c, `rb_vm_main_ractor_ec`). Where Ruby's queue is full, nothing happens.
            unsafe {
                let (register_job, job) = *jobs.cast::<(Register, Job)>();
                register_job(0, job, ptr::null_mut());
            }
            ptr::null_mut()
        }
        if let Some(register_job) = self.register_job {
            let mut jobs = (register_job, job);
            // SAFETY: the thread is in a blocking region: else Ruby would end the program.
            unsafe { (self.with_lock)(register, (&raw mut jobs).cast()) };
        }
    }

    /// Has `work` called with the interpreter lock held, as soon as it can be had. To be called in a wait of Ruby's own
    /// ([`Ruby::waits_itself`]) with nothing held: Ruby looks for interrupts at the end, and what those raise leaves by longjmp, through the
    /// caller of this, as it leaves such a wait at its beginning and at its end.
    pub fn with_lock(&self, work: Work) {
        // SAFETY: the thread is in a blocking region: else Ruby would end the program.
        unsafe { (self.with_lock)(work, ptr::null_mut()) };
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

/// Whether `caller` lies in the code of one. Looked up once for each event loop, and each time that another stranger's address comes.
fn is_event_loop(caller: usize) -> bool {
    let [first, last] = &EVENT_LOOP;
    if (first.load(Relaxed)..last.load(Relaxed)).contains(&caller) {
        return true;
    }
    if NO_EVENT_LOOP.load(Relaxed) == caller {
        return false;
    }
    match objects::mapping_of(caller).filter(|mapping| EVENT_LOOPS.contains(&mapping.name)) {
        Some(mapping) => {
            // Whoever reads one of them alone takes it for none.
            last.store(mapping.end, Relaxed);
            first.store(mapping.start, Relaxed);
            true
        }
        None => {
            NO_EVENT_LOOP.store(caller, Relaxed);
            false
        }
    }
}
