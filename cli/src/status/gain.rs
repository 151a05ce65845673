//! PURE: what there is to gain, in bytes of anonymous RSS. `None` = not known.

/// What is held over the floor.
pub fn growth(now: Option<u64>, floor: Option<u64>) -> Option<i64> {
    now?.try_into().ok().and_then(|now: i64| now.checked_sub_unsigned(floor?))
}

/// What has come since the last trim left so much, and what was free and held before that.
pub fn gain(now: Option<u64>, left: Option<u64>, free: Option<u64>) -> Option<u64> {
    Some(now?.saturating_sub(left?).saturating_add(free.unwrap_or(0)))
}

/// Whether a trim brought what a rule of growth asks for, whose `limit` is that over what it left: then the next try does not wait.
pub fn brought_much(before: Option<u64>, after: Option<u64>, limit: impl Fn(u64) -> u64) -> bool {
    before.zip(after).is_some_and(|(before, after)| before >= limit(after))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_trim_brought_much_if_it_brought_the_growth_that_is_asked_for() {
        let limit = |after| after + 4;
        assert!(brought_much(Some(34), Some(30), limit));
        assert!(!brought_much(Some(33), Some(30), limit));
        assert!(!brought_much(None, Some(30), limit) && !brought_much(Some(30), None, limit), "not known");
    }

    #[test]
    fn what_came_and_what_was_free_is_to_be_gained() {
        assert_eq!(gain(Some(50), Some(30), Some(5)), Some(25));
        assert_eq!((gain(Some(20), Some(30), None), gain(None, Some(30), None)), (Some(0), None));
        assert_eq!((growth(Some(20), Some(30)), growth(Some(20), None)), (Some(-10), None));
    }
}
