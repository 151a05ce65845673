//! Programs built with a sanitizer. Each has a malloc of its own, which keeps for a while what is freed: nothing is to be had there.
//!
//! AddressSanitizer's runtime, where it is a library of its own, insists on being the first: it looks at the list of libraries when the
//! program starts, and ends it with code 1 where another one, such as any that was preloaded, is before it. Linked into the program
//! (clang's default, gcc's -static-libasan) it does not, and neither do the others.

use std::ffi::OsStr;
use std::fs::File;
use std::os::unix::ffi::OsStrExt;

use crate::elf::Elf;
use crate::program::Program;
use crate::target::preload_names;

/// One of them.
struct Sanitizer {
    /// A text of its runtime, too.
    name: &'static str,
    /// What its runtime's file is called, of gcc and of clang.
    runtimes: &'static [&'static str],
}

/// The one that insists on being first.
const ADDRESS: &str = "AddressSanitizer";
/// Those with a malloc of their own.
const SANITIZERS: [Sanitizer; 5] = [
    Sanitizer { name: ADDRESS, runtimes: &["libasan.so", "libclang_rt.asan"] },
    Sanitizer { name: "HWAddressSanitizer", runtimes: &["libhwasan.so", "libclang_rt.hwasan"] },
    Sanitizer { name: "ThreadSanitizer", runtimes: &["libtsan.so", "libclang_rt.tsan"] },
    Sanitizer { name: "MemorySanitizer", runtimes: &["libclang_rt.msan"] },
    Sanitizer { name: "LeakSanitizer", runtimes: &["liblsan.so", "libclang_rt.lsan"] },
];
/// The word in ASAN_OPTIONS that switches the look off.
const UNVERIFIED: [&str; 2] = ["verify_asan_link_order=0", "verify_asan_link_order=false"];

/// Why it makes no sense to start `program` from here with the library preloaded.
pub fn refusal(program: &Program) -> Option<String> {
    reason(program, std::env::var_os("LD_PRELOAD").as_deref(), std::env::var_os("ASAN_OPTIONS").as_deref())
}

/// The sanitizer that a program is built with.
pub fn of_program(file: &Elf<File>) -> Option<&'static str> {
    found(file).map(|(sanitizer, _)| sanitizer.name)
}

/// The same behind what `preload` (LD_PRELOAD) names, with these ASAN_OPTIONS.
fn reason(program: &Program, preload: Option<&OsStr>, options: Option<&OsStr>) -> Option<String> {
    let image = program.image.as_ref()?;
    let (sanitizer, runtime) = found(&image.elf)?;
    let built = format!("{} is built with {}, whose", image.path.display(), sanitizer.name);
    let Some(runtime) = runtime.filter(|_| sanitizer.name == ADDRESS) else {
        return Some(format!("{built} malloc keeps for a while what is freed: the library would do nothing in it"));
    };
    let is_runtime = |name: &OsStr| sanitizer.has_runtime(name.as_bytes());
    let first = preload_names(preload.unwrap_or_default().as_bytes()).into_iter().next();
    let is_first = first.is_some_and(|path| path.file_name().is_some_and(is_runtime));
    let options = options.unwrap_or_default().to_string_lossy();
    if is_first || options.split([':', ',', ' ']).any(|option| UNVERIFIED.contains(&option)) {
        return None;
    }
    Some(format!(
        "{built} {runtime} ends a program in which another library comes before it: set LD_PRELOAD={runtime}, or ASAN_OPTIONS={}",
        UNVERIFIED[0],
    ))
}

/// The sanitizer in a program, and its runtime where that is a library.
fn found(file: &Elf<File>) -> Option<(&'static Sanitizer, Option<String>)> {
    let needed = file.needed()?;
    let as_library = SANITIZERS.iter().find_map(|sanitizer| {
        let runtime = needed.iter().find(|name| sanitizer.has_runtime(name))?;
        Some((sanitizer, Some(String::from_utf8_lossy(runtime).into_owned())))
    });
    // A whole program is read only if its malloc is nobody's who is known.
    as_library.or_else(|| {
        let is_inside = |sanitizer: &&Sanitizer| file.contains(format!("\0{}\0", sanitizer.name).as_bytes());
        let inside = SANITIZERS.iter().filter(|_| file.exports("malloc")).find(is_inside);
        inside.map(|sanitizer| (sanitizer, None))
    })
}

impl Sanitizer {
    fn has_runtime(&self, library: &[u8]) -> bool {
        self.runtimes.iter().any(|runtime| library.starts_with(runtime.as_bytes()))
    }
}
