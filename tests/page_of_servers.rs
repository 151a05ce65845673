//! docs/servers.md is made of what the servers' tests have found, and a count that does not hold is noticed.

mod common;
mod matrix;

use matrix::page::{self, differences, render};
use matrix::row::{self, CaseRow, Measured, Row};

/// The rows of the page, in the order of their names.
fn rows() -> Vec<Row> {
    let directory = std::fs::read_dir(row::directory()).expect("rows: scripts/servers makes them");
    let read = |path| std::fs::read_to_string(path).expect("a row");
    let texts = directory.flatten().map(|entry| read(entry.path()));
    let mut rows: Vec<Row> = texts.map(|text| serde_json::from_str(&text).expect("a row as JSON")).collect();
    rows.sort_by_key(|row| row.server.to_lowercase());
    rows
}

fn case(name: &str, count: u64, truth: u64, rule: &str) -> CaseRow {
    let measured = Measured { count, truth, rule: rule.to_owned(), answers_equal: true, in_flight: 0 };
    CaseRow { case: name.to_owned(), measured: Some(measured), reason: None }
}

fn row(server: &str, cases: Vec<CaseRow>) -> Row {
    Row {
        server: server.to_owned(),
        version: "1.0".to_owned(),
        cases,
        symbols: vec!["accept4".to_owned()],
        steady: Default::default(),
        followed_at_end: 0,
        leftover: None,
        start_up: None,
        notes: vec![],
    }
}

fn http(keep_alive: u64, tls: u64) -> Row {
    let cases = vec![
        case(matrix::case::KEEP_ALIVE, keep_alive, 20, "exact"),
        case(matrix::case::TLS13_CLOSE, tls, 20, "ratio"),
    ];
    row("one", cases)
}

/// Writes the page, when scripts/servers asks for it; else shows that it could be read back.
#[test]
fn a_count_that_differs_from_the_page_is_noticed() {
    let other = row("two", vec![case("queries", 21, 21, "exact")]);
    let text = render(&[http(20, 47), other.clone()]);
    assert_eq!(differences(&text, &http(20, 47)), [""; 0]);
    assert_eq!(differences(&text, &other), [""; 0]);
    // What is only told may differ.
    assert_eq!(differences(&text, &http(20, 41)), [""; 0]);
    assert_eq!(differences(&text, &http(19, 47)).len(), 1);
    assert_eq!(differences(&text, &row("three", vec![case("queries", 1, 1, "exact")])).len(), 1);
}

/// scripts/servers has it written; it is never edited by hand.
#[test]
fn the_page_is_made_of_the_rows() {
    let rows = rows();
    if row::is_making_page() {
        std::fs::write(page::path(), render(&rows)).expect("docs/servers.md");
    }
    let page = std::fs::read_to_string(page::path()).expect("docs/servers.md");
    assert!(page == render(&rows), "docs/servers.md is not what scripts/servers makes of docs/servers/*.json");
    let wrong: Vec<_> = rows.iter().flat_map(|row| differences(&page, row)).collect();
    assert_eq!(wrong, [""; 0]);
}
