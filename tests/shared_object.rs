//! The file itself: small, dependent on libc alone, and never in its own way.

mod common;
#[path = "common/hooks.rs"]
mod hooks;

use object::read::elf::{Dyn, ElfFile64, FileHeader};
use object::{Endianness, Object, ObjectSymbol, elf};
use std::collections::BTreeSet;

fn file() -> Vec<u8> {
    std::fs::read(common::library()).expect("the library")
}

/// Names of the dynamic symbols that the file defines (`true`) or needs (`false`).
fn dynamic_symbols(file: &[u8], defined: bool) -> BTreeSet<String> {
    let parsed = ElfFile64::<Endianness>::parse(file).expect("an ELF file");
    let symbols = parsed.dynamic_symbols().filter(|symbol| symbol.is_undefined() != defined);
    symbols.map(|symbol| symbol.name().expect("a name").to_owned()).filter(|name| !name.is_empty()).collect()
}

/// What it defines beside them: the way to its counters.
const COUNTERS: &str = "autotrim_stats";

#[test]
fn it_exports_what_it_interposes_and_its_counters() {
    let expected: BTreeSet<_> = hooks::names().into_iter().chain([COUNTERS.to_owned()]).collect();
    assert_eq!(dynamic_symbols(&file(), true), expected);
}

/// What it imports under the name of one of its own exports would come back to itself.
#[test]
fn it_imports_none_of_the_names_it_exports() {
    let file = file();
    let (exported, imported) = (dynamic_symbols(&file, true), dynamic_symbols(&file, false));
    assert!(!imported.is_empty(), "no import at all: is this the library?");
    assert_eq!(exported.intersection(&imported).collect::<Vec<_>>(), [""; 0]);
    let interposed = hooks::names();
    let clashes: Vec<_> = imported.iter().filter(|name| interposed.contains(name.as_str())).collect();
    assert!(clashes.is_empty(), "{clashes:?}");
}

/// The cargo feature `often` is for scripts/compare-programs: its hook would slow every program down, and its variable names a file that
/// is written to.
#[test]
fn it_has_nothing_of_the_build_that_releases_often() {
    let (hook, variable) = ("memset", "TALLY_OF_RELEASES");
    let source = |path: &str| std::fs::read_to_string(common::root().join(path)).expect("a source file");
    assert!(source("src/edge/often.rs").contains(&format!("fn {hook}(")), "the hook has another name now");
    assert!(source("src/sys/tally.rs").contains(&format!("\"{variable}=\"")), "the variable has another name now");
    let file = file();
    assert!(!dynamic_symbols(&file, true).contains(hook));
    assert!(!file.windows(variable.len()).any(|window| window == variable.as_bytes()));
}

#[test]
fn it_needs_libc_alone() {
    let data = file();
    let header = elf::FileHeader64::<Endianness>::parse(&*data).expect("an ELF header");
    let endian = header.endian().expect("an endianness");
    let sections = header.sections(endian, &*data).expect("sections");
    let (entries, link) = sections.dynamic(endian, &*data).expect("readable").expect("a dynamic section");
    let strings = sections.strings(endian, &*data, link).expect("its strings");
    let needed: Vec<_> = entries
        .iter()
        // Wide enough for the integer types of every version of the crate.
        .filter(|entry| i128::from(entry.d_tag(endian)) == i128::from(elf::DT_NEEDED))
        .map(|entry| String::from_utf8_lossy(entry.string(endian, strings).expect("a name")).into_owned())
        .filter(|name| !name.starts_with("ld-linux"))
        .collect();
    assert_eq!(needed, ["libc.so.6"]);
}

/// Counting and trimming alone took less than 64 KB. What was added since (five allocators, the triggers that need no request,
/// options as people write them, what is set in malloc and when, every other call that receives or sends, the ways
/// round filters, CPython's pools, Java's interface, the verdict by what is live, huge pages, and what a reader from outside is told) is read from the
/// file only where it is used.
#[test]
fn it_is_small() {
    let length = file().len();
    assert!(length < 200 * 1024, "{length} bytes");
}

/// Whoever loads it by dlopen cannot unload it: fork handlers would be left behind.
#[test]
fn it_stays_loaded() {
    let data = file();
    let header = elf::FileHeader64::<Endianness>::parse(&*data).expect("an ELF header");
    let endian = header.endian().expect("an endianness");
    let sections = header.sections(endian, &*data).expect("sections");
    let (entries, _) = sections.dynamic(endian, &*data).expect("readable").expect("a dynamic section");
    let flags = entries.iter().find(|entry| i128::from(entry.d_tag(endian)) == i128::from(elf::DT_FLAGS_1));
    assert_ne!(flags.map_or(0, |entry| entry.d_val(endian)) & u64::from(elf::DF_1_NODELETE), 0);
}
