//! An exported symbol of a shared object, found in the memory that it is mapped to.
//!
//! Its file is not needed: it may lie in another mount namespace, be deleted, or be replaced by an upgrade. The
//! dynamic section and what it refers to are always mapped: the loader reads them too.

use nix::errno::Errno;
use object::NativeEndian;
use object::elf::{
    DT_GNU_HASH, DT_HASH, DT_STRTAB, DT_SYMTAB, Dyn64, ELFCLASS64, ELFMAG, FileHeader64, PT_DYNAMIC, ProgramHeader64,
    SHN_UNDEF, Sym64,
};
use object::pod::{Pod, bytes_of_mut};
use object::read::elf::{Dyn, FileHeader, ProgramHeader, Sym};

use crate::memory;

/// More than any shared object has of these: what is read from another process is not to be trusted.
const MOST_HEADERS: u64 = 64;
const MOST_ENTRIES: u64 = 256;
const MOST_SYMBOLS: u32 = 1 << 16;

/// The address of the exported symbol `name` of the 64-bit object mapped at `base`; `None` where it exports none.
pub fn find(pid: i32, base: u64, name: &str) -> Result<Option<u64>, Errno> {
    let header: FileHeader64<NativeEndian> = structure(pid, base)?;
    if header.e_ident().magic != ELFMAG || header.e_ident().class != ELFCLASS64 {
        return Ok(None);
    }
    let Some(dynamic) = dynamic_section(pid, base, &header)? else { return Ok(None) };
    // glibc relocates these addresses in place where the section can be written, other loaders do not.
    let absolute = |address: u64| if address < base { base.wrapping_add(address) } else { address };
    let address = |tag: u32| dynamic.iter().find(|(found, _)| *found == u64::from(tag)).map(|(_, at)| absolute(*at));
    let (Some(symbols), Some(strings)) = (address(DT_SYMTAB), address(DT_STRTAB)) else { return Ok(None) };
    let count = match (address(DT_HASH), address(DT_GNU_HASH)) {
        (Some(table), _) => word(pid, table.wrapping_add(4))?,
        (None, Some(table)) => count_by_gnu_hash(pid, table)?,
        (None, None) => return Ok(None),
    };
    for index in 0..u64::from(count.min(MOST_SYMBOLS)) {
        let symbol: Sym64<NativeEndian> =
            structure(pid, symbols.wrapping_add(index * size_of::<Sym64<NativeEndian>>() as u64))?;
        if symbol.st_shndx(NativeEndian) == SHN_UNDEF {
            continue;
        }
        let text = strings.wrapping_add(symbol.st_name(NativeEndian).into());
        if memory::read(pid, text, name.len() + 1).is_ok_and(|text| text.strip_suffix(b"\0") == Some(name.as_bytes())) {
            return Ok(Some(base.wrapping_add(symbol.st_value(NativeEndian))));
        }
    }
    Ok(None)
}

/// The entries of the dynamic section: tag and value.
fn dynamic_section(pid: i32, base: u64, header: &FileHeader64<NativeEndian>) -> Result<Option<Vec<(u64, u64)>>, Errno> {
    let (at, count) = (header.e_phoff(NativeEndian), u64::from(header.e_phnum(NativeEndian)).min(MOST_HEADERS));
    for index in 0..count {
        let at = base.wrapping_add(at).wrapping_add(index * size_of::<ProgramHeader64<NativeEndian>>() as u64);
        let program: ProgramHeader64<NativeEndian> = structure(pid, at)?;
        if program.p_type(NativeEndian) != PT_DYNAMIC {
            continue;
        }
        let size = size_of::<Dyn64<NativeEndian>>() as u64;
        let entries = (program.p_memsz(NativeEndian) / size).min(MOST_ENTRIES);
        let start = base.wrapping_add(program.p_vaddr(NativeEndian));
        let entries = (0..entries).map(|index| {
            let entry: Dyn64<NativeEndian> = structure(pid, start.wrapping_add(index * size))?;
            Ok((entry.d_tag(NativeEndian), entry.d_val(NativeEndian)))
        });
        return entries.collect::<Result<_, _>>().map(Some);
    }
    Ok(None)
}

/// How many symbols there are: one more than the last of the longest chain.
fn count_by_gnu_hash(pid: i32, table: u64) -> Result<u32, Errno> {
    let (buckets, first, bloom) = (word(pid, table)?, word(pid, table + 4)?, word(pid, table + 8)?);
    let bucket = table + 16 + 8 * u64::from(bloom);
    let chain = bucket + 4 * u64::from(buckets);
    let mut last = 0;
    for index in 0..u64::from(buckets.min(MOST_SYMBOLS)) {
        last = last.max(word(pid, bucket + 4 * index)?);
    }
    if last < first {
        return Ok(first);
    }
    // The lowest bit marks the end of a chain.
    while last < MOST_SYMBOLS && word(pid, chain + 4 * u64::from(last - first))? & 1 == 0 {
        last += 1;
    }
    Ok(last + 1)
}

fn word(pid: i32, address: u64) -> Result<u32, Errno> {
    let mut bytes = [0; 4];
    memory::read_into(pid, address, &mut bytes)?;
    Ok(u32::from_ne_bytes(bytes))
}

fn structure<T: Pod>(pid: i32, address: u64) -> Result<T, Errno> {
    // SAFETY: plain old data: any bytes are a valid value.
    let mut value: T = unsafe { std::mem::zeroed() };
    memory::read_into(pid, address, bytes_of_mut(&mut value))?;
    Ok(value)
}
