//! The arenas of CPython's allocator of small objects, and the release of what is free in them.
//!
//! CPython gives an arena back when it is empty, and one object is enough to keep it. Here the pages of its free pools are given back to
//! the kernel (`MADV_DONTNEED`), all but the first of each, where the header is. A pool without a class is one that CPython begins anew
//! when it takes it (`allocate_from_new_pool`); so that is what its header says first. Nothing else is ever written.
//!
//! Which memory is an arena is learnt by the public PyObject_SetArenaAllocator, at start, before CPython's first allocation. Its
//! functions are called with the interpreter lock held, but by several interpreters at once where each has a lock of its own (3.12):
//! so the list needs none.

use core::ffi::{CStr, c_char, c_void};
use core::mem::transmute;
use core::ptr;
use core::sync::atomic::{AtomicBool, Ordering::Relaxed};

mod list;

use list::List;

use super::cell::Late;
use super::page_map::{PageMap, is_own};
use super::{filter, huge_pages, memory};
use crate::pure::pools::{ARENA, Arena, Header, NO_CLASS, POOL, Pool, pools};
use crate::pure::usage::Usage;
use crate::sys;
use crate::sys::errno::{errno, keeping_errno};

/// Bytes of a page, here and nowhere else: with others nothing is done.
const PAGE: usize = 4 << 10;
/// The minor versions of CPython 3 whose pools have been tried.
const TRIED: core::ops::RangeInclusive<u32> = 10..=14;
/// So much takes 12 ms at the rate that was measured: 62,000 pools, 745 MB, 130 ms (Linux 6.18, a virtual machine).
const MOST_AT_ONCE: u64 = 64 << 20;
/// An arena with so many free pools, an eighth of it, is kept out of huge pages, where any is.
const HOLES: u32 = 8;
/// From this one on each interpreter may have a lock, and pools, of its own.
const OWN_LOCKS: u32 = 12;

/// `PyObjectArenaAllocator`.
#[derive(Clone, Copy)]
#[repr(C)]
struct Allocator {
    context: *mut c_void,
    allocate: Option<Allocate>,
    free: Option<Free>,
}

// SAFETY: CPython itself calls it from any thread that holds an interpreter lock.
unsafe impl Send for Allocator {}
// SAFETY: the same.
unsafe impl Sync for Allocator {}

type Allocate = unsafe extern "C" fn(*mut c_void, usize) -> *mut c_void;
type Free = unsafe extern "C" fn(*mut c_void, *mut c_void, usize);
type Access = unsafe extern "C" fn(*mut Allocator);
type Version = unsafe extern "C" fn() -> *const c_char;
type Current = unsafe extern "C" fn() -> *mut c_void;
type InterpreterOf = unsafe extern "C" fn(*mut c_void) -> *mut c_void;

/// The program's CPython, as far as its arenas go.
#[derive(Clone, Copy)]
struct Host {
    /// What was there before us.
    allocator: Allocator,
    get_allocator: Access,
    /// The state of the thread that runs; null where none does.
    current: Current,
    interpreter_of: InterpreterOf,
    main_interpreter: Current,
    /// Whether each interpreter may have pools of its own.
    has_own_locks: bool,
}

static HOST: Late<Host> = Late::new();
static ARENAS: List = List::new();
/// Whether arenas with free pools are kept out of huge pages.
static KEEPS_OUT: AtomicBool = AtomicBool::new(false);
/// Whether there was a doubt, after which nothing is released any more.
static DOUBTED: AtomicBool = AtomicBool::new(false);
/// Whether a thread that is not there may hold the interpreter lock.
static LOCK_IS_LOST: AtomicBool = AtomicBool::new(false);

