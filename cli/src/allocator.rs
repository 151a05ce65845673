//! Whose malloc a process uses, as far as one can tell from outside.

use std::cell::RefCell;
use std::collections::HashMap;
use std::path::Path;

use object::elf::DT_NEEDED;
use object::read::elf::{Dyn, ElfFile64};
use object::{Object, ObjectSymbol};

use crate::target::{Mapped, Target, read_file};

/// Libraries that replace malloc: what their files' names begin with, and what to call them.
const REPLACEMENTS: [(&str, &str); 5] = [
    ("libjemalloc", "jemalloc"),
    ("libtcmalloc", "gperftools-tcmalloc"),
    ("libmimalloc", "mimalloc"),
    ("libsnmalloc", "snmalloc"),
    ("libhoard", "hoard"),
];

/// Those that the library knows, and a function that each exports also where it is linked into the program.
const KNOWN: [(&str, &str); 4] = [
    ("jemalloc", "mallctl"),
    ("gperftools-tcmalloc", "MallocExtension_ReleaseFreeMemory"),
    ("google-tcmalloc", "MallocExtension_Internal_ReleaseMemoryToSystem"),
    ("mimalloc", "mi_collect"),
];

/// What [`name`] says where glibc's malloc is in use.
pub const GLIBC: &str = "glibc";
/// What [`name`] says where the program defines a malloc that nothing else is known of.
pub const OWN: &str = "own";
/// What [`libc`] says where it is musl.
pub const MUSL: &str = "musl";
/// What [`libc`] says where there is none that is known.
pub const NONE: &str = "none";

/// Whether the library knows how `name` gives memory back, besides glibc's.
pub fn is_known(name: &str) -> bool {
    KNOWN.iter().any(|(known, _)| *known == name)
}

/// The allocator that a program file brings or asks for itself; `None` where it takes the libc's.
pub fn of_program(path: &Path) -> Option<String> {
    let content = read_file(path).ok()?;
    let needed = needed_libraries(&content)?;
    let is_needed = |prefix: &str| needed.iter().any(|name| name.starts_with(prefix.as_bytes()));
    let replaced = REPLACEMENTS.iter().find(|(prefix, _)| is_needed(prefix)).map(|(_, name)| (*name).to_owned());
    replaced.or_else(|| defined(&content))
}

/// The libraries that a program file is linked with, in their order (DT_NEEDED); `None` where it is not a dynamic one.
pub fn needed_libraries(content: &[u8]) -> Option<Vec<&[u8]>> {
    let file = ElfFile64::<object::NativeEndian>::parse(content).ok()?;
    let endian = file.endian();
    let sections = file.elf_section_table();
    let (dynamic, link) = sections.dynamic(endian, content).ok()??;
    let strings = sections.strings(endian, content, link).ok()?;
    let needed = dynamic.iter().filter(|entry| entry.d_tag(endian) == u64::from(DT_NEEDED));
    Some(needed.filter_map(|entry| entry.string(endian, strings).ok()).collect())
}

/// The allocator of a process, such as `glibc-2.36` or `jemalloc`; `None` where its mappings cannot be read.
pub fn name(target: &Target) -> Option<String> {
    let files = target.files.as_ref()?;
    let named = |prefix: &str| files.iter().any(|file| file.name().starts_with(prefix));
    if let Some((_, name)) = REPLACEMENTS.iter().find(|(prefix, _)| named(prefix)) {
        return Some((*name).to_owned());
    }
    let program = target.process.exe().ok();
    let own = program.and_then(|path| files.iter().find(|file| file.path == path));
    own.and_then(|file| cached(target, file, defined)).or_else(|| libc(target))
}

/// glibc, as it is mapped into a process.
pub fn libc_file(target: &Target) -> Option<&Mapped> {
    target.files.iter().flatten().find(|file| {
        let name = file.name();
        name == "libc.so.6" || (name.starts_with("libc-2.") && name.ends_with(".so"))
    })
}

/// The libc of a process, such as `glibc-2.36` or `musl`.
pub fn libc(target: &Target) -> Option<String> {
    let files = target.files.as_ref()?;
    if let Some(file) = libc_file(target) {
        return Some(match cached(target, file, glibc_version) {
            Some(version) => format!("{GLIBC}-{version}"),
            None => GLIBC.to_owned(),
        });
    }
    let is_musl = |file: &Mapped| {
        let name = file.name();
        // Debian has it as libc.so; glibc's file of that name is a text for linkers.
        name.starts_with("ld-musl-") || name.starts_with("libc.musl-") || name == "libc.so"
    };
    Some(if files.iter().any(is_musl) { MUSL } else { NONE }.to_owned())
}

/// glibc's version, from the text that it prints when it is run as a program.
fn glibc_version(content: &[u8]) -> Option<String> {
    const BEFORE: &[u8] = b"GNU C Library ";
    const VERSION: &[u8] = b"release version ";
    let at = content.windows(BEFORE.len()).position(|bytes| bytes == BEFORE)?;
    let text = content.get(at..at + 200)?;
    let at = text.windows(VERSION.len()).position(|bytes| bytes == VERSION)? + VERSION.len();
    let version = text.get(at..)?.split(|byte| !byte.is_ascii_digit() && *byte != b'.').next()?;
    Some(String::from_utf8_lossy(version.strip_suffix(b".").unwrap_or(version)).into_owned())
}

/// The malloc that a program brings, such as a jemalloc linked into it.
fn defined(content: &[u8]) -> Option<String> {
    let file = ElfFile64::<object::NativeEndian>::parse(content).ok()?;
    let defines = |name: &str| file.dynamic_symbols().any(|symbol| symbol.is_definition() && symbol.name() == Ok(name));
    let known = KNOWN.iter().find(|(_, function)| defines(function)).map_or(OWN, |(known, _)| known);
    defines("malloc").then(|| known.to_owned())
}

/// What `find` says of a file's content; read once, however many processes share it.
fn cached(target: &Target, file: &Mapped, find: fn(&[u8]) -> Option<String>) -> Option<String> {
    type Found = HashMap<((i32, i32), u64), Option<String>>;
    thread_local!(static FOUND: RefCell<Found> = RefCell::default());
    FOUND.with_borrow_mut(|found| {
        found.entry(file.identity()).or_insert_with(|| find(&target.content(file).ok()?)).clone()
    })
}
