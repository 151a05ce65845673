//! docs/servers.md: made of the rows that the servers' tests leave, and held against them afterwards.

use super::case;
use super::common::root;
use super::row::{CaseRow, Measured, Row, Share, Steady, is_making_page};
use std::path::PathBuf;

/// Cases whose count is only told, in a table of their own.
const RATIOS: [&str; 8] = [
    case::WEBSOCKET,
    case::HTTP2,
    case::TLS13_KEEP_ALIVE,
    case::TLS13_CLOSE,
    case::TLS13_RESUMED,
    case::TLS12_KEEP_ALIVE,
    case::TLS12_CLOSE,
    case::TLS12_RESUMED,
];

/// Servers side by side in one table.
const COLUMNS: usize = 6;

/// What stands where a server cannot do a case.
const LACKING: &str = "–";

/// Panics unless the committed page has this row with the same counts.
pub fn assert_holds(row: &Row) {
    if is_making_page() {
        return;
    }
    let page = std::fs::read_to_string(path()).expect("docs/servers.md");
    let wrong = differences(&page, row);
    assert!(wrong.is_empty(), "docs/servers.md (made by scripts/servers) does not hold:\n{}", wrong.join("\n"));
}

/// Where the page is.
pub fn path() -> PathBuf {
    root().join("docs/servers.md")
}

/// What the page says of a server otherwise than its row. Versions, threads and distances may differ, and so may a
/// count that is only told: it depends on which bytes come together.
pub fn differences(page: &str, row: &Row) -> Vec<String> {
    let wrong = |case: &CaseRow| {
        let Some(said) = said(page, &row.server, &case.case) else {
            return Some(format!("{}, {}: not on the page", row.server, case.case));
        };
        let found = cell(case);
        let is_told = case.measured.as_ref().is_some_and(|measured| measured.rule == "ratio");
        let part = |text: &str| if is_told { truth(text) } else { text.to_owned() };
        (part(&said) != part(&found)).then(|| format!("{}, {}: {found}, the page says {said}", row.server, case.case))
    };
    row.cases.iter().filter_map(wrong).collect()
}

/// The page of these rows.
pub fn render(rows: &[Row]) -> String {
    let (http, others): (Vec<&Row>, Vec<&Row>) = rows.iter().partition(|row| is_http(row));
    let every: Vec<&Row> = rows.iter().collect();
    let plain = |row: &&Row| row.cases.iter().map(|case| case.case.clone()).collect::<Vec<_>>();
    let plain: Vec<String> = http.first().map(plain).unwrap_or_default();
    let plain: Vec<String> = plain.into_iter().filter(|name| !RATIOS.contains(&name.as_str())).collect();
    let counts: Vec<_> = http.chunks(COLUMNS).map(|servers| by_case(&plain, servers)).collect();
    let others: Vec<_> = others.iter().map(|row| by_case(&names(row), &[row])).collect();
    include_str!("page.md")
        .replace("{counts}", &counts.join("\n"))
        .replace("{others}", &others.join("\n"))
        .replace("{ratios}", &ratios(&http))
        .replace("{places}", &places(&every))
        .replace("{notes}", &notes(&every))
}

fn is_http(row: &Row) -> bool {
    row.cases.iter().any(|case| case.case == case::KEEP_ALIVE)
}

fn names(row: &Row) -> Vec<String> {
    row.cases.iter().map(|case| case.case.clone()).collect()
}

fn case_of<'a>(row: &'a Row, name: &str) -> Option<&'a CaseRow> {
    row.cases.iter().find(|case| case.case == name)
}

/// `count/truth`.
fn cell(case: &CaseRow) -> String {
    let text = |&Measured { count, truth, .. }: &Measured| format!("{count}/{truth}");
    case.measured.as_ref().map_or_else(|| LACKING.to_owned(), text)
}

fn truth(cell: &str) -> String {
    cell.rsplit('/').next().unwrap_or_default().to_owned()
}

/// A Markdown table; all columns but the first are numbers, if `numbers`.
fn table(heads: Vec<String>, lines: Vec<Vec<String>>, numbers: bool) -> String {
    let line = |cells: &Vec<String>| format!("| {} |\n", cells.join(" | "));
    let rule = heads.iter().enumerate().map(|(at, _)| if numbers && at > 0 { "--:" } else { "---" }.to_owned());
    let rule = format!("|{}|\n", rule.collect::<Vec<_>>().join("|"));
    line(&heads) + &rule + &lines.iter().map(line).collect::<String>()
}

