//! `autotrim run`: becomes a program that has the library preloaded.

use std::ffi::{CString, OsStr, OsString};
use std::io::{Error, ErrorKind};
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};

use crate::arguments::{Run, assignment, parsed};
use crate::elf::Architecture;
use crate::environment::{complaints, missing_directory};
use crate::failure::Failure;
use crate::image::Image;
use crate::options::{LIBRARY as VARIABLE, Options};
use crate::program::{Program, SHELL};
use crate::target::preload_names;
use crate::{access, sanitizer, terminal};

/// The library's name in every installation.
const NAME: &str = "libautotrim.so";
/// Where cargo leaves this command in the sources: in a directory in this one. And where it leaves the library.
const BUILT: &str = "cli/target";
const BUILT_LIBRARY: &str = "target/release";
/// Characters that end a name in LD_PRELOAD, or mean something in it (ld.so(8)).
const SPECIAL: &[u8] = b": \t\n\r$";

/// Whether this command was started with SIGPIPE ignored, as services of systemd are: Rust's start-up changes that.
static PIPE_IGNORED: AtomicBool = AtomicBool::new(false);

#[ctor::ctor(unsafe)]
fn remember_pipe_signal() {
    // SAFETY: zeros are a valid value, and the second call reads only what the first wrote.
    unsafe {
        let mut action: libc::sigaction = std::mem::zeroed();
        let known = libc::sigaction(libc::SIGPIPE, std::ptr::null(), &mut action) == 0;
        PIPE_IGNORED.store(known && action.sa_sigaction == libc::SIG_IGN, Relaxed);
    }
}

/// Starts the program; returns only if that is impossible, or makes no sense.
pub fn run(arguments: &Run) -> Result<ExitCode, Failure> {
    let (library, architecture) = library(arguments.library.as_deref())?;
    let program = Program::find(&arguments.program)?;
    let mut environment: Vec<(OsString, OsString)> = std::env::vars_os()
        .filter(|(name, _)| name != VARIABLE && name != "LD_PRELOAD")
        .filter(|(name, _)| arguments.settings.0.iter().all(|(set, _)| name != set))
        .collect();
    environment.push(("LD_PRELOAD".into(), preload(std::env::var_os("LD_PRELOAD").as_deref(), &library)?));
    environment.extend(arguments.settings.0.iter().map(|(name, value)| (OsString::from(name), value.clone())));
    let options = parsed(b"", environment.iter().map(|(name, value)| assignment(name, value)));
    if let Some(why) = refusal(&program, architecture, &options) {
        return Err(Failure::unsuitable(why));
    }
    // The library says what is wrong with options too, but only once the program serves.
    let complaints = complaints(&options).chain(missing_directory(&options));
    for complaint in access::closed_to_others(&library).into_iter().chain(complaints) {
        terminal::complain(&complaint);
    }
    let error = replace_this_process(&program.path, &arguments.program, &environment);
    Err(Failure::not_executable(format!("{}: {error}", program.path.display())))
}

/// Why `program` is not to be started with a library for `architecture`: it would go without it, end at once, or have nothing of it.
pub fn refusal(program: &Program, architecture: Architecture, options: &Options) -> Option<String> {
    let unsuitable = program.unsuitable(architecture);
    unsuitable.or_else(|| sanitizer::refusal(program)).or_else(|| program.useless(options.needs_thread()))
}

/// The library: of all the places where it may be, the first that has it; and what it is made for.
pub fn library(named: Option<&Path>) -> Result<(PathBuf, Architecture), Failure> {
    let path = match named {
        Some(path) => path.to_owned(),
        None => {
            let places = places();
            places.iter().find(|place| place.is_file()).cloned().ok_or_else(|| {
                let places: String = places.iter().map(|place| format!("\n  {}", place.display())).collect();
                Failure::unsuitable(format!(
                    "there is no {NAME}; set --library or {VARIABLE}, or in the sources run `cargo build --release`. \
                     Searched:{places}"
                ))
            })?
        }
    };
    let failed = |error: &dyn std::fmt::Display| Failure::unsuitable(format!("{}: {error}", path.display()));
    // Preloads are looked up from wherever the program happens to be.
    let absolute = std::path::absolute(&path).map_err(|error| failed(&error))?;
    match Image::read(&absolute) {
        Ok(Some(image)) => Ok((absolute, image.elf.architecture)),
        Ok(None) => Err(failed(&"not a shared library")),
        Err(error) => Err(failed(&error)),
    }
}

