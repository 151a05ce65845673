//! What processes wrote for Prometheus, read by Prometheus's own parsers.

use super::process::clean_environment;
use super::{python, servers};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Command;

/// The samples of one file.
#[derive(Clone, Debug)]
pub struct Metrics(Vec<(String, BTreeMap<String, String>, f64)>);

impl Metrics {
    /// The file of process `pid` in `directory`; nothing where it has none. Panics where a parser refuses it.
    pub fn of(directory: &Path, pid: u32) -> Option<Self> {
        let file = file(directory, pid);
        // Replaced by renaming: what was read is one state.
        let copy = tempfile::NamedTempFile::new().expect("a temporary file");
        std::fs::write(copy.path(), std::fs::read(file).ok()?).expect("a copy");
        let output = clean_environment(&mut Command::new(python()))
            .arg(servers().join("read_metrics.py"))
            .arg(copy.path())
            .output()
            .expect("python");
        let text = std::fs::read_to_string(copy.path()).unwrap_or_default();
        assert!(output.status.success(), "{}\n{text}", String::from_utf8_lossy(&output.stderr));
        Some(Self(serde_json::from_slice(&output.stdout).expect("JSON")))
    }

    /// The value of the one sample with this name and, if one is given, this label.
    pub fn value(&self, name: &str, label: Option<(&str, &str)>) -> f64 {
        let wanted = |labels: &BTreeMap<String, String>| {
            label.is_none_or(|(name, value)| labels.get(name).is_some_and(|found| found == value))
        };
        let found: Vec<_> = self.0.iter().filter(|(found, labels, _)| found == name && wanted(labels)).collect();
        assert_eq!(found.len(), 1, "{name} {label:?}: {self:?}");
        found[0].2
    }

    /// A label of the one sample with this name.
    pub fn label(&self, name: &str, label: &str) -> String {
        let found: Vec<_> = self.0.iter().filter(|(found, ..)| found == name).collect();
        assert_eq!(found.len(), 1, "{name}: {self:?}");
        found[0].1[label].clone()
    }

    /// The values of one label of all samples with this name.
    pub fn labels(&self, name: &str, label: &str) -> Vec<&str> {
        self.0.iter().filter(|(found, ..)| found == name).map(|(_, labels, _)| labels[label].as_str()).collect()
    }

    /// Requests answered.
    pub fn requests(&self) -> f64 {
        self.value("autotrim_requests_total", None)
    }

    /// Whether each sample has this label.
    pub fn all_have(&self, label: &str, value: &str) -> bool {
        self.0.iter().all(|(_, labels, _)| labels.get(label).is_some_and(|found| found == value))
    }
}

/// Where process `pid` writes.
pub fn file(directory: &Path, pid: u32) -> PathBuf {
    directory.join(format!("autotrim-{pid}.prom"))
}

/// The names in a directory.
pub fn names(directory: &Path) -> Vec<String> {
    let entries = std::fs::read_dir(directory).expect("a directory");
    let mut names: Vec<_> =
        entries.map(|entry| entry.expect("an entry").file_name().to_string_lossy().into_owned()).collect();
    names.sort();
    names
}
