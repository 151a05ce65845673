//! glibc's dynamic rule for `M_MMAP_THRESHOLD` and `M_TRIM_THRESHOLD`: where it is, asked of malloc itself, and how it goes on once a
//! call of mallopt(3) has stopped it.
//!
//! The rule (malloc/malloc.c, `__libc_free`): a mapped block that is freed raises the first to its size, and the second to twice that.
//! Nothing tells how large blocks are afterwards; but where they are too large for the thresholds, the same memory is given back and
//! faulted in again and again, which the page faults tell.

use crate::sys::real;

/// Where the rule starts, for both (malloc/malloc.c, `DEFAULT_TRIM_THRESHOLD` and `DEFAULT_MMAP_THRESHOLD_MIN`).
pub const START: usize = 128 << 10;
/// Where it ends for blocks: the most that mallopt takes on 64-bit machines (HEAP_MAX_SIZE / 2).
pub const END: usize = 32 << 20;

/// A page fault costs about a microsecond (DESIGN.md). Where those that are too many take so large a part of the CPU time, the
/// thresholds are too low.
const PAGE_FAULT: u64 = 1_000;
const PART: u64 = 16;
/// Fewer tell nothing: a trim has some itself.
const LEAST: u64 = 1024;

/// `M_TRIM_THRESHOLD` beside an `M_MMAP_THRESHOLD`, as the rule has it.
pub fn trim_threshold(mmap_threshold: usize) -> usize {
    if mmap_threshold <= START { START } else { mmap_threshold.saturating_mul(2) }
}

/// What a process did since the last trim.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Since {
    /// Page faults that took no reading.
    pub faults: u64,
    /// Pages that its RSS has grown by: so many had to be faulted in.
    pub grown: u64,
    /// CPU time in nanoseconds.
    pub cpu: u64,
}

/// The next `M_MMAP_THRESHOLD`.
pub fn next(mmap_threshold: usize, since: Since) -> usize {
    let again = since.faults.saturating_sub(since.grown);
    let too_low = again > LEAST && again.saturating_mul(PAGE_FAULT) > since.cpu / PART;
    if too_low { mmap_threshold.saturating_mul(2).min(END) } else { mmap_threshold }
}

/// `M_MMAP_THRESHOLD` as it is, or a sixteenth more: found by blocks that are allocated, not touched and given back, and that do not
/// raise it. Where malloc may be called, under a shield.
#[inline(never)]
pub fn mmap_threshold() -> usize {
    let (mut below, mut from) = (START - STEP, END);
    while from - below > (below / 16).max(STEP) {
        let middle = below.midpoint(from) / STEP * STEP;
        if is_mapped(middle) {
            from = middle;
        } else {
            below = middle;
        }
    }
    from.max(START)
}

/// Blocks are tried in these steps: whole pages on every machine.
const STEP: usize = 64 << 10;

/// Whether a block of so many bytes, whole pages, would be mapped.
fn is_mapped(size: usize) -> bool {
    let (Some(malloc), Some(realloc), Some(free)) = (real::malloc.known(), real::realloc.known(), real::free.known())
    else {
        return true;
    };
    // SAFETY: malloc and its kin as any program calls them.
    unsafe {
        let block = malloc(size);
        if block.is_null() {
            return true;
        }
        // A mapped block goes up to the end of its last page, and is one page longer than this.
        let is_mapped = libc::malloc_usable_size(block) - size > 2048;
        // One of a single page does not raise the threshold when it is freed.
        let left = if is_mapped { realloc(block, 1) } else { block };
        free(if left.is_null() { block } else { left });
        is_mapped
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_trim_threshold_is_the_rules() {
        assert_eq!([START, START + 1, END].map(trim_threshold), [START, 2 * START + 2, 2 * END]);
    }

    #[test]
    fn page_faults_for_the_same_memory_raise_it() {
        let second = 1_000_000_000;
        let busy = |faults, grown| next(1 << 20, Since { faults, grown, cpu: second });
        assert_eq!(busy(70_000, 0), 2 << 20);
        assert_eq!(busy(60_000, 0), 1 << 20, "less than a sixteenth of the time");
        assert_eq!(busy(400_000, 390_000), 1 << 20, "RSS has grown by as much");
        assert_eq!(next(END, Since { faults: u64::MAX, ..Since::default() }), END);
        assert_eq!(next(20 << 20, Since { faults: u64::MAX, grown: 0, cpu: second }), END);
        assert_eq!(next(1 << 20, Since::default()), 1 << 20, "nothing was done");
        assert_eq!(next(1 << 20, Since { faults: 1000, ..Since::default() }), 1 << 20, "next to nothing was done");
    }

    /// The test's own malloc is glibc's, whose rule begins anew in each process: here other tests may have raised it.
    #[test]
    fn malloc_tells_its_threshold_and_is_not_moved_by_that() {
        let found = mmap_threshold();
        assert!((START..=END).contains(&found), "{found}");
        assert_eq!(mmap_threshold(), found);
    }
}
