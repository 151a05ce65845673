//! PURE: the files whose code a process has mapped, from `/proc/PID/maps`.
//!
//! A process may map thousands of files, with names of any bytes: those of data are passed over, and there is an end to the rest.

use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::io::{self, BufRead, Read};
use std::ops::Range;
use std::os::unix::ffi::OsStrExt;
use std::path::PathBuf;

/// No program has as many libraries.
const MOST: usize = 4096;
/// A path of 4,096 bytes, of which each may be written as four, and what is before it.
const LONGEST_LINE: u64 = 32 << 10;
/// What is written after the name of a file that has it no more.
const DELETED: &[u8] = b" (deleted)";

/// A file's device and inode: what tells it from all others of this boot.
pub type Identity = ((u32, u32), u64);

/// A file that is mapped into a process.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mapped {
    /// Its path in the process's own mount namespace.
    pub path: PathBuf,
    /// Whether another file or none has this name now.
    pub deleted: bool,
    /// The mapping of its first byte before that of its code.
    pub first: Range<u64>,
    /// How much of the address space all of its mappings take.
    pub size: u64,
    /// What tells it from others.
    pub identity: Identity,
}

/// One line.
struct Line<'a> {
    range: Range<u64>,
    is_code: bool,
    offset: u64,
    identity: Identity,
    path: &'a [u8],
}

/// All of which some is code.
pub fn mapped(mut maps: impl BufRead) -> io::Result<Vec<Mapped>> {
    let mut files: BTreeMap<Identity, Mapped> = BTreeMap::new();
    // Where a file begins is read before its code is.
    let mut latest: Option<Mapped> = None;
    let mut text = Vec::new();
    while maps.by_ref().take(LONGEST_LINE).read_until(b'\n', &mut text)? > 0 {
        if let Some(line) = Line::of(text.strip_suffix(b"\n").unwrap_or(&text)) {
            let is_same = latest.as_ref().is_some_and(|file| file.identity == line.identity);
            let known = files.get_mut(&line.identity);
            let is_new = known.is_none();
            let file = match (known, &mut latest) {
                (Some(file), _) => file,
                (None, Some(file)) if is_same => file,
                (None, latest) => latest.insert(line.begins()),
            };
            if is_new && line.offset == 0 {
                file.first = line.range.clone();
            }
            file.size = file.size.saturating_add(line.range.end - line.range.start);
            if is_new && line.is_code && files.len() < MOST {
                files.extend(latest.take().map(|file| (file.identity, file)));
            }
        }
        text.clear();
    }
    Ok(files.into_values().collect())
}

impl<'a> Line<'a> {
    /// Of a mapping of a file; `None` where it is of none.
    fn of(line: &'a [u8]) -> Option<Line<'a>> {
        let mut parts = line.splitn(6, |&byte| byte == b' ');
        let mut next = || parts.next();
        let (range, permissions, offset, device, inode, path) = (next()?, next()?, next()?, next()?, next()?, next()?);
        let hexadecimal = |digits| u64::from_str_radix(std::str::from_utf8(digits).ok()?, 16).ok();
        let pair = |text: &'a [u8], between| {
            let at = text.iter().position(|&byte| byte == between)?;
            Some((hexadecimal(&text[..at])?, hexadecimal(&text[at + 1..])?))
        };
        let ((start, end), (major, minor)) = (pair(range, b'-')?, pair(device, b':')?);
        let path = path.trim_ascii_start();
        let inode = std::str::from_utf8(inode).ok()?.parse().ok()?;
        let is_file = path.starts_with(b"/") && start < end;
        is_file.then_some(Line {
            range: start..end,
            is_code: permissions.contains(&b'x'),
            offset: hexadecimal(offset)?,
            identity: ((major as u32, minor as u32), inode),
            path,
        })
    }
    /// The file, of which nothing is seen yet.
    fn begins(&self) -> Mapped {
        let (path, deleted) = self.path.strip_suffix(DELETED).map_or((self.path, false), |path| (path, true));
        Mapped {
            path: PathBuf::from(OsStr::from_bytes(path)),
            deleted,
            first: self.range.clone(),
            size: 0,
            identity: self.identity,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIBRARY: &str = "7f00-7f10 r--p 00000000 08:01 77 /usr/lib/libx.so\n\
                           7f10-7f80 r-xp 00001000 08:01 77 /usr/lib/libx.so\n\
                           7f80-7f90 rw-p 00008000 08:01 77 /usr/lib/libx.so\n";

    fn found(maps: &[u8]) -> Vec<Mapped> {
        mapped(maps).expect("text in memory")
    }

    #[test]
    fn a_library_is_one_file_with_its_beginning() {
        let [file] = &found(LIBRARY.as_bytes())[..] else { panic!("one file") };
        assert_eq!((file.path.to_str(), file.deleted), (Some("/usr/lib/libx.so"), false));
        assert_eq!((file.first.clone(), file.size, file.identity), (0x7f00..0x7f10, 0x90, ((8, 1), 77)));
        let gone = found(LIBRARY.replace(".so", ".so (deleted)").as_bytes());
        assert_eq!((gone[0].path.to_str(), gone[0].deleted), (Some("/usr/lib/libx.so"), true));
    }

    #[test]
    fn data_is_passed_over_and_does_not_hide_where_a_library_begins() {
        let data = "5000-6000 r--s 00000000 08:01 5 /var/lib/data\n6000-6100 r--p 00000000 08:01 77 /usr/lib/libx.so\n\
                    6100-6200 rw-p 00000000 00:00 0 \n6200-6300 rw-p 00000000 00:00 0    [heap]\n";
        let files = found((data.to_owned() + LIBRARY).as_bytes());
        assert_eq!(files.len(), 1);
        assert_eq!((files[0].first.clone(), files[0].size), (0x7f00..0x7f10, 0x190));
    }

    #[test]
    fn names_may_be_of_any_bytes() {
        let files = found(b"1000-2000 r-xp 00000000 fe:00 9    /tmp/\xff \x1b[31m x\n");
        assert_eq!(files[0].path.as_os_str().as_bytes(), b"/tmp/\xff \x1b[31m x");
    }

    #[test]
    fn there_is_an_end_to_it() {
        let many: String = (0..2 * MOST).map(|n| format!("{n:x}000-{n:x}fff r-xp 0 08:01 {n} /x/{n}\n")).collect();
        assert_eq!(found(many.as_bytes()).len(), MOST);
        // A line without end is several, and none of them tells anything.
        let long = [b"1000-2000 r-xp 00000000 fe:00 9 [", vec![b'x'; 1 << 20].as_slice()].concat();
        assert_eq!(found(&long), []);
        for line in
            ["2000-1000 r-xp 0 08:01 7 /x", "1-2 r-xp 0 08 7 /x", "-", "1-2 r-xp 0 8:1 /x", "x-y r-xp 0 8:1 7 /x", ""]
        {
            assert_eq!(found(line.as_bytes()), [], "{line}");
        }
    }
}
