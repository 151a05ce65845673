//! PURE: what stands at the beginning of each pool of CPython's allocator of small objects, and what that says of the pool.
//!
//! An *arena* of 1 MiB is cut into *pools* of 16 KiB, from its first multiple of 16 KiB on. A pool holds blocks of one size, a class;
//! once nothing is allocated in it, it is free, and may get another class (CPython's Objects/obmalloc.c and, from 3.12 on,
//! Include/internal/pycore_obmalloc.h: the same from 3.10 on, on 64 bits).

/// Bytes of an arena, and of a pool.
pub const ARENA: usize = 1 << 20;
/// See [`ARENA`].
pub const POOL: usize = 16 << 10;
/// Bytes of the header, after which the first block begins; blocks of class n have 16·(n + 1) bytes.
const HEADER: usize = size_of::<Header>();
/// How many classes there are.
const CLASSES: u32 = 32;
/// CPython's own word for a pool without a class (DUMMY_SIZE_IDX): one that gets a class begins anew, whatever is in it.
pub const NO_CLASS: u32 = 0xffff;

/// `struct pool_header`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[repr(C)]
pub struct Header {
    /// Blocks in use; CPython reads and writes the lower half alone, and the memory was zero.
    pub count: u64,
    /// The first free block; 0 = there is none, but perhaps some that were never used.
    pub free: u64,
    /// Of a free pool: the next one of its arena; 0 = it is the last.
    pub next: u64,
    /// Of a pool that is partly in use: the one before it of its class.
    pub previous: u64,
    /// Which of CPython's list of arenas this is.
    pub arena: u32,
    /// The class of its blocks, or [`NO_CLASS`].
    pub class: u32,
    /// Where in the pool its first block begins that was never used, and the last place where one may.
    pub unused: u32,
    /// See `unused`.
    pub last: u32,
}

impl Header {
    /// Bytes of its blocks in use, where it is a header.
    pub fn used(&self) -> u64 {
        self.count.saturating_mul((POOL as u64).saturating_sub(self.last.into()))
    }
}

/// What a pool is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Pool {
    /// It was never used.
    Untouched,
    /// There is something in it.
    InUse,
    /// There is nothing in it, but what is left of what was.
    Free,
    /// The same without a class: it was given back before.
    Released,
}

/// The pools of the arena at this address.
pub fn pools(arena: usize) -> impl Iterator<Item = usize> {
    let first = arena.saturating_add(POOL - 1) & !(POOL - 1);
    (first..arena.saturating_add(ARENA - POOL + 1)).step_by(POOL)
}

/// One arena while its headers are looked at, in the order of their pools.
pub struct Arena {
    address: usize,
    /// What its headers say which it is.
    index: Option<u32>,
}

impl Arena {
    /// The one at this address.
    pub const fn at(address: usize) -> Arena {
        Arena { address, index: None }
    }

    /// What the pool at this address is whose header this is. `None` = that is no header of a pool, and this no arena that we know.
    pub fn look(&mut self, pool: usize, header: &Header) -> Option<Pool> {
        if *header == Header::default() {
            return Some(Pool::Untouched);
        }
        if *self.index.get_or_insert(header.arena) != header.arena {
            return None;
        }
        let size = usize::try_from(header.last).ok().and_then(|last| POOL.checked_sub(last))?;
        let blocks = (POOL - HEADER).checked_div(size)?;
        let is_class = size.is_multiple_of(16) && size <= 16 * CLASSES as usize;
        let unused = usize::try_from(header.unused).ok().and_then(|unused| unused.checked_sub(HEADER))?;
        let begun = unused.checked_div(size)?;
        let is_sound =
            is_class && unused.is_multiple_of(size) && (2..=blocks).contains(&begun) && header.count <= begun as u64;
        let is_named = header.class == NO_CLASS || (header.class as usize + 1) * 16 == size;
        if !is_sound || !is_named {
            return None;
        }
        let first = (pool + HEADER) as u64;
        let is_block = |place: u64| {
            let offset = place.checked_sub(first);
            offset.is_some_and(|offset| offset < (begun * size) as u64 && offset.is_multiple_of(size as u64))
        };
        match (header.count, header.class) {
            (0, _) if !self.is_pool(header.next) => None,
            (0, NO_CLASS) => Some(Pool::Released),
            (0, _) => is_block(header.free).then_some(Pool::Free),
            (_, NO_CLASS) => None,
            _ => (header.free == 0 || is_block(header.free)).then_some(Pool::InUse),
        }
    }

    /// Whether this is where a pool of the arena begins, or none.
    fn is_pool(&self, place: u64) -> bool {
        let offset = place.checked_sub(self.address as u64);
        place == 0 || place.is_multiple_of(POOL as u64) && offset.is_some_and(|offset| offset <= (ARENA - POOL) as u64)
    }
}

#[cfg(test)]
#[path = "pools_tests.rs"]
mod tests;
