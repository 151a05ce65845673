//! Manual pages, completions and help: made from the command line's own definition and the library's options.

mod support;

use std::collections::BTreeSet;

use support::common::root;
use support::{autotrim, autotrim_with, finish, open_directory};

/// The options in the README's table.
fn options() -> BTreeSet<String> {
    let readme = std::fs::read_to_string(root().join("README.md")).expect("README.md");
    let names =
        readme.lines().filter_map(|line| line.strip_prefix("| `AUTOTRIM_")?.split('`').next().map(str::to_owned));
    names.map(|name| format!("--{}", name.to_lowercase().replace('_', "-"))).collect()
}

#[test]
fn manual_pages_and_completions_name_every_command_and_option() {
    let directory = open_directory();
    let made = finish(autotrim().arg("generate").arg(directory.path().join("man")));
    assert_eq!((made.code, made.stderr.as_str()), (Some(0), ""));
    let read = |name: &str| {
        std::fs::read_to_string(directory.path().join("man").join(name)).unwrap_or_else(|e| panic!("{name}: {e}"))
    };
    for command in ["run", "status", "trim", "doctor", "plot"] {
        assert!(read(&format!("autotrim-{command}.1")).contains(".SH SYNOPSIS"), "{command}");
        assert!(read("autotrim.1").contains(&format!("autotrim\\-{command}(1)")), "{command}");
        assert!(["autotrim.bash", "autotrim.fish", "_autotrim"].iter().all(|shell| read(shell).contains(command)));
    }
    let options = options();
    assert!(options.len() >= 12, "{options:?}");
    // Plain troff reads nothing else.
    assert!(read("autotrim.1").is_ascii() && read("autotrim-run.1").is_ascii());
    for option in &options {
        assert!(read("autotrim-run.1").contains(&option.replace('-', "\\-")), "{option}");
        assert!(read("autotrim.bash").contains(option.as_str()), "{option}");
    }
}

#[test]
fn every_option_of_the_library_is_a_flag_of_run_with_its_meaning() {
    let help = autotrim_with(["run", "--help"]).stdout;
    assert!(options().iter().all(|option| help.contains(&format!("{option} <VALUE>"))), "{help}");
    let meaning = "trim after every N requests; the default passes over what would bring nothing; 0 = off";
    assert!(help.contains(meaning) && help.contains("[default: 1024]"), "{help}");
}

#[test]
fn the_fields_of_the_json_are_documented() {
    let server = support::common::gunicorn::Gunicorn::preloaded(support::common::gunicorn::Worker::Sync).start();
    let document = autotrim_with(["status", "--json", &server.worker().to_string()]).json();
    let readme = std::fs::read_to_string(root().join("cli/README.md")).expect("cli/README.md");
    let documented = |name: &String| readme.contains(&format!("| `{name}` |"));
    let process = document["processes"][0].as_object().expect("a process");
    let missing: Vec<_> = document
        .as_object()
        .expect("an object")
        .keys()
        .chain(process.keys())
        .filter(|name| !documented(name))
        .collect();
    assert!(process.len() > 20 && missing.is_empty(), "{missing:?}");
}
