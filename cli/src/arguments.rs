//! The command line.
//!
//! The flags of `run` that set the library's options come from the library's own table; what they mean, from `docs/options.md`,
//! whose table a test of the library holds against it.

use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::PathBuf;
use std::time::Duration;

use clap::builder::{OsStringValueParser, PossibleValue, TypedValueParser};
use clap::{Arg, ArgMatches, Args, FromArgMatches, Parser, Subcommand, ValueHint};

use crate::options::{Entry, Options, TABLE};
use crate::tables;

const EXIT_CODES: &str = "Exit codes: 0 done; 1 not done (no such process, no permission, no trim, something to put right); \
                          2 wrong usage, or a program that the library cannot be loaded into, or would do nothing in.";

/// Give the free heap memory of unmodified servers back to the kernel, and see what that does.
#[derive(Parser)]
#[command(
    name = "autotrim",
    version,
    after_help = EXIT_CODES,
    max_term_width = 120,
    override_usage = "autotrim COMMAND [OPTIONS] [ARGUMENTS]"
)]
pub struct Arguments {
    #[command(subcommand)]
    pub command: Command,
}

#[derive(Subcommand)]
pub enum Command {
    Run(Run),
    Status(Status),
    Trim(Trim),
    Doctor(Doctor),
    Plot(Plot),
    /// Write the manual pages and the shells' completions into a directory
    #[command(hide = true)]
    Generate {
        /// The directory, made if it is missing
        directory: PathBuf,
    },
}

/// Start a program with the library
///
/// The command becomes the program, which is found as env(1) finds it: no process of its own remains, and signals and exit codes are
/// the program's. An LD_PRELOAD that is set already is kept, and the library joined to it. A program is refused where nothing can
/// come of it: static ones, those of Go, those built with a sanitizer, and what an env(1) on the way takes LD_PRELOAD from. Go is
/// not refused with --period, --pressure or --signal, which give back what C libraries in it free.
///
/// The library is searched for at --library; relative to this command in ../lib/autotrim, ../lib64, ../lib and its own directory (and
/// where cargo builds it, if this command is where cargo builds that); and at AUTOTRIM_LIBRARY. Options in the environment that
/// the library would not understand are told at once.
#[derive(Args)]
#[command(
    override_usage = "autotrim run [OPTIONS] -- CMD...",
    after_help = "Exit codes: the program's own; 2 if the library cannot be loaded into it or would do nothing in it, \
                        126 if it cannot be started, 127 if there is no such program."
)]
pub struct Run {
    /// The library file, wherever this command is installed
    #[arg(long, value_name = "PATH")]
    pub library: Option<PathBuf>,
    #[command(flatten)]
    pub settings: Settings,
    /// The program and its arguments
    #[arg(trailing_var_arg = true, required = true, value_name = "CMD", value_hint = ValueHint::CommandWithArguments)]
    pub program: Vec<OsString>,
}

/// Show what the library does in each process that has it
///
/// Counters are read from the memory of the processes, or from the files that they write (AUTOTRIM_METRICS_DIR) where reading
/// memory is not permitted. Where most could be gained comes first. LIVE is what was in use in malloc after the last trim that
/// asked, FREE what was free there and held by what is in use beside it; WHY NOT says what keeps a trim from being made. In a
/// terminal columns are left out where there is no room for all.
#[derive(Args)]
#[command(
    override_usage = "autotrim status [OPTIONS] [PID]...",
    after_help = "Exit codes: 0 if there was something to show, 1 if not, or if one of the PIDs could not be shown."
)]
pub struct Status {
    /// Refresh it every so many seconds, 2 if none are given; in a terminal q ends it
    #[arg(long, short, value_name = "SECONDS", num_args = 0..=1, default_missing_value = "2", value_parser = seconds)]
    pub watch: Option<Duration>,
    /// Write JSON: one document, with --watch one a line
    #[arg(long)]
    pub json: bool,
    /// Add a small plot of RSS before and after the last trims, between the least and the highest
    #[arg(long, conflicts_with = "json")]
    pub plot: bool,
    /// Where processes write their metrics [default: their AUTOTRIM_METRICS_DIR, or else this command's]
    #[arg(long, value_name = "DIRECTORY", value_hint = ValueHint::DirPath)]
    pub metrics_dir: Option<PathBuf>,
    /// Only these processes
    #[arg(value_name = "PID", value_parser = pid)]
    pub pids: Vec<i32>,
}

