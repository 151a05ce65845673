//! Functions that some programs have and most have not.
//!
//! Weak references: the dynamic linker looks them up when it loads this library, as `dlsym(RTLD_DEFAULT)` would, but
//! one that nothing defines costs no text of an error in memory (which may be all that a small program ever allocates).

use core::arch::global_asm;
use core::ffi::c_void;

/// The table, its symbols and the references to them, from one list.
macro_rules! optional {
    ($($(#[$doc:meta])* $name:ident = $symbol:literal,)+) => {
        /// Addresses; null where nothing defines the symbol.
        #[repr(C)]
        pub struct Optional {
            $($(#[$doc])* pub $name: *const c_void,)+
        }

        // SAFETY: never written after the dynamic linker is done.
        unsafe impl Sync for Optional {}

        global_asm!(
            ".pushsection .data.rel.ro,\"aw\",@progbits",
            ".balign 8",
            ".hidden autotrim_optional",
            ".globl autotrim_optional",
            "autotrim_optional:",
            $( concat!(".weak ", $symbol), concat!(".quad ", $symbol), )+
            ".popsection",
        );
    };
}

optional! {
    /// CPython's lock.
    python = "PyGILState_Ensure",
    /// In a free-threaded CPython alone.
    python_without_lock = "_Py_MergeZeroLocalRefcount",
    /// What is linked into few of them, with a library below that waits: `_tkinter` with X11, and `_ssl` with OpenSSL.
    python_tkinter = "PyInit__tkinter",
    /// See above.
    python_ssl = "PyInit__ssl",
    /// Node's.
    node = "_ZN4node21LowMemoryNotificationEv",
    /// Ruby's start.
    ruby = "ruby_init",
    /// Java's launcher.
    java_launcher = "JLI_Launch",
    /// Java itself, linked into another program.
    java = "JNI_GetCreatedJavaVMs",
    /// jemalloc's, as malloc.
    jemalloc = "mallctl",
    /// jemalloc's under its own prefix, beside whatever malloc is.
    prefixed_jemalloc = "je_mallctl",
    /// gperftools' tcmalloc.
    gperftools = "MallocExtension_ReleaseFreeMemory",
    /// Google's tcmalloc.
    google = "MallocExtension_Internal_ReleaseMemoryToSystem",
    /// mimalloc, as malloc or beside it.
    mimalloc = "mi_collect",
}

unsafe extern "C" {
    #[link_name = "autotrim_optional"]
    static OPTIONAL: Optional;
}

/// What this program has of them.
pub fn optional() -> &'static Optional {
    // SAFETY: defined above, and filled before any of our code runs.
    unsafe { &OPTIONAL }
}
