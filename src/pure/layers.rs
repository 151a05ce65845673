//! PURE: which layers of memory what a trim gave back comes from.

/// Their names, as metrics and the command tell them: malloc but for what follows, the tops of glibc's secondary arenas, CPython's
/// own pools, and Java's heap.
pub const LAYERS: [&str; 4] = ["malloc", "tops", "pools", "java"];

/// What each of [`LAYERS`] gave back, in bytes: anonymous RSS was `rss` when malloc was asked and is `after`, `tops` of that came from
/// the tops, `pools` is what was released of pools since the last trim, and `java` what Java's collections gave. What could not be measured counts as nothing.
pub fn split(rss: Option<u64>, after: Option<u64>, tops: Option<u64>, pools: u64, java: u64) -> [u64; LAYERS.len()] {
    let heap = rss.zip(after).map_or(0, |(rss, after)| rss.saturating_sub(after));
    // Other threads may have taken some of it meanwhile.
    let tops = tops.unwrap_or(0).min(heap);
    [heap.saturating_sub(tops), tops, pools, java]
}

/// The same without what was given back `again`, because the kernel had taken it back: of pools first, then of malloc's.
pub fn once(layers: [u64; LAYERS.len()], again: u64) -> [u64; LAYERS.len()] {
    let [malloc, tops, pools, java] = layers;
    let left = again.saturating_sub(pools);
    [malloc.saturating_sub(left), tops.saturating_sub(left.saturating_sub(malloc)), pools.saturating_sub(again), java]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn without_pools_the_layers_are_what_rss_fell_by() {
        assert_eq!(split(Some(100), Some(30), None, 0, 0), [70, 0, 0, 0]);
        assert_eq!(split(Some(100), Some(30), Some(50), 0, 0), [20, 50, 0, 0]);
        assert_eq!(split(Some(100), Some(30), Some(70), 0, 0), [0, 70, 0, 0]);
    }

    #[test]
    fn tops_are_no_more_than_what_was_given_back_at_all() {
        assert_eq!(split(Some(100), Some(80), Some(50), 0, 0), [0, 20, 0, 0]);
        assert_eq!(split(Some(100), Some(120), Some(50), 0, 0), [0, 0, 0, 0]);
    }

    #[test]
    fn pools_and_java_are_told_by_themselves() {
        assert_eq!(split(Some(100), Some(90), Some(4), 64, 32), [6, 4, 64, 32]);
    }

    #[test]
    fn what_was_not_measured_counts_as_nothing() {
        for (rss, after) in [(None, Some(1)), (Some(1 << 20), None), (None, None)] {
            assert_eq!(split(rss, after, Some(7), 9, 0), [0, 0, 9, 0]);
        }
    }

    #[test]
    fn what_the_kernel_had_taken_back_counts_once() {
        let layers = [10, 8, 64, 5];
        assert_eq!(once(layers, 0), layers);
        assert_eq!(once(layers, 60), [10, 8, 4, 5]);
        assert_eq!(once(layers, 70), [4, 8, 0, 5]);
        assert_eq!(once(layers, 76), [0, 6, 0, 5]);
        assert_eq!(once(layers, u64::MAX), [0, 0, 0, 5]);
    }
}
