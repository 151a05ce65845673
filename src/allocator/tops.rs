//! The tops of glibc's secondary arenas, which malloc_trim leaves as they are.
//!
//! `heap_trim` (malloc/arena.c) releases an arena's top where a chunk of 64 KB or more has just become free in that arena, whichever
//! thread has freed it. So each arena has a *plant*: a block that is a little larger, made by a thread that allocates in that arena
//! when it starts. To release all tops, realloc(3) shrinks each plant and lets it grow again. It works in the arena that a block
//! is of, under that arena's lock; nothing but a plant's first page is ever touched, and where it stands it stays.
//!
//! A plant outlives its thread, as its arena does, and is never freed. In a forked child all of them are the child's own.

use core::ffi::c_void;
use core::sync::atomic::{AtomicBool, AtomicUsize, Ordering::*};

use crate::pure::heaps::HEAP;
use crate::sys::{memory, real};

/// So much more than 64 KB (`FASTBIN_CONSOLIDATION_THRESHOLD`) that what is cut off is no less; and less than glibc would map.
const PLANT: usize = 66 << 10;
/// What is left of it meanwhile: less than any chunk has.
const CUT: usize = 24;
/// More than anybody has arenas: glibc makes eight for each CPU.
const PLACES: usize = 512;

/// The plants' addresses; 0 = none. Odd while one is being moved: a child that is forked then never uses it.
static PLANTS: [AtomicUsize; PLACES] = [const { AtomicUsize::new(0) }; PLACES];
/// How many places were ever used.
static USED: AtomicUsize = AtomicUsize::new(0);
/// How many arenas have a plant: of two that were made at the same time in one heap the later counts for none.
static ARENAS: AtomicUsize = AtomicUsize::new(0);
/// Whether threads that start are to plant.
static PLANTING: AtomicBool = AtomicBool::new(false);

/// Whether there are any.
pub fn are_planted() -> bool {
    USED.load(Relaxed) != 0
}

/// How many arenas have one. An arena that has grown over a heap's size, and got another plant there, counts twice.
pub fn arenas() -> u64 {
    ARENAS.load(Relaxed) as u64
}

/// Whether a thread that starts is to call [`plant`].
#[inline(always)]
pub fn is_planting() -> bool {
    PLANTING.load(Relaxed)
}

/// From here on it is, or no more.
pub fn set_planting(planting: bool) {
    PLANTING.store(planting, Relaxed);
}

/// How a thread finds out which arena it allocates in: by a block that may come from nowhere else.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Thread {
    /// It has just started, and has nothing cached yet.
    New = 24,
    /// Its cache (tcache) may have blocks of any arena, but none of this size.
    Old = 2000,
}

/// Makes a plant in the arena that the calling thread allocates in, unless there is one, or it is the main one. Where malloc may be
/// called, under a shield; glibc's only.
#[inline(never)]
pub fn plant(thread: Thread) {
    let (Some(malloc), Some(free)) = (real::malloc.known(), real::free.known()) else { return };
    // SAFETY: malloc and free as any program calls them; a block is used by nobody else until it is kept.
    unsafe {
        let probe = malloc(thread as usize);
        if is_new(probe) {
            let block = malloc(PLANT);
            if !is_new(block) || !keep(block) {
                free(block);
            }
        }
        free(probe);
    }
}

/// Whether a block is in a secondary arena, in a heap without a plant.
fn is_new(block: *mut c_void) -> bool {
    let heap = block as usize / HEAP;
    !block.is_null()
        && !memory::is_below_break(block)
        && !places().iter().any(|place| place.load(Relaxed) / HEAP == heap)
}

fn places() -> &'static [AtomicUsize] {
    PLANTS.get(..USED.load(Acquire)).unwrap_or_default()
}

fn keep(block: *mut c_void) -> bool {
    let kept = PLANTS.iter().position(|place| place.compare_exchange(0, block as usize, Release, Relaxed).is_ok());
    if let Some(place) = kept {
        USED.fetch_max(place + 1, Release);
        // Whatever stands before it was there before: places are taken in their order, and never given up.
        let heap = block as usize / HEAP;
        let is_first = PLANTS.iter().take(place).all(|other| other.load(Relaxed) / HEAP != heap);
        ARENAS.fetch_add(usize::from(is_first), Relaxed);
    }
    kept.is_some()
}

/// Cuts all plants, and so has glibc release the top of each arena that has one, down to what its thresholds say.
pub fn cut() {
    resize(CUT);
}

/// Makes them whole again.
pub fn grow() {
    resize(PLANT);
}

fn resize(size: usize) {
    let Some(realloc) = real::realloc.known() else { return };
    for place in places() {
        let block = place.load(Relaxed);
        let is_free = block != 0 && block & 1 == 0;
        if is_free && place.compare_exchange(block, block | 1, Acquire, Relaxed).is_ok() {
            // SAFETY: a block of malloc's, which this thread alone has moved from even to odd; where realloc fails it is as before.
            let moved = unsafe { realloc(block as *mut c_void, size) } as usize;
            place.store(if moved == 0 { block } else { moved }, Release);
        }
    }
}
