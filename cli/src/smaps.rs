//! PURE: what `/proc/PID/smaps` tells of each mapping (proc_pid_smaps(5)).

use std::io::{BufRead, Error, ErrorKind, Read, Result};

/// No line is longer: a path of 4,096 bytes, in which each may be told by four.
const LONGEST_LINE: u64 = 32 << 10;
/// No process has more; the kernel's own limit is 65,530 unless it was raised.
const MOST: usize = 1 << 20;

/// One mapping. Sizes are bytes.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Mapping {
    /// Its first address.
    pub start: u64,
    /// The first one behind it.
    pub end: u64,
    /// Such as `rw-p`.
    pub permissions: String,
    /// 0 = of no file.
    pub inode: u64,
    /// The file's path, what the kernel calls it (`[heap]`), or nothing.
    pub name: String,
    /// What is in memory.
    pub resident: u64,
    /// The same, what is shared divided by how many share it.
    pub proportional: u64,
    /// What is in memory and of no file.
    pub anonymous: u64,
    /// Of that, in transparent huge pages.
    pub huge: u64,
    /// In pages of hugetlbfs, which are in no other sum.
    pub hugetlb: u64,
    /// What is in memory and mapped by other processes, too.
    pub shared: u64,
    /// What has been swapped out.
    pub swapped: u64,
    /// Whether it may not be swapped out, nor be given back (mlock(2)).
    pub is_locked: bool,
    /// Whether the program has asked for huge pages there (MADV_HUGEPAGE).
    pub wants_huge: bool,
}

impl Mapping {
    /// How much of the address space it takes.
    pub fn size(&self) -> u64 {
        self.end - self.start
    }

    /// Whether it is memory of this process alone that no file is behind.
    pub fn is_anonymous(&self) -> bool {
        self.inode == 0 && self.permissions.ends_with('p')
    }

    /// What a mapping's first line says; `None` = it is none.
    fn of(line: &str) -> Option<Mapping> {
        let (range, rest) = line.split_once(' ')?;
        let (start, end) = range.split_once('-')?;
        let number = |text| u64::from_str_radix(text, 16).ok();
        let (start, end) = (number(start)?, number(end)?);
        let mut words = rest.split_ascii_whitespace();
        let (permissions, inode) = (words.next()?.to_owned(), words.nth(2)?.parse().ok()?);
        // The name may have spaces.
        let name = rest.splitn(5, ' ').nth(4).map_or("", |name| name.trim_start()).to_owned();
        (start < end).then(|| Mapping { start, end, permissions, inode, name, ..Mapping::default() })
    }

    /// Takes one of the lines that follow; what is not known is passed over. Fails where a known one makes no sense.
    fn take(&mut self, line: &str) -> Result<()> {
        let Some((name, value)) = line.split_once(':') else { return Ok(()) };
        let field = match name {
            "Rss" => &mut self.resident,
            "Pss" => &mut self.proportional,
            "Anonymous" => &mut self.anonymous,
            "AnonHugePages" => &mut self.huge,
            "Shared_Hugetlb" | "Private_Hugetlb" => &mut self.hugetlb,
            "Shared_Clean" | "Shared_Dirty" => &mut self.shared,
            "Swap" => &mut self.swapped,
            "VmFlags" => {
                let has = |wanted| value.split_ascii_whitespace().any(|flag| flag == wanted);
                (self.is_locked, self.wants_huge) = (has("lo"), has("hg"));
                return Ok(());
            }
            _ => return Ok(()),
        };
        let Some(kilobytes) = value.trim().strip_suffix(" kB") else { return Ok(()) };
        let kilobytes: u64 = kilobytes.parse().map_err(|_| ErrorKind::InvalidData)?;
        let bytes = kilobytes.saturating_mul(1024);
        // Two of them come in parts, and none is larger than the mapping.
        *field = field.saturating_add(bytes).min(self.end - self.start);
        Ok(())
    }
}

