//! PURE: which word is meant by a misspelt one.

use crate::pure::text::same;

/// Longer words than this are nobody's option, and nearest to none.
const LONGEST: usize = 40;

/// Of the `names`, the one that `word` is most likely meant to be, in capitals or not; `None` where none is near. One letter
/// in three may be wrong, missing, too many or swapped with the next; or one of both begins or ends with the other
/// (`METRICS`, `LOG_LEVEL`).
pub fn nearest<'a>(word: &[u8], names: impl Iterator<Item = &'a str>) -> Option<&'a str> {
    let how_far = |name: &str| {
        let name = name.as_bytes();
        let distance = distance(word, name)?;
        if distance <= word.len().max(name.len()) / 3 {
            return Some(distance);
        }
        // Farther than any misspelling.
        (has_part(name, word) || has_part(word, name)).then_some(LONGEST)
    };
    names.filter_map(|name| Some((how_far(name)?, name))).min_by_key(|&(far, _)| far).map(|(_, name)| name)
}

/// Whether `text` begins or ends with `part`, which is long enough to be no accident.
fn has_part(text: &[u8], part: &[u8]) -> bool {
    let same = |range: Option<&[u8]>| range.is_some_and(|range| same(range, part));
    let rest = text.len().saturating_sub(part.len());
    part.len() >= 3 && (same(text.get(..part.len())) || same(text.get(rest..)))
}

/// How many letters must be changed, added, left out or swapped with the next to make one of the other (the restricted
/// Damerau–Levenshtein distance); `None` where they are too long.
fn distance(left: &[u8], right: &[u8]) -> Option<usize> {
    if left.len() >= LONGEST || right.len() >= LONGEST {
        return None;
    }
    // Distances between the beginnings of both: the rows for one and two letters of `left` less, and this one's.
    let mut above = [0; LONGEST];
    above.iter_mut().zip(0..).for_each(|(cell, column)| *cell = column);
    let mut two_above = above;
    let mut before = None;
    for (&letter, row) in left.iter().zip(1..) {
        let mut this = [row; LONGEST];
        let mut before_right = None;
        for (&other, column) in right.iter().zip(1usize..) {
            let at = |line: &[usize; LONGEST], back| line.get(column.wrapping_sub(back)).copied().unwrap_or(LONGEST);
            let same = |a: u8, b: Option<u8>| b.is_some_and(|b| a.eq_ignore_ascii_case(&b));
            let changed = at(&above, 1) + usize::from(!same(letter, Some(other)));
            let mut least = changed.min(at(&above, 0) + 1).min(at(&this, 1) + 1);
            if same(letter, before_right) && same(other, before) {
                least = least.min(at(&two_above, 2) + 1);
            }
            if let Some(cell) = this.get_mut(column) {
                *cell = least;
            }
            before_right = Some(other);
        }
        (two_above, above, before) = (above, this, Some(letter));
    }
    above.get(right.len()).copied()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_distance_counts_letters() {
        for (left, right, expected) in [
            ("", "", 0),
            ("abc", "", 3),
            ("", "abc", 3),
            ("interval", "INTERVAL", 0),
            ("INTERVALL", "INTERVAL", 1),
            ("INTERVL", "INTERVAL", 1),
            ("INTERVEL", "INTERVAL", 1),
            ("INTERVLA", "INTERVAL", 1),
            ("kitten", "sitting", 3),
            ("ca", "abc", 3),
        ] {
            assert_eq!(distance(left.as_bytes(), right.as_bytes()), Some(expected), "{left} {right}");
            assert_eq!(distance(right.as_bytes(), left.as_bytes()), Some(expected), "{right} {left}");
        }
        assert_eq!(distance(&[b'A'; LONGEST], b"A"), None);
    }

    #[test]
    fn the_nearest_of_several_is_taken() {
        assert_eq!(nearest(b"IDEL", ["GC", "IDLE", "INTERVAL"].into_iter()), Some("IDLE"));
        assert_eq!(nearest(b"PEROID", ["PERIOD", "PRESSURE"].into_iter()), Some("PERIOD"));
        assert_eq!(nearest(b"", ["GC"].into_iter()), None);
    }
}
