//! Manual pages and completions: made from the command line's own definition and the tables of the documentation, which tests hold
//! against the sources.

mod support;

use std::collections::BTreeSet;
use std::path::Path;
use std::process::Command;

use support::common::process::{clean_environment, end_with_this_test, has_mapped};
use support::common::{LIMIT, library, root, wait_within};
use support::{autotrim, finish, open_directory};
use tempfile::TempDir;

const COMMANDS: [&str; 5] = ["run", "status", "trim", "doctor", "plot"];

struct Made(TempDir);

impl Made {
    fn new() -> Self {
        let directory = open_directory();
        let made = finish(autotrim().arg("generate").arg(directory.path().join("made")));
        assert_eq!((made.code, made.stderr.as_str()), (Some(0), ""));
        Self(directory)
    }

    fn read(&self, name: &str) -> String {
        let path = self.0.path().join("made").join(name);
        std::fs::read_to_string(&path).unwrap_or_else(|problem| panic!("{name}: {problem}"))
    }

    /// A page as a reader's words: no markup, no line breaks.
    fn page(&self, name: &str) -> String {
        let page = self.read(name);
        // Plain troff reads nothing else.
        assert!(page.is_ascii(), "{name}");
        ["\\fB", "\\fR", "\\fI"]
            .iter()
            .fold(page, |page, markup| page.replace(markup, ""))
            .replace("\\-", "-")
            .replace('\n', " ")
    }
}

/// All of the library's source.
fn sources(directory: &Path, sources: &mut String) {
    for entry in std::fs::read_dir(directory).expect("a directory") {
        let path = entry.expect("an entry").path();
        if path.is_dir() {
            self::sources(&path, sources);
        } else {
            *sources += &std::fs::read_to_string(path).expect("a source file");
        }
    }
}

/// What stands between `before` and `after`, wherever that is one word.
fn words(text: &str, before: &str, after: &str) -> BTreeSet<String> {
    let found = text.split(before).skip(1).filter_map(|rest| rest.split_once(after)).map(|(word, _)| word.to_owned());
    found
        .filter(|word| !word.is_empty() && word.bytes().all(|byte| byte.is_ascii_lowercase() || byte == b'_'))
        .collect()
}

#[track_caller]
fn assert_names(page: &str, names: &BTreeSet<String>, least: usize, spelt: impl Fn(&str) -> String) {
    assert!(names.len() >= least, "{names:?}");
    let missing: Vec<_> = names.iter().filter(|name| !page.contains(&spelt(name))).collect();
    assert!(missing.is_empty(), "the page lacks {missing:?}");
}

#[test]
fn each_command_has_a_page_with_all_that_a_reader_looks_for() {
    let made = Made::new();
    let overview = made.page("autotrim.1");
    for command in COMMANDS {
        assert!(overview.contains(&format!("autotrim-{command}(1)")), "{command}");
        let page = made.page(&format!("autotrim-{command}.1"));
        for heading in ["NAME", "SYNOPSIS", "DESCRIPTION", "OPTIONS", "\"EXIT STATUS\"", "EXAMPLES", "\"SEE ALSO\""] {
            assert!(page.contains(&format!(".SH {heading} ")), "{command}: {heading}");
        }
        // What clap calls it.
        assert!(!page.contains(".SH EXTRA"), "{command}");
        assert!(page.contains("libautotrim(7)"), "{command}");
    }
    let synopsis = |page: &str| {
        let (_, rest) = page.split_once(".SH SYNOPSIS ").expect("a synopsis");
        rest.split_once(" .SH").expect("another section").0.to_owned()
    };
    assert_eq!(synopsis(&made.page("autotrim-run.1")), "autotrim run [OPTIONS] -- CMD...");
    assert_eq!(synopsis(&made.page("autotrim-doctor.1")), "autotrim doctor [OPTIONS] (PID | -- CMD...)");
    let run = made.page("autotrim-run.1");
    assert!([".SH ENVIRONMENT ", ".SH FILES ", "AUTOTRIM_LIBRARY"].iter().all(|part| run.contains(part)), "{run}");
}