/// All mappings, in the order of their addresses. What comes before the first, and what is no such line, is passed over.
pub fn mappings(smaps: impl BufRead) -> Result<Vec<Mapping>> {
    let mut found: Vec<Mapping> = Vec::new();
    for line in lines(smaps) {
        let line = line?;
        if let Some(mapping) = Mapping::of(&line) {
            found.push(mapping);
        } else if let Some(last) = found.last_mut() {
            last.take(&line)?;
        }
        if found.len() > MOST {
            return Err(Error::other("more mappings than any process has"));
        }
    }
    Ok(found)
}

/// Lines, none of which may be without end. What is not text is replaced.
fn lines(mut text: impl BufRead) -> impl Iterator<Item = Result<String>> {
    std::iter::from_fn(move || {
        let mut line = Vec::new();
        match text.by_ref().take(LONGEST_LINE).read_until(b'\n', &mut line) {
            Ok(0) => None,
            Ok(_) if line.len() as u64 == LONGEST_LINE => Some(Err(ErrorKind::InvalidData.into())),
            Ok(_) => Some(Ok(String::from_utf8_lossy(line.trim_ascii_end()).into_owned())),
            Err(error) => Some(Err(error)),
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const ONE: &str = "7f0000000000-7f0000200000 rw-p 00000000 00:00 0 \nSize: 2048 kB\nRss: 1024 kB\nPss: 512 kB\n\
                       Shared_Clean: 8 kB\nShared_Dirty: 4 kB\nAnonymous: 1000 kB\nAnonHugePages: 100 kB\nSwap: 16 kB\n\
                       VmFlags: rd wr lo ac\n";

    #[test]
    fn a_mapping_is_read_with_its_sizes() {
        let found = mappings(ONE.as_bytes()).expect("mappings");
        let expected = Mapping {
            start: 0x7f00_0000_0000,
            end: 0x7f00_0020_0000,
            permissions: "rw-p".into(),
            resident: 1 << 20,
            proportional: 512 << 10,
            anonymous: 1000 << 10,
            huge: 100 << 10,
            shared: 12 << 10,
            swapped: 16 << 10,
            is_locked: true,
            ..Mapping::default()
        };
        assert_eq!(found, [expected]);
        assert!(found[0].is_anonymous());
    }

    #[test]
    fn names_are_read_whole() {
        for name in ["[heap]", "/usr/lib/a file (deleted)", "[anon: glibc: malloc arena]"] {
            let line = format!("1000-2000 r-xp 00003000 08:01 77                     {name}\n");
            let found = mappings(line.as_bytes()).expect("mappings");
            assert_eq!((found[0].name.as_str(), found[0].inode), (name, 77));
        }
    }

    #[test]
    fn nothing_is_larger_than_its_mapping() {
        let found = mappings("1000-2000 rw-p 0 0 0\nRss: 18446744073709551615 kB\n".as_bytes()).expect("mappings");
        assert_eq!(found[0].resident, 4096);
    }

    #[test]
    fn what_makes_no_sense_is_refused_and_what_is_unknown_passed_over() {
        assert!(mappings("1000-2000 rw-p 0 0 0\nRss: x kB\n".as_bytes()).is_err());
        assert!(mappings("x".repeat(1 << 20).as_bytes()).is_err());
        for text in ["\n\n", "x-y z", "Rss: 4 kB\n", "5000-4000 rw-p 0 0 0\n", "1000-2000 rw-p\n", "\u{fffd}: 4"] {
            assert_eq!(mappings(text.as_bytes()).expect("nothing"), [], "{text:?}");
        }
    }

    #[test]
    fn any_byte_may_be_another() {
        for at in 0..ONE.len() {
            for byte in [b' ', b'\n', b':', b'9', 0xff] {
                let mut changed = ONE.as_bytes().to_vec();
                changed[at] = byte;
                let found = mappings(changed.as_slice()).unwrap_or_default();
                assert!(found.iter().all(|mapping| mapping.resident <= mapping.size()), "{at}: {found:?}");
            }
        }
    }
}
