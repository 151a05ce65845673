//! PURE: what is asked of an ELF file, wherever it is read from: the file, or the memory that it is mapped to.
//!
//! Whoever made it may want to harm whoever looks: no number in it is trusted, each read is short, and a look has an end. A file
//! of gigabytes costs as little as a small one.

use std::fmt::{self, Display};

use memchr::memmem;
use nix::errno::Errno;
use object::elf::{
    DT_GNU_HASH, DT_HASH, DT_NEEDED, DT_SONAME, DT_STRTAB, DT_SYMTAB, Dyn64, ELFCLASS32, ELFCLASS64, ELFMAG, EM_386,
    EM_AARCH64, EM_ARM, EM_PPC64, EM_RISCV, EM_S390, EM_X86_64, FileHeader32, FileHeader64, PT_DYNAMIC, PT_INTERP,
    PT_LOAD, SHN_UNDEF, Sym64,
};
use object::pod::{Pod, bytes_of_mut};
use object::read::elf::{Dyn, FileHeader, ProgramHeader, SectionHeader, Sym};
use object::{Endianness, NativeEndian};

/// More than any program or library has of these.
const MOST_SEGMENTS: u64 = 64;
const MOST_SECTIONS: u64 = 256;
const MOST_ENTRIES: u64 = 1024;
/// A chain has about one symbol.
const LONGEST_CHAIN: u32 = 1024;
/// No path is longer, and no name of a symbol that is looked for.
const LONGEST_STRING: usize = 4096;
/// So much of what is loaded is looked through, which is more than any program has; so much of it at a time, and the end of that
/// once more.
const MOST_LOADED: usize = 256 << 20;
const PIECE: usize = 256 << 10;
const AGAIN: usize = 64;
/// How much of a string is read at a time: a divisor of the page size, as what follows its own page need not be there.
const STEP: u64 = 64;

/// What an ELF file is read from.
pub trait Source {
    /// Fills `bytes` from `at` on as far as there is something; returns how far.
    fn read_some(&self, at: u64, bytes: &mut [u8]) -> Result<usize, Errno>;

    /// The address at which it is mapped, if it is: addresses in it lead to where they say, and not to the file's parts.
    fn base(&self) -> Option<u64> {
        None
    }
}

impl Source for std::fs::File {
    fn read_some(&self, at: u64, bytes: &mut [u8]) -> Result<usize, Errno> {
        let read = std::os::unix::fs::FileExt::read_at(self, bytes, at);
        read.map_err(|error| error.raw_os_error().map_or(Errno::EIO, Errno::from_raw))
    }
}

/// What a file is made for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Architecture {
    bits: u8,
    /// `EM_X86_64` and the like.
    pub machine: u16,
}

impl Display for Architecture {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name = match self.machine {
            EM_X86_64 => "x86-64",
            EM_386 => "i386",
            EM_AARCH64 => "aarch64",
            EM_ARM => "arm",
            EM_PPC64 => "ppc64",
            EM_RISCV => "riscv",
            EM_S390 => "s390",
            other => return write!(formatter, "machine {other}, {}-bit", self.bits),
        };
        write!(formatter, "{name}, {}-bit", self.bits)
    }
}

/// An ELF file: its headers, and where the rest is read from.
pub struct Elf<S> {
    source: S,
    /// What it is made for.
    pub architecture: Architecture,
    segments: Vec<Part>,
    /// Where the table of its sections is, how many there are, and which of them has their names.
    sections: (u64, u64, u64),
}

/// A segment or a section.
#[derive(Clone, Copy)]
struct Part {
    /// Its kind; of a section, where its name is among the names.
    kind: u32,
    offset: u64,
    address: u64,
    /// Its size in the file, and in memory.
    size: u64,
    size_in_memory: u64,
}

impl<S: Source> Elf<S> {
    /// Reads the headers; `None` where this is no ELF file.
    pub fn read(source: S) -> Result<Option<Self>, Errno> {
        let mut identity = [0; 16];
        let length = source.read_some(0, &mut identity)?;
        if length < identity.len() || identity[..4] != ELFMAG {
            return Ok(None);
        }
        match identity[4] {
            ELFCLASS32 => Self::of::<FileHeader32<Endianness>>(source, 32),
            ELFCLASS64 => Self::of::<FileHeader64<Endianness>>(source, 64),
            _ => Ok(None),
        }
    }

