//! What headers of pools say, and what is none.

use super::*;

const ARENA_AT: usize = 0x7f00_1234_5000;

fn pool(number: usize) -> usize {
    pools(ARENA_AT).nth(number).expect("a pool")
}

/// As CPython leaves it when all of its blocks were in use once and none is any more.
fn free(number: usize, class: u32) -> Header {
    let size = 16 * (class + 1);
    let blocks = (16_384 - 48) / size;
    Header {
        count: 0,
        free: (pool(number) + 48 + size as usize) as u64,
        next: pool(3) as u64,
        previous: 0xdead,
        arena: 7,
        class,
        unused: 48 + blocks * size,
        last: 16_384 - size,
    }
}

fn look(header: &Header) -> Option<Pool> {
    Arena::at(ARENA_AT).look(pool(5), header)
}

#[test]
fn an_arena_has_63_pools_or_64() {
    assert_eq!(pools(ARENA_AT).count(), 63);
    assert_eq!(pools(0x7f00_1234_4000).count(), 64);
    assert_eq!(pools(0x7f00_1234_4000).next(), Some(0x7f00_1234_4000));
    assert_eq!(pool(0), 0x7f00_1234_8000);
    assert_eq!(pools(ARENA_AT).last(), Some(0x7f00_1244_0000));
    assert!(pools(ARENA_AT).all(|pool| pool >= ARENA_AT && pool + POOL <= ARENA_AT + ARENA));
}

#[test]
fn a_pool_of_each_class_is_known() {
    for class in 0..CLASSES {
        let header = free(5, class);
        assert_eq!(look(&header), Some(Pool::Free), "{class}");
        assert_eq!(look(&Header { next: 0, ..header }), Some(Pool::Free), "the last one");
        assert_eq!(look(&Header { class: NO_CLASS, ..header }), Some(Pool::Released));
        let used = Header { count: 3, next: 0xbeef, ..header };
        assert_eq!(look(&used), Some(Pool::InUse));
        let full = Header { count: u64::from((header.unused - 48) / 16 / (class + 1)), free: 0, ..used };
        assert_eq!(look(&full), Some(Pool::InUse));
        let begun = Header { count: 1, unused: 48 + 32 * (class + 1), ..used };
        assert_eq!(look(&begun), Some(Pool::InUse), "CPython begins with two blocks");
    }
    assert_eq!(look(&Header::default()), Some(Pool::Untouched));
}

#[test]
fn each_doubt_is_seen() {
    let header = free(5, 3);
    let doubts = [
        ("a class that there is not", Header { class: 32, ..header }),
        ("another class than its blocks'", Header { class: 4, ..header }),
        ("blocks that are too large", Header { class: 32, last: 16_384 - 33 * 16, ..header }),
        ("blocks of no size", Header { class: 0, last: 16_384, ..header }),
        ("blocks of an odd size", Header { class: NO_CLASS, last: 16_384 - 40, ..header }),
        ("pools of 4 KiB", Header { last: 4_096 - 64, unused: 48 + 63 * 64, ..header }),
        ("more blocks than it holds", Header { count: 256, ..header }),
        ("more blocks in use than were ever", Header { count: 3, unused: 48 + 2 * 64, ..header }),
        ("something in the upper half", Header { count: 1 << 32, ..header }),
        ("something in a pool without a class", Header { count: 1, class: NO_CLASS, ..header }),
        ("within the header", Header { unused: 32, ..header }),
        ("between two blocks", Header { unused: header.unused - 8, ..header }),
        ("past the end", Header { unused: header.unused + 64, ..header }),
        ("less than CPython begins with", Header { unused: 48 + 64, ..header }),
        ("a free block in another pool", Header { free: header.free + POOL as u64, ..header }),
        ("a free block between two", Header { free: header.free + 16, ..header }),
        ("no free block", Header { free: 0, ..header }),
        ("a free pool of another arena", Header { next: (ARENA_AT + ARENA + POOL) as u64, ..header }),
        ("a free pool within a pool", Header { next: header.next + 4_096, ..header }),
    ];
    for (what, header) in doubts {
        assert_eq!(look(&header), None, "{what}");
    }
    let noise =
        Header { count: u64::MAX, arena: u32::MAX, class: u32::MAX, unused: u32::MAX, last: u32::MAX, ..header };
    assert_eq!(look(&noise), None);
}

#[test]
fn all_pools_of_an_arena_say_the_same_of_it() {
    let mut arena = Arena::at(ARENA_AT);
    assert_eq!(arena.look(pool(5), &free(5, 3)), Some(Pool::Free));
    assert_eq!(arena.look(pool(6), &free(6, 9)), Some(Pool::Free));
    assert_eq!(arena.look(pool(7), &Header { arena: 8, ..free(7, 9) }), None);
}
