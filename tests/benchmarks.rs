//! scripts/bench measures real servers, and reports what it measured. No figure is judged here.

mod common;

use common::process::clean_environment;
use common::{library, python, root};
use serde_json::Value;
use std::collections::BTreeMap;
use std::path::Path;
use std::process::{Command, Output};

/// A variant that trims in quiet too, whether memory has grown or not, and however long trims take on this machine.
const PERIOD: &str = "AUTOTRIM_PERIOD=500ms+AUTOTRIM_OVERHEAD=0";

fn bench(output: &Path, arguments: &[&str]) -> Output {
    let mut command = Command::new(root().join("scripts/bench"));
    clean_environment(&mut command)
        .args([
            "--quick",
            "--workload",
            "rows-sync",
            "--variant",
            "plain",
            "--variant",
            "defaults",
            "--variant",
            PERIOD,
        ])
        .args(arguments)
        .arg("--output")
        .arg(output)
        .env("AUTOTRIM_LIBRARY", library())
        .env("AUTOTRIM_PYTHON", python());
    command.output().expect("bash")
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

fn runs(output: &Path) -> BTreeMap<String, Value> {
    let raw = std::fs::read(output.join("benchmarks/rows-sync.json")).expect("the raw file");
    let raw: Value = serde_json::from_slice(&raw).expect("JSON");
    let runs = raw["runs"].as_array().expect("runs").clone();
    runs.into_iter().map(|run| (run["variant"].as_str().expect("a name").to_owned(), run)).collect()
}

fn sum(counts: &Value) -> u64 {
    counts.as_object().expect("counts").values().map(|count| count.as_u64().expect("a count")).sum()
}

#[test]
fn a_workload_is_measured_once_and_reported_from_its_raw_file() {
    let directory = tempfile::tempdir().expect("a directory");
    let output = directory.path();
    let made = bench(output, &[]);
    assert!(made.status.success(), "{}\n{}", text(&made.stdout), text(&made.stderr));

    let first = runs(output);
    assert_eq!(first.keys().collect::<Vec<_>>(), [PERIOD, "defaults", "plain"]);
    for run in first.values() {
        let requests = run["requests_in_all"].as_u64().expect("a count");
        assert!(requests > 30, "{requests}");
        assert_eq!(sum(&run["paths"]), requests);
        assert!(run["paths"]["/rows"].as_u64() > Some(0), "{}", run["paths"]);
        assert_eq!(run["latency"]["answered"].as_u64(), Some(sum(&run["latency"]["histogram"])));
        assert_eq!((run["failed"].as_u64(), run["dropped"].as_u64()), (Some(0), Some(0)), "{}", run["errors"]);
    }
    // The library has counted what the client got, and the one request that found the server ready: its last trim tells, and
    // by a period that comes after the last request.
    let (plain, period) = (&first["plain"], &first[PERIOD]);
    assert_eq!(period["counted"].as_u64(), period["requests_in_all"].as_u64().map(|requests| requests + 1));
    assert!(first["defaults"]["counted"].as_u64() > Some(0));
    assert_eq!((plain["enabled"].as_bool(), plain["counted"].as_u64()), (Some(false), Some(0)));

    let table = std::fs::read_to_string(output.join("benchmarks/runs.csv")).expect("the table");
    // Each at full load, and the two that served together at part load.
    assert_eq!(table.lines().count(), 1 + 3 + 2, "{table}");
    assert!(output.join("benchmarks/rows-sync.png").is_file());
    let page = || std::fs::read_to_string(output.join("benchmarks.md")).expect("the page");
    let before = page();
    assert!(before.contains("## rows-sync"), "{before}");

    // What is there is not measured again, and the same page comes of it.
    let again = bench(output, &[]);
    assert!(again.status.success(), "{}\n{}", text(&again.stdout), text(&again.stderr));
    assert_eq!(runs(output), first);
    std::fs::remove_file(output.join("benchmarks.md")).expect("the page");
    assert!(bench(output, &["--report"]).status.success());
    assert_eq!(page(), before);
}

#[test]
fn the_figures_are_summed_up_as_documented() {
    let tested = clean_environment(&mut Command::new(python()))
        .args(["-m", "unittest", "bench.tests", "demo.tests", "live.tests"])
        .env("PYTHONPATH", root())
        .env("PYTHONSAFEPATH", "1")
        .env("PYTHONDONTWRITEBYTECODE", "1")
        .output()
        .expect("python");
    let told = text(&tested.stderr);
    assert!(tested.status.success(), "{told}");
    assert!(told.contains("\nOK"), "{told}");
}
