//! PURE: where glibc's secondary arenas have their heaps: by /proc/PID/maps (proc(5)), read piece by piece, and by what stands at the beginning of each.

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

/// Where in a line, which begins with `7f11c8a01000-7f11c8a02000 rw-p 00000000 00:00 0`.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Place {
    Start,
    End,
    Rights(usize),
    Rest,
}

/// A look through the file, for private memory that may be written and has no name.
#[derive(Clone, Copy)]
pub struct Unnamed {
    place: Place,
    start: usize,
    end: usize,
    rights: [u8; 4],
    is_named: bool,
}

impl Unnamed {
    /// Nothing was read yet.
    pub const fn new() -> Unnamed {
        Unnamed { place: Place::Start, start: 0, end: 0, rights: [0; 4], is_named: false }
    }

    /// Takes the next byte of the file; where such memory begins and ends, once its line has ended.
    pub fn take(&mut self, byte: u8) -> Option<(usize, usize)> {
        match (self.place, byte) {
            (_, b'\n') => {
                let line = core::mem::replace(self, Unnamed::new());
                return (!line.is_named && &line.rights == b"rw-p").then_some((line.start, line.end));
            }
            (Place::Start, b'-') => self.place = Place::End,
            (Place::End, b' ') => self.place = Place::Rights(0),
            (Place::Start, digit) => self.start = with(self.start, digit),
            (Place::End, digit) => self.end = with(self.end, digit),
            (Place::Rights(_), b' ') => self.place = Place::Rest,
            (Place::Rights(number), right) => {
                if let Some(place) = self.rights.get_mut(number) {
                    *place = right;
                }
                self.place = Place::Rights(number.saturating_add(1));
            }
            (Place::Rest, byte) => self.is_named |= matches!(byte, b'/' | b'['),
        }
        None
    }
}

/// One more hexadecimal digit.
fn with(number: usize, digit: u8) -> usize {
    let value = char::from(digit).to_digit(16).unwrap_or(0) as usize;
    number.wrapping_shl(4) | value
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn unnamed_memory_is_found() {
        let maps = "55d0c0000000-55d0c0200000 rw-p 00000000 00:00 0                          [heap]
7f0000000000-7f0002000000 rw-p 00000000 00:00 0 \n7f0002000000-7f0004000000 ---p 00000000 00:00 0 \n\
                    7f0008000000-7f000d000000 rw-p 00000000 00:00 0\n7f000d000000-7f0010000000 rw-p 00000000 fe:00 7 /a\n\
                    7f0011000000-7f0012000000 rw-s 00000000 00:00 0\n";
        let mut unnamed = Unnamed::new();
        let found: Vec<_> = maps.bytes().filter_map(|byte| unnamed.take(byte)).collect();
        assert_eq!(found, [(0x7f0000000000, 0x7f0002000000), (0x7f0008000000, 0x7f000d000000)]);
        assert!("\n-\n- \n zz-\nffffffffffffffffff-0 r--p \n".bytes().all(|byte| unnamed.take(byte).is_none()));
    }

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
