//! Another process's memory where it has some: what was never touched, or is swapped out, is not read, as reading would bring it in.

use std::fs::File;
use std::ops::Range;
use std::os::unix::fs::FileExt;

use crate::composition::Memory;
use crate::memory;

/// Of an entry in `/proc/PID/pagemap` (pagemap.rst): the page is in memory.
const PRESENT: u64 = 1 << 63;
/// So many entries are read at a time.
const ENTRIES: u64 = 512;

/// A reader of one process.
pub struct Pages {
    pid: i32,
    pagemap: Option<File>,
    page: u64,
    /// The entries that were read last, and which pages they are of.
    first: u64,
    entries: Vec<u64>,
}

impl Pages {
    /// Of process `pid`.
    pub fn of(pid: i32) -> Pages {
        let pagemap = File::open(format!("/proc/{pid}/pagemap")).ok();
        Pages { pid, pagemap, page: procfs::page_size(), first: 0, entries: Vec::new() }
    }

    /// The parts of `start..end` that are in memory.
    pub fn runs(&mut self, start: u64, end: u64) -> Vec<Range<u64>> {
        let mut runs: Vec<Range<u64>> = Vec::new();
        for page in start / self.page..end / self.page {
            let at = page * self.page;
            match runs.last_mut() {
                _ if !self.is_present(page) => {}
                Some(run) if run.end == at => run.end += self.page,
                _ => runs.push(at..at + self.page),
            }
        }
        runs
    }

    fn is_present(&mut self, page: u64) -> bool {
        let first = page - page % ENTRIES;
        if self.first != first || self.entries.is_empty() {
            let mut bytes = vec![0; 8 * ENTRIES as usize];
            let read = self.pagemap.as_ref().and_then(|file| file.read_at(&mut bytes, 8 * first).ok()).unwrap_or(0);
            let (entries, _) = bytes[..read].as_chunks();
            (self.first, self.entries) = (first, entries.iter().map(|entry| u64::from_ne_bytes(*entry)).collect());
        }
        self.entries.get((page - first) as usize).is_some_and(|entry| entry & PRESENT != 0)
    }
}

impl Memory for Pages {
    /// Copies what is at `at`, if all of it is in memory.
    fn read(&mut self, at: u64, bytes: &mut [u8]) -> bool {
        let last = at.saturating_add(bytes.len() as u64).saturating_sub(1);
        (at / self.page..=last / self.page).all(|page| self.is_present(page))
            && memory::read_into(self.pid, at, bytes).is_ok()
    }

    fn present(&mut self, start: u64, end: u64) -> Option<u64> {
        self.pagemap.as_ref()?;
        Some((start / self.page..end / self.page).filter(|&page| self.is_present(page)).count() as u64 * self.page)
    }
}
