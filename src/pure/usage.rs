//! PURE: what glibc's malloc tells of itself (mallinfo(3)), and what that means right after a trim.

/// `struct mallinfo2` (size_t, from glibc 2.33 on), and `struct mallinfo` (int). Sums over all arenas.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[repr(C)]
pub struct Info<T> {
    /// Bytes of all arenas.
    pub arena: T,
    /// Chunks that are free, each arena's top among them, but for those in fast bins.
    pub ordblks: T,
    /// Those in fast bins: none after malloc_trim(3).
    pub smblks: T,
    /// Chunks that are mapped, each by itself.
    pub hblks: T,
    /// Their bytes.
    pub hblkhd: T,
    /// Nothing.
    pub usmblks: T,
    /// Bytes in fast bins.
    pub fsmblks: T,
    /// Bytes that are handed out, but for those that are mapped; what threads keep in their caches (tcache) counts as handed out.
    pub uordblks: T,
    /// Bytes that are free.
    pub fordblks: T,
    /// Bytes of the main arena's top.
    pub keepcost: T,
}

/// What is in use, and what it keeps from being given back. Bytes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Usage {
    /// What has been handed out and not been freed.
    pub live: u64,
    /// What is free, and still in memory, because the rest of its page is in use: at most.
    pub held: u64,
}

impl Info<usize> {
    /// Right after a trim: of each free chunk all whole pages have been given back. What is left of them makes a page, on average.
    pub fn usage(&self, page: u64) -> Usage {
        let held = (self.ordblks as u64).saturating_mul(page).min(self.fordblks as u64);
        Usage { live: (self.uordblks as u64).saturating_add(self.hblkhd as u64), held }
    }
}

impl Info<i32> {
    /// The same of 32 bits, which wrap at 4 GiB: what is live is what lies nearest to `last`, which was live before, and is no more than
    /// `most`, all memory that the process may write to.
    pub fn usage(&self, page: u64, last: u64, most: u64) -> Usage {
        let live = self.uordblks.cast_unsigned().wrapping_add(self.hblkhd.cast_unsigned());
        let held =
            u64::from(self.ordblks.cast_unsigned()).saturating_mul(page).min(self.fordblks.cast_unsigned().into());
        Usage { live: widen(live, last, most), held }
    }
}

fn widen(low: u32, last: u64, most: u64) -> u64 {
    const WRAP: u64 = 1 << 32;
    let low = u64::from(low);
    let near = last.saturating_add(WRAP / 2).saturating_sub(low) / WRAP;
    let possible = most.saturating_sub(low) / WRAP;
    low.saturating_add(near.min(possible).saturating_mul(WRAP))
}

#[cfg(test)]
mod tests {
    use super::*;

    const GIB: u64 = 1 << 30;

    #[test]
    fn live_is_what_is_handed_out_and_what_is_mapped() {
        let info =
            Info::<usize> { uordblks: 5 << 30, hblkhd: 1 << 30, fordblks: 3 << 30, ordblks: 10, ..Info::default() };
        for page in [4 << 10, 16 << 10, 64 << 10] {
            assert_eq!(info.usage(page), Usage { live: 6 * GIB, held: 10 * page });
        }
        let small = Info::<usize> { fordblks: 8_000, ordblks: 100, ..Info::default() };
        assert_eq!(small.usage(4096).held, 8_000, "no more than what is free");
    }

    #[test]
    fn what_has_wrapped_is_found_again() {
        let told = |bytes: u64| Info::<i32> { uordblks: bytes as u32 as i32, ..Info::default() };
        let mut last = 0;
        for live in [0, 1, 2, 3, 5, 6, 5, 4, 3, 2].map(|number| number * GIB) {
            last = told(live).usage(4096, last, 10 * GIB).live;
            assert_eq!(last, live);
        }
    }

    #[test]
    fn no_more_is_live_than_there_is_memory() {
        let told = |bytes: u64| Info::<i32> { hblkhd: bytes as u32 as i32, ..Info::default() };
        // From 3 GiB to 100 MB: 4 GiB more would be nearer.
        assert_eq!(told(100 << 20).usage(4096, 3 * GIB, GIB).live, 100 << 20);
        // The first that is known, of a process that has mapped more than it uses.
        assert_eq!(told(3 * GIB).usage(4096, 0, 20 * GIB).live, 3 * GIB);
        assert_eq!(told(3 * GIB).usage(4096, 0, 0).live, 3 * GIB);
    }

    #[test]
    fn two_parts_that_wrap_are_one_sum() {
        let info = Info::<i32> { uordblks: -1, hblkhd: 2, fordblks: -1, ordblks: 3, ..Info::default() };
        assert_eq!(info.usage(4096, 4 * GIB, 8 * GIB), Usage { live: 4 * GIB + 1, held: 12_288 });
    }
}
