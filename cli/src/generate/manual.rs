//! The manual pages of section 1. Synopsis, description and flags are the command line's own; examples, environment and files stand
//! here.

use clap::Command;
use clap_mangen::Man;
use clap_mangen::roff::{Roff, bold, roman};

/// What all pages bear at their edges.
pub const MANUAL: &str = "libautotrim";
/// No date: two builds of one commit give the same page. Not empty, which would not count as an argument of the title.
pub const DATE: &str = " ";

/// Something that is named, and what is said of it.
type Entry = (&'static str, &'static str);

/// What a page has beside the command line.
struct Page {
    command: &'static str,
    /// A command, and what it does.
    examples: &'static [Entry],
    environment: &'static [Entry],
    files: &'static [Entry],
}

const METRICS_FILE: Entry = (
    "autotrim-PID.prom",
    "the counters of a process, in the directory that AUTOTRIM_METRICS_DIR names in its environment",
);
const METRICS_DIR: Entry =
    ("AUTOTRIM_METRICS_DIR", "where processes write their counters, if that cannot be read from their own environment");
const NO_COLOR: Entry = ("NO_COLOR", "any value: no colours, in a terminal, too");
const LIBRARY: Entry = ("AUTOTRIM_LIBRARY", "the library file, where it is in none of the places that are searched");

const PAGES: &[Page] = &[
    Page {
        command: "autotrim",
        examples: &[
            ("autotrim run -- gunicorn app:wsgi", "Start a server with the library."),
            ("autotrim status", "Show what it did in each process that has it."),
            ("autotrim doctor -- gunicorn app:wsgi", "Will it work there?"),
        ],
        environment: &[
            ("AUTOTRIM_*", "the options of the library: see libautotrim(7)"),
            LIBRARY,
            METRICS_DIR,
            NO_COLOR,
        ],
        files: &[("libautotrim.so", "the library"), METRICS_FILE],
    },
    Page {
        command: "autotrim-run",
        examples: &[
            ("autotrim run -- gunicorn app:wsgi", "With the defaults."),
            ("autotrim run --log debug -- gunicorn app:wsgi", "With a line on stderr for each trim."),
            (
                "autotrim run --overhead 0.2 --gc off -- celery -A app worker",
                "With less time for trims, and no collections.",
            ),
            ("autotrim run --signal USR2 -- puma", "So that autotrim-trim(1) can ask for a trim."),
        ],
        environment: &[
            (
                "AUTOTRIM_*",
                "the options of the library, which the flags of the same names win over: see libautotrim(7)",
            ),
            ("LD_PRELOAD", "what is preloaded already; the library joins it"),
            LIBRARY,
        ],
        files: &[(
            "libautotrim.so",
            "the library: relative to this command in ../lib/autotrim (Python's wheel), ../lib64 (RPM), ../lib/MACHINE-linux-gnu \
             (Debian), ../lib and its own directory",
        )],
    },
    Page {
        command: "autotrim-status",
        examples: &[
            ("autotrim status", "All processes."),
            ("autotrim status --watch 5 4711", "One, refreshed every five seconds."),
            ("autotrim status --json | jq '.processes[] | {pid, requests, verdict}'", "For programs."),
        ],
        environment: &[METRICS_DIR, NO_COLOR],
        files: &[METRICS_FILE],
    },
    Page {
        command: "autotrim-trim",
        examples: &[("autotrim trim 4711", "Ask a process that was started with AUTOTRIM_SIGNAL.")],
        environment: &[],
        files: &[],
    },
    Page {
        command: "autotrim-doctor",
        examples: &[
            ("autotrim doctor -- gunicorn app:wsgi", "Before it is started."),
            ("autotrim doctor 4711", "A process that runs."),
        ],
        environment: &[LIBRARY],
        files: &[],
    },
    Page {
        command: "autotrim-plot",
        examples: &[("autotrim plot 4711 -o rss.svg", "RSS and floor over the requests of a process, as SVG.")],
        environment: &[],
        files: &[("rss-PID.png", "the picture, where no other is named")],
    },
];

/// The page of the command, and one for each of its commands: a file's name, and its text.
pub fn pages(command: &Command) -> Vec<(String, String)> {
    let all = [command].into_iter().chain(command.get_subcommands().filter(|command| !command.is_hide_set()));
    let all: Vec<&Command> = all.collect();
    let names: Vec<&str> = all.iter().copied().map(name).collect();
    all.iter().map(|command| (format!("{}.1", name(command)), page(command, &names))).collect()
}

fn name(command: &Command) -> &str {
    command.get_display_name().unwrap_or(command.get_name())
}

fn page(command: &Command, all: &[&str]) -> String {
    let source = format!("autotrim {}", env!("CARGO_PKG_VERSION"));
    let man = Man::new(command.clone().subcommand_help_heading("COMMANDS")).date(DATE).source(source).manual(MANUAL);
    let mut text = Vec::new();
    let mut written = man
        .render_title(&mut text)
        .and_then(|()| man.render_name_section(&mut text))
        .and_then(|()| man.render_synopsis_section(&mut text))
        .and_then(|()| man.render_description_section(&mut text))
        .and_then(|()| man.render_options_section(&mut text));
    if command.has_subcommands() {
        written = written.and_then(|()| man.render_subcommands_section(&mut text));
    }
    written.expect("memory takes it");
    let text = String::from_utf8(text).expect("made of text") + &own_sections(command, all).render();
    // Each section brings with it what a page begins with.
    let beginning = Roff::new().render();
    beginning.clone() + &text.replace(&beginning, "")
}

/// What clap does not know.
fn own_sections(command: &Command, all: &[&str]) -> Roff {
    let mut roff = Roff::new();
    if let Some(codes) = command.get_after_help() {
        roff.control("SH", ["EXIT STATUS"]);
        let codes = codes.to_string();
        roff.text([roman(codes.strip_prefix("Exit codes: ").unwrap_or(&codes))]);
    }
    if let Some(page) = PAGES.iter().find(|page| page.command == name(command)) {
        entries(&mut roff, "ENVIRONMENT", page.environment);
        entries(&mut roff, "FILES", page.files);
        examples(&mut roff, page.examples);
    }
    let others = all.iter().filter(|other| **other != name(command)).map(|other| format!("{other}(1)"));
    see_also(&mut roff, others.chain(["libautotrim(7)".into()]));
    roff
}

fn entries(roff: &mut Roff, heading: &str, entries: &[Entry]) {
    if entries.is_empty() {
        return;
    }
    roff.control("SH", [heading]);
    for (name, meaning) in entries {
        roff.control("TP", []);
        roff.text([bold(*name)]);
        roff.text([roman(*meaning)]);
    }
}

/// Commands to type, each with what it does.
pub fn examples(roff: &mut Roff, examples: &[Entry]) {
    roff.control("SH", ["EXAMPLES"]);
    for (command, meaning) in examples {
        roff.control("TP", []);
        roff.text([bold(*command)]);
        roff.text([roman(*meaning)]);
    }
}

/// The pages of which a reader may want one next.
pub fn see_also(roff: &mut Roff, pages: impl Iterator<Item = String>) {
    roff.control("SH", ["SEE ALSO"]);
    roff.text([roman(pages.collect::<Vec<_>>().join(", "))]);
}
