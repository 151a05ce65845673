//! Who am I: the program's name, and this process's own state across fork and vfork.
//!
//! The state lives in memory that reads as zeros in a forked child ([`sys::memory::wiped_on_fork`]): counters,
//! policy and locks of the parent never reach it, whatever they were doing. A vfork child shares its parent's
//! memory, but has another pid: it passes straight through.

use core::sync::atomic::{AtomicBool, AtomicI32, AtomicU64, Ordering::Relaxed};

use once_cell::race::OnceRef;

use crate::connection::Event;
use crate::descriptors;
use crate::interpose::keeping_errno;
use crate::policy::Policy;
use crate::stats::Counters;
use crate::sys::{self, cell::TryLock, memory};

/// The state of one process. All zeros = not yet begun.
pub struct Process {
    /// The pid of the process that this memory belongs to; 0 = not known yet (a raw clone that has not begun).
    owner: AtomicI32,
    /// Whether it has received from its first connection.
    begun: AtomicBool,
    /// The counters.
    pub counters: Counters,
    /// Something may be due, or was answered since the last look: wait points have a reason to stop.
    pub armed: AtomicBool,
    /// Below this many requests, and before `possible_at`, a wait that can be cut in two has nothing to do.
    pub possible_requests: AtomicU64,
    /// The same for accept and recv, which cannot.
    pub possible_count: AtomicU64,
    /// The time that goes with both.
    pub possible_at: AtomicU64,
    /// Until when a thread watches for quiet in a wait that it cut in two; 0 = none does.
    pub watched_until: AtomicU64,
    /// What decides.
    pub policy: TryLock<Policy>,
}

#[allow(unsafe_code)]
// SAFETY: every field is an integer or a lock of integers and fieldless enums with a variant 0. A wipe happens at
// fork, before the child's only thread runs.
unsafe impl memory::ZeroIsValid for Process {}

static PROCESS: OnceRef<'static, Process> = OnceRef::new();

/// Makes room for this process's state, once; false where that is impossible, and nothing may be followed.
pub fn open() -> bool {
    PROCESS.get().is_some()
        || keeping_errno(|| {
            memory::wiped_on_fork().is_some_and(|process: &'static Process| {
                process.owner.store(sys::pid(), Relaxed);
                // Where two threads come here at once, the loser's page stays mapped: once per process at most.
                let _ = PROCESS.set(process);
                true
            })
        })
}

/// This process's state, begun if it was not; `None` before the first connection.
#[inline]
pub fn current() -> Option<&'static Process> {
    let process = PROCESS.get()?;
    if !process.begun.load(Relaxed) {
        process.begin();
    }
    Some(process)
}

/// The fork handler: runs in the child of each fork(3), before anything else can.
pub extern "C" fn in_forked_child() {
    sys::files::close_inherited();
    if let Some(process) = PROCESS.get() {
        memory::wipe(process);
        process.owner.store(sys::pid(), Relaxed);
    }
}

/// This process's state if a wait point has a reason to stop: two loads in a process that serves nothing.
#[inline(always)]
pub fn armed() -> Option<&'static Process> {
    PROCESS.get().filter(|process| process.armed.load(Relaxed))
}

/// No wait point of this process has a reason to stop any more.
pub fn disarm() {
    if let Some(process) = PROCESS.get() {
        process.armed.store(false, Relaxed);
    }
}

/// Whether this is a vfork child on its parent's memory: what it does to descriptors is not the parent's doing.
pub fn is_borrowed() -> bool {
    PROCESS.get().is_some_and(|process| process.owner.load(Relaxed) != 0 && !process.is_mine())
}

/// Whether counters can be changed: the process has begun. Where not, what is pending is the parent's.
pub fn begun() -> Option<&'static Process> {
    PROCESS.get().filter(|process| process.begun.load(Relaxed))
}

impl Process {
    /// Whether the state is this process's own.
    pub fn is_mine(&self) -> bool {
        self.owner.load(Relaxed) == sys::pid()
    }

    /// First touch in this process: what the parent left pending is not in flight here, and RSS before the first
    /// request is the first floor.
    #[cold]
    #[inline(never)]
    fn begin(&self) {
        if self.begun.swap(true, Relaxed) {
            return;
        }
        let _ = self.owner.compare_exchange(0, sys::pid(), Relaxed, Relaxed);
        descriptors::apply_to_range(0, u32::MAX, Event::Forked, |_| {});
        let shield = sys::signals::shield();
        self.policy.with(|policy| policy.floor = memory::anonymous_rss().unwrap_or(0));
        shield.end();
    }
}

/// Whether `program` is chosen by `globs` (`AUTOTRIM_PROGRAMS`): one of them matches, or there are only
/// exclusions, and no `!exclusion` matches. `None` where a glob is empty.
pub fn program_matches(program: &[u8], globs: &[u8]) -> Option<bool> {
    let (mut wanted, mut included, mut excluded) = (false, false, false);
    for glob in globs.split(|&byte| byte == b',').map(<[u8]>::trim_ascii) {
        match glob {
            [] | [b'!'] => return None,
            [b'!', name @ ..] => excluded |= glob_matches(name, program),
            _ => {
                wanted = true;
                included |= glob_matches(glob, program);
            }
        }
    }
    Some((included || !wanted) && !excluded)
}

/// Whether `glob` matches all of `name`: `*` stands for any bytes, `?` for one.
fn glob_matches(glob: &[u8], name: &[u8]) -> bool {
    // Where a later mismatch falls back to: the last star, and what it has not yet swallowed.
    let (mut glob, mut name) = (glob, name);
    let mut star: Option<(&[u8], &[u8])> = None;
    loop {
        match (glob, name) {
            ([b'*', rest @ ..], _) => {
                star = Some((rest, name));
                glob = rest;
            }
            ([], []) => return true,
            ([g, glob_rest @ ..], [n, name_rest @ ..]) if *g == b'?' || g == n => {
                (glob, name) = (glob_rest, name_rest);
            }
            _ => {
                let Some((after, [_, unswallowed @ ..])) = star else { return false };
                star = Some((after, unswallowed));
                (glob, name) = (after, unswallowed);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn globs_match_as_in_a_shell() {
        for (glob, name) in [
            ("*", ""),
            ("*", "x"),
            ("gunicorn*", "gunicorn3"),
            ("*-api", "pulpcore-api"),
            ("p?ma", "puma"),
            ("a*b*c", "aXbYbZc"),
            ("**", "x"),
            ("", ""),
        ] {
            assert!(glob_matches(glob.as_bytes(), name.as_bytes()), "{glob} {name}");
        }
        for (glob, name) in [("?", ""), ("gunicorn", "gunicorn3"), ("a*b", "a"), ("a*b*c", "aXbYbZ"), ("", "x")] {
            assert!(!glob_matches(glob.as_bytes(), name.as_bytes()), "{glob} {name}");
        }
    }

    #[test]
    fn exclusions_win() {
        let chosen = |globs: &str| program_matches(b"gunicorn", globs.as_bytes());
        assert_eq!(chosen("*"), Some(true));
        assert_eq!(chosen("nginx, gunicorn"), Some(true));
        assert_eq!(chosen("nginx"), Some(false));
        assert_eq!(chosen("!nginx"), Some(true));
        assert_eq!(chosen("!guni*"), Some(false));
        assert_eq!(chosen("*,!gunicorn"), Some(false));
        assert_eq!(chosen(""), None);
        assert_eq!(chosen("a,,b"), None);
    }
}