    fn of<H: FileHeader<Endian = Endianness>>(source: S, bits: u8) -> Result<Option<Self>, Errno> {
        let header: H = structure(&source, 0)?;
        let Ok(endian) = header.endian() else { return Ok(None) };
        let (at, count) = (header.e_phoff(endian).into(), u64::from(header.e_phnum(endian)).min(MOST_SEGMENTS));
        let segment = |index| {
            let segment: H::ProgramHeader = element(&source, at, index)?;
            Ok(Part {
                kind: segment.p_type(endian),
                offset: segment.p_offset(endian).into(),
                address: segment.p_vaddr(endian).into(),
                size: segment.p_filesz(endian).into(),
                size_in_memory: segment.p_memsz(endian).into(),
            })
        };
        let segments = (0..count).map(segment).collect::<Result<_, Errno>>()?;
        let sections = (
            header.e_shoff(endian).into(),
            u64::from(header.e_shnum(endian)).min(MOST_SECTIONS),
            header.e_shstrndx(endian).into(),
        );
        let architecture = Architecture { bits, machine: header.e_machine(endian) };
        Ok(Some(Elf { source, architecture, segments, sections }))
    }

    /// The dynamic linker that it asks for; `None` = none, as a static program or a library.
    pub fn interpreter(&self) -> Option<Vec<u8>> {
        let part = self.segments.iter().find(|part| part.kind == PT_INTERP)?;
        let mut path = vec![0; part.size.min(LONGEST_STRING as u64) as usize];
        let length = self.source.read_some(part.offset, &mut path).ok()?;
        Some(path[..length].split(|&byte| byte == 0).next().unwrap_or_default().to_vec())
    }

    /// The libraries that it is linked with, in their order (DT_NEEDED); `None` where it is not a dynamic one.
    pub fn needed(&self) -> Option<Vec<Vec<u8>>> {
        self.strings(DT_NEEDED)
    }

    /// Whether it is a dynamic linker itself, which is no static program: started by hand it preloads into what it loads.
    pub fn is_loader(&self) -> bool {
        let names = self.strings(DT_SONAME).unwrap_or_default();
        names.iter().any(|name| name.starts_with(b"ld-") || name.starts_with(b"ld64."))
    }

    /// The strings that entries of the dynamic section name; `None` where there is none.
    fn strings(&self, tag: u32) -> Option<Vec<Vec<u8>>> {
        let dynamic = self.dynamic().ok().filter(|entries| !entries.is_empty())?;
        let strings = self.table(&dynamic, DT_STRTAB)?;
        let entries = dynamic.iter().filter(|(found, _)| *found == u64::from(tag));
        Some(entries.filter_map(|(_, name)| self.string(strings.checked_add(*name)?, LONGEST_STRING).ok()).collect())
    }

    /// Whether it has a section of this name, which strip(1) leaves where it is part of what is loaded.
    pub fn has_section(&self, name: &str) -> bool {
        let (.., names) = self.sections;
        let names = self.section(names).ok();
        let is_it = |section: Part| {
            let at = names?.offset.checked_add(section.kind.into())?;
            self.is_string(at, name).ok().filter(|&is_it| is_it)
        };
        (0..self.sections.1).any(|index| self.section(index).ok().and_then(is_it).is_some())
    }

    fn section(&self, index: u64) -> Result<Part, Errno> {
        let (at, ..) = self.sections;
        // Those that are looked for are in files of this machine's kind.
        let section: object::elf::SectionHeader64<NativeEndian> = element(&self.source, at, index)?;
        Ok(Part {
            kind: section.sh_name(NativeEndian),
            offset: section.sh_offset(NativeEndian),
            address: section.sh_addr(NativeEndian),
            size: section.sh_size(NativeEndian),
            size_in_memory: section.sh_size(NativeEndian),
        })
    }

    /// Whether `text` stands in what is loaded of it.
    pub fn contains(&self, text: &[u8]) -> bool {
        let mut is_there = false;
        self.pieces(|piece| is_there = is_there || memmem::find(piece, text).is_some());
        is_there
    }

