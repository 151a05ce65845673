//! PURE: `AUTOTRIM_PROGRAMS`, globs of program names.

/// Whether `program` is chosen by `globs` (`AUTOTRIM_PROGRAMS`): one of them matches, or there are only
/// exclusions, and no `!exclusion` matches. `None` where a glob is empty.
pub fn program_matches(program: &[u8], globs: &[u8]) -> Option<bool> {
    let (mut wanted, mut included, mut excluded) = (false, false, false);
    for glob in globs.split(|&byte| byte == b',').map(<[u8]>::trim_ascii) {
        match glob {
            [] | [b'!'] => return None,
            [b'!', name @ ..] => excluded |= glob_matches(name, program),
            _ => {
                wanted = true;
                included |= glob_matches(glob, program);
            }
        }
    }
    Some((included || !wanted) && !excluded)
}

/// Whether `glob` matches all of `name`: `*` stands for any bytes, `?` for one.
fn glob_matches(glob: &[u8], name: &[u8]) -> bool {
    // Where a later mismatch falls back to: the last star, and what it has not yet swallowed.
    let (mut glob, mut name) = (glob, name);
    let mut star: Option<(&[u8], &[u8])> = None;
    loop {
        match (glob, name) {
            ([b'*', rest @ ..], _) => {
                star = Some((rest, name));
                glob = rest;
            }
            ([], []) => return true,
            ([g, glob_rest @ ..], [n, name_rest @ ..]) if *g == b'?' || g == n => {
                (glob, name) = (glob_rest, name_rest);
            }
            _ => {
                let Some((after, [_, unswallowed @ ..])) = star else { return false };
                star = Some((after, unswallowed));
                (glob, name) = (after, unswallowed);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn globs_match_as_in_a_shell() {
        for (glob, name) in [
            ("*", ""),
            ("*", "x"),
            ("gunicorn*", "gunicorn3"),
            ("*-api", "pulpcore-api"),
            ("p?ma", "puma"),
            ("a*b*c", "aXbYbZc"),
            ("**", "x"),
            ("", ""),
        ] {
            assert!(glob_matches(glob.as_bytes(), name.as_bytes()), "{glob} {name}");
        }
        for (glob, name) in [("?", ""), ("gunicorn", "gunicorn3"), ("a*b", "a"), ("a*b*c", "aXbYbZ"), ("", "x")] {
            assert!(!glob_matches(glob.as_bytes(), name.as_bytes()), "{glob} {name}");
        }
    }

    #[test]
    fn exclusions_win() {
        let chosen = |globs: &str| program_matches(b"gunicorn", globs.as_bytes());
        assert_eq!(chosen("*"), Some(true));
        assert_eq!(chosen("nginx, gunicorn"), Some(true));
        assert_eq!(chosen("nginx"), Some(false));
        assert_eq!(chosen("!nginx"), Some(true));
        assert_eq!(chosen("!guni*"), Some(false));
        assert_eq!(chosen("*,!gunicorn"), Some(false));
        assert_eq!(chosen(""), None);
        assert_eq!(chosen("a,,b"), None);
    }
}
