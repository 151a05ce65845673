//! What the documentation says of options, log lines, metrics and verdicts. It is said once, in the tables of `docs/`, and tests of
//! the library hold those against its source.

const OPTIONS: &str = include_str!("../../docs/options.md");
const LOG: &str = include_str!("../../docs/troubleshooting.md");
const METRICS: &str = include_str!("../../docs/metrics.md");

/// The cells of a row.
pub type Row = Vec<&'static str>;

/// Name, default and meaning of each option.
pub fn options() -> Vec<Row> {
    rows(OPTIONS, "name")
}

/// How values are written: what stands before the table of options.
pub fn values() -> &'static str {
    OPTIONS.split_once("| name |").map_or("", |(before, _)| before)
}

/// How each line of the log begins, and what it means.
pub fn events() -> Vec<Row> {
    rows(LOG, "line")
}

/// Fields of the log's lines, and what they mean.
pub fn fields() -> Vec<Row> {
    rows(LOG, "field")
}

/// Name, type and meaning of each metric.
pub fn metrics() -> Vec<Row> {
    rows(METRICS, "metric")
}

/// Each verdict, and what it says; after the titles, which begin the sentences of their columns.
pub fn verdicts() -> (Row, Vec<Row>) {
    let titles = METRICS.lines().find(|line| line.starts_with("| verdict |")).and_then(cells);
    (titles.unwrap_or_default(), rows(METRICS, "verdict"))
}

/// The rows of the table whose first column has this title.
fn rows(page: &'static str, title: &str) -> Vec<Row> {
    let lines = page.lines().skip_while(|line| !line.starts_with(&format!("| {title} |")));
    // After the titles, and the line below them.
    lines.skip(2).map_while(cells).collect()
}

fn cells(line: &'static str) -> Option<Row> {
    let row = line.strip_prefix('|')?.strip_suffix('|')?;
    Some(row.split('|').map(str::trim).collect())
}