    /// Shows what is loaded of it, in pieces, of which each begins with the end of the one before, so that nothing lies across two.
    pub fn pieces(&self, mut show: impl FnMut(&[u8])) {
        let (mut left, mut piece) = (MOST_LOADED, vec![0; PIECE]);
        for part in self.segments.iter().filter(|part| part.kind == PT_LOAD) {
            let (mut at, end) = (part.offset, part.offset.saturating_add(part.size));
            while at < end && left > 0 {
                let length = (end - at).min(PIECE as u64) as usize;
                let Ok(length @ 1..) = self.source.read_some(at, &mut piece[..length]) else { break };
                show(&piece[..length]);
                left = left.saturating_sub(length);
                let is_last = length < PIECE || at.saturating_add(length as u64) == end;
                at += if is_last { length } else { length - AGAIN } as u64;
            }
        }
    }

    /// Where the exported symbol `name` is: its value, less the base where it is mapped. `None` where it exports none.
    pub fn symbol(&self, name: &str) -> Result<Option<u64>, Errno> {
        let dynamic = self.dynamic()?;
        let table = |tag| self.table(&dynamic, tag);
        let (Some(symbols), Some(strings)) = (table(DT_SYMTAB), table(DT_STRTAB)) else { return Ok(None) };
        let value = |index: u32| -> Result<Option<u64>, Errno> {
            let symbol: Sym64<NativeEndian> = element(&self.source, symbols, index.into())?;
            let is_it = symbol.st_shndx(NativeEndian) != SHN_UNDEF
                && self.is_string(strings.wrapping_add(symbol.st_name(NativeEndian).into()), name)?;
            Ok(is_it.then(|| self.relative(symbol.st_value(NativeEndian))))
        };
        match (table(DT_GNU_HASH), table(DT_HASH)) {
            (Some(hash), _) => self.by_gnu_hash(hash, name, value),
            (None, Some(hash)) => self.by_hash(hash, name, value),
            (None, None) => Ok(None),
        }
    }

    /// Where the exported symbol `name` is in the memory that it is mapped to.
    pub fn address(&self, name: &str) -> Result<Option<u64>, Errno> {
        let base = self.source.base().unwrap_or(0);
        Ok(self.symbol(name)?.map(|value| base.wrapping_add(value)))
    }

    /// Whether it defines and exports a symbol of this name.
    pub fn exports(&self, name: &str) -> bool {
        self.symbol(name).is_ok_and(|value| value.is_some())
    }

    /// The bytes at an address in it, and as many as there are.
    pub fn bytes<const N: usize>(&self, address: u64) -> Option<[u8; N]> {
        structure(&self.source, self.place(address)?).ok()
    }

    /// The C string at an address in it, up to `longest` bytes of it.
    pub fn string_at(&self, address: u64, longest: usize) -> Option<Vec<u8>> {
        self.string(self.place(address)?, longest).ok()
    }

    /// The entries of the dynamic section: tag and value. None where there is no such section.
    fn dynamic(&self) -> Result<Vec<(u64, u64)>, Errno> {
        let is_ours = self.architecture.bits == 64;
        let Some(part) = self.segments.iter().find(|part| is_ours && part.kind == PT_DYNAMIC) else {
            return Ok(Vec::new());
        };
        let (at, size) = match self.source.base() {
            Some(_) => (self.relative(part.address), part.size_in_memory),
            None => (part.offset, part.size),
        };
        let count = (size / size_of::<Dyn64<NativeEndian>>() as u64).min(MOST_ENTRIES);
        let mut entries = Vec::new();
        for index in 0..count {
            let entry: Dyn64<NativeEndian> = element(&self.source, at, index)?;
            // DT_NULL ends it.
            if entry.d_tag(NativeEndian) == 0 {
                break;
            }
            entries.push((entry.d_tag(NativeEndian), entry.d_val(NativeEndian)));
        }
        Ok(entries)
    }

    /// Where a table is that the dynamic section names.
    fn table(&self, dynamic: &[(u64, u64)], tag: u32) -> Option<u64> {
        let (_, address) = dynamic.iter().find(|(found, _)| *found == u64::from(tag))?;
        self.place(self.relative(*address))
    }

    /// An address as one in the file: glibc relocates those of the dynamic section in place where it can be written, other
    /// loaders do not.
    fn relative(&self, address: u64) -> u64 {
        let base = self.source.base().unwrap_or(0);
        address.checked_sub(base).unwrap_or(address)
    }

