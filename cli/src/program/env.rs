//! PURE: what env(1) makes of its arguments, as GNU coreutils has it.

use std::collections::VecDeque;
use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::PathBuf;

/// A program that env(1) would start, and what it changes for it.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Started {
    /// The program and its arguments.
    pub arguments: Vec<OsString>,
    /// The directory to start it in, if not the present one.
    pub directory: Option<PathBuf>,
    /// Whether it gets nothing of the environment but what is set.
    pub is_cleared: bool,
    /// Variables that are set; `None` = unset.
    pub changed: Vec<(OsString, Option<OsString>)>,
}

impl Started {
    /// The value of a variable for the program, where it is `present` now.
    pub fn value(&self, name: &str, present: Option<OsString>) -> Option<OsString> {
        // env(1) unsets first.
        let set = self.changed.iter().rev().filter(|(changed, value)| changed == name && value.is_some());
        let is_unset = self.is_cleared || self.changed.iter().any(|(changed, _)| changed == name);
        set.map(|(_, value)| value.clone()).next().unwrap_or(present.filter(|_| !is_unset))
    }
}

/// Options without a value, by their letters and names.
const FLAGS: [(u8, &str); 4] =
    [(b'i', "ignore-environment"), (b'0', "null"), (b'v', "debug"), (b'l', "list-signal-handling")];
/// Options with one.
const VALUED: [(u8, &str); 4] = [(b'u', "unset"), (b'C', "chdir"), (b'S', "split-string"), (b'a', "argv0")];
/// Options that may have one, behind a `=` alone.
const SIGNALS: [&str; 3] = ["block-signal", "default-signal", "ignore-signal"];

/// What `env` with these arguments starts, its own name left out. `None` where it starts nothing, or would say that it is not used
/// so; `variable` is for `${NAME}` in what is split.
pub fn started(arguments: &[OsString], variable: impl Fn(&OsStr) -> Option<OsString>) -> Option<Started> {
    let mut words: VecDeque<OsString> = arguments.iter().cloned().collect();
    let mut started = Started::default();
    while let Some(word) = next_if(&mut words, |word| word.as_bytes().starts_with(b"-") && word != "-") {
        let word = word.into_vec();
        if word == b"--" {
            break;
        }
        match word.strip_prefix(b"--") {
            Some(long) => started.long(long, &mut words, &variable)?,
            None => started.letters(&word[1..], &mut words, &variable)?,
        }
    }
    started.is_cleared |= next_if(&mut words, |word| word == "-").is_some();
    while let Some(assignment) = next_if(&mut words, |word| word.as_bytes().contains(&b'=')) {
        let assignment = assignment.into_vec();
        let at = assignment.iter().position(|&byte| byte == b'=')?;
        let (name, value) = (assignment[..at].to_vec(), assignment[at + 1..].to_vec());
        started.changed.push((OsString::from_vec(name), Some(OsString::from_vec(value))));
    }
    started.arguments = words.into();
    (!started.arguments.is_empty()).then_some(started)
}

/// The next word, if it is such a one.
fn next_if(words: &mut VecDeque<OsString>, is_such: impl Fn(&OsString) -> bool) -> Option<OsString> {
    words.front().is_some_and(is_such).then(|| words.pop_front()).flatten()
}

impl Started {
    /// Takes `-iv`, `-uNAME`, `-u NAME` and the like.
    fn letters<V>(&mut self, letters: &[u8], words: &mut VecDeque<OsString>, variable: &V) -> Option<()>
    where
        V: Fn(&OsStr) -> Option<OsString>,
    {
        for (at, letter) in letters.iter().enumerate() {
            if FLAGS[..3].iter().any(|(flag, _)| flag == letter) {
                self.is_cleared |= *letter == b'i';
                continue;
            }
            VALUED.iter().find(|(valued, _)| valued == letter)?;
            let rest = &letters[at + 1..];
            let value = if rest.is_empty() { words.pop_front()? } else { OsString::from_vec(rest.to_vec()) };
            return self.valued(*letter, value, words, variable);
        }
        Some(())
    }

    /// Takes `--unset=NAME`, `--unset NAME` and the like; a name may be cut short where it is one only.
    fn long<V>(&mut self, word: &[u8], words: &mut VecDeque<OsString>, variable: &V) -> Option<()>
    where
        V: Fn(&OsStr) -> Option<OsString>,
    {
        let (name, value) = match word.iter().position(|&byte| byte == b'=') {
            Some(at) => (&word[..at], Some(OsString::from_vec(word[at + 1..].to_vec()))),
            None => (word, None),
        };
        let all = FLAGS.iter().chain(&VALUED).copied().chain(SIGNALS.map(|signal| (0, signal)));
        let mut meant = all.filter(|(_, long)| long.as_bytes().starts_with(name));
        let (letter, long) = meant.next().filter(|_| !name.is_empty())?;
        if meant.next().is_some() && long.as_bytes() != name {
            return None;
        }
        if VALUED.iter().any(|(valued, _)| *valued == letter) {
            let value = value.or_else(|| words.pop_front())?;
            return self.valued(letter, value, words, variable);
        }
        self.is_cleared |= letter == b'i';
        (letter == 0 || value.is_none()).then_some(())
    }

    fn valued<V>(&mut self, letter: u8, value: OsString, words: &mut VecDeque<OsString>, variable: &V) -> Option<()>
    where
        V: Fn(&OsStr) -> Option<OsString>,
    {
        match letter {
            b'u' => self.changed.push((value, None)),
            b'C' => self.directory = Some(PathBuf::from(value)),
            b'S' => split(value.as_bytes(), variable)?.into_iter().rev().for_each(|word| words.push_front(word)),
            _ => {}
        }
        Some(())
    }
}

