//! AUTOTRIM_GC: what of Ruby's touches its collections or its threads works as it does without the library, while garbage is collected in
//! each quiet moment.

mod common;

use common::script::Script;
use common::{LIMIT, wait_within};
use std::path::Path;
use std::time::Duration;

/// Each quiet moment begins with a collection, whatever it costs.
const OFTEN: [(&str, &str); 4] =
    [("AUTOTRIM_GC", "ruby"), ("AUTOTRIM_IDLE", "10ms"), ("AUTOTRIM_OVERHEAD", "0"), ("AUTOTRIM_INTERVAL", "1")];
/// So many requests, and until there were so many collections.
const REQUESTS: usize = 5;
const COLLECTIONS: usize = 1;
/// Longer than quiet must last.
const PAUSE: Duration = Duration::from_millis(60);

/// What tests/servers/features.rb answers with these features, and how many objects were finalized; with collections until there were
/// enough, or as many `requests`.
fn answers(start: impl Fn(&[(&str, &str)]) -> Script, requests: Option<usize>) -> (Vec<String>, usize, usize) {
    let disabled = [("AUTOTRIM_DISABLE", if requests.is_some() { "1" } else { "0" })];
    let server = start(&[&OFTEN[..], &disabled].concat());
    let mut answers = Vec::new();
    wait_within(LIMIT, "answers and collections", || {
        answers.push(server.get("/").text());
        std::thread::sleep(PAUSE);
        let enough = requests.map_or(answers.len() >= REQUESTS && server.collections() >= COLLECTIONS, |requests| {
            answers.len() >= requests
        });
        enough.then_some(())
    });
    let others: Vec<String> =
        server.read("stderr").lines().filter(|line| !line.starts_with("autotrim: ")).map(String::from).collect();
    assert_eq!(others, [""; 0]);
    let finalized = server.get("/tell").text().parse().expect("a number");
    (answers, finalized, server.collections())
}

/// The same answers with collections as without; the first of them, and how many objects were finalized with.
fn is_alike(start: impl Fn(&[(&str, &str)]) -> Script) -> (String, usize) {
    let (preloaded, finalized, _) = answers(&start, None);
    let (plain, _, collections) = answers(&start, Some(preloaded.len()));
    assert_eq!(plain, preloaded);
    assert_eq!(collections, 0, "without");
    (preloaded[0].clone(), finalized)
}

/// With this system's Ruby.
fn is_alike_here(features: &[&str], environment: &[(&str, &str)]) -> (String, usize) {
    is_alike(|often| {
        let environment = [often, environment].concat();
        Script::run(Path::new("ruby"), "features.rb", &[&["0"], features].concat(), &environment)
    })
}

#[test]
fn ractors_go_on() {
    assert_ne!(is_alike_here(&["ractors"], &[]).0, "1, -");
}

#[test]
fn fibers_of_a_scheduler_go_on() {
    assert_ne!(is_alike_here(&["fibers"], &[]).0, "1, -");
}

/// None of them leaves the wait in which it runs, or blocks it for good.
#[test]
fn finalizers_may_lock_and_raise() {
    for feature in ["lock", "raise"] {
        let (_, finalized) = is_alike_here(&[feature], &[]);
        assert!(feature == "lock" || finalized > 0, "{feature}");
    }
}

/// It runs to its end, and the wait in which it does goes on.
#[test]
fn finalizers_may_take_long() {
    let (first, finalized) = is_alike_here(&["long"], &[]);
    assert_eq!(first, "1, 2");
    assert!(finalized > 0);
}

#[test]
fn each_allocation_may_collect() {
    assert_eq!(is_alike_here(&["stress"], &[]).0, "1, 30");
}

#[test]
fn what_is_alive_stays_in_weak_maps() {
    let (first, finalized) = is_alike_here(&["weak"], &[]);
    assert_eq!(first, "1, 100 true kept 0");
    assert!(finalized > 0);
}

#[test]
fn compiled_code_goes_on() {
    let (first, finalized) = is_alike_here(&["yjit"], &[("RUBYOPT", "--yjit --yjit-call-threshold=1")]);
    assert!(first.starts_with("1, true "), "{first}");
    assert!(finalized > 0);
}
