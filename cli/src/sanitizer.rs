//! Programs whose runtime insists on being the first library: AddressSanitizer's, where it is one of its own. It looks at the
//! list of libraries when the program starts, and ends it with code 1 where another one, such as any that was preloaded, is
//! before it. Linked into the program (clang's default, gcc's -static-libasan) it does not, and neither do the others.

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use crate::allocator::needed_libraries;
use crate::program::Program;
use crate::target::{preload_names, read_file};

/// gcc's, and clang's with -shared-libasan.
const RUNTIMES: [&str; 2] = ["libasan.so", "libclang_rt.asan"];
/// The word in ASAN_OPTIONS that switches the look off.
const UNVERIFIED: [&str; 2] = ["verify_asan_link_order=0", "verify_asan_link_order=false"];

/// Why `program`, started from here, would end at once with the library preloaded.
pub fn refusal(program: &Program) -> Option<String> {
    reason(program, std::env::var_os("LD_PRELOAD").as_deref(), std::env::var_os("ASAN_OPTIONS").as_deref())
}

/// The same behind what `preload` (LD_PRELOAD) names, with these ASAN_OPTIONS.
fn reason(program: &Program, preload: Option<&OsStr>, options: Option<&OsStr>) -> Option<String> {
    let image = program.image.as_ref()?;
    let runtime = runtime_of(&image.path)?;
    let is_first = preload_names(preload.unwrap_or_default().as_bytes()).first().is_some_and(|path| is_runtime(path));
    let options = options.unwrap_or_default().to_string_lossy();
    if is_first || options.split([':', ',', ' ']).any(|option| UNVERIFIED.contains(&option)) {
        return None;
    }
    Some(format!(
        "{} is built with AddressSanitizer, whose {runtime} ends a program in which another library comes before it: set \
         LD_PRELOAD={runtime}, or ASAN_OPTIONS={}",
        image.path.display(),
        UNVERIFIED[0],
    ))
}

/// The runtime that a program is linked with.
fn runtime_of(path: &Path) -> Option<String> {
    let content = read_file(path).ok()?;
    let needed = needed_libraries(&content)?;
    let name = needed.into_iter().find(|name| is_runtime(Path::new(OsStr::from_bytes(name))))?;
    Some(String::from_utf8_lossy(name).into_owned())
}

fn is_runtime(path: &Path) -> bool {
    let name = path.file_name().unwrap_or_default().as_bytes();
    RUNTIMES.iter().any(|runtime| name.starts_with(runtime.as_bytes()))
}