/// The words of what `-S` is given; `None` where env(1) would refuse it.
fn split(text: &[u8], variable: &impl Fn(&OsStr) -> Option<OsString>) -> Option<Vec<OsString>> {
    let (mut words, mut word) = (Vec::new(), None::<Vec<u8>>);
    let mut quote = None;
    let mut rest = text.iter();
    while let Some(&byte) = rest.next() {
        let literal = match (byte, quote) {
            (b'\'' | b'"', None) => {
                (quote, word) = (Some(byte), word.or(Some(Vec::new())));
                continue;
            }
            (_, Some(end)) if byte == end => {
                quote = None;
                continue;
            }
            (b' ' | b'\t' | b'\n' | 0x0b | 0x0c | b'\r', None) => {
                words.extend(word.take());
                continue;
            }
            (b'#', None) if word.is_none() => break,
            (b'\\', Some(b'\'')) if !matches!(rest.as_slice().first(), Some(b'\\' | b'\'')) => byte,
            (b'\\', _) => match (*rest.next()?, quote) {
                (b'_', None) => {
                    words.extend(word.take());
                    continue;
                }
                (b'_', Some(_)) => b' ',
                (b'c', None) => break,
                (b'f', _) => 0x0c,
                (b'n', _) => b'\n',
                (b'r', _) => b'\r',
                (b't', _) => b'\t',
                (b'v', _) => 0x0b,
                (same @ (b'"' | b'#' | b'$' | b'\'' | b'\\'), _) => same,
                _ => return None,
            },
            (b'$', None | Some(b'"')) => {
                let name = rest.as_slice().strip_prefix(b"{")?;
                let end = name.iter().position(|&byte| byte == b'}')?;
                rest.nth(end + 1);
                if let Some(value) = variable(OsStr::from_bytes(&name[..end])) {
                    word.get_or_insert_default().extend(value.as_bytes());
                }
                continue;
            }
            _ => byte,
        };
        word.get_or_insert_default().push(literal);
    }
    words.extend(word);
    quote.is_none().then(|| words.into_iter().map(OsString::from_vec).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(text: &[&str]) -> Vec<OsString> {
        text.iter().map(OsString::from).collect()
    }

    /// What env(1) would start with these arguments.
    fn of(arguments: &[&str]) -> Option<Started> {
        started(&words(arguments), |name| (name == "HOME").then(|| "/root".into()))
    }

    #[track_caller]
    fn starts(arguments: &[&str], expected: &[&str]) {
        assert_eq!(of(arguments).map(|started| started.arguments), Some(words(expected)), "{arguments:?}");
    }

    #[test]
    fn options_and_their_values_are_no_program() {
        starts(&["prog", "-u", "x=1"], &["prog", "-u", "x=1"]);
        starts(&["-u", "FOO", "-C", "/", "prog"], &["prog"]);
        starts(&["-uFOO", "-C/", "-iv", "A=1", "B=", "prog", "C=2"], &["prog", "C=2"]);
        starts(&["--unset=FOO", "--chdir", "/", "--debug", "--", "prog"], &["prog"]);
        starts(&["--block-signal=INT", "--ignore-e", "--un", "FOO", "-", "prog"], &["prog"]);
        starts(&["-S", "-u FOO -C / prog -x", "y"], &["prog", "-x", "y"]);
        starts(&["-vSprog -x", "y"], &["prog", "-x", "y"]);
        starts(&["--split-string=A=1 prog", "y"], &["prog", "y"]);
        starts(&["-i", "-S-S'prog x'"], &["prog", "x"]);
        for nothing in [&[][..], &["-i"], &["A=1"], &["-u"], &["-x", "prog"], &["--no", "prog"], &["--i", "prog"]] {
            assert_eq!(of(nothing), None, "{nothing:?}");
        }
    }

    #[test]
    fn what_is_split_has_quotes_escapes_variables_and_comments() {
        let split = |text: &str| split(text.as_bytes(), &|name| (name == "HOME").then(|| "/root".into()));
        for (text, expected) in [
            ("", &[][..]),
            (" a\tb  c ", &["a", "b", "c"]),
            ("'a b' \"c  d\" e'f'\"g\" ''", &["a b", "c  d", "efg", ""]),
            (r#"a\_b 'a\_b' "a\_b""#, &["a", "b", r"a\_b", "a b"]),
            (r#"'it\'s' '\\' '\n' \n "\"" \#x"#, &["it's", "\\", "\\n", "\n", "\"", "#x"]),
            ("a #b c", &["a"]),
            ("a#b c", &["a#b", "c"]),
            (r"a \c b", &["a"]),
            ("${HOME}/x '${HOME}' \"${HOME}\" ${NONE} b", &["/root/x", "${HOME}", "/root", "b"]),
        ] {
            assert_eq!(split(text), Some(words(expected)), "{text:?}");
        }
        for refused in ["'a", "\"a", "a\\", r"\x", "$HOME", "${HOME", r#""\c""#] {
            assert_eq!(split(refused), None, "{refused:?}");
        }
    }

    #[test]
    fn what_is_left_of_the_environment_is_known() {
        let value = |arguments: &[&str]| {
            of(&[arguments, &["prog"]].concat()).expect("a program").value("PATH", Some("/bin".into()))
        };
        assert_eq!(value(&[]), Some("/bin".into()));
        assert_eq!(value(&["-i"]), None);
        assert_eq!(value(&["-"]), None);
        assert_eq!(value(&["-u", "PATH"]), None);
        assert_eq!(value(&["-u", "PATH", "PATH=/x", "PATH=/y"]), Some("/y".into()));
        assert_eq!(value(&["-i", "PATH=/x"]), Some("/x".into()));
        assert_eq!(of(&["-C", "/x", "prog"]).expect("a program").directory, Some("/x".into()));
    }
}
