//! What `autotrim doctor` has found.

use serde_json::Value;

use super::{Finished, autotrim_with};

/// The findings on one subject: level and text.
pub fn found(finished: &Finished, subject: &str) -> Vec<(String, String)> {
    let document = finished.json();
    let text = |value: &Value| value.as_str().expect("text").to_owned();
    let all = document["findings"].as_array().expect("findings");
    let matching = all.iter().filter(|finding| finding["subject"] == subject);
    matching.map(|finding| (text(&finding["level"]), text(&finding["text"]))).collect()
}

/// Asserts that one of them has this level and these words.
#[track_caller]
pub fn has(finished: &Finished, subject: &str, level: &str, words: &str) {
    let found = found(finished, subject);
    assert!(
        found.iter().any(|(l, text)| l == level && text.contains(words)),
        "{subject} {found:?}\n{}",
        finished.stdout
    );
}

/// All of them on a process.
pub fn doctor(pid: u32) -> Finished {
    autotrim_with(["doctor", "--json", &pid.to_string()])
}
