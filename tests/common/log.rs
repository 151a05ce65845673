//! A strict reader of the library's log: logfmt lines that start with `autotrim: pid=… program=… event=…`.

use std::collections::BTreeMap;

const PREFIX: &str = "autotrim: ";

/// No line of ours is longer than this, whatever the environment holds.
const LONGEST_LINE: usize = 1024;

/// One line of the library's log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Line {
    pub pid: u32,
    pub program: String,
    pub event: String,
    /// What follows the event, by name.
    pub fields: BTreeMap<String, String>,
}

impl Line {
    /// A field's text; panics when the line has no such field.
    pub fn text(&self, name: &str) -> &str {
        self.fields.get(name).unwrap_or_else(|| panic!("no {name}= in {self:?}"))
    }

    /// A field as a number; panics when the line has no such field or it is no number.
    pub fn number(&self, name: &str) -> u64 {
        self.text(name).parse().unwrap_or_else(|_| panic!("{name}= is no number in {self:?}"))
    }

    /// Whether the line tells of a trim with this trigger.
    pub fn is_trim(&self, trigger: &str) -> bool {
        self.event == "trim" && self.text("trigger") == trigger
    }
}

/// The library's lines among everything else that a server's processes wrote.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Log {
    pub lines: Vec<Line>,
}

impl Log {
    /// Picks the library's lines out of `written`, and panics on any that is broken or mixed with other text.
    ///
    /// A last line without its end is left out: it may still be growing.
    pub fn read(written: &[u8]) -> Self {
        let complete = written.iter().rposition(|&byte| byte == b'\n').map_or(0, |end| end + 1);
        let lines = written[..complete].split(|&byte| byte == b'\n').filter_map(parse_if_ours).collect();
        Self { lines }
    }

    /// The lines of one process.
    pub fn of(&self, pid: u32) -> Self {
        self.only(|line| line.pid == pid)
    }

    /// The lines of one event.
    pub fn event(&self, event: &str) -> Self {
        self.only(|line| line.event == event)
    }

    /// The lines that tell of trims with this trigger.
    pub fn trims(&self, trigger: &str) -> Self {
        self.only(|line| line.is_trim(trigger))
    }

    /// The lines that tell of trims for which a runtime has collected its garbage.
    pub fn collections(&self) -> Self {
        self.only(|line| line.event == "trim" && line.fields.contains_key("gc_us"))
    }

    /// The processes that wrote lines, each once.
    pub fn pids(&self) -> Vec<u32> {
        let mut pids: Vec<u32> = self.lines.iter().map(|line| line.pid).collect();
        pids.sort_unstable();
        pids.dedup();
        pids
    }

    /// One numeric field of all lines, in their order.
    pub fn numbers(&self, field: &str) -> Vec<u64> {
        self.lines.iter().map(|line| line.number(field)).collect()
    }

    fn only(&self, keep: impl Fn(&Line) -> bool) -> Self {
        Self { lines: self.lines.iter().filter(|line| keep(line)).cloned().collect() }
    }
}

/// The parsed line when `raw` is one of ours, nothing when it holds no trace of us.
fn parse_if_ours(raw: &[u8]) -> Option<Line> {
    let ours = raw.windows(PREFIX.len()).any(|window| window == PREFIX.as_bytes());
    ours.then(|| parse(raw).unwrap_or_else(|problem| panic!("{problem}: {}", String::from_utf8_lossy(raw))))
}

fn parse(raw: &[u8]) -> Result<Line, String> {
    if raw.len() > LONGEST_LINE {
        return Err(format!("a line of {} bytes", raw.len()));
    }
    let text = std::str::from_utf8(raw).map_err(|problem| problem.to_string())?;
    let mut rest = text.strip_prefix(PREFIX).ok_or("text before the prefix")?;
    let mut pairs = Vec::new();
    while !rest.is_empty() {
        let (name, value, after) = next_pair(rest)?;
        if pairs.iter().any(|(earlier, _)| *earlier == name) {
            return Err(format!("{name} twice"));
        }
        pairs.push((name, value));
        rest = after;
    }
    let order: Vec<&str> = pairs.iter().take(3).map(|(name, _)| *name).collect();
    if order != ["pid", "program", "event"] {
        return Err(format!("starts with {order:?}"));
    }
    let mut values = pairs.into_iter();
    let mut head = || values.next().expect("three pairs").1;
    let (pid, program, event) = (head(), head(), head());
    let pid = pid.parse().map_err(|_| format!("pid {pid:?}"))?;
    let fields = values.map(|(name, value)| (name.to_owned(), value)).collect();
    Ok(Line { pid, program, event, fields })
}

/// Cuts `name=value` off the front: (name, value, what follows the one separating space).
fn next_pair(text: &str) -> Result<(&str, String, &str), String> {
    let (name, rest) = text.split_once('=').ok_or_else(|| format!("no = in {text:?}"))?;
    if name.is_empty() || !name.bytes().all(|byte| byte.is_ascii_lowercase() || byte == b'_') {
        return Err(format!("name {name:?}"));
    }
    let (value, after) = match rest.strip_prefix('"') {
        Some(quoted) => cut_quoted(quoted)?,
        None => {
            let (bare, after) = rest.split_at(rest.find(' ').unwrap_or(rest.len()));
            (bare.to_owned(), after)
        }
    };
    let plain = rest.starts_with('"') || !value.contains(['"', '=', '\\']);
    if !plain || value.chars().any(char::is_control) {
        return Err(format!("value {value:?} of {name}"));
    }
    match after.strip_prefix(' ') {
        Some(after) if !after.is_empty() => Ok((name, value, after)),
        None if after.is_empty() => Ok((name, value, after)),
        _ => Err(format!("{after:?} after {name}")),
    }
}

/// The text up to the closing quote with `\"` and `\\` resolved (other escapes stay as written), and what
/// follows.
fn cut_quoted(text: &str) -> Result<(String, &str), String> {
    let mut value = String::new();
    let mut characters = text.char_indices();
    while let Some((at, character)) = characters.next() {
        match character {
            '"' => return Ok((value, &text[at + 1..])),
            '\\' => match characters.next() {
                Some((_, escaped @ ('"' | '\\'))) => value.push(escaped),
                Some((_, other)) => value.extend(['\\', other]),
                None => break,
            },
            _ => value.push(character),
        }
    }
    Err("quote without an end".to_owned())
}
