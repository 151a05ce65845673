//! Why the command ends without having done what it was asked for.

use std::fmt::{self, Display};
use std::path::Path;
use std::process::ExitCode;

/// As of env(1) and nohup(1), where there is no such program.
const NOT_FOUND: u8 = 127;

/// A message for stderr, and the exit code that goes with it.
#[derive(Debug)]
pub struct Failure {
    message: String,
    code: u8,
}

impl Failure {
    /// What was asked for did not come about: no such process, no permission, no trim.
    pub fn not_done(message: impl Into<String>) -> Self {
        Self { message: message.into(), code: 1 }
    }

    /// What was asked for makes no sense: wrong usage, or a program that the library cannot be loaded into.
    pub fn unsuitable(message: impl Into<String>) -> Self {
        Self { message: message.into(), code: 2 }
    }

    /// The program is there and cannot be started, as in env(1) and nohup(1).
    pub fn not_executable(message: impl Into<String>) -> Self {
        Self { message: message.into(), code: 126 }
    }

    /// There is no such program, as in env(1) and nohup(1).
    pub fn not_found(message: impl Into<String>) -> Self {
        Self { message: message.into(), code: NOT_FOUND }
    }

    /// The same, said of a file.
    pub fn about(self, file: &Path) -> Self {
        Self { message: format!("{}: {}", file.display(), self.message), ..self }
    }

    /// Whether something is not there, and not just closed.
    pub fn is_missing(&self) -> bool {
        self.code == NOT_FOUND
    }

    /// What the command exits with.
    pub fn code(&self) -> ExitCode {
        ExitCode::from(self.code)
    }
}

impl Display for Failure {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.message)
    }
}
