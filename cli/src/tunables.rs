//! What the environment of a process has set for glibc's malloc.

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;

use crate::target::Target;

/// The tunable that may make heaps of another size.
const HUGETLB: &[u8] = b"glibc.malloc.hugetlb=";

/// Whether malloc makes heaps of another size than usual (manual/tunables.texi: with 0 and 1 it does not); `None` where that cannot be read.
pub fn has_huge_heaps(target: &Target) -> Option<bool> {
    let environment = target.environment()?;
    let tunables = environment.get(OsStr::new("GLIBC_TUNABLES")).map(|value| value.as_bytes()).unwrap_or_default();
    let mut sizes = tunables.split(|&byte| byte == b':').filter_map(|tunable| tunable.strip_prefix(HUGETLB));
    Some(sizes.any(|size| !matches!(size, b"" | b"0" | b"1")))
}