/// Ask a process for a trim now, and wait for it
///
/// The process must have been started with AUTOTRIM_SIGNAL: to any other the signal would be the end, so none is sent.
#[derive(Args)]
#[command(
    override_usage = "autotrim trim [OPTIONS] PID",
    after_help = "Exit codes: 0 if it has trimmed, 1 if not: there is no such process, it does not trim on a signal, or not in time."
)]
pub struct Trim {
    /// How long to wait for the trim: it happens when no request is in flight
    #[arg(long, value_name = "SECONDS", default_value = "10", value_parser = seconds)]
    pub timeout: Duration,
    /// Write JSON
    #[arg(long)]
    pub json: bool,
    /// The process
    #[arg(value_name = "PID", value_parser = pid)]
    pub pid: i32,
}

/// Find out why the library does nothing in a process, or whether it will in a program
#[derive(Args)]
#[command(
    override_usage = "autotrim doctor [OPTIONS] (PID | -- CMD...)",
    after_help = "Exit codes: 0 if all is well, 1 if something is to be put right, 127 if there is no such program."
)]
pub struct Doctor {
    /// The library file that `doctor -- CMD` checks for
    #[arg(long, value_name = "PATH")]
    pub library: Option<PathBuf>,
    /// Write JSON
    #[arg(long)]
    pub json: bool,
    /// Have the process, which needs no library for it, trim once, by gdb, and tell what that brought
    #[arg(long = "try", requires = "pid", conflicts_with = "program")]
    pub attempt: bool,
    /// Do not ask before that
    #[arg(long, requires = "attempt")]
    pub yes: bool,
    /// The process
    #[arg(value_name = "PID", value_parser = pid, required_unless_present = "program", conflicts_with = "program")]
    pub pid: Option<i32>,
    /// A program and its arguments, looked at without starting it
    #[arg(last = true, value_name = "CMD")]
    pub program: Vec<OsString>,
}

/// Plot RSS and the floor of a process over its requests
#[derive(Args)]
#[command(
    override_usage = "autotrim plot [OPTIONS] PID",
    after_help = "Exit codes: 0 if there is a picture, 1 if not."
)]
pub struct Plot {
    /// The process
    #[arg(value_name = "PID", value_parser = pid)]
    pub pid: i32,
    /// The picture: PNG or SVG, by the name's ending [default: rss-PID.png]
    #[arg(long, short, value_name = "FILE")]
    pub output: Option<PathBuf>,
}

fn pid(text: &str) -> Result<i32, String> {
    text.parse().ok().filter(|pid| *pid > 0).ok_or_else(|| format!("{text} is no process id"))
}

fn seconds(text: &str) -> Result<Duration, String> {
    let duration = text.parse().ok().and_then(|seconds| Duration::try_from_secs_f64(seconds).ok());
    duration
        .filter(|duration| *duration >= Duration::from_millis(10))
        .ok_or_else(|| "expected a number of seconds".into())
}

