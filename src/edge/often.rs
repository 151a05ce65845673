//! Only with the cargo feature `often`, which `scripts/compare-programs` builds and nobody else: the test suites of CPython and Ruby serve
//! nobody, so that hardly anything would ever be given back. CPython calls `memset` for nearly every object with fields, many thousand
//! times a second; each hundredth of those on the main thread queues a release of its pools, by the very way that one takes after a wait.
//! Ruby calls it less; each tenth is taken for a request that was answered, after which each quiet moment is one for a collection.
//! Node's garbage is collected at nearly every wait ([`crate::reclaim::node`]).

use core::arch::asm;
use core::ffi::{c_int, c_void};
use core::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};

use crate::own::process;
use crate::own::runtime::runtime;
use crate::reclaim::python;
use crate::sys::errno::keeping_errno;
use crate::sys::{pools, signals};
use crate::watch::observe;

/// One call of so many queues a release.
const EACH: u64 = 100;
/// One call of so many is a request of Ruby's.
const EACH_OF_RUBY: u64 = 10;

static CALLS: AtomicU64 = AtomicU64::new(0);
/// Whether one is being queued: what does that calls `memset` itself.
static QUEUES: AtomicBool = AtomicBool::new(false);
/// The same of a request.
static SERVES: AtomicBool = AtomicBool::new(false);

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
    if calls % EACH_OF_RUBY == EACH_OF_RUBY - 1 {
        serve();
    }
    memory
}

#[cold]
#[inline(never)]
fn serve() {
    let may = runtime().is_some_and(|runtime| runtime.ruby.is_some()) && !process::is_borrowed();
    if may && !SERVES.swap(true, Relaxed) {
        keeping_errno(|| {
            if process::open() {
                observe::served();
            }
        });
        SERVES.store(false, Relaxed);
    }
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
