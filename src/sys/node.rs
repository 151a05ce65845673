//! Node's V8: which isolate is the calling thread's, and a word to it that memory is short.
//!
//! All three symbols are exported by Node 18 to 24, and by Debian's libnode.so. The functions are V8's public ones (v8-isolate.h).

use core::ffi::{c_int, c_void};
use core::mem::transmute;
use core::ptr::NonNull;
use core::sync::atomic::{AtomicU8, AtomicU32, Ordering};

use super::optional::optional;
use super::{filter, threads};
use crate::sys;

type TryGetCurrent = unsafe extern "C" fn() -> *mut c_void;
type MemoryPressureNotification = unsafe extern "C" fn(*mut c_void, c_int);

/// `v8::MemoryPressureLevel::kCritical`, the last of three.
const CRITICAL: c_int = 2;

/// The program's own Node.
#[derive(Clone, Copy)]
pub struct Node {
    /// `node::per_process::v8_initialized`, an atomic bool: before it is set nobody has an isolate.
    is_up: &'static AtomicU8,
    /// `v8::Isolate::TryGetCurrent`.
    current: TryGetCurrent,
    /// `v8::Isolate::MemoryPressureNotification`.
    notify: MemoryPressureNotification,
}

/// The isolate that the calling thread has entered. Not to be kept: it lives as long as that thread says.
#[derive(Clone, Copy)]
pub struct Isolate(NonNull<c_void>);

/// What the thread of [`Node::notify`] is told, on the stack of who waits for it.
struct Message {
    node: Node,
    isolate: Isolate,
    is_delivered: AtomicU32,
}

impl Node {
    /// `None` where the program has no Node when it starts, or hides one of these. For the constructor.
    pub fn find() -> Option<Node> {
        if optional().node.is_null() {
            return None;
        }
        let symbol = |name| Some(sys::symbol(name)).filter(|address| !address.is_null());
        let is_up = symbol(c"_ZN4node11per_process14v8_initializedE")?;
        let current = symbol(c"_ZN2v87Isolate13TryGetCurrentEv")?;
        let notify = symbol(c"_ZN2v87Isolate26MemoryPressureNotificationENS_19MemoryPressureLevelE")?;
        threads::resolve();
        // SAFETY: the mangled names say what these are; the first is `std::atomic<bool>`, one byte that is never unmapped, because
        // an object that defines symbols for this one is not unloaded.
        unsafe {
            Some(Node {
                is_up: &*is_up.cast::<AtomicU8>(),
                current: transmute::<*const c_void, TryGetCurrent>(current),
                notify: transmute::<*const c_void, MemoryPressureNotification>(notify),
            })
        }
    }

    /// The calling thread's isolate: the main thread's, or a worker's. `None` on all other threads, and where V8 is not up.
    pub fn isolate(&self) -> Option<Isolate> {
        if self.is_up.load(Ordering::Acquire) == 0 {
            return None;
        }
        // SAFETY: no preconditions, now that V8 has its key: it looks at thread-local storage.
        NonNull::new(unsafe { (self.current)() }).map(Isolate)
    }

    /// Tells `isolate`, the calling thread's own, that memory is critically short: it will collect all of its garbage in a task on this
    /// thread's event loop. False where that could not be told.
    ///
    /// Told on the isolate's own thread V8 collects at once, in here. So it is told from another one, which V8 allows at any time and
    /// for which it queues a task. That thread lives for this alone, and the caller waits for it: meanwhile the isolate cannot end.
    #[inline(never)]
    pub fn notify(&self, isolate: Isolate) -> bool {
        if filter::is_restricted() {
            return false;
        }
        let message = Message { node: *self, isolate, is_delivered: AtomicU32::new(0) };
        if !threads::start(deliver, (&raw const message) as u64, threads::STACK) {
            return false;
        }
        while message.is_delivered.load(Ordering::Acquire) == 0 {
            threads::wait_while(&message.is_delivered, 0);
        }
        true
    }
}

extern "C" fn deliver(message: *mut c_void) -> *mut c_void {
    // SAFETY: who started this thread waits until it says that this is done; the message is not looked at after that.
    unsafe {
        let message = &*message.cast::<Message>();
        (message.node.notify)(message.isolate.0.as_ptr(), CRITICAL);
        let is_delivered = &raw const message.is_delivered;
        (*is_delivered).store(1, Ordering::Release);
        threads::wake(is_delivered);
    }
    core::ptr::null_mut()
}