/// From here on arenas are learnt, if this is a CPython whose pools are known; whether it is. For the constructor: before CPython's
/// first allocation.
pub fn prepare() -> bool {
    let host = if are_possible(memory::page_size()) { find() } else { None };
    if let Some((host, set)) = host {
        HOST.set(host);
        let mut ours = Allocator { context: ptr::null_mut(), allocate: Some(allocate), free: Some(free) };
        // SAFETY: as Python.h declares it; the allocator is copied.
        unsafe { set(&mut ours) };
    }
    are_known()
}

/// Whether a pool has pages of this size behind the one with its header, as they are counted here.
const fn are_possible(page: u64) -> bool {
    page == PAGE as u64 && cfg!(target_pointer_width = "64")
}

fn find() -> Option<(Host, Access)> {
    let function = |name| Some(sys::symbol(name)).filter(|address| !address.is_null());
    let version = function(c"Py_GetVersion")?;
    // SAFETY: each has the type under which Python.h declares it. Py_GetVersion and PyObject_GetArenaAllocator may be called before the
    // interpreter is up: the first returns a C string, the second writes where it is told to.
    unsafe {
        let version = minor(CStr::from_ptr(transmute::<*const c_void, Version>(version)()).to_bytes())?;
        if !TRIED.contains(&version) {
            return None;
        }
        let current = if version < 13 { c"_PyThreadState_UncheckedGet" } else { c"PyThreadState_GetUnchecked" };
        let mut host = Host {
            allocator: Allocator { context: ptr::null_mut(), allocate: None, free: None },
            get_allocator: transmute::<*const c_void, Access>(function(c"PyObject_GetArenaAllocator")?),
            current: transmute::<*const c_void, Current>(function(current)?),
            interpreter_of: transmute::<*const c_void, InterpreterOf>(function(c"PyThreadState_GetInterpreter")?),
            main_interpreter: transmute::<*const c_void, Current>(function(c"PyInterpreterState_Main")?),
            has_own_locks: version >= OWN_LOCKS,
        };
        let set = transmute::<*const c_void, Access>(function(c"PyObject_SetArenaAllocator")?);
        (host.get_allocator)(&mut host.allocator);
        (host.allocator.allocate.is_some() && host.allocator.free.is_some()).then_some((host, set))
    }
}

/// `3.11.2 (main, …)` → 11.
fn minor(version: &[u8]) -> Option<u32> {
    let digits = version.strip_prefix(b"3.")?;
    let end = digits.iter().position(|byte| !byte.is_ascii_digit()).unwrap_or(digits.len());
    crate::pure::text::number(digits.get(..end)?).and_then(|minor| u32::try_from(minor).ok())
}

/// In a forked child.
pub fn in_forked_child() {
    ARENAS.inherit();
    // CPython forks with its lock held. Where somebody else does without it, a thread may have held it that the child has not.
    if nobody_runs() {
        LOCK_IS_LOST.store(true, Relaxed);
    }
}

/// Whether free pools can be released: they are known, and nothing has been doubtful.
pub fn are_known() -> bool {
    HOST.get().is_some() && !DOUBTED.load(Relaxed)
}

/// From the next release on the kernel makes no huge pages by itself of arenas that have free pools.
pub fn keep_out_of_huge_pages() {
    KEEPS_OUT.store(true, Relaxed);
}

/// Whether nobody holds the interpreter lock, if the calling thread is the process's only one. False where pools are not known.
pub fn is_lock_free() -> bool {
    nobody_runs() && !LOCK_IS_LOST.load(Relaxed)
}

/// Whether no thread runs, up to 3.11; from 3.12 on, whether the calling one does not.
fn nobody_runs() -> bool {
    // SAFETY: no preconditions.
    HOST.get().is_some_and(|host| unsafe { (host.current)() }.is_null())
}

impl Host {
    /// Whether the thread that runs, if one does, is one of the main interpreter: the arenas of those that have a lock of their own are
    /// left alone, and so are the ones that others allocate in the main interpreter's stead.
    fn is_main(&self) -> bool {
        // SAFETY: no preconditions; the second only where there is a thread.
        unsafe {
            let thread = (self.current)();
            !thread.is_null() && (self.interpreter_of)(thread) == (self.main_interpreter)()
        }
    }

