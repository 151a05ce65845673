//! One file for every Linux since glibc 2.17: the release builds, read as the dynamic linker reads them.

mod common;
#[path = "common/release.rs"]
mod release;

use object::read::elf::{Dyn, ElfFile64, FileHeader, ProgramHeader};
use object::{Endianness, Object, ObjectSymbol, elf};
use std::collections::BTreeSet;
use std::path::Path;

/// The newest symbol version that a release may ask for: glibc 2.17, of 2012 (RHEL 7).
const NEWEST: (u32, u32) = (2, 17);

/// Other libraries that a release may need. libdl is a part of libc since glibc 2.34 and in musl, but still there. musl takes either name for itself.
/// Not ld-linux: musl has no such file, and there a missing library ends the program.
const NEEDED: &[&str] = &["libc.so.6", "libdl.so.2"];

/// All that a release may call. Nothing that allocates or aborts, and nothing that the library itself exports.
const IMPORTS: &[&str] = &[
    // Memory of its own, and what the compiler makes of copies and comparisons.
    "mmap",
    "madvise",
    "mincore",
    "munmap",
    "memcpy",
    "memmove",
    "memset",
    "bcmp",
    "strlen",
    // Who and where am I: the hooked functions behind ours, the allocator, the options, the program's name.
    "dlsym",
    "dl_iterate_phdr",
    "dlerror",
    "environ",
    // A libpthread that is loaded already, and late, before glibc 2.34; and where the main arena ends.
    "dlopen",
    "sbrk",
    "getauxval",
    "getpid",
    "getppid",
    "readlink",
    "process_vm_readv",
    // What malloc is set back to, and whether the kernel's madvise is to be trusted.
    "sysconf",
    "uname",
    "process_vm_writev",
    // Weak, and so no need: what some programs define.
    "PyGILState_Ensure",
    "_Py_MergeZeroLocalRefcount",
    "PyInit__tkinter",
    "PyInit__ssl",
    "ruby_init",
    "_ZN4node21LowMemoryNotificationEv",
    "JLI_Launch",
    "JNI_GetCreatedJavaVMs",
    "mallctl",
    "je_mallctl",
    "MallocExtension_ReleaseFreeMemory",
    "MallocExtension_Internal_ReleaseMemoryToSystem",
    "mi_collect",
    // Until another thread's release is over.
    "sched_yield",
    // Time, and this process's RSS.
    "clock_gettime",
    "getrusage",
    "open",
    "pread",
    // Descriptors: is that a connection, does it block, is 2 still stderr (`fstat` under its name before glibc 2.33).
    "fcntl",
    "getsockname",
    "getsockopt",
    "getpeername",
    "__fxstat",
    // The file of metrics: made in a directory that others may write to, and what dead processes left there.
    "openat",
    "fchmod",
    "renameat",
    "unlinkat",
    "kill",
    // What tells of memory pressure: a file of the kernel's, or a socket.
    "fstatfs",
    "socket",
    // A wait that trims is one wait to the caller: errno, signals and cancellation stay as they were.
    "__errno_location",
    "pthread_setcancelstate",
    "pthread_setcanceltype",
    "sigaction",
    "sigaddset",
    "sigaltstack",
    "sigdelset",
    "sigemptyset",
    "sigfillset",
    "sigismember",
    "sigpending",
    "sigprocmask",
    "sigtimedwait",
];

#[test]
fn x86_64_runs_on_every_linux() {
    runs_on_every_linux(&release::x86_64(), elf::EM_X86_64, 4 << 10);
}

/// Pages of up to 64 KiB: segments that share a larger page cannot be mapped.
#[test]
fn aarch64_runs_on_every_linux() {
    runs_on_every_linux(&release::aarch64(), elf::EM_AARCH64, 64 << 10);
}

fn runs_on_every_linux(library: &Path, machine: u16, largest_page: u64) {
    let data = std::fs::read(library).expect("the release build");
    let file = ElfFile64::<Endianness>::parse(&*data).expect("an ELF file");
    let (header, endian) = (file.elf_header(), file.endian());
    assert_eq!(header.e_machine(endian), machine);

    let dynamic = Dynamic::of(&file);
    let unwelcome: Vec<_> = dynamic.needed.iter().filter(|name| !NEEDED.contains(&name.as_str())).collect();
    assert!(unwelcome.is_empty(), "needs {unwelcome:?}");
    for tag in [elf::DT_RPATH, elf::DT_RUNPATH, elf::DT_TEXTREL] {
        assert_eq!(dynamic.value(tag), None, "dynamic tag {tag}");
    }
    assert_eq!(dynamic.flags(elf::DT_FLAGS) & u64::from(elf::DF_TEXTREL), 0, "text relocations");
    assert_ne!(dynamic.flags(elf::DT_FLAGS) & u64::from(elf::DF_BIND_NOW), 0, "not BIND_NOW");
    assert_ne!(dynamic.flags(elf::DT_FLAGS_1) & u64::from(elf::DF_1_NODELETE), 0, "not NODELETE");
    // Each runs in every process of the system: ours alone.
    assert_eq!(dynamic.value(elf::DT_INIT_ARRAYSZ), Some(8), "more than one constructor");

    let newer: Vec<_> = versions(&file).into_iter().filter(|version| !is_old_enough(version)).collect();
    assert!(newer.is_empty(), "asks for symbol versions {newer:?}");

    let [imports, exports] = [true, false].map(|undefined| dynamic_symbols(&file, undefined));
    let unknown: Vec<_> = imports.iter().filter(|name| !IMPORTS.contains(&name.as_str())).collect();
    assert!(unknown.is_empty(), "imports {unknown:?}");
    assert!(exports.contains("accept"), "exports {exports:?}: is this the library?");
    assert_eq!(imports.intersection(&exports).collect::<Vec<_>>(), [""; 0], "imports what it exports");
    let unused: Vec<_> = exports.iter().filter(|name| IMPORTS.contains(&name.as_str())).collect();
    assert!(unused.is_empty(), "exported now, so not to be allowed: {unused:?}");

    segments(&file, &dynamic, largest_page);
    assert_eq!(file.symbols().count(), 0, "not stripped");
    let here = env!("CARGO_MANIFEST_DIR").as_bytes();
    assert!(!data.windows(here.len()).any(|window| window == here), "names the directory that it was built in");
}

