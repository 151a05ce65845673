//! What is there for many machines: systemd's drop-in, manifests for Kubernetes, alerts and a dashboard. Each is read by the
//! tool that will read it, or by its schema.

mod common;
#[path = "common/release.rs"]
mod release;

use common::{python, root};
use serde_json::Value;
use std::collections::BTreeSet;
use std::path::Path;
use std::process::Command;

/// Runs a program to its good end; what it wrote.
fn finish(command: &mut Command) -> String {
    let name = format!("{command:?}");
    let output = command.output().unwrap_or_else(|problem| panic!("{name}: {problem}; scripts/test installs it"));
    let written = String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned();
    assert!(output.status.success(), "{name}: {}\n{written}", output.status);
    written
}

/// By the systemd of Debian trixie, which knows MemoryPressureWatch=.
#[test]
fn systemd_understands_the_drop_in() {
    let system = release::path_from("scripts/roots").join("trixie");
    let units = tempfile::tempdir_in(system.join("tmp")).expect("a temporary directory");
    let drop_in = Path::new("gunicorn.service.d/autotrim.conf");
    std::fs::create_dir(units.path().join("gunicorn.service.d")).expect("a directory");
    let example = root().join("examples/systemd").join(drop_in);
    let verify = || {
        let unit =
            Path::new("/").join(units.path().strip_prefix(&system).expect("in the system")).join("gunicorn.service");
        finish(Command::new("chroot").arg(&system).args(["systemd-analyze", "verify"]).arg(unit))
    };
    std::fs::write(units.path().join("gunicorn.service"), "[Service]\nExecStart=/usr/bin/python3 -c pass\n")
        .expect("a unit");
    std::fs::copy(&example, units.path().join(drop_in)).expect("a copy");
    assert_eq!(verify(), "");
    // It would say so if it were wrong.
    let text = std::fs::read_to_string(&example).expect("the drop-in");
    std::fs::write(units.path().join(drop_in), text.replace("MemoryPressureWatch", "MemoryPressure"))
        .expect("a drop-in");
    assert!(verify().contains("Unknown key 'MemoryPressure'"));
}

/// Rendered by Kustomize and held against the schemas of Kubernetes; the policies' expressions are evaluated. With Debian
/// trixie's kubectl and its own libraries: bookworm's knows no components.
#[test]
fn kubernetes_understands_the_manifests() {
    let system = release::path_from("scripts/roots").join("trixie");
    let mut check = Command::new(python());
    check.arg(root().join("tests/manifests/check.py")).arg(system.join("lib64/ld-linux-x86-64.so.2"));
    check.arg("--library-path").arg(system.join("usr/lib/x86_64-linux-gnu"));
    check.arg(system.join("usr/bin/kubectl")).arg("kustomize");
    assert_eq!(finish(&mut check).lines().count(), 6);
}

#[test]
fn prometheus_understands_the_alerts_and_they_come_when_they_should() {
    let monitoring = root().join("monitoring");
    assert!(finish(promtool().args(["check", "rules"]).arg(monitoring.join("rules.yaml"))).contains("5 rules found"));
    assert!(finish(promtool().args(["test", "rules"]).arg(monitoring.join("rules_test.yaml"))).contains("SUCCESS"));
}

fn promtool() -> Command {
    Command::new("promtool")
}

/// Names of metrics in a text.
fn metrics(text: &str) -> BTreeSet<String> {
    let words = text.split(|letter: char| !letter.is_ascii_alphanumeric() && letter != '_');
    words.filter(|word| word.starts_with("autotrim_")).map(str::to_owned).collect()
}

#[test]
fn the_dashboard_asks_for_what_there_is() {
    let dashboard = std::fs::read_to_string(root().join("monitoring/dashboard.json")).expect("the dashboard");
    let dashboard: Value = serde_json::from_str(&dashboard).expect("JSON");
    let panels = dashboard["panels"].as_array().expect("panels");
    let queries: Vec<&str> = panels
        .iter()
        .flat_map(|panel| panel["targets"].as_array().expect("targets"))
        .map(|target| target["expr"].as_str().expect("an expression"))
        .collect();
    // promtool reads expressions in rules alone.
    let mut rules = "groups:\n- name: dashboard\n  rules:\n".to_owned();
    for (number, query) in queries.iter().enumerate() {
        let query = query.replace("$__rate_interval", "5m");
        rules += &format!("  - record: query_{number}\n    expr: '{query}'\n");
    }
    let directory = tempfile::tempdir().expect("a temporary directory");
    let file = directory.path().join("rules.yaml");
    std::fs::write(&file, rules).expect("a file");
    let found = finish(promtool().args(["check", "rules"]).arg(&file));
    assert!(found.contains(&format!("{} rules found", queries.len())), "{found}");

    // Nothing that the library does not write; and all of it is asked for somewhere.
    let source = std::fs::read_to_string(root().join("src/tell/metrics.rs")).expect("src/tell/metrics.rs");
    let table =
        source.split_once("const METRICS: &str").and_then(|(_, rest)| rest.split_once(");")).expect("the table").0;
    let written: BTreeSet<String> = table
        .lines()
        .filter_map(|line| line.trim().strip_prefix('"')?.split_once(' '))
        .filter(|(name, _)| name.bytes().all(|letter| letter.is_ascii_lowercase() || letter == b'_'))
        .map(|(name, _)| format!("autotrim_{name}"))
        .collect();
    let alerts = std::fs::read_to_string(root().join("monitoring/rules.yaml")).expect("the alerts");
    let asked = metrics(&format!("{queries:?} {} {alerts}", dashboard["templating"]));
    assert_eq!(asked, written);
}
