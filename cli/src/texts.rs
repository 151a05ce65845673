//! PURE: what stands in a program file or a library.

use memchr::memmem;

/// The end of the name of the variable from which jemalloc takes its options, with what ends the text.
const CONFIGURATION: &[u8] = b"MALLOC_CONF\0";

/// Whether `text` stands in `piece`.
pub fn contains(piece: &[u8], text: &[u8]) -> bool {
    memmem::find(piece, text).is_some()
}

/// The variable of a jemalloc, with the prefix that it was built with, or without one.
pub fn jemalloc_variable(piece: &[u8]) -> Option<String> {
    memmem::find_iter(piece, CONFIGURATION).find_map(|at| {
        let prefix = piece[..at].iter().rev().take_while(|byte| byte.is_ascii_uppercase() || **byte == b'_').count();
        let begins = at - prefix;
        // A text of its own, and not the end of a sentence.
        let is_whole = begins > 0 && piece[begins - 1] == 0;
        let name = &piece[begins..at + CONFIGURATION.len() - 1];
        is_whole.then(|| String::from_utf8_lossy(name).into_owned())
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_variable_is_found_with_its_prefix() {
        for (text, expected) in [
            (&b"a\0_RJEM_MALLOC_CONF\0b"[..], Some("_RJEM_MALLOC_CONF")),
            (b"\0DUCKDB_JE_MALLOC_CONF\0", Some("DUCKDB_JE_MALLOC_CONF")),
            (b"\0MALLOC_CONF\0", Some("MALLOC_CONF")),
            // jemalloc's own messages, and what is not the end.
            (b"\0value of the environment variable MALLOC_CONF\0", None),
            (b"\0Environment variable MALLOC_CONF\0_RJEM_MALLOC_CONF\0", Some("_RJEM_MALLOC_CONF")),
            (b"\0duckdb_je_JE_MALLOC_CONF_BUFFER\0", None),
            (b"MALLOC_CONF\0", None),
            (b"", None),
        ] {
            assert_eq!(jemalloc_variable(text).as_deref(), expected, "{:?}", String::from_utf8_lossy(text));
        }
    }

    #[test]
    fn a_text_is_found_wherever_it_is() {
        assert!(contains(b"xxab", b"ab") && contains(b"aab", b"ab") && contains(b"ab", b"ab"));
        assert!(!contains(b"a", b"ab") && !contains(b"", b"ab"));
    }
}
