//! A program file, looked at without starting it: can the library be loaded into what it would become?

use std::ffi::{CString, OsStr};
use std::fmt::{self, Display};
use std::fs::File;
use std::io::Read;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};

use object::elf::{
    EM_386, EM_AARCH64, EM_ARM, EM_PPC64, EM_RISCV, EM_S390, EM_X86_64, FileHeader32, FileHeader64, PT_INTERP,
};
use object::read::elf::{FileHeader, ProgramHeader};
use object::{Endianness, FileKind};

use crate::failure::Failure;
use crate::target::read_file;

/// The kernel follows so many interpreters of interpreters (fs/exec.c); env(1) makes it a few more.
const LONGEST_CHAIN: usize = 8;
/// How much of a script the kernel reads for its first line (BINPRM_BUF_SIZE).
const FIRST_LINE: u64 = 256;
/// Where execvp looks without a PATH.
const DEFAULT_PATH: &str = "/bin:/usr/bin";

/// A program as it was named, and what is executed for it: a script's interpreters in turn, the ELF file last.
#[derive(Debug)]
pub struct Program {
    /// The scripts on the way, each with its interpreter's name for messages.
    pub scripts: Vec<PathBuf>,
    /// The file that the process runs in the end; `None` where that cannot be told.
    pub image: Option<Image>,
    /// What the name means: the first file.
    pub path: PathBuf,
}

/// An ELF file.
#[derive(Debug)]
pub struct Image {
    pub path: PathBuf,
    pub architecture: Architecture,
    /// The dynamic linker; `None` = static.
    pub interpreter: Option<String>,
    /// Why the kernel starts it in secure mode, where environment and preloads are ignored.
    pub secure: Option<&'static str>,
}

/// What a file is made for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Architecture {
    bits: u8,
    machine: u16,
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

impl Image {
    /// Whether it is dynamically linked to musl.
    pub fn is_musl(&self) -> bool {
        self.interpreter.as_ref().is_some_and(|path| path.contains("ld-musl"))
    }

    /// Why a library for `architecture` cannot be loaded into it.
    pub fn unsuitable(&self, architecture: Architecture) -> Option<String> {
        if self.architecture != architecture {
            return Some(format!(
                "is for another architecture ({}) than the library ({architecture})",
                self.architecture
            ));
        }
        if self.interpreter.is_none() && !is_loader(&self.path) {
            return Some("is statically linked: no library can be preloaded into it".into());
        }
        self.secure.map(|why| format!("{why}: the loader ignores preloads outside the system's directories"))
    }

    /// Looks at an ELF file; `None` where it is none.
    pub fn read(path: &Path) -> std::io::Result<Option<Image>> {
        let content = read_file(path)?;
        let Some((architecture, interpreter)) = headers(&content) else { return Ok(None) };
        Ok(Some(Image { architecture, interpreter, secure: secure(path)?, path: path.to_owned() }))
    }
}

impl Program {
    /// What `name` would start.
    pub fn find(name: &OsStr) -> Result<Program, Failure> {
        let path = resolve(name)?;
        let (mut scripts, mut current) = (Vec::new(), path.clone());
        for _ in 0..LONGEST_CHAIN {
            let unreadable = |error: std::io::Error| Failure::not_executable(format!("{}: {error}", current.display()));
            // A program that may be executed but not read.
            let file = match File::open(&current) {
                Err(error) if error.kind() == std::io::ErrorKind::PermissionDenied => break,
                other => other.map_err(unreadable)?,
            };
            let mut line = Vec::new();
            file.take(FIRST_LINE).read_to_end(&mut line).map_err(unreadable)?;
            let Some(line) = line.strip_prefix(b"#!") else {
                let image = Image::read(&current).map_err(unreadable)?;
                let image = image.ok_or_else(|| {
                    Failure::not_executable(format!("{}: neither an ELF file nor a script", current.display()))
                })?;
                return Ok(Program { scripts, image: Some(image), path });
            };
            let line = line.split(|&byte| byte == b'\n').next().unwrap_or_default();
            let next = interpreter(line)
                .ok_or_else(|| Failure::not_executable(format!("{}: names no interpreter", current.display())))?;
            let found =
                resolve(next).map_err(|failure| Failure::not_found(format!("{}: {failure}", current.display())));
            scripts.push(std::mem::replace(&mut current, found?));
        }
        Ok(Program { scripts, image: None, path })
    }

    /// Why a library for `architecture` cannot be loaded into it.
    pub fn unsuitable(&self, architecture: Architecture) -> Option<String> {
        let image = self.image.as_ref()?;
        let why = image.unsuitable(architecture)?;
        Some(match self.scripts.first() {
            Some(script) => format!("{}: its interpreter {} {why}", script.display(), image.path.display()),
            None => format!("{} {why}", image.path.display()),
        })
    }
}

/// The program that a script's first line names; of `env NAME` it is NAME that matters.
fn interpreter(line: &[u8]) -> Option<&OsStr> {
    let mut words = line.split(|byte| matches!(byte, b' ' | b'\t' | b'\r')).filter(|word| !word.is_empty());
    let first = words.next()?;
    let is_name = |word: &&[u8]| !word.starts_with(b"-") && !word.contains(&b'=');
    let named = if first.ends_with(b"/env") { words.find(is_name) } else { None };
    Some(OsStr::from_bytes(named.unwrap_or(first)))
}

