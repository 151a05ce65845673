//! What the doctor found, and how it is shown.

use serde::Serialize;
use serde_json::json;

use crate::image::Image;
use crate::{terminal, units};

/// How bad it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Level {
    /// As it should be.
    Good,
    /// To know.
    Info,
    /// It may be meant so.
    Warning,
    /// The library cannot do its work.
    Problem,
}

impl Level {
    const fn mark(self) -> &'static str {
        match self {
            Level::Good => "ok",
            Level::Info => "",
            Level::Warning => "note",
            Level::Problem => "BAD",
        }
    }
}

#[derive(Serialize)]
struct Finding {
    subject: &'static str,
    level: Level,
    text: String,
}

/// All findings on one process or program.
pub struct Findings {
    about: String,
    pid: Option<i32>,
    list: Vec<Finding>,
    /// Advice, each with the bytes that it is about.
    advice: Vec<(u64, String)>,
}

impl Findings {
    /// None yet.
    pub fn of(about: String, pid: Option<i32>) -> Self {
        Self { about: units::printable(&about), pid, list: Vec::new(), advice: Vec::new() }
    }

    /// One more. The text may have parts from outside.
    pub fn add(&mut self, subject: &'static str, level: Level, text: String) {
        self.list.push(Finding { subject, level, text: units::printable(&text) });
    }

    /// What one could do about `bytes` of memory. Told after all else, the most useful first; what is told already is not told again.
    pub fn advise(&mut self, bytes: u64, text: String) {
        let text = units::printable(&text);
        if !self.advice.iter().any(|(_, told)| *told == text) {
            self.advice.push((bytes, text));
        }
    }

    /// What the ELF file says.
    pub fn image(&mut self, image: &Image) {
        let (path, architecture) = (image.path.display(), image.elf.architecture);
        match &image.interpreter {
            Some(linker) => {
                self.add("program", Level::Good, format!("{path} ({architecture}) is dynamic, by {linker}"))
            }
            None => self.add("program", Level::Problem, format!("{path} ({architecture}) is statically linked")),
        }
    }

    /// Whether anything is to be put right.
    pub fn any_problem(&self) -> bool {
        self.list.iter().any(|finding| finding.level == Level::Problem)
    }

    /// Prints them all.
    pub fn show(mut self, as_json: bool) {
        self.advice.sort_by_key(|(bytes, _)| std::cmp::Reverse(*bytes));
        let advice = self.advice.drain(..).map(|(_, text)| Finding { subject: "advice", level: Level::Info, text });
        self.list.extend(advice);
        if as_json {
            return terminal::json(
                &json!({ "version": 1, "about": self.about, "pid": self.pid, "findings": self.list }),
            );
        }
        terminal::say(&self.about);
        for Finding { subject, level, text } in &self.list {
            terminal::say(&format!("{:>5}  {subject:<12} {text}", level.mark()));
        }
    }
}