#[test]
fn the_librarys_page_names_every_option_event_field_metric_and_verdict() {
    let page = Made::new().page("libautotrim.7");
    let mut source = String::new();
    sources(&root().join("src"), &mut source);
    let options = std::fs::read_to_string(root().join("src/options.rs")).expect("src/options.rs");
    let names: BTreeSet<_> = options.split("name: \"AUTOTRIM_").skip(1).map(|rest| rest.split('"').next()).collect();
    let names = names.into_iter().flatten().map(|name| format!("AUTOTRIM_{name}")).collect();
    assert_names(&page, &names, 18, |name| format!(" {name} "));
    assert_names(&page, &words(&source, "begin(&mut line, runtime, \"", "\""), 10, |event| format!("event={event}"));
    let log = std::fs::read_to_string(root().join("src/tell/log.rs")).expect("src/tell/log.rs");
    let mut fields = words(&log, "\" ", "=");
    fields.retain(|name| !["event", "program"].contains(&name.as_str()));
    let (_, documented) = page.split_once(".SS Fields").expect("fields");
    let documented = documented.split_once(".SH").expect("the next section").0.replace(',', " ");
    assert_names(&documented, &fields, 25, |field| format!(" {field} "));
    let metrics = std::fs::read_to_string(root().join("src/tell/metrics.rs")).expect("src/tell/metrics.rs");
    let (_, metrics) = metrics.split_once("const METRICS").expect("the table");
    let metrics = words(metrics.split_once(");").expect("its end").0, "    \"", " ");
    assert_names(&page, &metrics, 15, |metric| format!(" autotrim_{metric} "));
    let verdicts = std::fs::read_to_string(root().join("src/decide/verdict.rs")).expect("src/decide/verdict.rs");
    let (_, verdicts_of_page) = page.split_once(".SH VERDICTS").expect("verdicts");
    assert_names(verdicts_of_page, &words(&verdicts, "=> \"", "\""), 4, |verdict| format!(" {verdict} "));
}

/// What bash completes at the end of a command line, with the script that is made.
fn completed(made: &Made, line: &[&str]) -> Vec<String> {
    const SCRIPT: &str = r#"
        source "$0"
        compopt() { :; }
        COMP_WORDS=("$@") COMP_CWORD=$(($# - 1)) COMPREPLY=()
        $(complete -p autotrim | grep --only-matching --perl-regexp '(?<=-F )\S+') autotrim "${COMP_WORDS[-1]}" "${COMP_WORDS[-2]}"
        printf '%s\n' "${COMPREPLY[@]}"
    "#;
    let script = made.0.path().join("made/autotrim.bash");
    let mut bash = Command::new("bash");
    let completed =
        finish(end_with_this_test(clean_environment(&mut bash)).args(["-c", SCRIPT]).arg(script).args(line));
    assert_eq!((completed.code, completed.stderr.as_str()), (Some(0), ""));
    completed.stdout.lines().map(str::to_owned).collect()
}

#[test]
fn completions_know_commands_flags_and_values() {
    let made = Made::new();
    let of = |line: &[&str]| completed(&made, line);
    for shell in ["autotrim.bash", "autotrim.fish", "_autotrim"] {
        let script = made.read(shell);
        assert!(COMMANDS.iter().all(|command| script.contains(command)) && script.contains("metrics-dir"), "{shell}");
        for value in ["python", "ruby", "USR1", "4M,5%", "debug"] {
            assert!(script.contains(value), "{shell}: {value}");
        }
    }
    let commands = of(&["autotrim", ""]);
    assert!(COMMANDS.iter().all(|command| commands.contains(&(*command).to_owned())), "{commands:?}");
    assert!(!commands.contains(&"generate".to_owned()), "it is for the packages");
    assert_eq!(of(&["autotrim", "run", "--log", "de"]), ["debug"]);
    assert_eq!(of(&["autotrim", "run", "--gc", "p"]), ["python"]);
    assert_eq!(of(&["autotrim", "run", "--pools", ""]), ["auto", "off"]);
    assert!(of(&["autotrim", "run", "--over"]).contains(&"--overhead".to_owned()));
    // Any word is a name of programs.
    assert_eq!(of(&["autotrim", "run", "--programs", ""]), [""]);
    // Behind -- a program.
    assert!(of(&["autotrim", "run", "--", "bas"]).contains(&"bash".to_owned()));
}

#[test]
fn completions_know_the_processes_that_have_the_library() {
    let made = Made::new();
    let mut sleep = Command::new("sleep");
    let mut sleep = end_with_this_test(clean_environment(&mut sleep))
        .arg("600")
        .env("LD_PRELOAD", library())
        .spawn()
        .expect("sleep");
    let pid = sleep.id();
    wait_within(LIMIT, "the library in sleep", || has_mapped(pid, &library()).then_some(()));
    for line in [["autotrim", "status", ""], ["autotrim", "doctor", ""], ["autotrim", "plot", ""]] {
        let completed = completed(&made, &line);
        assert!(completed.contains(&pid.to_string()), "{line:?}: {completed:?}");
    }
    let own = std::process::id().to_string();
    assert!(!completed(&made, &["autotrim", "trim", ""]).contains(&own), "it has no library");
    assert!(!completed(&made, &["autotrim", "plot", "-o", ""]).contains(&pid.to_string()), "a file is wanted there");
    sleep.kill().expect("a kill");
    sleep.wait().expect("its end");
}
