//! The one list of interposed functions, read from the library's source.
#![allow(dead_code)]

use super::common::root;
use std::collections::BTreeSet;

/// The names in `hooks!` of `src/edge/hooks.rs`.
pub fn names() -> BTreeSet<String> {
    let source = std::fs::read_to_string(root().join("src/edge/hooks.rs")).expect("src/edge/hooks.rs");
    let list = source.split_once("hooks! {\n").and_then(|(_, rest)| rest.split_once("\n}\n")).expect("the list").0;
    let code: String = list.lines().filter(|line| !line.trim_start().starts_with("//")).collect::<Vec<_>>().join("\n");
    let names = code.split("fn ").skip(1).filter_map(|rest| Some(rest.split_once('(')?.0.trim().to_owned()));
    let names: BTreeSet<String> = names.collect();
    assert!(names.contains("accept") && names.contains("pselect"), "{names:?}");
    names
}
