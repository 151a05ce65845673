//! What a server's test found: one JSON file in docs/servers for each, from which docs/servers.md is made.

use super::common::root;
use serde::{Deserialize, Serialize};
use std::path::PathBuf;

/// Set by scripts/servers, which makes the page anew.
const MAKING: &str = "AUTOTRIM_SERVERS_PAGE";

/// Whether the page is being made: what is committed need not hold then.
pub fn is_making_page() -> bool {
    std::env::var_os(MAKING).is_some()
}

/// Where the rows of the page are.
pub fn directory() -> PathBuf {
    root().join("docs/servers")
}

/// One server.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Row {
    pub server: String,
    /// What the real program says of itself.
    pub version: String,
    pub cases: Vec<CaseRow>,
    /// The hooked libc symbols that it used on its connections, and those in which it waited.
    pub symbols: Vec<String>,
    pub steady: Steady,
    /// Descriptors still followed when all connections of the clients were closed, in all processes.
    pub followed_at_end: usize,
    /// Why, if there are any.
    pub leftover: Option<String>,
    /// What the start or each connection adds to the count, where something does.
    pub start_up: Option<String>,
    pub notes: Vec<String>,
}

/// One case on one server.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct CaseRow {
    pub case: String,
    /// Nothing where the server cannot do the case.
    pub measured: Option<Measured>,
    /// Why it cannot.
    pub reason: Option<String>,
}

/// What a case came out as.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Measured {
    /// Requests that the library counted, all processes together.
    pub count: u64,
    /// Requests that were answered, as the client knows.
    pub truth: u64,
    /// Whether the count has to equal the truth ("exact"), a fixed number ("definition"), or is only told ("ratio").
    pub rule: String,
    /// Whether the answers are those of the plain server.
    pub answers_equal: bool,
    /// In flight after the case, all processes together.
    pub in_flight: i64,
}

/// A steady load with AUTOTRIM_INTERVAL=10.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct Steady {
    pub requests: u64,
    pub trims: u64,
    /// Requests between two successive trims of a process.
    pub distance: Option<Distribution>,
    /// Where the trims were done, most frequent first.
    pub waits: Vec<Share>,
}

#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub struct Distribution {
    pub min: u64,
    pub median: u64,
    pub p90: u64,
    pub max: u64,
}

/// The trims at one wait point on one kind of thread.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Share {
    /// The libc call that was about to wait.
    pub wait: String,
    /// `main` or `other`.
    pub thread: String,
    pub trims: u64,
}

impl Row {
    /// Writes NAME.json: for the page, where that is being made; else beside what is built, to look at.
    pub fn write(&self, name: &str) {
        let directory = if is_making_page() { directory() } else { root().join("target/servers") };
        std::fs::create_dir_all(&directory).expect("a directory for rows");
        let text = serde_json::to_string_pretty(self).expect("a row as JSON");
        std::fs::write(directory.join(format!("{name}.json")), text + "\n").expect("the row's file");
    }
}
