//! PURE: the environment of a process, as it says.

use std::ffi::OsStr;
use std::io::{self, Read};
use std::os::unix::ffi::OsStrExt;

/// More than any program has, and no more than is read: a process can have any of its memory shown as its environment.
const LARGEST: u64 = 1 << 20;

/// What a process was started with: `NAME=value`, each with a zero byte behind it.
#[derive(Default)]
pub struct Environment(Vec<u8>);

impl Environment {
    /// As `/proc/PID/environ` has it.
    pub fn read(text: impl Read) -> io::Result<Environment> {
        let mut block = Vec::new();
        text.take(LARGEST).read_to_end(&mut block)?;
        Ok(Environment(block))
    }

    /// Names and values, in their order.
    pub fn iter(&self) -> impl Iterator<Item = (&OsStr, &OsStr)> {
        self.0.split(|&byte| byte == 0).filter_map(|assignment| {
            let at = assignment.iter().position(|&byte| byte == b'=')?;
            Some((OsStr::from_bytes(&assignment[..at]), OsStr::from_bytes(&assignment[at + 1..])))
        })
    }

    /// The value of a variable; the last, as the library takes it, where there are several.
    pub fn get(&self, name: &OsStr) -> Option<&OsStr> {
        self.iter().filter(|(found, _)| *found == name).last().map(|(_, value)| value)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_of_a_name_counts_and_what_is_no_assignment_is_passed_over() {
        let environment = Environment::read(&b"A=1\0B\0\0=x\0A=2=3\0C=\xff\0A"[..]).expect("memory");
        let get = |name: &str| environment.get(OsStr::new(name)).map(OsStr::as_bytes);
        assert_eq!(
            (get("A"), get("B"), get("C"), get("")),
            (Some(&b"2=3"[..]), None, Some(&b"\xff"[..]), Some(&b"x"[..]))
        );
        assert_eq!(environment.iter().count(), 4);
    }

    #[test]
    fn there_is_an_end_to_it() {
        let endless = std::io::repeat(b'=');
        assert_eq!(Environment::read(endless).expect("memory").0.len() as u64, LARGEST);
    }
}
