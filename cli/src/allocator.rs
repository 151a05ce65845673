//! Whose malloc a process uses, as far as one can tell from outside.

use std::cell::RefCell;
use std::collections::HashMap;
use std::ffi::OsStr;
use std::fs::File;
use std::os::unix::ffi::OsStrExt;

use crate::elf::Elf;
use crate::glibc;
use crate::maps::{Identity, Mapped};
use crate::target::{Target, preload_names};
use crate::texts;

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

/// The allocator that a program file brings or asks for itself, or that is preloaded into it from here; `None` where it takes
/// the libc's.
pub fn of_program(file: &Elf<File>) -> Option<String> {
    let preload = std::env::var_os("LD_PRELOAD").unwrap_or_default();
    let preloaded = preload_names(preload.as_bytes());
    let preloaded = preloaded.iter().filter_map(|path| path.file_name()).map(OsStr::as_bytes);
    let needed = file.needed()?;
    let mut names = preloaded.chain(needed.iter().map(Vec::as_slice));
    names.find_map(replacement).map(str::to_owned).or_else(|| defined(file))
}

/// What helps against an allocator inside a program, beside its malloc, that no trim reaches: for each that is there. One with a
/// function that the library calls is none of these.
pub fn beside(file: &Elf<File>) -> Vec<String> {
    const AT_ONCE: &str = "has it give back at once what is freed, which costs CPU time";
    let (mut jemalloc, mut mimalloc) = (None, false);
    file.pieces(|piece| {
        jemalloc = jemalloc.take().or_else(|| texts::jemalloc_variable(piece));
        mimalloc = mimalloc || texts::contains(piece, b"mimalloc: warning: ");
    });
    let is_called = |functions: &[&str]| functions.iter().any(|function| file.exports(function));
    let jemalloc = jemalloc.filter(|_| !is_called(&["mallctl", "je_mallctl"]));
    let jemalloc = jemalloc.map(|variable| {
        format!("a jemalloc of its own, which no trim reaches: {variable}=dirty_decay_ms:0,muzzy_decay_ms:0 {AT_ONCE}")
    });
    let mimalloc = (mimalloc && !is_called(&["mi_collect"]))
        .then(|| format!("a mimalloc of its own, which no trim reaches: MIMALLOC_PURGE_DELAY=0 {AT_ONCE}"));
    jemalloc.into_iter().chain(mimalloc).collect()
}

/// What a library of this name replaces malloc by.
fn replacement(name: &[u8]) -> Option<&'static str> {
    REPLACEMENTS.iter().find(|(prefix, _)| name.starts_with(prefix.as_bytes())).map(|(_, name)| *name)
}

/// The allocator of a process, such as `glibc-2.36` or `jemalloc`; `None` where its mappings cannot be read.
pub fn name(target: &Target) -> Option<String> {
    let files = target.files.as_ref()?;
    if let Some(name) = files.iter().find_map(|file| replacement(file.name().as_bytes())) {
        return Some(name.to_owned());
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
        return Some(match cached(target, file, glibc::version) {
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

/// The malloc that a program brings, such as a jemalloc linked into it.
fn defined(file: &Elf<File>) -> Option<String> {
    let known = || KNOWN.iter().find(|(_, function)| file.exports(function)).map_or(OWN, |(known, _)| known);
    file.exports("malloc").then(|| known().to_owned())
}

/// What `find` says of a file; looked at once, however many processes share it.
fn cached(target: &Target, file: &Mapped, find: fn(&Elf<File>) -> Option<String>) -> Option<String> {
    type Found = HashMap<Identity, Option<String>>;
    thread_local!(static FOUND: RefCell<Found> = RefCell::default());
    let look = || find(&Elf::read(target.open_mapped(file).ok()?).ok()??);
    FOUND.with_borrow_mut(|found| found.entry(file.identity).or_insert_with(look).clone())
}
