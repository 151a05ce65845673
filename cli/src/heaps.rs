//! PURE: the heaps of glibc's secondary arenas, found in what `/proc/PID/smaps` tells, and known by how each begins.
//!
//! Such a heap begins at a multiple of 64 MiB (malloc/arena.c, `HEAP_MAX_SIZE`, on 64 bits) and takes as much of the address space: the
//! part in use can be read and written, the rest is closed. Other allocators do the same (Go's arenas are as large), so its first words
//! have to be those of a heap as well: which arena it is of, the heap before it, its size.

use std::collections::BTreeMap;

use crate::smaps::Mapping;

/// The address space of each, and what its address is a multiple of.
pub const HEAP: u64 = 64 << 20;
/// How many words at the beginning of a heap tell what it is.
pub const WORDS: usize = 3;
/// glibc makes eight arenas for each CPU at most, and this is four terabytes of them.
const MOST: usize = 1 << 16;
/// How far from its first heap's beginning an arena may begin.
const NEAR: u64 = 4096;

/// What begins a heap, `struct _heap_info`: the address of its arena, that of the heap before it, and how much of it is in use.
pub type Beginning = [u64; WORDS];

/// The secondary arenas of a process.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Arenas {
    /// How many there are.
    pub count: u64,
    /// Their heaps, in the order of their addresses.
    pub heaps: Vec<Heap>,
}

impl Arenas {
    /// What is resident of their heaps, in bytes.
    pub fn resident(&self) -> u64 {
        self.heaps.iter().map(|heap| heap.resident).sum()
    }
}

/// A heap, or what may be one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Heap {
    /// Its first address.
    pub base: u64,
    /// Where the part ends that can be read and written.
    pub end: u64,
    /// What is resident of that, in bytes.
    pub resident: u64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    /// Private memory of no file that can be read and written.
    Open,
    /// The same that is closed.
    Closed,
    /// Anything else.
    Other,
}

/// The secondary arenas of the process whose mappings these are; `begins` reads how the memory at an address begins, which is asked of
/// what may be a heap. `None` where there is more than any process has.
pub fn arenas(mappings: &[Mapping], mut begins: impl FnMut(u64) -> Option<Beginning>) -> Option<Arenas> {
    let mut looked_at = 0;
    // Each heap with its arena's address.
    let mut heaps = BTreeMap::new();
    candidates(mappings, |candidate| {
        looked_at += 1;
        let beginning = begins(candidate.base).filter(|beginning| is_heap(&candidate, beginning));
        heaps.extend(beginning.map(|[arena, ..]| (candidate.base, (arena, candidate))));
        looked_at <= MOST
    })?;
    let first = |arena: u64| arena - arena % HEAP;
    // An arena is in its first heap, which knows no other.
    let is_arena = |arena: u64| heaps.get(&first(arena)).is_some_and(|&(own, _)| own == arena);
    let ours: Vec<_> = heaps.values().filter(|(arena, _)| is_arena(*arena)).collect();
    let count = ours.iter().filter(|(arena, heap)| first(*arena) == heap.base).count() as u64;
    Some(Arenas { count, heaps: ours.into_iter().map(|(_, heap)| *heap).collect() })
}

fn is_heap(candidate: &Heap, &[arena, before, size]: &Beginning) -> bool {
    let offset = arena % HEAP;
    let is_first = arena - offset == candidate.base;
    let is_linked = if is_first { before == 0 } else { before != 0 && before.is_multiple_of(HEAP) };
    let is_of_an_arena = arena.is_multiple_of(16) && (1..NEAR).contains(&offset);
    is_of_an_arena && is_linked && size > 0 && size <= candidate.end - candidate.base
}

/// Tells `found` of each, until that is false: then the answer is `None`.
fn candidates(mappings: &[Mapping], mut found: impl FnMut(Heap) -> bool) -> Option<()> {
    let mut open: Option<Heap> = None;
    for mapping in mappings {
        let (mut start, end, kind, mut resident) = (mapping.start, mapping.end, kind(mapping), mapping.resident);
        // A heap that is full may go on in the next one without a seam.
        loop {
            if open.is_some_and(|heap| heap.end != start) {
                open = None;
            }
            if kind == Kind::Open && open.is_none() {
                let base = start.checked_next_multiple_of(HEAP).filter(|&base| base < end);
                // What is resident below the multiple is not known: as much as there is room for.
                let Some(base) = base else { break };
                resident = resident.saturating_sub(base - start);
                open = Some(Heap { base, end: base, resident: 0 });
                start = base;
            }
            let Some(heap) = &mut open else { break };
            let full = heap.base.saturating_add(HEAP);
            let is_whole = match kind {
                Kind::Open => {
                    let until = end.min(full);
                    let part = resident.min(until - start);
                    (heap.end, heap.resident, resident) = (until, heap.resident + part, resident - part);
                    start = until;
                    until == full
                }
                Kind::Closed => {
                    start = end;
                    end >= full
                }
                Kind::Other => false,
            };
            let heap = *heap;
            if is_whole && !found(heap) {
                return None;
            }
            if is_whole || kind != Kind::Open {
                open = None;
            }
            if start >= end || kind != Kind::Open {
                break;
            }
        }
    }
    Some(())
}