    /// Whether CPython's arenas still come from us. With the interpreter lock held.
    fn is_ours(&self) -> bool {
        let mut now = self.allocator;
        // SAFETY: writes the allocator there.
        unsafe { (self.get_allocator)(&mut now) };
        let is = |function: Option<*const c_void>, ours: *const c_void| function == Some(ours);
        is(now.allocate.map(|now| now as *const c_void), allocate as *const c_void)
            && is(now.free.map(|now| now as *const c_void), free as *const c_void)
    }
}

/// CPython wants memory: an arena, or, from 3.11 on, a piece of the interpreter's stack of frames, which is smaller and none of ours.
unsafe extern "C" fn allocate(_context: *mut c_void, size: usize) -> *mut c_void {
    let Some(host) = HOST.get() else { return ptr::null_mut() };
    let Some(allocate) = host.allocator.allocate else { return ptr::null_mut() };
    // SAFETY: as CPython would have called it.
    let memory = unsafe { allocate(host.allocator.context, size) };
    let address = memory as usize;
    if size == ARENA && address != 0 && address.is_multiple_of(PAGE) && (!host.has_own_locks || host.is_main()) {
        ARENAS.add(address);
    }
    memory
}

/// CPython gives it back.
unsafe extern "C" fn free(_context: *mut c_void, memory: *mut c_void, size: usize) {
    if !memory.is_null() && size == ARENA {
        ARENAS.remove(memory as usize);
    }
    if let Some(host) = HOST.get()
        && let Some(free) = host.allocator.free
    {
        // SAFETY: as CPython would have called it.
        unsafe { free(host.allocator.context, memory, size) };
    }
}

/// What a pass did.
#[derive(Clone, Copy, Default)]
pub struct Pass {
    /// How many bytes were given back.
    pub bytes: u64,
    /// Whether there is more, which would have taken too long.
    pub is_more: bool,
    /// What is in use in all of them; `None` = not all were looked at.
    pub usage: Option<Usage>,
}

/// Releases what is free in the arenas of the main interpreter, [`MOST_AT_ONCE`] or a little more. `None` = there is a doubt, from
/// here on and for good: somebody else allocates arenas, or something is not as it should be. On a thread that holds its
/// interpreter's lock; nothing is done where that is another one than the main interpreter's.
pub fn release() -> Option<Pass> {
    let host = HOST.get().filter(|_| are_known())?;
    // A filter may forbid what malloc does not do itself.
    if filter::is_restricted() || host.has_own_locks && !host.is_main() {
        return Some(Pass::default());
    }
    let pass = keeping_errno(|| {
        if !host.is_ours() {
            return None;
        }
        let (mut pass, mut usage, mut map) = (Pass::default(), Usage::default(), PageMap::new());
        let is_parent = sys::has_children();
        for (arena, inherited) in ARENAS.arenas() {
            if pass.bytes >= MOST_AT_ONCE {
                pass.is_more = true;
                return Some(pass);
            }
            // SAFETY: an arena of the interpreter whose lock is held: nobody else reads or writes headers, or frees it.
            match unsafe { release_arena(arena, (inherited || is_parent).then_some(&mut map)) } {
                Outcome::Released(bytes, seen) => {
                    pass.bytes += bytes;
                    usage.live += seen.live;
                    usage.held += seen.held;
                }
                Outcome::Refused => return Some(pass),
                Outcome::Doubtful => return None,
            }
        }
        Some(Pass { usage: Some(usage), ..pass })
    });
    if pass.is_none() {
        DOUBTED.store(true, Relaxed);
    }
    pass
}

/// What came of an arena.
enum Outcome {
    /// So many bytes were given back, and so many are in use, or held by those.
    Released(u64, Usage),
    /// The kernel does not take them: they are locked.
    Refused,
    /// It is none.
    Doubtful,
}

