//! `libautotrim.so`: preloaded into an unmodified server, it counts completed requests from outside and gives free
//! heap memory back to the kernel at moments when nobody waits.
//!
//! One request's way through the rooms:
//!
//! 1. [`hooks`] is the list of interposed functions. The server calls `accept`; the hook made by [`interpose`] runs
//!    the real one, and [`observe`] notes the new connection in [`descriptors`].
//! 2. `recv` brings the request: [`connection`] (pure) says that it is pending, and one more is in flight.
//! 3. `send` takes the first bytes of the answer: one request is counted in this [`process`]'s [`stats`].
//! 4. `epoll_wait`: the thread is about to wait. [`wait`] asks the [`hints`] whether there is something to decide, now or before
//!    the wait ends; if so, [`trim`] asks [`decide`] (pure) whether a trim is due, has the [`allocator`] release memory, and
//!    writes a line to the [`log`].
//!
//! What is pushed, or received and never answered, goes the same way but for the count: bytes that come or go are a reason to look. A
//! process that accepts nothing comes by [`tasks`], when it is old enough: each of its waits may be one between two tasks.
//!
//! [`duty`] has the allocator set up for that where a process serves, and only there.
//! What was done is told by [`metrics`], a file for Prometheus; and whether growth is retention or a leak by [`decide::verdict`].
//! [`garbage`] has CPython's collected first, if asked to. [`background`] looks after what needs no request: a period,
//! memory pressure, a signal; on a thread, if asked to.
//! [`options`] holds the one table of options; [`sys`] is the raw edge. `unsafe` code is denied but where marked.
#![cfg_attr(not(test), no_std)]
#![cfg_attr(test, allow(dead_code))]
#![deny(unsafe_code, missing_docs)]

#[allow(unsafe_code)]
mod allocator;
mod ancillary;
mod background;
mod connection;
mod decide;
mod descriptors;
mod duty;
mod errors;
mod garbage;
mod hints;
#[allow(unsafe_code)]
mod hooks;
#[allow(unsafe_code)]
mod interpose;
mod log;
mod metrics;
mod observe;
mod options;
mod process;
#[cfg(test)]
mod properties;
mod stats;
#[allow(unsafe_code)]
mod sys;
mod tasks;
mod text;
mod trim;
mod unseen;
mod wait;

use allocator::{Allocator, Refusal};
use options::Options;
use sys::cell::Late;
use sys::files::{self, Identity};
use sys::memory;
use sys::python::Python;

/// What is fixed at start and the same in every forked child.
#[derive(Clone, Copy)]
struct Runtime {
    options: Options,
    /// Where memory cannot be released, why; then requests are still seen, to say so once.
    allocator: Result<Allocator, Refusal>,
    /// glibc's version, such as `2.36`.
    libc: &'static [u8],
    /// The interpreter whose garbage is to be collected; `None` where that is not asked for, or there is none.
    python: Option<Python>,
    /// The file that descriptor 2 was at start: log lines go there or nowhere.
    stderr: Option<Identity>,
}

static RUNTIME: Late<Runtime> = Late::new();

/// The settings, or `None` where the library is to do nothing: every hook then passes straight through.
fn runtime() -> Option<&'static Runtime> {
    RUNTIME.get()
}

/// The process is about to restrict its own system calls: what the restriction may forbid is done now, and nothing more is begun
/// until [`retire`] or [`resume`]. Said once, if the process has served.
fn prepare_to_retire() {
    let Some(runtime) = runtime() else { return };
    log::retired();
    metrics::remove();
    duty::give_up(trim::may_act);
    RUNTIME.withdraw();
    background::stop(&runtime.options);
}

/// It did: from here on this process, and what it forks, is left alone: descriptors are forgotten, so that no hook has
/// anything to do, and no new one is followed.
fn retire() {
    RUNTIME.remove();
    descriptors::apply_to_range(0, u32::MAX, connection::Event::Forgotten, |_| {});
    process::disarm();
    tasks::retire();
}

/// It could not: all goes on.
fn resume() {
    RUNTIME.restore();
    if let Some(runtime) = runtime() {
        metrics::resume();
        background::resume(&runtime.options);
        log::resumed();
    }
}

/// Decides once per program whether and how to act. Until it has, hooks pass straight through.
#[cfg_attr(not(test), allow(unsafe_code), ctor::ctor(unsafe))]
fn start() {
    hooks::next::resolve_all();
    // A setuid program's environment is its caller's: nothing is read, nothing is done.
    if sys::is_secure() {
        return;
    }
    let mut options = Options::new(sys::program());
    sys::environment().for_each(|assignment| options.take(assignment));
    if !options.is_active() {
        return;
    }
    // Another libc than glibc, such as musl: there is nothing to do, and nothing to say.
    let Some(libc) = sys::glibc_version() else { return };
    let allocator = Allocator::find(&options);
    sys::signals::resolve();
    sys::handler::prepare();
    memory::prepare();
    memory::at_fork_in_child(process::in_forked_child);
    let python = if options.gc { Python::find() } else { None };
    RUNTIME.set(Runtime { options, allocator, libc, python, stderr: files::stderr_identity() });
    background::prepare(&options);
    tasks::prepare(&options);
}

/// The library has no way to panic (a test reads the ELF for it); the language wants this function.
#[cfg(not(test))]
#[panic_handler]
#[allow(unsafe_code)]
fn panic(_: &core::panic::PanicInfo) -> ! {
    // SAFETY: no preconditions.
    unsafe { libc::abort() }
}
