//! `libautotrim.so`: preloaded into an unmodified server, it counts completed requests from outside and gives free
//! heap memory back to the kernel at moments when nobody waits.
//!
//! The house, from its top floor to its bottom; each room uses only those below it (`tests/house.rs`):
//!
//! - [`edge`]: what the host calls. THE list of hooks, waits, and the thread of our own.
//! - [`reclaim`]: what is done: the trim, collections before it, how malloc is set up for it.
//! - [`watch`]: what is seen: requests and answers, tasks, what goes past us, what is asked for from outside.
//! - [`tell`]: the log, and the metrics for Prometheus.
//! - [`own`]: this process: what is fixed at start, its page across fork and vfork, its connections.
//! - [`allocator`]: whose malloc this is, how it is set up, how it releases memory.
//! - [`options`]: ONE table of them.
//! - [`sys`]: the raw edge to the kernel and libc. `unsafe` code is denied but where marked.
//! - [`pure`] and [`decide`]: functions of their arguments alone. [`decide`] says whether to trim now, and when to look again.
//!
//! **One request.** The server calls `accept`; the hook in [`edge::hooks`] runs the real one, and [`watch::observe`] notes the new
//! connection in [`own::descriptors`]. `recv` brings the request: [`pure::connection`] says that it is pending, and one more is in
//! flight. `send` takes the first bytes of the answer: one request is counted in the [`own::process`]'s [`own::stats`], and there is
//! a reason to look ([`own::hints`]). `epoll_wait`: the thread is about to wait. [`edge::wait`] asks the hints whether it is time;
//! if so, [`reclaim::trim`] asks [`decide::policy`] whether a trim is due, has the [`allocator`] release memory, measures what that
//! brought, and writes a line to the [`tell::log`]. What the policy says of the next look becomes the hints' plan.
//!
//! **One push** (SSE, a WebSocket, a stream), or bytes that are received and never answered, go the same way but for the count: in
//! [`watch::observe`] they are a reason to look, and the wait that follows notes when. A connection that has been pending for a few
//! seconds keeps nothing from being done any more.
//!
//! **One task.** A process that accepts nothing has no page, or one because it listens. When it is five seconds old, [`watch::tasks`]
//! gives it one at its next wait, or at a blocking read of what tasks come from, and from then on each of those may be one between
//! two tasks: [`edge::wait`] and [`edge::blocking`] look there, in a process that is large enough.
//!
//! What the outside asks for (a period, memory pressure, a signal) is [`watch::outside`]'s; [`edge::thread`] looks after it.
#![cfg_attr(not(test), no_std)]
#![cfg_attr(test, allow(dead_code))]
#![deny(unsafe_code, missing_docs)]

#[allow(unsafe_code)]
mod allocator;
mod decide;
mod edge;
mod options;
mod own;
#[cfg(test)]
mod properties;
mod pure;
mod reclaim;
#[allow(unsafe_code)]
mod sys;
mod tell;
mod watch;

use allocator::Allocator;
use edge::{hooks, starting, thread};
use options::Options;
use own::runtime::{self, Runtime};
use own::{in_force, process};
use pure::layout::State;
use reclaim::duty;
use sys::java::Java;
use sys::libc_in_use::Libc;
use sys::node::Node;
use sys::python::Python;
use sys::ruby::Ruby;
use sys::{files, filter, handler, memory, pools, real, signals};
use watch::{tasks, unseen};

/// Decides once per program whether and how to act. Until it has, hooks pass straight through.
#[cfg_attr(not(test), allow(unsafe_code), ctor::ctor(unsafe))]
fn start() {
    real::resolve_all();
    hooks::resolve_all();
    // A setuid program's environment is its caller's: nothing is read, nothing is done.
    if sys::is_secure() {
        return in_force::set(State::Secure);
    }
    let mut options = Options::new(sys::program());
    sys::environment().for_each(|assignment| options.take(assignment));
    in_force::begin(&options);
    if !options.is_active() {
        return in_force::set(State::LeftAlone);
    }
    // Another libc: there is nothing to do, and nothing to say.
    let Some(libc) = Libc::find() else { return };
    let allocator = Allocator::find(&options, libc);
    match &allocator {
        Ok(found) => in_force::allocator(found.name.as_bytes(), found.arenas().unsigned_abs()),
        Err(reason) => in_force::allocator(reason.as_bytes(), 0),
    }
    signals::resolve();
    handler::prepare();
    filter::prepare(libc.glibc());
    memory::prepare();
    memory::at_fork_in_child(in_forked_child);
    #[cfg(feature = "often")]
    sys::tally::prepare();
    // Not `||`: arenas are learnt whatever else is asked for.
    let has_pools = options.pools && pools::prepare();
    let gc = options.gc;
    let python = if gc.auto || gc.python || has_pools { Python::find() } else { None };
    let node = if gc.auto || gc.node { Node::find() } else { None };
    let ruby = if gc.auto || gc.ruby { Ruby::find() } else { None };
    let java = if gc.java { Java::find() } else { None };
    if node.is_some() {
        reclaim::node::begin();
    }
    in_force::set(if allocator.is_ok() { State::Active } else { State::NoAllocator });
    runtime::begin(Runtime { options, allocator, libc, python, node, ruby, java, stderr: files::stderr_identity() });
    thread::prepare(&options);
    tasks::prepare(&options);
}

/// The fork handler: runs in the child of each fork(3), before anything else can.
extern "C" fn in_forked_child() {
    sys::own::close_inherited();
    starting::in_forked_child();
    pools::in_forked_child();
    let process = process::wipe();
    if let Some(process) = process {
        unseen::in_forked_child();
        thread::in_forked_child(process);
        duty::in_forked_child(process);
    }
    tasks::in_forked_child(process);
}

/// The library has no way to panic (a test reads the ELF for it); the language wants this function.
#[cfg(not(test))]
#[panic_handler]
#[allow(unsafe_code)]
fn panic(_: &core::panic::PanicInfo) -> ! {
    // SAFETY: no preconditions.
    unsafe { libc::abort() }
}
