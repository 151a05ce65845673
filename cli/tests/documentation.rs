//! Help, the JSON's fields, and the pages that people read.

mod support;

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::process::Command;

use support::autotrim_with;
use support::common::root;

/// The options in the table of `docs/options.md`.
fn options() -> BTreeSet<String> {
    let page = std::fs::read_to_string(root().join("docs/options.md")).expect("docs/options.md");
    let names = page.lines().filter_map(|line| line.strip_prefix("| `AUTOTRIM_")?.split('`').next().map(str::to_owned));
    names.map(|name| format!("--{}", name.to_lowercase().replace('_', "-"))).collect()
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
    let (_, page) = readme.split_once("## `autotrim status --json`").expect("the page");
    let (page, _) = page.split_once("\n`autotrim trim --json`").expect("its end");
    let rows = page.lines().filter_map(|line| line.strip_prefix("| `")?.split('`').next());
    let documented: BTreeSet<&str> = rows.collect();
    let process = document["processes"][0].as_object().expect("a process");
    let fields: BTreeSet<&str> =
        document.as_object().expect("an object").keys().chain(process.keys()).map(String::as_str).collect();
    // None is new and unsaid, and none has gone.
    assert!(process.len() > 20);
    assert_eq!(fields, documented);
}

#[test]
fn the_subjects_of_findings_are_documented() {
    let sources = root().join("cli/src");
    let of_parts = std::fs::read_dir(sources.join("doctor")).expect("its parts").flatten().map(|entry| entry.path());
    let files = of_parts.chain([sources.join("doctor.rs")]);
    let text: String = files.map(|file| std::fs::read_to_string(file).expect("a source")).collect();
    let added = text.split(".add(").skip(1).filter_map(|rest| rest.trim_start().strip_prefix('"')?.split('"').next());
    // Advice is collected, and told last.
    let found: BTreeSet<&str> = added.chain(["advice"]).collect();
    let readme = std::fs::read_to_string(root().join("cli/README.md")).expect("cli/README.md");
    let (_, list) = readme.split_once("Subjects: ").expect("the list");
    let (list, _) = list.split_once('.').expect("its end");
    let documented: BTreeSet<&str> = list.split(',').map(|name| name.trim().trim_matches('`')).collect();
    assert!(found.len() > 20);
    assert_eq!(found, documented);
}

/// The pages that people read. What a page is made from stands elsewhere than that.
fn pages() -> Vec<PathBuf> {
    let listed = Command::new("git").args(["ls-files", "*.md"]).current_dir(root()).output().expect("git");
    String::from_utf8(listed.stdout)
        .expect("text")
        .lines()
        .filter(|page| *page != "bench/report.md")
        .map(PathBuf::from)
        .collect()
}

/// What a heading is called in links (as GitHub makes it): small letters, hyphens for blanks, nothing else but letters and digits.
fn anchor(heading: &str) -> String {
    let kept = |c: char| c.is_alphanumeric() || c == ' ' || c == '-' || c == '_';
    heading
        .trim_start_matches('#')
        .trim()
        .to_lowercase()
        .replace('`', "")
        .chars()
        .filter(|&c| kept(c))
        .collect::<String>()
        .replace(' ', "-")
}

#[test]
fn every_link_between_pages_leads_somewhere() {
    let (mut links, mut broken) = (0, Vec::new());
    for page in pages() {
        let text = std::fs::read_to_string(root().join(&page)).expect("a page");
        for link in text.split("](").skip(1).filter_map(|rest| rest.split([')', ' ']).next()) {
            if link.contains("://") || link.starts_with("mailto:") {
                continue;
            }
            links += 1;
            let (file, heading) = link.split_once('#').unwrap_or((link, ""));
            let target = if file.is_empty() { page.clone() } else { page.parent().expect("a folder").join(file) };
            let is_there = std::fs::read_to_string(root().join(&target)).map_or_else(
                |_| heading.is_empty() && root().join(&target).exists(),
                |text| heading.is_empty() || text.lines().any(|line| line.starts_with('#') && anchor(line) == heading),
            );
            if !is_there {
                broken.push(format!("{}: {link}", page.display()));
            }
        }
    }
    assert!(links >= 50 && broken.is_empty(), "{links} links, of which lead nowhere: {broken:#?}");
}

#[test]
fn the_readme_is_read_in_ten_minutes() {
    let lines = std::fs::read_to_string(root().join("README.md")).expect("README.md").lines().count();
    assert!(lines <= 200, "{lines} lines");
}

#[test]
fn wrong_usage_is_answered_with_what_to_type() {
    autotrim_with(["doctor"]).says(2, &["Usage: autotrim doctor [OPTIONS] (PID | -- CMD...)"]);
    autotrim_with(["run"]).says(2, &["Usage: autotrim run [OPTIONS] -- CMD..."]);
    for words in [["status", "gunicorn"], ["doctor", "gunicorn"], ["trim", "gunicorn"], ["plot", "gunicorn"]] {
        autotrim_with(words).says(2, &["gunicorn is no process id"]);
    }
    autotrim_with(["status", "0"]).says(2, &["0 is no process id"]);
}
