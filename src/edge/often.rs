//! Only with the cargo feature `often`, which `scripts/compare-programs` builds and nobody else: the test suites of CPython and Ruby serve
//! nobody, so that hardly anything would ever be given back. CPython calls `memset` for nearly every object with fields, many thousand
//! times a second; each hundredth of those on the main thread queues a release of its pools, by the very way that one takes after a wait.
//! The garbage of Ruby and Node is collected at nearly every wait ([`crate::reclaim::ruby`], [`crate::reclaim::node`]).

use core::arch::asm;
use core::ffi::{c_int, c_void};
use core::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};

use crate::own::process;
use crate::own::runtime::runtime;
use crate::reclaim::python;
use crate::sys::errno::keeping_errno;
use crate::sys::{pools, signals};

/// One call of so many queues a release.
const EACH: u64 = 100;

static CALLS: AtomicU64 = AtomicU64::new(0);
/// Whether one is being queued: what does that calls `memset` itself.
static QUEUES: AtomicBool = AtomicBool::new(false);

/// As libc's.
///
/// # Safety
/// As libc's.
#[cfg_attr(not(test), unsafe(no_mangle))]
pub unsafe extern "C" fn memset(memory: *mut c_void, byte: c_int, length: usize) -> *mut c_void {
    // SAFETY: the caller's memory, of that length. By an instruction: the compiler would make a call of this function of a loop.
    unsafe {
        asm!("rep stosb", inout("rdi") memory => _, inout("rcx") length => _, in("al") byte as u8,
             options(nostack, preserves_flags));
    }
    let calls = CALLS.fetch_add(1, Relaxed);
    if calls % EACH == EACH - 1 {
        queue();
    }
    memory
}

#[cold]
#[inline(never)]
fn queue() {
    let may = runtime().is_some_and(|runtime| runtime.python.is_some()) && pools::are_known();
    if !may || QUEUES.swap(true, Relaxed) {
        return;
    }
    keeping_errno(|| {
        // Nobody serves: there is no page yet.
        if process::open() {
            process::with(|process| {
                let shield = signals::shield();
                python::release_soon(process, &shield);
                shield.end();
            });
        }
    });
    QUEUES.store(false, Relaxed);
}
