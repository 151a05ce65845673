//! The ELF file that a process runs: whether the library can be loaded into it, and whether it could do anything there.

use std::ffi::CString;
use std::fs::File;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};

use crate::elf::{Architecture, Elf};

/// What Go's linker puts into each program, and strip(1) leaves there.
const OF_GO: &str = ".go.buildinfo";
/// What the names of musl's dynamic linkers begin with.
const OF_MUSL: &str = "/ld-musl-";

/// An ELF file.
pub struct Image {
    /// Where it is.
    pub path: PathBuf,
    /// What it says.
    pub elf: Elf<File>,
    /// The dynamic linker; `None` = static.
    pub interpreter: Option<String>,
    /// Why the kernel starts it in secure mode, where environment and preloads are ignored.
    pub secure: Option<&'static str>,
}

impl Image {
    /// Looks at an ELF file; `None` where it is none.
    pub fn read(path: &Path) -> std::io::Result<Option<Image>> {
        let Some(elf) = Elf::read(File::open(path)?)? else { return Ok(None) };
        let interpreter = elf.interpreter().map(|path| String::from_utf8_lossy(&path).into_owned());
        Ok(Some(Image { path: path.to_owned(), elf, interpreter, secure: secure(path)? }))
    }

    /// Whether Go's compiler has made it.
    pub fn is_go(&self) -> bool {
        self.elf.has_section(OF_GO)
    }

    /// Whether it takes its functions from musl.
    pub fn is_of_musl(&self) -> bool {
        self.interpreter.as_ref().is_some_and(|path| path.contains(OF_MUSL))
    }

    /// Why a library for `architecture` cannot be loaded into it.
    pub fn unsuitable(&self, architecture: Architecture) -> Option<String> {
        let own = self.elf.architecture;
        if own != architecture {
            return Some(format!("is for another architecture ({own}) than the library ({architecture})"));
        }
        if self.interpreter.is_none() && !self.elf.is_loader() {
            return Some("is statically linked: no library can be preloaded into it".into());
        }
        self.secure.map(|why| format!("{why}: the loader ignores preloads outside the system's directories"))
    }

    /// Why the library would do nothing in it, though it can be loaded; `by_itself` = it is to trim without requests, too.
    pub fn useless(&self, by_itself: bool) -> Option<&'static str> {
        // What its C libraries free can be given back.
        (self.is_go() && !by_itself).then_some(
            "is written in Go, which makes its system calls itself and has a memory of its own: the library would see no request \
             and give nothing back; if C libraries in it hold much, set AUTOTRIM_PERIOD (such as 1m)",
        )
    }
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
