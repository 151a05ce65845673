//! PURE: what is mapped, by /proc/PID/maps (proc(5)), read piece by piece.

/// The beginning of a file's name, without its directory, or of what stands in brackets; the rest is zeros.
pub type Name = [u8; 16];

/// A mapping.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Mapping {
    /// Its first address.
    pub start: usize,
    /// The first one behind it.
    pub end: usize,
    /// What may be done there, such as `rw-p`.
    pub rights: [u8; 4],
    /// Its name; zeros where there is none.
    pub name: Name,
}

impl Mapping {
    /// Whether it is private memory that may be written, and nobody's by name.
    pub fn is_unnamed_memory(&self) -> bool {
        &self.rights == b"rw-p" && self.name == EMPTY.name
    }
}

/// A look through the file.
pub struct Lines {
    place: Place,
    line: Mapping,
    length: usize,
}

/// Where in a line, which begins with `7f11c8a01000-7f11c8a02000 rw-p 00000000 00:00 0`.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Place {
    Start,
    End,
    Rights(usize),
    /// Before the path.
    Rest,
    Path,
}

const EMPTY: Mapping = Mapping { start: 0, end: 0, rights: [0; 4], name: [0; 16] };

impl Lines {
    /// Nothing was read yet.
    pub const fn new() -> Lines {
        Lines { place: Place::Start, line: EMPTY, length: 0 }
    }

    /// Takes the next byte of the file; the mapping, once its line has ended.
    pub fn take(&mut self, byte: u8) -> Option<Mapping> {
        if byte == b'\n' {
            return Some(core::mem::replace(self, Lines::new()).line);
        }
        match (self.place, byte) {
            (Place::Start, b'-') => self.place = Place::End,
            (Place::End, b' ') => self.place = Place::Rights(0),
            (Place::Rights(_), b' ') => self.place = Place::Rest,
            (Place::Rights(number), right) => {
                if let Some(place) = self.line.rights.get_mut(number) {
                    *place = right;
                }
                self.place = Place::Rights(number.saturating_add(1));
            }
            (Place::Rest, b'[') => (self.place, self.line.name[0], self.length) = (Place::Path, b'[', 1),
            (Place::Start, digit) => self.line.start = with(self.line.start, digit),
            (Place::End, digit) => self.line.end = with(self.line.end, digit),
            (Place::Rest | Place::Path, b'/') => {
                (self.place, self.length, self.line.name) = (Place::Path, 0, EMPTY.name);
            }
            (Place::Rest, _) => {}
            (Place::Path, letter) => {
                if let Some(place) = self.line.name.get_mut(self.length) {
                    *place = letter;
                }
                self.length = self.length.saturating_add(1);
            }
        }
        None
    }
}

/// A look through the file for one address.
pub struct Search {
    address: usize,
    lines: Lines,
}

impl Search {
    /// For what is mapped at `address`.
    pub const fn new(address: usize) -> Search {
        Search { address, lines: Lines::new() }
    }

    /// Takes the next piece of the file; the mapping, once its line has ended.
    pub fn read(&mut self, piece: &[u8]) -> Option<Mapping> {
        let mut mappings = piece.iter().filter_map(|&byte| self.lines.take(byte));
        mappings.find(|mapping| (mapping.start..mapping.end).contains(&self.address))
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

    const MAPS: &[u8] = b"00400000-00401000 r--p 00000000 fe:00 1234                               /usr/bin/python3.11
7f11c8a00000-7f11c8a01000 r-xp 00001000 fe:00 77 /usr/lib/a dir/select.cpython-311-x86_64-linux-gnu.so
7f11c8a01000-7f11c8a02000 rw-p 00000000 00:00 0
7ffd11ff0000-7ffd12011000 rw-p 00000000 00:00 0                          [stack]
";

    fn name(text: &[u8]) -> Name {
        let mut name = [0; 16];
        name[..text.len()].copy_from_slice(text);
        name
    }

    #[test]
    fn the_mapping_of_an_address_is_found_however_the_file_is_cut() {
        for size in 1..MAPS.len() {
            for (address, start, expected) in [
                (0x400fff, 0x400000, &b"python3.11"[..]),
                (0x7f11c8a00000, 0x7f11c8a00000, b"select.cpython-3"),
                (0x7f11c8a01abc, 0x7f11c8a01000, b""),
                (0x7ffd12010fff, 0x7ffd11ff0000, b"[stack]"),
            ] {
                let mut search = Search::new(address);
                let found = MAPS.chunks(size).find_map(|piece| search.read(piece)).expect("a mapping");
                assert_eq!((found.start, found.name), (start, name(expected)), "{address:x} in pieces of {size}");
            }
        }
    }

    #[test]
    fn what_is_not_mapped_is_not_found() {
        for address in [0, 0x401000, 0x7ffd12011000, usize::MAX] {
            assert_eq!(Search::new(address).read(MAPS), None);
        }
        // Nor in what is no such file.
        assert_eq!(Search::new(5).read(b"\n\n-\n zz/\n1 2\n"), None);
    }

    #[test]
    fn unnamed_memory_is_found() {
        let maps = "55d0c0000000-55d0c0200000 rw-p 00000000 00:00 0                          [heap]
7f0000000000-7f0002000000 rw-p 00000000 00:00 0 \n7f0002000000-7f0004000000 ---p 00000000 00:00 0 \n\
                    7f0008000000-7f000d000000 rw-p 00000000 00:00 0\n7f000d000000-7f0010000000 rw-p 00000000 fe:00 7 /a\n\
                    7f0011000000-7f0012000000 rw-s 00000000 00:00 0\n";
        let mut lines = Lines::new();
        let found = maps.bytes().filter_map(|byte| lines.take(byte)).filter(Mapping::is_unnamed_memory);
        let found: Vec<_> = found.map(|mapping| (mapping.start, mapping.end)).collect();
        assert_eq!(found, [(0x7f0000000000, 0x7f0002000000), (0x7f0008000000, 0x7f000d000000)]);
        let strange = "\n-\n- \n zz-\nffffffffffffffffff-0 r--p \n".bytes();
        assert!(!strange.filter_map(|byte| lines.take(byte)).any(|mapping| mapping.is_unnamed_memory()));
    }
}
