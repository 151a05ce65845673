//! What a command starts, found out without starting it: as execvp(3) would, from script to interpreter and past env(1).

mod env;
mod script;

use std::ffi::{CString, OsStr, OsString};
use std::fs::File;
use std::io::{ErrorKind, Read};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use crate::elf::Architecture;
use crate::failure::Failure;
use crate::image::Image;

/// The kernel follows five interpreters of interpreters (fs/exec.c); env(1) makes it a few more.
const LONGEST_CHAIN: usize = 8;
/// Where execvp looks without a PATH.
const DEFAULT_PATH: &str = "/bin:/usr/bin";
/// A value, to see whether it is kept.
const KEPT: &str = "kept";
/// What execvp has read a file that the kernel does not know.
pub const SHELL: &str = "/bin/sh";

/// A program as it was named, and what is executed for it: a script's interpreters in turn, the ELF file last.
pub struct Program {
    /// The scripts on the way.
    pub scripts: Vec<PathBuf>,
    /// The file that the process runs in the end; `None` where that cannot be told.
    pub image: Option<Image>,
    /// What the name means: the first file.
    pub path: PathBuf,
    /// Whether an env(1) on the way takes LD_PRELOAD away.
    pub loses_preload: bool,
}

/// What is to be started, and from where.
struct Command {
    arguments: Vec<OsString>,
    /// Its PATH.
    path: Option<OsString>,
    /// Its directory, if that is not ours.
    directory: PathBuf,
    /// How many more programs may be started for it.
    left: usize,
}

impl Program {
    /// What these arguments would start: the first, with the others as its own.
    pub fn find(arguments: &[OsString]) -> Result<Program, Failure> {
        let (path, arguments) = (std::env::var_os("PATH"), arguments.to_vec());
        Command { arguments, path, directory: PathBuf::new(), left: LONGEST_CHAIN }.program()
    }

    /// Why a library for `architecture` would not come into it.
    pub fn unsuitable(&self, architecture: Architecture) -> Option<String> {
        if self.loses_preload {
            let path = self.scripts.first().unwrap_or(&self.path);
            return Some(format!("{}: env takes LD_PRELOAD away, by which the library would come", path.display()));
        }
        self.about(self.image.as_ref()?.unsuitable(architecture)?)
    }

    /// Why the library would do nothing in it; `by_itself` = it is to trim without requests, too.
    pub fn useless(&self, by_itself: bool) -> Option<String> {
        self.about(self.image.as_ref()?.useless(by_itself)?)
    }

    fn about(&self, why: impl std::fmt::Display) -> Option<String> {
        let image = self.image.as_ref()?.path.display();
        Some(match self.scripts.first() {
            Some(script) => format!("{}: its interpreter {image} {why}", script.display()),
            None => format!("{image} {why}"),
        })
    }
}

impl Command {
    /// The first of the files it may mean that can be executed, and all that it needs.
    fn program(&self) -> Result<Program, Failure> {
        let name = self.arguments.first().map(OsString::as_os_str).unwrap_or_default();
        let mut failed: Option<Failure> = None;
        for path in self.places(name) {
            let place = self.directory.join(&path);
            if place.metadata().is_err_and(|error| error.kind() != ErrorKind::PermissionDenied) {
                continue;
            }
            match executable(&place).and_then(|()| self.program_at(path)) {
                Ok(program) => return Ok(program),
                // One that may not be executed is told before one that lacks something.
                Err(failure) => {
                    let is_better = |failed: &Failure| failed.is_missing() && !failure.is_missing();
                    failed = Some(failed.filter(|failed| !is_better(failed)).unwrap_or(failure));
                }
            }
        }
        Err(failed.unwrap_or_else(|| Failure::not_found(format!("{}: not found", name.display()))))
    }

    /// Where it may be, in the order of PATH.
    fn places(&self, name: &OsStr) -> Vec<PathBuf> {
        match name.as_bytes() {
            [] => Vec::new(),
            bytes if bytes.contains(&b'/') => vec![PathBuf::from(name)],
            _ => {
                let list = self.path.as_deref().unwrap_or(OsStr::new(DEFAULT_PATH));
                std::env::split_paths(list).map(|directory| directory.join(name)).collect()
            }
        }
    }

