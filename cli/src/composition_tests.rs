//! What memory consists of, in mappings that are made up.

use super::*;

const MB: u64 = 1 << 20;
const BASE: u64 = 0x7f00_0000_0000;

#[test]
fn what_is_no_page_of_v8_may_hold_any_number() {
    assert_eq!(v8_page(&[u64::MAX, 0, PAGE + 1, BASE + 1, BASE + 2], BASE, BASE + MB), None);
}

fn mapping(start: u64, size: u64, resident: u64) -> Mapping {
    let (permissions, end) = ("rw-p".into(), start + size);
    Mapping { start, end, permissions, resident, anonymous: resident, ..Mapping::default() }
}

fn of(mapping: Mapping, facts: &Facts, read: impl FnMut(u64, &mut [u8]) -> bool) -> Vec<(Part, u64)> {
    composition(&[mapping], &[], facts, read).by_size()
}

/// Blocks of a megabyte, one behind the other, from `BASE` on.
fn blocks(at: u64, bytes: &mut [u8]) -> bool {
    bytes.fill(0);
    if (at - BASE).is_multiple_of(MB) {
        bytes[8..16].copy_from_slice(&(MB | 2).to_ne_bytes());
    }
    true
}

#[test]
fn blocks_that_the_kernel_has_joined_are_told_from_the_rest() {
    let facts = Facts { glibc: true, ..Facts::default() };
    let joined = mapping(BASE, 4 * MB + PAGE, 4 * MB + PAGE);
    assert_eq!(of(joined.clone(), &facts, blocks), [(Part::Blocks, 4 * MB), (Part::Other, PAGE)]);
    // A block that does not end in the mapping is none, and other programs have none.
    let short = of(mapping(BASE, MB - PAGE, MB - PAGE), &facts, blocks);
    assert_eq!(short, [(Part::Other, MB - PAGE)]);
    assert_eq!(of(joined, &Facts::default(), blocks), [(Part::Other, 4 * MB + PAGE)]);
}

#[test]
fn a_mapping_has_what_is_resident_of_it_and_no_more() {
    let facts = Facts { glibc: true, ..Facts::default() };
    assert_eq!(of(mapping(BASE, 2 * MB, MB), &facts, blocks), [(Part::Blocks, MB)]);
    assert_eq!(of(mapping(BASE, 2 * MB, MB), &facts, |_, _| false), [(Part::Other, MB)]);
}

/// A block of a gigabyte, and memory of which nothing is known behind it; only these ranges were touched.
struct Touched([std::ops::Range<u64>; 2]);

impl Memory for Touched {
    fn read(&mut self, at: u64, bytes: &mut [u8]) -> bool {
        bytes.fill(0);
        if at == BASE {
            bytes[8..16].copy_from_slice(&((1024 * MB) | 2).to_ne_bytes());
        }
        true
    }

    fn present(&mut self, start: u64, end: u64) -> Option<u64> {
        let part = |range: &std::ops::Range<u64>| range.end.min(end).saturating_sub(range.start.max(start));
        Some(self.0.iter().map(part).sum())
    }
}

/// Such as an array of zeros.
#[test]
fn a_large_block_that_was_never_touched_takes_nothing_from_what_is_joined_with_it() {
    let facts = Facts { glibc: true, ..Facts::default() };
    let end = BASE + 1028 * MB;
    let touched = Touched([BASE..BASE + PAGE, end - 4 * MB..end]);
    let found = composition(&[mapping(BASE, 1028 * MB, 4 * MB + PAGE)], &[], &facts, touched).by_size();
    assert_eq!(found, [(Part::Other, 4 * MB), (Part::Blocks, PAGE)]);
}

/// As the kernel joins them before Linux 6.7: the stack ends where older memory begins.
#[test]
fn what_is_joined_with_a_stack_is_none() {
    let facts = Facts { glibc: true, stacks: vec![BASE + MB - PAGE], ..Facts::default() };
    let blocks = |at: u64, bytes: &mut [u8]| at >= BASE + MB && blocks(at, bytes);
    let joined = mapping(BASE, 4 * MB, 4 * MB);
    assert_eq!(of(joined, &facts, blocks), [(Part::Blocks, 3 * MB), (Part::Stacks, MB)]);
}

#[test]
fn names_and_places_are_known() {
    let named = |name: &str| Mapping { name: name.into(), ..mapping(BASE, MB, MB) };
    let java = Facts { java: true, ..Facts::default() };
    let threads = Facts { stacks: vec![BASE + 5000], ..Facts::default() };
    let of_file = Mapping { inode: 7, anonymous: PAGE, name: "/lib/x".into(), ..mapping(BASE, MB, MB) };
    let shared =
        Mapping { permissions: "rw-s".into(), inode: 7, name: "/dev/zero (deleted)".into(), ..of_file.clone() };
    let code = Mapping { permissions: "rwxp".into(), ..mapping(BASE, MB, MB) };
    for (mapping, facts, expected) in [
        (named("[heap]"), Facts::default(), vec![(Part::MainHeap, MB)]),
        (named("[stack]"), Facts::default(), vec![(Part::Stacks, MB)]),
        (named("[anon: glibc: pthread stack: 7]"), Facts::default(), vec![(Part::Stacks, MB)]),
        (mapping(BASE, MB, MB), threads, vec![(Part::Stacks, MB)]),
        (mapping(0x7000_0000, MB, MB), java.clone(), vec![(Part::Java, MB)]),
        (mapping(0x7000_0000, MB, MB), Facts::default(), vec![(Part::Other, MB)]),
        (mapping(JAVA_HEAP_ENDS, MB, MB), java, vec![(Part::Other, MB)]),
        (code, Facts::default(), vec![(Part::Code, MB)]),
        (of_file, Facts::default(), vec![(Part::Files, MB - PAGE), (Part::Data, PAGE)]),
        (shared, Facts::default(), vec![(Part::Shared, MB)]),
    ] {
        let what = format!("{mapping:?} {facts:?}");
        assert_eq!(of(mapping, &facts, |_, _| false), expected, "{what}");
    }
}

/// Reserved memory may be larger than what there is in the world.
#[test]
fn there_is_an_end_to_it() {
    let facts = Facts { glibc: true, python: true, v8: true, ruby: true, ..Facts::default() };
    let mut looked = 0;
    let vast = mapping(BASE, 64 << 40, 8 * MB);
    let found = of(vast, &facts, |_, bytes| {
        looked += 1;
        bytes.fill(0);
        true
    });
    assert_eq!(found, [(Part::Other, 8 * MB)]);
    assert!(looked < 1 << 20, "{looked}");
    let vast: Vec<_> = (0..64).map(|number| mapping(BASE + (number << 38), 1 << 38, 1 << 38)).collect();
    let mut looked = 0;
    composition(&vast, &[], &facts, |_: u64, _: &mut [u8]| {
        looked += 1;
        false
    });
    assert!(looked <= 8 * MOST_LOOKS, "{looked}");
}