/// The file that execvp would start for `name`.
fn resolve(name: &OsStr) -> Result<PathBuf, Failure> {
    if name.as_bytes().contains(&b'/') {
        let path = PathBuf::from(name);
        return match std::fs::metadata(&path) {
            Ok(_) if is_executable(&path) => Ok(path),
            Ok(_) => Err(Failure::not_executable(format!("{}: not executable", path.display()))),
            Err(error) => Err(match error.kind() {
                std::io::ErrorKind::PermissionDenied => Failure::not_executable(format!("{}: {error}", path.display())),
                _ => Failure::not_found(format!("{}: not found", path.display())),
            }),
        };
    }
    let list = std::env::var_os("PATH").unwrap_or_else(|| DEFAULT_PATH.into());
    let mut present = std::env::split_paths(&list).map(|directory| directory.join(name)).filter(|path| path.is_file());
    let mut first = None;
    match present.find(|path| {
        is_executable(path) || {
            first.get_or_insert_with(|| path.clone());
            false
        }
    }) {
        Some(path) => Ok(path),
        None => Err(match first {
            Some(path) => Failure::not_executable(format!("{}: not executable", path.display())),
            None => Failure::not_found(format!("{}: not found", name.display())),
        }),
    }
}

fn is_executable(path: &Path) -> bool {
    let Ok(name) = CString::new(path.as_os_str().as_bytes()) else { return false };
    // SAFETY: a C string.
    path.is_file() && unsafe { libc::access(name.as_ptr(), libc::X_OK) } == 0
}

/// What an ELF file is for, and its dynamic linker.
pub fn headers(content: &[u8]) -> Option<(Architecture, Option<String>)> {
    fn of<H: FileHeader<Endian = Endianness>>(content: &[u8], bits: u8) -> Option<(Architecture, Option<String>)> {
        let header = H::parse(content).ok()?;
        let endian = header.endian().ok()?;
        let programs = header.program_headers(endian, content).ok()?;
        let interpreter = programs.iter().find(|program| program.p_type(endian) == PT_INTERP);
        let interpreter = interpreter.and_then(|program| program.data(endian, content).ok());
        let interpreter = interpreter.map(|path| String::from_utf8_lossy(path).trim_end_matches('\0').to_owned());
        Some((Architecture { bits, machine: header.e_machine(endian) }, interpreter))
    }
    match FileKind::parse(content).ok()? {
        FileKind::Elf32 => of::<FileHeader32<Endianness>>(content, 32),
        FileKind::Elf64 => of::<FileHeader64<Endianness>>(content, 64),
        _ => None,
    }
}

/// The dynamic linker itself is no static program: started by hand it preloads into what it loads.
fn is_loader(path: &Path) -> bool {
    let path = path.canonicalize().unwrap_or_else(|_| path.to_owned());
    let name = path.file_name().unwrap_or_default().as_bytes();
    name.starts_with(b"ld-") || name.starts_with(b"ld64.")
}

/// Why the kernel would start this file in secure mode (AT_SECURE, getauxval(3)) for us.
fn secure(path: &Path) -> std::io::Result<Option<&'static str>> {
    let metadata = std::fs::metadata(path)?;
    if privileges_are_ignored(path) {
        return Ok(None);
    }
    // SAFETY: both take nothing and cannot fail.
    let (user, group) = unsafe { (libc::getuid(), libc::getgid()) };
    let mode = metadata.permissions().mode();
    if mode & libc::S_ISUID != 0 && metadata.uid() != user {
        return Ok(Some("is setuid"));
    }
    if mode & libc::S_ISGID != 0 && mode & libc::S_IXGRP != 0 && metadata.gid() != group {
        return Ok(Some("is setgid"));
    }
    Ok((user != 0 && has_capabilities(path)).then_some("has file capabilities"))
}

/// On a file system mounted nosuid, and for a process with no_new_privs, these bits mean nothing.
fn privileges_are_ignored(path: &Path) -> bool {
    let Ok(name) = CString::new(path.as_os_str().as_bytes()) else { return false };
    // SAFETY: zeros are a valid value; a C string, and room for the answer; prctl(2) reads no memory here.
    unsafe {
        let mut mount: libc::statvfs = std::mem::zeroed();
        (libc::statvfs(name.as_ptr(), &mut mount) == 0 && mount.f_flag & libc::ST_NOSUID != 0)
            || libc::prctl(libc::PR_GET_NO_NEW_PRIVS, 0, 0, 0, 0) == 1
    }
}

fn has_capabilities(path: &Path) -> bool {
    let Ok(name) = CString::new(path.as_os_str().as_bytes()) else { return false };
    // SAFETY: C strings; a null value of length 0 asks for the size only.
    unsafe { libc::getxattr(name.as_ptr(), c"security.capability".as_ptr(), std::ptr::null_mut(), 0) > 0 }
}
