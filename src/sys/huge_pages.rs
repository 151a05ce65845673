//! Transparent huge pages: whether the kernel makes them unasked, how much of this process is in them, and how to keep it from making more
//! where a trim has left holes.
//!
//! What may be called is what malloc in the program calls anyway (madvise), and reading files.

use core::ffi::{CStr, c_void};

use super::page_map::{PageMap, is_used};
use super::{memory, own};
use crate::decide::huge_pages::Evidence;
use crate::pure::heaps::{HEAP, Info, is_heap};
use crate::pure::mappings::{Lines, Mapping};
use crate::pure::text::number;
use crate::sys::{self, errno::keeping_errno};

/// The kernel's setting, its present value in brackets.
const ENABLED: &CStr = c"/sys/kernel/mm/transparent_hugepage/enabled";
const STAT: &CStr = c"/proc/self/stat";
/// Where in there stand, counted from 1, the page faults for which nothing was read, and the beginning of the heap (proc(5)).
const FAULTS: usize = 10;
const START_OF_HEAP: usize = 47;

/// The heap is kept out in pieces of two to the power of this huge pages: those in which nothing was given back go on as they are, and there
/// are never many mappings more than before.
const PIECE: u32 = 4;
/// A piece is kept out if more than this part of it is holes, beside pages that are in use.
const HOLES: usize = 8;
/// So many pages are looked at at once.
const AT_ONCE: usize = 128;

/// So many heaps are looked for at once.
pub const HEAPS: usize = 16;

/// Where the kernel makes huge pages unasked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Enabled {
    /// Everywhere.
    Always,
    /// Where somebody has asked for them by madvise(2).
    Advised,
    /// Nowhere, as far as is known.
    Never,
}

/// What the kernel's setting is now.
pub fn enabled() -> Enabled {
    let mut buffer = [0u8; 64];
    own::read(ENABLED, &mut buffer).map_or(Enabled::Never, chosen)
}

fn chosen(setting: &[u8]) -> Enabled {
    match setting.split(|&byte| byte == b'[').nth(1) {
        Some(value) if value.starts_with(b"always]") => Enabled::Always,
        Some(value) if value.starts_with(b"madvise]") => Enabled::Advised,
        _ => Enabled::Never,
    }
}

/// What page faults have brought to this process so far, in bytes, were each of them for a small page; `None` where that is not known.
pub fn faulted() -> Option<u64> {
    // By the file where the call may not be made.
    let faults = sys::page_faults().or_else(|| statistic(FAULTS));
    faults.map(|faults| faults.saturating_mul(memory::page_size()))
}

/// What shows of memory that the kernel has put into huge pages. It walks through all pages for that: some milliseconds for a gigabyte.
#[inline(never)]
pub fn evidence() -> Evidence {
    // Where one of them is not known, nothing is shown.
    Evidence { huge: memory::in_huge_pages().unwrap_or(0), faulted: faulted().unwrap_or(u64::MAX) }
}

/// The heap that brk(2) makes.
pub fn main_heap() -> Option<(usize, usize)> {
    let start = usize::try_from(statistic(START_OF_HEAP)?).ok().filter(|&start| start != 0)?;
    // SAFETY: changes nothing; libc knows the answer without a system call.
    let end = unsafe { libc::sbrk(0) } as usize;
    (start < end).then_some((start, end))
}

/// Heaps of glibc's secondary arenas: where the first ones from `from` on begin, and how many they are. What is done with them changes the file
/// that tells of them, and so comes afterwards.
#[inline(never)]
pub fn other_heaps(from: usize, found: &mut [usize; HEAPS]) -> usize {
    let (mut lines, mut buffer, mut number) = (Lines::new(), [0u8; 512], 0);
    own::read_all(c"/proc/self/maps", &mut buffer, |piece| {
        let mappings = piece.iter().filter_map(|&byte| lines.take(byte));
        for mapping in mappings.filter(Mapping::is_unnamed_memory) {
            let first = mapping.start.max(from).checked_next_multiple_of(HEAP).unwrap_or(mapping.end);
            for heap in (first..mapping.end).step_by(HEAP) {
                // Read only where that is still mapped.
                if memory::read(heap as *const Info).is_some_and(|info| is_heap(heap, info))
                    && let Some(place) = found.get_mut(number)
                {
                    *place = heap;
                    number += 1;
                }
            }
        }
    });
    number
}

#[inline(never)]
fn statistic(field: usize) -> Option<u64> {
    let mut buffer = [0u8; 1024];
    own::read(STAT, &mut buffer).and_then(|stat| value_of(stat, field))
}

/// A program's name, which is the second field, may hold anything.
fn value_of(stat: &[u8], field: usize) -> Option<u64> {
    const BEHIND_NAME: usize = 2;
    let behind = stat.rsplit(|&byte| byte == b')').next()?.trim_ascii();
    behind.split(|&byte| byte == b' ').nth(field.checked_sub(BEHIND_NAME + 1)?).and_then(number)
}

/// From here on the kernel makes no huge pages by itself where there are many holes between the pages in use, from `start` to `end`, memory that is
/// malloc's. What is in huge pages stays there, and nothing that is in there changes.
pub fn keep_holes(start: usize, end: usize) {
    let (page, huge) = sizes(memory::page_size());
    let mut map = PageMap::new();
    let mut at = behind(start.saturating_sub(1), page);
    while at < end {
        let next = behind(at, huge + PIECE).min(end);
        if has_holes(&mut map, at, next, (page, huge)) {
            keep_out(at, next - at);
        }
        at = next;
    }
}

