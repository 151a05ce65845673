//! PURE: which file is mapped at an address, by /proc/PID/maps (proc(5)), read piece by piece.

/// The beginning of a file's name, without its directory; the rest is zeros.
pub type Name = [u8; 16];

/// A mapping.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Mapping {
    /// Its first address.
    pub start: usize,
    /// The first one behind it.
    pub end: usize,
    /// The file's name; zeros where there is none.
    pub name: Name,
}

/// A look through the file for one address.
pub struct Search {
    address: usize,
    place: Place,
    line: Mapping,
    length: usize,
}

/// Where in a line.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Place {
    Start,
    End,
    /// Before the path.
    Rest,
    Path,
}

const EMPTY: Mapping = Mapping { start: 0, end: 0, name: [0; 16] };

impl Search {
    /// For what is mapped at `address`.
    pub const fn new(address: usize) -> Search {
        Search { address, place: Place::Start, line: EMPTY, length: 0 }
    }

    /// Takes the next piece of the file; the mapping, once its line has ended.
    pub fn read(&mut self, piece: &[u8]) -> Option<Mapping> {
        piece.iter().find_map(|&byte| self.take(byte))
    }

    fn take(&mut self, byte: u8) -> Option<Mapping> {
        if byte == b'\n' {
            let line = core::mem::replace(&mut self.line, EMPTY);
            (self.place, self.length) = (Place::Start, 0);
            return (line.start..line.end).contains(&self.address).then_some(line);
        }
        match (self.place, byte) {
            (Place::Start, b'-') => self.place = Place::End,
            (Place::End, b' ') => self.place = Place::Rest,
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
                (0x7ffd12010fff, 0x7ffd11ff0000, b""),
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
}
