//! Which pages a forked child still shares with its parent: what is free in those would be copied, were it marked, and not given back.

use core::ffi::c_int;

use crate::sys::errno::keeping_errno;
use crate::sys::own::SMALL_FILE;
use crate::sys::uncancelled;

/// A page is mapped here and nowhere else (Documentation/admin-guide/mm/pagemap.rst, since Linux 4.2).
const EXCLUSIVE: u64 = 1 << 56;

/// `/proc/self/pagemap`, opened when it is asked for the first time.
pub struct PageMap(Option<c_int>);

impl PageMap {
    /// Not opened yet.
    pub const fn new() -> PageMap {
        PageMap(None)
    }

    /// Fills `own` with whether each page from `address` on, of `page` bytes, is this process's alone; false where that is not known.
    pub fn look(&mut self, address: usize, page: usize, own: &mut [bool; 256]) -> bool {
        keeping_errno(|| {
            let file = *self.0.get_or_insert_with(|| {
                SMALL_FILE.open(libc::AT_FDCWD, c"/proc/self/pagemap", libc::O_RDONLY | libc::O_NOFOLLOW).unwrap_or(-1)
            });
            let mut bytes = [0u8; 256 * size_of::<u64>()];
            let length = bytes.len();
            let offset = address / page * size_of::<u64>();
            if file < 0 || uncancelled::read_at(file, &mut bytes, offset).is_none_or(|read| read.len() != length) {
                return false;
            }
            for (own, entry) in own.iter_mut().zip(bytes.as_chunks().0) {
                *own = u64::from_ne_bytes(*entry) & EXCLUSIVE != 0;
            }
            true
        })
    }
}

impl Drop for PageMap {
    fn drop(&mut self) {
        if let Some(file) = self.0.filter(|&file| file >= 0) {
            keeping_errno(|| SMALL_FILE.close(file));
        }
    }
}