/// A page and a huge one, as powers of two: the latter has as many pages as one page of page tables has entries.
fn sizes(page: u64) -> (u32, u32) {
    let page = page.trailing_zeros();
    (page, page + page - size_of::<u64>().trailing_zeros())
}

/// The first multiple of this power of two behind `place`.
fn behind(place: usize, bits: u32) -> usize {
    (place >> bits).saturating_add(1) << bits
}

/// From here on the kernel makes no huge pages by itself in memory of malloc's or of the interpreter's.
pub fn keep_out(start: usize, length: usize) {
    // SAFETY: changes nothing of what is there, mapped or not.
    keeping_errno(|| unsafe { libc::madvise(start as *mut c_void, length, libc::MADV_NOHUGEPAGE) });
}

/// Whether more than a [`HOLES`]th of the huge pages that might be made there is holes; yes where that is not known. Of a huge page's room that is
/// empty none is made.
fn has_holes(map: &mut PageMap, start: usize, end: usize, (page, huge): (u32, u32)) -> bool {
    let (mut used, mut holes) = (0usize, 0usize);
    let mut at = start;
    while at < end {
        let next = behind(at, huge).min(end);
        let pages = behind(next - at - 1, page) >> page;
        let Some(found) = used_pages(map, at, pages, page) else { return true };
        if found > 0 {
            used += found;
            holes += pages - found;
        }
        at = next;
    }
    holes > (used + holes) / HOLES
}

/// How many of so many pages from `start` on have anything in them.
fn used_pages(map: &mut PageMap, start: usize, pages: usize, page: u32) -> Option<usize> {
    let mut entries = [[0u8; 8]; AT_ONCE];
    let mut used = 0;
    for first in (0..pages).step_by(AT_ONCE) {
        let entries = entries.get_mut(..AT_ONCE.min(pages - first))?;
        if !map.read((start >> page) + first, entries) {
            return None;
        }
        used += entries.iter().filter(|&&entry| is_used(entry)).count();
    }
    Some(used)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_setting_is_the_one_in_brackets() {
        assert_eq!(chosen(b"[always] madvise never\n"), Enabled::Always);
        assert_eq!(chosen(b"always [madvise] never\n"), Enabled::Advised);
        for other in ["always madvise [never]\n", "", "always", "[", "[always"] {
            assert_eq!(chosen(other.as_bytes()), Enabled::Never, "{other}");
        }
    }

    #[test]
    fn a_field_is_found_behind_any_name() {
        let stat = b"77 (a) 1 (b) S 1 77 77 0 -1 4194560 4242 0 3 0\n";
        assert_eq!((value_of(stat, FAULTS), value_of(stat, 4)), (Some(4242), Some(1)));
        assert_eq!((value_of(stat, 3), value_of(stat, 15), value_of(b"", FAULTS)), (None, None, None));
    }

    #[test]
    fn of_this_process_all_is_known() {
        let before = faulted().expect("page faults");
        let block = std::hint::black_box(vec![1u8; 8 << 20]);
        let after = faulted().expect("page faults");
        assert!(after > before && block.len() == 8 << 20);
        let (start, end) = main_heap().expect("a heap");
        let block = std::hint::black_box(Box::new(1u64));
        let address = &raw const *block as usize;
        // Of a test's thread, which has an arena of its own.
        assert!(start < end && !(end..end + 4096).contains(&address));
    }

    #[test]
    fn huge_pages_follow_from_the_page_size() {
        let bytes = |page: u64| 1u64 << sizes(page).1;
        assert_eq!([4 << 10, 16 << 10, 64 << 10].map(bytes), [2 << 20, 32 << 20, 512 << 20]);
        for bits in [12, 14, 16, 21, 25, 29] {
            let size = 1 << bits;
            assert_eq!([0, size - 1, size].map(|place| behind(place, bits)), [size, size, 2 * size], "{size}");
        }
    }

    #[test]
    fn holes_are_seen_between_pages_in_use_alone() {
        const PAGE: usize = 4096;
        let length = 4 << 20;
        // SAFETY: a new mapping, of this test alone.
        let memory = unsafe {
            let memory = libc::mmap(
                core::ptr::null_mut(),
                length,
                libc::PROT_READ | libc::PROT_WRITE,
                libc::MAP_PRIVATE | libc::MAP_ANONYMOUS,
                -1,
                0,
            );
            libc::madvise(memory, length, libc::MADV_NOHUGEPAGE);
            memory as usize
        };
        let sizes = sizes(PAGE as u64);
        let mut map = PageMap::new();
        let mut has_holes = |start, end| has_holes(&mut map, start, end, sizes);
        // SAFETY: within the mapping.
        let touch = |page: usize| unsafe { ((memory + page * PAGE) as *mut u8).write_volatile(1) };
        assert!(!has_holes(memory, memory + length), "nothing is in use");
        touch(0);
        assert!(has_holes(memory, memory + length));
        (0..length / PAGE).filter(|page| page % 16 != 1).for_each(touch);
        assert!(!has_holes(memory, memory + length), "few");
        // SAFETY: the mapping is not used any more.
        unsafe { libc::munmap(memory as *mut c_void, length) };
    }
}
