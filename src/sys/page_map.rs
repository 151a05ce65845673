//! `/proc/self/pagemap`: what is where in this process's memory (Documentation/admin-guide/mm/pagemap.rst). Anybody may read it; where pages
//! are in the machine it does not say.

use core::ffi::{CStr, c_int};

use super::errno::keeping_errno;
use super::own::SMALL_FILE;
use super::{filter, uncancelled};

const PATH: &CStr = c"/proc/self/pagemap";
/// A page is mapped here and nowhere else (since Linux 4.2).
const EXCLUSIVE: u64 = 1 << 56;
/// It is swapped out; it is in memory.
const USED: u64 = 1 << 62 | 1 << 63;

/// What it says of one page.
pub type Entry = [u8; 8];

/// Whether a page is this process's alone.
pub fn is_own(entry: Entry) -> bool {
    u64::from_ne_bytes(entry) & EXCLUSIVE != 0
}

/// Whether there is anything in a page.
pub fn is_used(entry: Entry) -> bool {
    u64::from_ne_bytes(entry) & USED != 0
}

/// The file, opened when it is asked for the first time.
pub struct PageMap(Option<c_int>);

impl PageMap {
    /// Not opened yet.
    pub const fn new() -> PageMap {
        PageMap(None)
    }

    /// Reads what it says of the pages from the one with this number on; false where that is not known.
    pub fn read(&mut self, first: usize, entries: &mut [Entry]) -> bool {
        keeping_errno(|| {
            let file = *self.0.get_or_insert_with(open);
            let bytes = entries.as_flattened_mut();
            let length = bytes.len();
            let offset = first.saturating_mul(size_of::<Entry>());
            file >= 0 && uncancelled::read_at(file, bytes, offset).is_some_and(|read| read.len() == length)
        })
    }
}

/// Who filters system calls may not allow what it takes to know the descriptor as ours.
fn open() -> c_int {
    if filter::is_restricted() {
        return uncancelled::open(libc::AT_FDCWD, PATH, libc::O_RDONLY);
    }
    SMALL_FILE.open(libc::AT_FDCWD, PATH, libc::O_RDONLY | libc::O_NOFOLLOW).unwrap_or(-1)
}

impl Drop for PageMap {
    fn drop(&mut self) {
        if let Some(file) = self.0.filter(|&file| file >= 0) {
            keeping_errno(|| if filter::is_restricted() { uncancelled::close(file) } else { SMALL_FILE.close(file) });
        }
    }
}