    /// Where the source has what belongs to an address; `None` where the file has nothing of it.
    fn place(&self, address: u64) -> Option<u64> {
        if self.source.base().is_some() {
            return Some(address);
        }
        let within = |part: &Part| Some(address.checked_sub(part.address)?).filter(|&offset| offset < part.size);
        let loaded = self.segments.iter().filter(|part| part.kind == PT_LOAD);
        loaded.filter_map(|part| part.offset.checked_add(within(part)?)).next()
    }

    /// By the table of most linkers (DT_GNU_HASH): a bucket leads to the first of a chain, whose last has a bit set.
    fn by_gnu_hash<F>(&self, table: u64, name: &str, value: F) -> Result<Option<u64>, Errno>
    where
        F: Fn(u32) -> Result<Option<u64>, Errno>,
    {
        let hash = name.bytes().fold(5381u32, |hash, byte| hash.wrapping_mul(33).wrapping_add(byte.into()));
        let [buckets, first, bloom] = [0, 1, 2].map(|index| self.word(table, index));
        let (buckets, first, bloom) = (buckets?, first?, bloom?);
        let Some(bucket) = hash.checked_rem(buckets) else { return Ok(None) };
        let start = 4 + 2 * u64::from(bloom);
        let head = self.word(table, start + u64::from(bucket))?;
        for index in head..=head.saturating_add(LONGEST_CHAIN) {
            let Some(place) = index.checked_sub(first) else { return Ok(None) };
            let chained = self.word(table, start + u64::from(buckets) + u64::from(place))?;
            if chained | 1 == hash | 1
                && let Some(value) = value(index)?
            {
                return Ok(Some(value));
            }
            if chained & 1 == 1 {
                break;
            }
        }
        Ok(None)
    }

    /// By the older table (DT_HASH): a chain ends with 0.
    fn by_hash<F>(&self, table: u64, name: &str, value: F) -> Result<Option<u64>, Errno>
    where
        F: Fn(u32) -> Result<Option<u64>, Errno>,
    {
        let hash = name.bytes().fold(0u32, |hash, byte| {
            let hash = (hash << 4).wrapping_add(byte.into());
            (hash ^ (hash >> 24 & 0xf0)) & 0x0fff_ffff
        });
        let buckets = self.word(table, 0)?;
        let Some(bucket) = hash.checked_rem(buckets) else { return Ok(None) };
        let mut index = self.word(table, 2 + u64::from(bucket))?;
        for _ in 0..LONGEST_CHAIN {
            if index == 0 {
                break;
            }
            if let Some(value) = value(index)? {
                return Ok(Some(value));
            }
            index = self.word(table, 2 + u64::from(buckets) + u64::from(index))?;
        }
        Ok(None)
    }

    /// A word of a table.
    fn word(&self, table: u64, index: u64) -> Result<u32, Errno> {
        element::<[u8; 4]>(&self.source, table, index).map(u32::from_ne_bytes)
    }

    fn is_string(&self, at: u64, text: &str) -> Result<bool, Errno> {
        Ok(self.string(at, text.len() + 1)? == text.as_bytes())
    }

    /// The C string at a place of the source, up to `longest` bytes of it.
    fn string(&self, mut at: u64, longest: usize) -> Result<Vec<u8>, Errno> {
        let mut string = Vec::new();
        while string.len() < longest {
            let mut part = [0; STEP as usize];
            let part = &mut part[..(STEP - at % STEP) as usize];
            let length = self.source.read_some(at, part)?;
            let part = &part[..length];
            let end = part.iter().position(|&byte| byte == 0);
            string.extend(&part[..end.unwrap_or(length)]);
            if end.is_some() || length == 0 {
                break;
            }
            at = at.saturating_add(length as u64);
        }
        string.truncate(longest);
        Ok(string)
    }
}

/// The element `index` of a table at `at`.
fn element<T: Pod>(source: &impl Source, at: u64, index: u64) -> Result<T, Errno> {
    structure(source, at.wrapping_add(index.wrapping_mul(size_of::<T>() as u64)))
}

fn structure<T: Pod>(source: &impl Source, at: u64) -> Result<T, Errno> {
    // SAFETY: plain old data: any bytes are a valid value, zeros too.
    let mut value: T = unsafe { std::mem::zeroed() };
    let bytes = bytes_of_mut(&mut value);
    let length = bytes.len();
    if source.read_some(at, bytes)? == length { Ok(value) } else { Err(Errno::EFAULT) }
}
