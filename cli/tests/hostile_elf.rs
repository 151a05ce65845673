//! ELF files made to harm whoever looks at them: each look ends, takes little, and says nothing or something.
//!
//! `PROPTEST_CASES=1000000 cargo nextest run --release --test hostile_elf` searches longer than a test run has time for.
#![allow(dead_code)]

mod support;

#[path = "../src/elf.rs"]
mod elf;
#[path = "../src/glibc.rs"]
mod glibc;

use std::cell::Cell;
use std::fs::File;
use std::sync::LazyLock;

use elf::{Elf, Source};
use nix::errno::Errno;
use object::{Object, ObjectSymbol};
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::select;

/// More reads than any look needs, and more bytes: both far below what a file can ask for.
const MOST_READS: u64 = 20_000;
const MOST_BYTES: u64 = 4 << 20;

/// A file, or what is mapped of it, whose reads are counted; behind its end there may be something without end.
struct Counted<'a> {
    content: &'a [u8],
    behind: Option<u8>,
    base: Option<u64>,
    reads: &'a Cell<u64>,
    bytes: &'a Cell<u64>,
}

impl Source for Counted<'_> {
    fn read_some(&self, at: u64, bytes: &mut [u8]) -> Result<usize, Errno> {
        self.reads.set(self.reads.get() + 1);
        self.bytes.set(self.bytes.get() + bytes.len() as u64);
        let rest = self.content.get(usize::try_from(at).unwrap_or(usize::MAX)..).unwrap_or_default();
        let length = rest.len().min(bytes.len());
        bytes[..length].copy_from_slice(&rest[..length]);
        match self.behind {
            Some(byte) => bytes[length..].fill(byte),
            None if length == 0 && self.base.is_some() => return Err(Errno::EFAULT),
            None => return Ok(length),
        }
        Ok(bytes.len())
    }

    fn base(&self) -> Option<u64> {
        self.base
    }
}

/// Everything that is ever asked of one.
fn asked<S: Source>(source: S) -> Option<(bool, Option<usize>, Option<String>)> {
    let file = Elf::read(source).ok()??;
    let (interpreter, needed) = (file.interpreter(), file.needed());
    let text = format!("{} {interpreter:?} {needed:?} {}", file.architecture, file.is_loader());
    assert!(text.len() < MOST_BYTES as usize * 4, "{}", text.len());
    let found = ["malloc", "autotrim_stats", "", "__asan_init"].map(|name| file.exports(name));
    Some((file.has_section(".go.buildinfo") || found[0], needed.map(|needed| needed.len()), glibc::version(&file)))
}

/// Asks everything, and holds what that took against the limits.
fn costs_little(content: &[u8], behind: Option<u8>, base: Option<u64>) {
    let (reads, bytes) = (Cell::new(0), Cell::new(0));
    asked(Counted { content, behind, base, reads: &reads, bytes: &bytes });
    assert!(reads.get() < MOST_READS && bytes.get() < MOST_BYTES, "{} reads, {} bytes", reads.get(), bytes.get());
}

/// Files to start from: the library, and glibc.
static FILES: LazyLock<Vec<Vec<u8>>> = LazyLock::new(|| {
    let glibc = procfs::process::Process::myself().and_then(|process| process.maps()).expect("our mappings");
    let glibc = glibc.iter().find_map(|map| match &map.pathname {
        procfs::process::MMapPath::Path(path) if path.ends_with("libc.so.6") => Some(path.clone()),
        _ => None,
    });
    let paths = [support::common::library(), glibc.expect("glibc"), "/bin/sh".into()];
    paths.iter().map(|path| std::fs::read(path).expect("a file")).collect()
});

/// Numbers that mean something somewhere.
fn number() -> impl Strategy<Value = u64> {
    prop_oneof![
        select(vec![0, 1, 2, 64, 0xffff, 1 << 20, u64::from(u32::MAX), i64::MAX as u64, u64::MAX - 8, u64::MAX]),
        (any::<u64>(), 0u32..64).prop_map(|(number, shift)| number >> shift),
    ]
}

/// What is written over a file: mostly its headers, and anywhere.
fn changes() -> impl Strategy<Value = Vec<(usize, u64, usize)>> {
    let place = prop_oneof![0usize..64, 0usize..1024, 0usize..8192, any::<usize>()];
    vec((place, number(), 1usize..9), 0..12)
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn a_changed_file_costs_little(
        file in 0usize..3, changes in changes(), base in select(vec![None, Some(0x7f00_0000_0000), Some(u64::MAX - 9)]),
        behind in select(vec![None, Some(0), Some(0xff), Some(b'A')]), end in any::<usize>(), is_cut: bool,
    ) {
        let mut content = FILES[file].clone();
        for (at, number, length) in changes {
            let at = at % content.len();
            let length = length.min(content.len() - at);
            content[at..at + length].copy_from_slice(&number.to_le_bytes()[..length]);
        }
        if is_cut {
            content.truncate(end % content.len());
        }
        costs_little(&content, behind, base);
    }

    #[test]
    fn any_bytes_behind_the_mark_cost_little(rest in vec(any::<u8>(), 0..2000), class in 0u8..4, behind: Option<u8>) {
        let content = [b"\x7fELF".as_slice(), &[class, 1, 1], &rest].concat();
        costs_little(&content, behind, None);
        costs_little(&content, behind, Some(0x1000));
    }
}

/// What is found is what another reader finds.
#[test]
fn a_sound_file_is_read_as_it_is() {
    for content in FILES.iter() {
        let whole = object::File::parse(content.as_slice()).expect("an ELF file");
        let (reads, bytes) = (Cell::new(0), Cell::new(0));
        let source = || Counted { content, behind: None, base: None, reads: &reads, bytes: &bytes };
        let file = Elf::read(source()).expect("a file").expect("an ELF file");
        let exported = whole.dynamic_symbols().filter(|symbol| symbol.is_definition());
        let exported: Vec<(&str, u64)> =
            exported.filter_map(|symbol| Some((symbol.name().ok()?, symbol.address()))).collect();
        for (name, _) in &exported {
            // Of several versions of one name any is right.
            let found = file.symbol(name).expect("a file").unwrap_or_else(|| panic!("{name} is not found"));
            assert!(exported.contains(&(name, found)), "{name}");
        }
        for absent in ["no_such_symbol", "", "mallo", "mallocx"] {
            assert!(!file.exports(absent), "{absent}");
        }
    }
    let library = asked(File::open(support::common::library()).expect("the library")).expect("an ELF file");
    assert_eq!((library.0, library.2), (false, None));
    // SAFETY: returns a C string that lives for ever.
    let version = unsafe { std::ffi::CStr::from_ptr(libc::gnu_get_libc_version()) }.to_str().expect("text");
    let (reads, bytes) = (Cell::new(0), Cell::new(0));
    let source = Counted { content: &FILES[1], behind: None, base: None, reads: &reads, bytes: &bytes };
    let glibc = Elf::read(source).expect("a file").expect("an ELF file");
    assert_eq!(glibc::version(&glibc).as_deref(), Some(version));
    assert!(bytes.get() < 64 << 10, "{} bytes for a version", bytes.get());
}