fn kind(mapping: &Mapping) -> Kind {
    // From 2.39 on glibc may name what is its own.
    let is_nameless = mapping.name.is_empty() || mapping.name == "[anon: glibc: malloc arena]";
    match mapping.permissions.as_str() {
        "rw-p" if mapping.inode == 0 && is_nameless => Kind::Open,
        "---p" if mapping.inode == 0 && is_nameless => Kind::Closed,
        _ => Kind::Other,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::smaps::mappings;

    const BASE: u64 = 0x7f00_0000_0000;
    const KB: u64 = 1024;
    const MB: u64 = 1024 * KB;

    /// A mapping of no file, of which so many kilobytes are resident.
    fn mapping(start: u64, end: u64, permissions: &str, resident: u64) -> String {
        format!(
            "{start:x}-{end:x} {permissions} 00000000 00:00 0 \nSize: 9 kB\nRss:    {resident} kB\nVmFlags: rd wr\n"
        )
    }

    /// A heap at a multiple of its size, of which so much can be read and written, and is resident.
    fn heap(number: u64, open: u64) -> String {
        let base = BASE + number * HEAP;
        mapping(base, base + open, "rw-p", open / KB) + &mapping(base + open, base + HEAP, "---p", 0)
    }

    /// The first heap of an arena at each multiple.
    fn first(address: u64) -> Option<Beginning> {
        Some([address + 0x30, 0, 4096])
    }

    fn found(smaps: &str) -> Option<(u64, u64)> {
        arenas(&mappings(smaps.as_bytes()).ok()?, first).map(|arenas| (arenas.count, arenas.resident()))
    }

    #[test]
    fn heaps_are_counted_with_what_is_resident() {
        let other = mapping(0x5000, 0x9000, "rw-p", 16);
        assert_eq!(found(&(other.clone() + &heap(0, 132 * KB) + &heap(2, 3 * MB))), Some((2, 132 * KB + 3 * MB)));
        assert_eq!(found(&other), Some((0, 0)));
        assert_eq!(found(""), Some((0, 0)));
    }

    #[test]
    fn what_is_not_at_a_multiple_or_not_as_large_is_none() {
        let at = |start, open, closed| {
            mapping(start, start + open, "rw-p", 4) + &mapping(start + open, start + open + closed, "---p", 0)
        };
        assert_eq!(found(&at(BASE, MB, 63 * MB)), Some((1, 4 * KB)));
        assert_eq!(found(&at(BASE + 4096, MB, 63 * MB)), Some((0, 0)));
        assert_eq!(found(&at(BASE, MB, 62 * MB)), Some((0, 0)));
        let apart = mapping(BASE, BASE + MB, "rw-p", 4) + &mapping(BASE + 2 * MB, BASE + HEAP, "---p", 0);
        assert_eq!(found(&apart), Some((0, 0)));
        for permissions in ["r--p", "rw-s", "rwxp"] {
            let other = mapping(BASE, BASE + MB, permissions, 4) + &mapping(BASE + MB, BASE + HEAP, "---p", 0);
            assert_eq!(found(&other), Some((0, 0)), "{permissions}");
        }
        let of_a_file = heap(0, MB).replace("00:00 0 \nSize", "08:01 77   /tmp/x\nSize");
        assert_eq!(found(&of_a_file), Some((0, 0)));
    }

    #[test]
    fn a_heap_in_parts_is_one() {
        let parts = mapping(BASE, BASE + MB, "rw-p", 100) + &mapping(BASE + MB, BASE + 2 * MB, "rw-p", 28);
        let whole = parts.clone() + &mapping(BASE + 2 * MB, BASE + HEAP, "---p", 0);
        assert_eq!(found(&whole), Some((1, 128 * KB)));
        // The kernel may have joined what is closed with more of that.
        let joined = parts + &mapping(BASE + 2 * MB, BASE + HEAP + MB, "---p", 0);
        assert_eq!(found(&joined), Some((1, 128 * KB)));
        let named = heap(0, MB).replace("00:00 0 \n", "00:00 0        [anon: glibc: malloc arena]\n");
        assert_eq!(found(&named), Some((1, MB)));
    }

    #[test]
    fn full_heaps_without_a_seam_are_told_apart() {
        let full = mapping(BASE, BASE + 2 * HEAP + MB, "rw-p", (2 * HEAP + MB) / KB)
            + &mapping(BASE + 2 * HEAP + MB, BASE + 3 * HEAP, "---p", 0);
        assert_eq!(found(&full), Some((3, 2 * HEAP + MB)));
    }

    #[test]
    fn what_lies_below_a_heap_without_a_seam_is_not_its() {
        let joined = mapping(BASE - 8 * KB, BASE + MB, "rw-p", 20) + &mapping(BASE + MB, BASE + HEAP, "---p", 0);
        assert_eq!(found(&joined), Some((1, 12 * KB)));
    }

    #[test]
    fn an_arena_of_several_heaps_is_one() {
        let smaps = heap(0, MB) + &heap(1, 2 * MB) + &heap(2, 4 * MB);
        let begins = |address: u64| match (address - BASE) / HEAP {
            0 => first(BASE),
            // The second one's arena is in the first; the third's is in none.
            1 => Some([BASE + 0x30, BASE, 4096]),
            _ => Some([BASE + 9 * HEAP + 0x30, BASE, 4096]),
        };
        let arenas = arenas(&mappings(smaps.as_bytes()).expect("mappings"), begins).expect("arenas");
        assert_eq!((arenas.count, arenas.resident()), (1, 3 * MB));
        assert_eq!(arenas.heaps.iter().map(|heap| heap.base).collect::<Vec<_>>(), [BASE, BASE + HEAP]);
    }

    #[test]
    fn what_does_not_begin_as_a_heap_is_none() {
        let smaps = heap(0, MB);
        for beginning in [
            None,
            Some([0, 0, 0]),
            Some([BASE + 0x30, 0, 0]),
            Some([BASE + 0x30, 0, 2 * MB]),
            Some([BASE + 0x30, BASE, 4096]),
            Some([BASE + 0x31, 0, 4096]),
            Some([BASE, 0, 4096]),
            Some([BASE + 0x10_0000, 0, 4096]),
            Some([u64::MAX; WORDS]),
        ] {
            let mappings = mappings(smaps.as_bytes()).expect("mappings");
            assert_eq!(arenas(&mappings, |_| beginning), Some(Arenas::default()), "{beginning:x?}");
        }
    }

    #[test]
    fn strange_text_does_no_harm() {
        for text in [
            "\n\n",
            "x-y z",
            "Rss: 4 kB\n",
            "5000-4000 rw-p 0 0 0\n",
            "ffffffffff000000-ffffffffffffffff rw-p 00000000 00:00 0\nRss: 18446744073709551615 kB\n",
            "0-ffffffffffffffff ---p 00000000 00:00 0\n",
            "7f0000000000-7f0000001000 rw-p\n",
            "7f0000000000-7f0000001000 rw-p 0 0 0\nRss: 4 kB\nRss:\n\u{fffd}\n",
        ] {
            assert_eq!(found(text), Some((0, 0)), "{text:?}");
        }
        assert_eq!(found("7f0000000000-7f0000001000 rw-p 0 0 0\nRss: x kB\n"), None);
        // The whole address space, in one mapping: more than anybody has.
        assert_eq!(found("0-ffffffffffffffff rw-p 00000000 00:00 0\nRss: 8 kB\n"), None);
        assert_eq!(found(&"x".repeat(1 << 20)), None);
    }

    #[test]
    fn any_byte_may_be_another() {
        let smaps = mapping(BASE - 8 * KB, BASE - 4 * KB, "rw-p", 20) + &heap(0, MB) + &heap(1, HEAP - KB);
        for at in 0..smaps.len() {
            for byte in [b' ', b'x', 0xff] {
                let mut changed = smaps.clone().into_bytes();
                changed[at] = byte;
                let arenas = mappings(changed.as_slice()).ok().and_then(|mappings| arenas(&mappings, first));
                let is_sound = arenas.as_ref().is_none_or(|arenas| arenas.count <= 2 && arenas.resident() <= 2 * HEAP);
                assert!(is_sound, "{at}: {arenas:?}");
            }
        }
    }

    #[test]
    fn memory_that_ends_amid_its_lines_is_told_as_far_as_it_goes() {
        assert_eq!(found(heap(0, MB).split_once("VmFlags").expect("a line").0), Some((0, 0)));
    }
}
