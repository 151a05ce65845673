//! PURE: the first line of a script, read as the kernel does (fs/binfmt_script.c).

/// So much of a file is read for it (BINPRM_BUF_SIZE).
pub const LONGEST: usize = 256;

/// What a script's first line names.
#[derive(Debug, PartialEq, Eq)]
pub struct Interpreter<'a> {
    /// A path, which is not searched for.
    pub path: &'a [u8],
    /// All that follows, as one argument.
    pub argument: Option<&'a [u8]>,
}

/// Of the first [`LONGEST`] bytes of a file; `None` where it is no script to the kernel.
pub fn interpreter(beginning: &[u8]) -> Option<Interpreter<'_>> {
    let rest = beginning.strip_prefix(b"#!")?;
    let is_blank = |byte: &u8| matches!(byte, b' ' | b'\t');
    let is_end = |byte: &u8| is_blank(byte) || *byte == 0;
    let line = match rest.iter().position(|&byte| byte == b'\n') {
        Some(end) => &rest[..end],
        // Of a file that goes on, a path that may be cut off is not taken.
        None if beginning.len() < LONGEST || trimmed(rest, is_blank).iter().any(is_end) => rest,
        None => return None,
    };
    // A zero byte ends what is read.
    let line = line.split(|&byte| byte == 0).next().unwrap_or_default();
    let line = trimmed(line, is_blank);
    let end = line.iter().position(is_end).unwrap_or(line.len());
    let argument = trimmed(&line[end..], is_blank);
    (end > 0).then_some(Interpreter { path: &line[..end], argument: Some(argument).filter(|text| !text.is_empty()) })
}

/// Without what is blank on both sides.
fn trimmed(text: &[u8], is_blank: impl Fn(&u8) -> bool) -> &[u8] {
    let start = text.iter().position(|byte| !is_blank(byte)).unwrap_or(text.len());
    let end = text.iter().rposition(|byte| !is_blank(byte)).map_or(start, |last| last + 1);
    &text[start..end]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_is_read_as_the_kernel_does() {
        for (line, path, argument) in [
            ("#!/bin/sh\n", "/bin/sh", None),
            ("#! /bin/sh \t\n", "/bin/sh", None),
            ("#!/bin/sh", "/bin/sh", None),
            ("#!/usr/bin/env -S a  b \necho", "/usr/bin/env", Some("-S a  b")),
            ("#!\t/bin/awk\t-f\n", "/bin/awk", Some("-f")),
            // A carriage return is part of the name, as many have found out.
            ("#!/bin/sh\r\n", "/bin/sh\r", None),
            ("#!/bin/sh\0 -x\n", "/bin/sh", None),
        ] {
            let argument = argument.map(str::as_bytes);
            assert_eq!(interpreter(line.as_bytes()), Some(Interpreter { path: path.as_bytes(), argument }), "{line:?}");
        }
        for line in ["", "#", "# !/bin/sh\n", "#!\n", "#!  \t\n/bin/sh\n", "/bin/sh\n", "\u{feff}#!/bin/sh\n"] {
            assert_eq!(interpreter(line.as_bytes()), None, "{line:?}");
        }
    }

    #[test]
    fn a_path_that_may_be_cut_off_is_none() {
        let of = |text: String| interpreter(&text.into_bytes()[..LONGEST]).map(|found| found.path.len());
        assert_eq!(of(format!("#!/{}", "x".repeat(LONGEST))), None);
        assert_eq!(of(format!("#!/{} {}", "x".repeat(100), "y".repeat(LONGEST))), Some(101));
        assert_eq!(of(format!("#!{}", " ".repeat(LONGEST))), None);
    }
}