fn places() -> Vec<PathBuf> {
    let own = std::env::current_exe().ok();
    let beside = own.as_deref().and_then(Path::parent);
    let installed = beside.into_iter().flat_map(|directory| {
        let prefix = directory.parent().unwrap_or(directory);
        // Of a wheel, of RPM, of Debian, and of whoever copies it.
        let multiarch = format!("lib/{}-linux-gnu", std::env::consts::ARCH);
        let libraries = ["lib/autotrim", "lib64", &multiarch, "lib"].map(|place| prefix.join(place).join(NAME));
        let is_built = directory.parent().is_some_and(|parent| parent.ends_with(BUILT));
        let sources = directory.ancestors().nth(3).filter(|_| is_built);
        let built = sources.map(|sources| sources.join(BUILT_LIBRARY).join(NAME));
        libraries.into_iter().chain([directory.join(NAME)]).chain(built)
    });
    installed.chain(std::env::var_os(VARIABLE).map(PathBuf::from)).collect()
}

/// What is preloaded already, and the library behind it: a sanitizer, for one, insists on being first.
fn preload(present: Option<&OsStr>, library: &Path) -> Result<OsString, Failure> {
    if library.as_os_str().as_bytes().iter().any(|byte| SPECIAL.contains(byte)) {
        let why = "LD_PRELOAD cannot name a path with a space, a colon or a dollar sign";
        return Err(Failure::unsuitable(format!("{}: {why}", library.display())));
    }
    let present = present.map(OsStr::as_bytes).unwrap_or_default();
    if preload_names(present).iter().any(|name| name == library) {
        return Ok(OsString::from_vec(present.to_vec()));
    }
    let joint: &[u8] = if present.is_empty() { b"" } else { b":" };
    Ok(OsString::from_vec([present, joint, library.as_os_str().as_bytes()].concat()))
}

/// As execvp(3) does it, and nothing else: signal mask and dispositions are what this command was started with. Returns why not.
fn replace_this_process(path: &Path, arguments: &[OsString], environment: &[(OsString, OsString)]) -> Error {
    let disposition = if PIPE_IGNORED.load(Relaxed) { libc::SIG_IGN } else { libc::SIG_DFL };
    // SAFETY: an action of the kernel's own; no other thread runs.
    unsafe { libc::signal(libc::SIGPIPE, disposition) };
    let environment: Vec<OsString> = environment.iter().map(|(name, value)| assignment(name, value)).collect();
    let error = execute(path, arguments, &environment);
    if error.raw_os_error() != Some(libc::ENOEXEC) {
        return error;
    }
    // Without `#!` it is the shell's.
    let rest = arguments.iter().skip(1).cloned();
    let arguments: Vec<OsString> = [SHELL.into(), path.into()].into_iter().chain(rest).collect();
    execute(Path::new(SHELL), &arguments, &environment)
}

/// execve(2); returns why not.
fn execute(path: &Path, arguments: &[OsString], environment: &[OsString]) -> Error {
    let strings = |texts: &[OsString]| texts.iter().map(|text| CString::new(text.as_bytes())).collect();
    let path = CString::new(path.as_os_str().as_bytes());
    let lists: (Result<Vec<CString>, _>, Result<Vec<CString>, _>) = (strings(arguments), strings(environment));
    let (Ok(path), (Ok(arguments), Ok(environment))) = (path, lists) else {
        return Error::from(ErrorKind::InvalidInput);
    };
    let pointers = |strings: &[CString]| -> Vec<*const libc::c_char> {
        strings.iter().map(|string| string.as_ptr()).chain([std::ptr::null()]).collect()
    };
    // SAFETY: null-terminated arrays of C strings that live across the call.
    unsafe { libc::execve(path.as_ptr(), pointers(&arguments).as_ptr(), pointers(&environment).as_ptr()) };
    Error::last_os_error()
}
