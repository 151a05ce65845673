//! scripts/stress, a short one: everything that a program may do to a library in it, at random and at once.

mod common;

use common::process::clean_environment;
use common::{library, root};
use std::process::Command;

const VARIANTS: [&str; 5] = ["plain", "trims", "trims+thread", "trims+metrics", "trims+thread+metrics"];

/// Of about 10 requests each; children come in one of twenty.
const REQUESTS: &str = "20000";

#[test]
fn whatever_threads_children_and_handlers_do_nothing_breaks() {
    let mut command = Command::new(root().join("scripts/stress"));
    let made = clean_environment(&mut command)
        .args(["--requests", REQUESTS])
        .env("AUTOTRIM_LIBRARY", library())
        .output()
        .expect("bash");
    let told = String::from_utf8_lossy(&made.stdout).into_owned();
    assert!(made.status.success(), "{told}{}", String::from_utf8_lossy(&made.stderr));

    let mut lines = told.lines().skip_while(|line| !line.starts_with("variant"));
    let heads = lines.next().expect("a table").replace("in children", "in_children");
    let heads: Vec<&str> = heads.split_whitespace().collect();
    assert_eq!(heads.len(), 11, "{told}");
    for variant in VARIANTS {
        let row: Vec<&str> = lines.next().expect("a variant").split_whitespace().collect();
        assert_eq!((row[0], row.len()), (variant, heads.len()), "{told}");
        for (head, figure) in heads.iter().zip(&row).skip(1) {
            let figure: u64 = figure.parse().expect("a figure");
            let least = match *head {
                "requests" => 2000,
                "trims" | "in_children" if variant == "plain" => 0,
                "trims" => 10,
                "seconds" => 0,
                _ => 1,
            };
            assert!(figure >= least, "{variant}: {head} = {figure}\n{told}");
        }
    }
}