/// Releases what is free in one. All of its headers are looked at before anything is done; those that are not in memory, because they
/// were never used or are swapped out, are left there; so are those that `map` says are shared with a parent or a child.
///
/// # Safety
/// Where `arena` is one, nobody else may use its headers or the memory of its free pools.
unsafe fn release_arena(arena: usize, map: Option<&mut PageMap>) -> Outcome {
    const PAGES: usize = ARENA / PAGE;
    let mut in_memory = [0u8; PAGES];
    // SAFETY: changes nothing but what `in_memory` is, a byte a page. It fails where not all of that is mapped.
    if unsafe { libc::mincore(arena as *mut c_void, ARENA, in_memory.as_mut_ptr()) } != 0 {
        return if errno() == libc::EAGAIN { Outcome::Refused } else { Outcome::Doubtful };
    }
    let is_in_memory = |place: usize| in_memory.get((place - arena) / PAGE).is_some_and(|&page| page & 1 != 0);
    let mut inherited = [[0u8; 8]; PAGES];
    let is_inherited = map.is_some();
    if map.is_some_and(|map| !map.read(arena / PAGE, &mut inherited)) {
        return Outcome::Released(0, Usage::default());
    }
    let is_own = |pool: usize| !is_inherited || inherited.get((pool - arena) / PAGE).is_some_and(|&page| is_own(page));
    let (mut known, mut free, mut usage) = (Arena::at(arena), 0u64, Usage::default());
    for (pool, number) in pools(arena).zip(0..) {
        if !is_in_memory(pool) {
            continue;
        }
        // SAFETY: mapped, by what mincore says, and aligned to more than it needs.
        let header = unsafe { ptr::read(pool as *const Header) };
        match known.look(pool, &header) {
            // What was given back may have come back in a huge page.
            Some(Pool::Free | Pool::Released) if is_own(pool) => free |= 1 << number,
            Some(Pool::InUse) => {
                let resident = (pool..pool + POOL).step_by(PAGE).filter(|&page| is_in_memory(page)).count() * PAGE;
                usage.live += header.used();
                usage.held += (resident as u64).saturating_sub(header.used());
            }
            Some(_) => {}
            None => return Outcome::Doubtful,
        }
    }
    if KEEPS_OUT.load(Relaxed) && free.count_ones() >= HOLES {
        huge_pages::keep_out(arena, ARENA);
    }
    let mut released = 0;
    for (pool, number) in pools(arena).zip(0..) {
        let rest = (pool + PAGE..pool + POOL).step_by(PAGE).filter(|&page| is_in_memory(page)).count();
        if free & 1 << number == 0 || rest == 0 {
            continue;
        }
        // SAFETY: the header of a free pool. CPython begins anew in it before it reads anything but this and what is in the header:
        // so the rest may be zeros.
        let done = unsafe {
            (&raw mut (*(pool as *mut Header)).class).write(NO_CLASS);
            libc::madvise((pool + PAGE) as *mut c_void, POOL - PAGE, libc::MADV_DONTNEED)
        };
        if done != 0 {
            return Outcome::Refused;
        }
        released += (rest * PAGE) as u64;
    }
    Outcome::Released(released, usage)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_is_done_with_larger_pages() {
        assert_eq!([4 << 10, 16 << 10, 64 << 10].map(are_possible), [true, false, false]);
    }

    #[test]
    fn the_version_is_read() {
        assert_eq!(minor(b"3.11.2 (main, Apr 28 2025, 14:11:48) [GCC 12.2.0]"), Some(11));
        assert_eq!(minor(b"3.9.2 (default)"), Some(9));
        assert_eq!(minor(b"3.14.0rc1 (main)"), Some(14));
        assert_eq!((minor(b"2.7.18 (default)"), minor(b"3."), minor(b"")), (None, None, None));
    }
}
