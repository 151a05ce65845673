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
}
