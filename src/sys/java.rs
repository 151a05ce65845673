//! Java's virtual machine, asked for a collection by what it offers to everybody: the invocation interface of JNI (jni.h).
//!
//! It is never loaded by us, and never created: the launcher loads libjvm.so for all to see (libjli: dlopen with RTLD_GLOBAL), and a program
//! into which it is linked has it from the start. All calls are for the thread of our own.

use core::ffi::{CStr, c_char, c_int, c_void};
use core::mem::transmute;
use core::ptr;

use super::optional::optional;
use crate::sys;

/// The stack of a thread that is attached: what HotSpot gives Java's own threads (ThreadStackSize on 64-bit Linux). Of it, HotSpot makes 16 KB a guard,
/// keeps 80 KB free beyond each frame of Java's, and what is touched takes memory.
pub const STACK: usize = 1024 * 1024;

/// `JNI_VERSION_1_6`, of all since.
const VERSION: c_int = 0x0001_0006;
/// `JNI_OK`.
const OK: c_int = 0;

/// What jni.h calls `JavaVM` and `JNIEnv`: what points to a table of functions, each of which gets that as its first argument.
type Interface = *const *const *const c_void;
/// A reference to an object or a class, or a method's id; null = there is none.
type Reference = *const c_void;

/// `JavaVMAttachArgs`.
#[repr(C)]
struct Arguments {
    version: c_int,
    name: *const c_char,
    group: Reference,
}

type GetCreated = unsafe extern "C" fn(*mut Interface, c_int, *mut c_int) -> c_int;
type Attach = unsafe extern "C" fn(Interface, *mut Interface, *const Arguments) -> c_int;
type Detach = unsafe extern "C" fn(Interface) -> c_int;
type FindClass = unsafe extern "C" fn(Interface, *const c_char) -> Reference;
type GetMethod = unsafe extern "C" fn(Interface, Reference, *const c_char, *const c_char) -> Reference;
type CallVoid = unsafe extern "C" fn(Interface, Reference, Reference, *const c_void);
type NewBytes = unsafe extern "C" fn(Interface, c_int) -> Reference;
type Refer = unsafe extern "C" fn(Interface, Reference) -> Reference;
type Delete = unsafe extern "C" fn(Interface, Reference);
type IsSame = unsafe extern "C" fn(Interface, Reference, Reference) -> u8;
type Clear = unsafe extern "C" fn(Interface);

/// Functions by their places in the tables, which no version has changed (The Java Native Interface Specification, chapters 4 and 5).
mod place {
    pub const DETACH_CURRENT_THREAD: usize = 5;
    pub const ATTACH_CURRENT_THREAD_AS_DAEMON: usize = 7;

    pub const FIND_CLASS: usize = 6;
    pub const EXCEPTION_CLEAR: usize = 17;
    pub const DELETE_LOCAL_REF: usize = 23;
    pub const IS_SAME_OBJECT: usize = 24;
    pub const GET_STATIC_METHOD_ID: usize = 113;
    pub const CALL_STATIC_VOID_METHOD_A: usize = 143;
    pub const NEW_BYTE_ARRAY: usize = 176;
    pub const NEW_WEAK_GLOBAL_REF: usize = 226;
    pub const DELETE_WEAK_GLOBAL_REF: usize = 227;
}

/// Reads a function of this type from an interface's table.
macro_rules! function {
    ($interface:expr, $place:ident as $kind:ty) => {
        transmute::<*const c_void, $kind>(*(*$interface).add(place::$place))
    };
}

/// The program's own Java: one that it has, or is about to have.
#[derive(Clone, Copy)]
pub struct Java(());

impl Java {
    /// `None` where the program neither is Java's launcher nor has libjvm linked in. For the constructor.
    pub fn find() -> Option<Java> {
        let is_there = !optional().java_launcher.is_null() || !optional().java.is_null();
        is_there.then_some(Java(()))
    }

    /// Whether there is a virtual machine. Before JDK 21 it may be one that is not yet complete (JDK-8308341).
    pub fn is_there(self) -> bool {
        self.machine().is_some()
    }

    fn machine(self) -> Option<Interface> {
        let symbol = sys::symbol(c"JNI_GetCreatedJavaVMs");
        if symbol.is_null() {
            return None;
        }
        let (mut machine, mut count): (Interface, c_int) = (ptr::null(), 0);
        // SAFETY: the function has this type (jni.h), and writes one pointer at most.
        let answer = unsafe { transmute::<*const c_void, GetCreated>(symbol)(&mut machine, 1, &mut count) };
        (answer == OK && count > 0 && !machine.is_null()).then_some(machine)
    }

    /// Calls `System.gc()` as a daemon that is called `name` for so long, and says whether that has collected: not where the program has switched it off
    /// (`-XX:+DisableExplicitGC`), another thread keeps objects from being moved just now, or the virtual machine does not want this thread.
    pub fn collect(self, name: &CStr) -> bool {
        let Some(machine) = self.machine() else { return false };
        let arguments = Arguments { version: VERSION, name: name.as_ptr(), group: ptr::null() };
        let mut environment: Interface = ptr::null();
        // SAFETY: the machine is one that was created, and is never unmapped; the arguments outlive the call. This thread is of our own, runs no Java yet,
        // and has a stack for it ([`STACK`]).
        unsafe {
            let attach = function!(machine, ATTACH_CURRENT_THREAD_AS_DAEMON as Attach);
            if attach(machine, &mut environment, &arguments) != OK || environment.is_null() {
                return false;
            }
            let collected = collect_in(environment);
            // An attached thread outside of Java holds up the program's end by 0.3 s (VM_Exit::wait_for_threads_in_native_to_block).
            function!(machine, DETACH_CURRENT_THREAD as Detach)(machine);
            collected == Some(true)
        }
    }
}

/// The same on a thread that is attached. A collection is known by an object that nobody refers to: it is gone.
///
/// # Safety
/// `environment` is the calling thread's.
unsafe fn collect_in(environment: Interface) -> Option<bool> {
    // SAFETY: each function has the type that jni.h declares for its place; references are passed on only where they are not null. No exception is
    // pending when another function is called: after what may have thrown one comes the one that clears it.
    unsafe {
        let result = (|| {
            let not_null = |reference: Reference| Some(reference).filter(|reference| !reference.is_null());
            let system =
                not_null(function!(environment, FIND_CLASS as FindClass)(environment, c"java/lang/System".as_ptr()))?;
            let method = function!(environment, GET_STATIC_METHOD_ID as GetMethod);
            let gc = not_null(method(environment, system, c"gc".as_ptr(), c"()V".as_ptr()))?;
            let object = not_null(function!(environment, NEW_BYTE_ARRAY as NewBytes)(environment, 1))?;
            let weak = not_null(function!(environment, NEW_WEAK_GLOBAL_REF as Refer)(environment, object))?;
            function!(environment, DELETE_LOCAL_REF as Delete)(environment, object);
            function!(environment, CALL_STATIC_VOID_METHOD_A as CallVoid)(environment, system, gc, ptr::null());
            function!(environment, EXCEPTION_CLEAR as Clear)(environment);
            let is_gone = function!(environment, IS_SAME_OBJECT as IsSame)(environment, weak, ptr::null()) != 0;
            function!(environment, DELETE_WEAK_GLOBAL_REF as Delete)(environment, weak);
            Some(is_gone)
        })();
        function!(environment, EXCEPTION_CLEAR as Clear)(environment);
        result
    }
}