/// A line for each case, a column for each server.
fn by_case(cases: &[String], servers: &[&Row]) -> String {
    let heads = std::iter::once("case".to_owned()).chain(servers.iter().map(|row| row.server.clone()));
    let count = |row: &&Row, name: &str| case_of(row, name).map_or_else(|| LACKING.to_owned(), cell);
    let line = |name: &String| {
        std::iter::once(name.clone()).chain(servers.iter().map(|row| count(row, name))).collect::<Vec<_>>()
    };
    table(heads.collect(), cases.iter().map(line).collect(), true)
}

/// A line for each server, a column for each case that is only told.
fn ratios(servers: &[&Row]) -> String {
    let heads = std::iter::once("server").chain(RATIOS).map(str::to_owned).collect();
    let count = |row: &Row, name: &str| case_of(row, name).map_or_else(|| LACKING.to_owned(), cell);
    let line = |row: &&Row| {
        std::iter::once(row.server.clone()).chain(RATIOS.iter().map(|name| count(row, name))).collect::<Vec<_>>()
    };
    table(heads, servers.iter().map(line).collect(), true)
}

/// Versions, symbols, where the trims are done and how far apart.
fn places(servers: &[&Row]) -> String {
    let heads = ["server", "version", "libc calls on its connections", "trims before", "distance"];
    let line = |row: &&Row| {
        vec![row.server.clone(), row.version.clone(), row.symbols.join(" "), waits(&row.steady), distance(&row.steady)]
    };
    table(heads.map(str::to_owned).to_vec(), servers.iter().map(line).collect(), false)
}

fn waits(steady: &Steady) -> String {
    let share = |Share { wait, thread, trims }: &Share| format!("{wait}, {thread} thread: {trims}");
    or_lacking(steady.waits.iter().map(share).collect::<Vec<_>>().join("; "))
}

fn distance(steady: &Steady) -> String {
    let text = steady.distance.map(|found| format!("{} / {} / {} / {}", found.min, found.median, found.p90, found.max));
    or_lacking(text.unwrap_or_default())
}

fn or_lacking(text: String) -> String {
    if text.is_empty() { LACKING.to_owned() } else { text }
}

/// What else is to be said of a server.
fn notes(servers: &[&Row]) -> String {
    let of = |row: &&Row| {
        let start = row.start_up.iter().map(|text| format!("a connection's start counts: {text}"));
        let left = row
            .leftover
            .iter()
            .map(|why| format!("{} descriptors still followed when all clients had left: {why}", row.followed_at_end));
        let mut lines: Vec<String> = row.notes.iter().cloned().chain(start).chain(left).collect();
        let lacking = row.cases.iter().filter_map(|case| Some((case.reason.as_ref()?, case.case.as_str())));
        let mut reasons: Vec<(&String, Vec<&str>)> = Vec::new();
        for (reason, case) in lacking {
            match reasons.iter_mut().find(|(known, _)| *known == reason) {
                Some((_, cases)) => cases.push(case),
                None => reasons.push((reason, vec![case])),
            }
        }
        lines.extend(reasons.into_iter().map(|(reason, cases)| match cases.len() {
            1 => format!("no {}: {reason}", cases[0]),
            number => format!("{number} cases missing: {reason}"),
        }));
        lines.dedup();
        let lines: String = lines.iter().map(|line| format!("  - {line}\n")).collect();
        if lines.is_empty() { lines } else { format!("- **{}**\n{lines}", row.server) }
    };
    servers.iter().map(of).collect()
}

/// The cell of a server and a case, in whatever table it is, whichever of the two is the column.
fn said(page: &str, server: &str, case: &str) -> Option<String> {
    let mut heads: Option<Vec<&str>> = None;
    for line in page.lines() {
        let Some(cells) = cells(line) else {
            heads = None;
            continue;
        };
        let Some(heads) = &heads else {
            heads = Some(cells);
            continue;
        };
        let column = match cells[0] {
            first if first == server => heads.iter().position(|&head| head == case),
            first if first == case => heads.iter().position(|&head| head == server),
            _ => None,
        };
        if let Some(cell) = column.and_then(|column| cells.get(column)) {
            return Some((*cell).to_owned());
        }
    }
    None
}

/// The cells of a table's line.
fn cells(line: &str) -> Option<Vec<&str>> {
    let inner = line.trim().strip_prefix('|')?.strip_suffix('|')?;
    Some(inner.split('|').map(str::trim).collect())
}