    /// What executing `path` comes to.
    fn program_at(&self, path: PathBuf) -> Result<Program, Failure> {
        let mut program = Program { scripts: Vec::new(), image: None, path: path.clone(), loses_preload: false };
        // What env(1) is given if the next is one.
        let (mut current, mut arguments) = (path.clone(), self.arguments[1..].to_vec());
        for _ in 0..self.left {
            let place = self.directory.join(&current);
            let unreadable = |error: std::io::Error| Failure::not_executable(format!("{}: {error}", current.display()));
            // A program that may be executed but not read.
            let file = match File::open(&place) {
                Err(error) if error.kind() == ErrorKind::PermissionDenied => break,
                other => other.map_err(unreadable)?,
            };
            let mut beginning = Vec::new();
            file.take(script::LONGEST as u64).read_to_end(&mut beginning).map_err(unreadable)?;
            let script = script::interpreter(&beginning);
            if script.is_none()
                && let Some(image) = Image::read(&place).map_err(unreadable)?
            {
                let image = Image { path: current.clone(), ..image };
                return self.past_env(Program { image: Some(image), ..program }, &current, &arguments);
            }
            let (next, argument) = match script {
                Some(found) => {
                    arguments.insert(0, current.clone().into());
                    (OsStr::from_bytes(found.path), found.argument)
                }
                // Whatever the kernel does not know, at whichever end of a chain: the shell has the file itself.
                None => {
                    arguments = [&[path.clone().into()], &self.arguments[1..]].concat();
                    (OsStr::new(SHELL), None)
                }
            };
            arguments.splice(0..0, argument.map(|argument| OsStr::from_bytes(argument).to_owned()));
            let next = PathBuf::from(next);
            executable(&self.directory.join(&next)).map_err(|failure| failure.about(&current))?;
            program.scripts.push(std::mem::replace(&mut current, next));
        }
        Ok(program)
    }

    /// The program itself, or what it starts if it is an env(1).
    fn past_env(&self, program: Program, path: &Path, arguments: &[OsString]) -> Result<Program, Failure> {
        let is_env = path.file_name() == Some(OsStr::new("env"));
        let started = if is_env { env::started(arguments, |name| std::env::var_os(name)) } else { None };
        let Some(started) = started else { return Ok(program) };
        let loses_preload = started.value("LD_PRELOAD", Some(KEPT.into())) != Some(KEPT.into());
        let next = Command {
            path: started.value("PATH", self.path.clone()),
            directory: self.directory.join(started.directory.unwrap_or_default()),
            arguments: started.arguments,
            left: self.left - 1,
        };
        if next.left == 0 {
            return Ok(Program { image: None, ..program });
        }
        let next = next.program().map_err(|failure| match program.scripts.first() {
            Some(script) => failure.about(script),
            None => failure,
        })?;
        Ok(Program {
            scripts: [program.scripts, next.scripts].concat(),
            image: next.image,
            path: program.path,
            loses_preload: loses_preload || next.loses_preload,
        })
    }
}

/// Whether the kernel would execute this file for us.
fn executable(path: &Path) -> Result<(), Failure> {
    let shown = path.display();
    let refused = || Failure::not_executable(format!("{shown}: not executable"));
    match std::fs::metadata(path) {
        Ok(file) if file.is_file() => {
            let name = CString::new(path.as_os_str().as_bytes()).map_err(|_| refused())?;
            // SAFETY: a C string.
            if unsafe { libc::access(name.as_ptr(), libc::X_OK) } == 0 { Ok(()) } else { Err(refused()) }
        }
        Ok(_) => Err(refused()),
        Err(error) if error.kind() == ErrorKind::PermissionDenied => {
            Err(Failure::not_executable(format!("{shown}: {error}")))
        }
        Err(_) => Err(Failure::not_found(format!("{shown}: not found"))),
    }
}
