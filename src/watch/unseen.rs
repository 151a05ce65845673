//! Connections that come past us: a server may accept by io_uring or by system calls of its own, and then there is
//! nothing to count. Said once, where it is certain: a minute after a process began to listen, if it has served no
//! connection that we know and holds one on the port that it listens on.
//!
//! And answers that go past us: by stdio, whose own calls inside libc pass no hook. Said once, where it is certain: if a process
//! that has answered nothing had a number of connections whose requests we saw, and that the kernel has sent bytes of, or
//! that were closed by nobody's hook.

use core::ffi::c_int;
use core::sync::atomic::{AtomicBool, Ordering::Relaxed};

use crate::decide::SECOND;
use crate::decide::skips::Skip;
use crate::own::descriptors;
use crate::own::hints::Reason;
use crate::own::process::{self, Process};
use crate::own::runtime::runtime;
use crate::sys::{self, filter, sockets};
use crate::tell::log;

/// How long a server is given to accept its first connection where we see it.
const PATIENCE: u64 = 60 * SECOND;
/// Looks after that, a second apart: at one moment there may be no connection to find.
const LOOKS: u64 = 60;
/// So many connections answered past us are no accident.
const ENOUGH: u64 = 8;
/// Descriptors that are looked at; what serves the first connections of a process has a low number.
const DESCRIPTORS: c_int = 1024;
/// Ports that a server is known to listen on; more are left out.
const PORTS: usize = 16;

/// See `Watch::at`.
const NO_MORE: u64 = u64::MAX;

/// Whether this program has ever listened; inherited by forked children, who may be those that accept.
static LISTENED: AtomicBool = AtomicBool::new(false);

/// A socket of this process listens.
pub fn listening() {
    if runtime().is_some() && process::open() {
        LISTENED.store(true, Relaxed);
        process::add(Reason::Unseen);
        process::add(Reason::Accepts);
    }
}

/// In a forked child: it may be the one that accepts.
pub fn in_forked_child() {
    if LISTENED.load(Relaxed) {
        process::add(Reason::Unseen);
        process::add(Reason::Accepts);
    }
}

/// A connection with a request that we saw no answer to is at its end. `closed_past_us`: its number was given out again, and we
/// saw no close. Else `descriptor` is about to be closed.
pub fn unanswered(process: &Process, descriptor: c_int, closed_past_us: bool) {
    let answers = &process.unseen.answers;
    if process.stats.requests.load(Relaxed) == 0
        && answers.load(Relaxed) < ENOUGH
        && (closed_past_us || sockets::has_sent(descriptor))
        && answers.fetch_add(1, Relaxed) + 1 >= ENOUGH
    {
        process.hints.add(Reason::Unseen);
    }
}

/// A request came on a connection that has answered none: where answers go past us, the next wait point looks whether it still is.
pub fn received(process: &Process) {
    if process.unseen.answers.load(Relaxed) >= ENOUGH {
        process.hints.add(Reason::Unseen);
    }
}

/// At a wait point of a process that has received requests and answered none that we saw; whether it is time to look through what is
/// pending: what was closed past us is in flight no more.
pub fn look_at_answers(process: &Process) -> bool {
    let watch = &process.unseen;
    let answers = watch.answers.load(Relaxed);
    if answers < ENOUGH || !process.is_mine() {
        return false;
    }
    if answers != NO_MORE && watch.answers.swap(NO_MORE, Relaxed) != NO_MORE {
        process.stats.skip(Skip::Unseen);
        log::unseen_answers();
    }
    let (now, swept) = (sys::now(), watch.swept.load(Relaxed));
    now >= swept.saturating_add(SECOND / 10) && watch.swept.compare_exchange(swept, now, Relaxed, Relaxed).is_ok()
}

/// Whether a process's answers go past us, and one is still thought to be in flight.
fn is_sweeping(process: &Process) -> bool {
    process.unseen.answers.load(Relaxed) >= ENOUGH && process.stats.in_flight() > 0
}

/// Whether a process is still to be looked at. Not by calls that the program may not make.
pub fn is_watching(process: &Process) -> bool {
    if process.has_begun() {
        return is_sweeping(process);
    }
    LISTENED.load(Relaxed) && process.unseen.at.load(Relaxed) != NO_MORE && !filter::is_restricted()
}

/// At a wait point of a process that has served nothing yet.
pub fn look(process: &Process) {
    if !is_watching(process) {
        return;
    }
    let (watch, now) = (&process.unseen, sys::now());
    let at = watch.at.load(Relaxed);
    if at == 0 {
        watch.at.store(now.saturating_add(PATIENCE), Relaxed);
        return;
    }
    // One thread at a time; and no vfork child.
    if now < at
        || watch.at.compare_exchange(at, now.saturating_add(SECOND), Relaxed, Relaxed).is_err()
        || !process.is_mine()
    {
        return;
    }
    let found = find();
    if found.is_some() || watch.looks.fetch_add(1, Relaxed) >= LOOKS {
        watch.at.store(NO_MORE, Relaxed);
        process.hints.remove(Reason::Unseen);
    }
    if let Some(descriptor) = found {
        process.stats.skip(Skip::Unseen);
        log::unseen(descriptor);
    }
}

/// A connection that was accepted on one of our ports and is not followed.
fn find() -> Option<c_int> {
    let mut ports = [0u16; PORTS];
    let mut free = ports.iter_mut();
    for descriptor in 0..DESCRIPTORS {
        if sockets::is_listening(descriptor)
            && let (Some(port), Some(slot)) = (sockets::local_port(descriptor), free.next())
        {
            *slot = port;
        }
    }
    (0..DESCRIPTORS).find(|&descriptor| {
        !descriptors::is_followed(descriptor)
            && sockets::is_connected_stream(descriptor)
            && sockets::local_port(descriptor).is_some_and(|port| ports.contains(&port))
    })
}