/// What the kernel and the dynamic linker map, and how.
fn segments(file: &ElfFile64<'_>, dynamic: &Dynamic, largest_page: u64) {
    let endian = file.endian();
    let of_type = |kind| {
        let segments = file.elf_program_headers().iter();
        segments.filter(move |segment| segment.p_type(endian) == kind).collect::<Vec<_>>()
    };
    for segment in of_type(elf::PT_LOAD) {
        let flags = segment.p_flags(endian);
        assert!(flags & elf::PF_W == 0 || flags & elf::PF_X == 0, "a segment that is writable and executable");
        assert!(segment.p_align(endian) >= largest_page, "aligned to {} bytes", segment.p_align(endian));
    }
    let [stack] = of_type(elf::PT_GNU_STACK)[..] else { panic!("no PT_GNU_STACK: the stack would be executable") };
    assert_eq!(stack.p_flags(endian) & elf::PF_X, 0, "an executable stack");
    let [relro] = of_type(elf::PT_GNU_RELRO)[..] else { panic!("no RELRO") };
    let start = relro.p_vaddr(endian);
    let read_only = start..start + relro.p_memsz(endian);
    let got = dynamic.value(elf::DT_PLTGOT).expect("DT_PLTGOT");
    assert!(read_only.contains(&got), "RELRO is partial: {got:#x} is not in {read_only:#x?}");
    assert_eq!(of_type(elf::PT_TLS).len(), 0, "thread-local storage");
}

/// The dynamic section.
struct Dynamic {
    entries: Vec<(u32, u64)>,
    needed: Vec<String>,
}

impl Dynamic {
    fn of(file: &ElfFile64<'_>) -> Self {
        let (endian, data) = (file.endian(), file.data());
        let sections = file.elf_section_table();
        let (found, link) = sections.dynamic(endian, data).expect("readable").expect("a dynamic section");
        let strings = sections.strings(endian, data, link).expect("its strings");
        let needed = found.iter().filter(|entry| entry.tag32(endian) == Some(elf::DT_NEEDED));
        let name = |entry: &elf::Dyn64<_>| {
            let name = entry.string(endian, strings).expect("a name");
            String::from_utf8_lossy(name).into_owned()
        };
        Self {
            needed: needed.map(name).collect(),
            entries: found.iter().filter_map(|entry| Some((entry.tag32(endian)?, entry.d_val(endian)))).collect(),
        }
    }

    fn value(&self, tag: u32) -> Option<u64> {
        self.entries.iter().find(|entry| entry.0 == tag).map(|entry| entry.1)
    }

    fn flags(&self, tag: u32) -> u64 {
        self.value(tag).unwrap_or(0)
    }
}

/// Names of the dynamic symbols that the file needs (`true`) or defines (`false`).
fn dynamic_symbols(file: &ElfFile64<'_>, undefined: bool) -> BTreeSet<String> {
    let symbols = file.dynamic_symbols().filter(|symbol| symbol.is_undefined() == undefined);
    let names = symbols.map(|symbol| symbol.name().expect("a name").to_owned());
    names.filter(|name| !name.is_empty()).collect()
}

/// The symbol versions that the file asks of other libraries, such as `GLIBC_2.14`.
fn versions(file: &ElfFile64<'_>) -> BTreeSet<String> {
    let (endian, data) = (file.endian(), file.data());
    let sections = file.elf_section_table();
    let (mut libraries, link) = sections.gnu_verneed(endian, data).expect("readable").expect("version needs");
    let strings = sections.strings(endian, data, link).expect("its strings");
    let mut found = BTreeSet::new();
    while let Some((_, mut versions)) = libraries.next().expect("readable") {
        while let Some(version) = versions.next().expect("readable") {
            let name = version.name(endian, strings).expect("a name");
            found.insert(String::from_utf8_lossy(name).into_owned());
        }
    }
    found
}

fn is_old_enough(version: &str) -> bool {
    let numbers = version.strip_prefix("GLIBC_").unwrap_or_default();
    let mut numbers = numbers.split('.').map(str::parse);
    matches!((numbers.next(), numbers.next()), (Some(Ok(major)), Some(Ok(minor))) if (major, minor) <= NEWEST)
}

#[test]
fn versions_are_compared_as_numbers() {
    assert!(is_old_enough("GLIBC_2.2.5") && is_old_enough("GLIBC_2.17"));
    assert!(!is_old_enough("GLIBC_2.18") && !is_old_enough("GLIBC_2.100"));
    assert!(!is_old_enough("GLIBC_PRIVATE") && !is_old_enough("GCC_3.0"));
}
