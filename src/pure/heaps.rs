//! PURE: where glibc's secondary arenas have their heaps, by what stands at the beginning of each.

/// The size of a heap, which begins at a multiple of it (malloc/arena.c, `HEAP_MAX_SIZE`, 64-bit). It is reserved as a whole.
pub const HEAP: usize = 64 << 20;

/// What a heap begins with (malloc/arena.c, `heap_info`; the same since glibc 2.3): its arena, the heap that this one had before, how much of it is in use,
/// and how much of it may be.
pub type Info = [usize; 4];

/// Whether a heap that begins at `start` would begin so.
pub fn is_heap(start: usize, [arena, before, used, usable]: Info) -> bool {
    /// An arena stands in its first heap, right behind what that begins with.
    const BEHIND: usize = 256;
    const LEAST: usize = 4096;
    let (offset, is_first) = (arena % HEAP, before == 0);
    (size_of::<Info>()..=BEHIND).contains(&offset)
        && is_first == (arena - offset == start)
        && before.is_multiple_of(HEAP)
        && before != start
        && used.is_multiple_of(LEAST)
        && usable.is_multiple_of(LEAST)
        && (LEAST..=usable).contains(&used)
        && usable <= HEAP
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_heap_begins_with_its_arena_or_after_another() {
        let start = 0x7f00_0000_0000;
        // As glibc 2.36 and 2.31 write them.
        assert!(is_heap(start, [start + 0x30, 0, 0x21000, 0x21000]));
        assert!(is_heap(start, [start + 0x20, 0, HEAP, HEAP]));
        assert!(is_heap(start, [start - HEAP + 0x30, start - HEAP, 0x1000, 0x21000]));
        for other in [
            [0, 0, 0, 0],
            [start + 0x30, 0, 0, 0x21000],
            [start + 0x30, 0, 0x22000, 0x21000],
            [start + 0x30, 0, 0x21000, HEAP + 0x1000],
            [start + 0x30, 0, 0x21001, 0x22000],
            [start + 0x30, start - HEAP, 0x21000, 0x21000],
            [start - HEAP + 0x30, 0, 0x21000, 0x21000],
            [start + 0x10, 0, 0x21000, 0x21000],
            [start + 0x3000, 0, 0x21000, 0x21000],
            [usize::MAX; 4],
        ] {
            assert!(!is_heap(start, other), "{other:x?}");
        }
    }
}