/// What is set of the library's options: variables and their values.
pub struct Settings(pub Vec<(&'static str, OsString)>);

impl Args for Settings {
    fn augment_args(command: clap::Command) -> clap::Command {
        TABLE.iter().fold(command, |command, entry| command.arg(flag(entry)))
    }

    fn augment_args_for_update(command: clap::Command) -> clap::Command {
        Self::augment_args(command)
    }
}

impl FromArgMatches for Settings {
    fn from_arg_matches(matches: &ArgMatches) -> Result<Self, clap::Error> {
        let given = |entry: &Entry| Some((entry.name, matches.get_one::<OsString>(entry.name)?.clone()));
        Ok(Settings(TABLE.iter().filter_map(given).collect()))
    }

    fn update_from_arg_matches(&mut self, matches: &ArgMatches) -> Result<(), clap::Error> {
        *self = Self::from_arg_matches(matches)?;
        Ok(())
    }
}

/// `AUTOTRIM_TRIM_THRESHOLD` → `trim-threshold`.
fn long(name: &str) -> String {
    name.trim_start_matches("AUTOTRIM_").to_lowercase().replace('_', "-")
}

fn flag(entry: &'static Entry) -> Arg {
    let default = if entry.default.is_empty() { String::new() } else { format!(" [default: {}]", entry.default) };
    Arg::new(entry.name)
        .long(long(entry.name))
        .value_name("VALUE")
        .value_parser(Value(entry))
        .hide_possible_values(true)
        .allow_hyphen_values(true)
        .help(format!("{}{default}", meaning(entry.name).replace('`', "")))
        .value_hint(hint(entry))
        .help_heading("Options of the library (AUTOTRIM_*)")
}

/// What a shell may complete where the value is a path.
fn hint(entry: &Entry) -> ValueHint {
    let is_path = entry.expected.contains("path");
    if is_path && entry.name.ends_with("_DIR") {
        ValueHint::DirPath
    } else if is_path {
        ValueHint::AnyPath
    } else {
        ValueHint::Other
    }
}

/// What `docs/options.md` says of an option.
fn meaning(name: &str) -> String {
    let row = tables::options().into_iter().find(|row| row[0] == format!("`{name}`"));
    row.map_or(String::new(), |row| row[2].to_owned())
}

/// The value of an option: what the library takes, and for the shells' completions what it takes among other things.
#[derive(Clone)]
struct Value(&'static Entry);

impl TypedValueParser for Value {
    type Value = OsString;

    fn parse_ref(
        &self,
        command: &clap::Command,
        argument: Option<&Arg>,
        value: &OsStr,
    ) -> Result<OsString, clap::Error> {
        let entry = self.0;
        let checked = OsStringValueParser::new().try_map(|value| {
            let expected = || format!("expected {}", entry.expected);
            is_valid(entry, &value).then_some(value).ok_or_else(expected)
        });
        checked.parse_ref(command, argument, value)
    }

    fn possible_values(&self) -> Option<Box<dyn Iterator<Item = PossibleValue> + '_>> {
        let suggested = suggested(self.0);
        (!suggested.is_empty()).then(|| Box::new(suggested.into_iter().map(PossibleValue::new)) as _)
    }
}

/// Values of an option, the default first: all words of what its complaint expects that the library would take. None where it takes
/// any word, or a directory.
fn suggested(entry: &'static Entry) -> Vec<&'static str> {
    if is_valid(entry, OsStr::new("any-word")) || hint(entry) == ValueHint::DirPath {
        return Vec::new();
    }
    let words = entry.expected.split_whitespace().map(|word| word.trim_end_matches(','));
    let words = words.filter(|word| is_valid(entry, OsStr::new(word)));
    let mut suggested = Vec::new();
    for word in [entry.default].into_iter().filter(|default| !default.is_empty()).chain(words) {
        if !suggested.contains(&word) {
            suggested.push(word);
        }
    }
    suggested
}

/// Whether the library will take this value.
fn is_valid(entry: &Entry, value: &OsStr) -> bool {
    let mut assignment = OsString::from(entry.name);
    assignment.push("=");
    assignment.push(value);
    parsed(b"", [assignment]).invalid.iter().all(Option::is_none)
}

/// The options that the library finds in an environment.
pub fn parsed(program: &'static [u8], environment: impl IntoIterator<Item = OsString>) -> Options {
    let mut options = Options::new(program);
    for assignment in environment {
        options.take(&assignment.into_vec());
    }
    options
}

/// `NAME=value`.
pub fn assignment(name: &OsStr, value: &OsStr) -> OsString {
    OsString::from_vec([name.as_bytes(), b"=", value.as_bytes()].concat())
}
