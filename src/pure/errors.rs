//! PURE: the system's error numbers in words, as strerror(3) has them, which allocates and asks the locale.

use core::ffi::c_int;

use crate::pure::text::number;

/// Those that a file or a directory can meet, by the numbers of every 64-bit Linux that there is a library for. One text:
/// a table of texts would be relocated in every process that starts.
const WORDS: &[u8] = b"\
1 Operation not permitted
2 No such file or directory
4 Interrupted system call
5 Input/output error
6 No such device or address
9 Bad file descriptor
11 Resource temporarily unavailable
12 Cannot allocate memory
13 Permission denied
16 Device or resource busy
17 File exists
18 Invalid cross-device link
19 No such device
20 Not a directory
21 Is a directory
22 Invalid argument
23 Too many open files in system
24 Too many open files
26 Text file busy
27 File too large
28 No space left on device
30 Read-only file system
36 File name too long
38 Function not implemented
40 Too many levels of symbolic links
95 Operation not supported
116 Stale file handle
122 Disk quota exceeded";

/// What an error number means; `None` for all others.
pub fn words(error: c_int) -> Option<&'static [u8]> {
    WORDS.split(|&byte| byte == b'\n').find_map(|line| {
        let (digits, words) = line.split_at_checked(line.iter().position(|&byte| byte == b' ')?)?;
        (number(digits) == u64::try_from(error).ok()).then_some(words.trim_ascii_start())
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_words_are_those_of_the_system() {
        let mut known = 0;
        for error in 1..200 {
            let Some(words) = words(error) else { continue };
            let words = std::str::from_utf8(words).expect("UTF-8");
            let system = std::io::Error::from_raw_os_error(error).to_string();
            assert_eq!(format!("{words} (os error {error})"), system);
            known += 1;
        }
        assert_eq!(known, 28);
    }
}
