//! The table: columns and no lines, as of ps(1).

use comfy_table::{Cell, CellAlignment, Color, Table, presets::NOTHING};

use crate::block::Trim;
use crate::status::report::Report;
use crate::units;

/// Trims that a small plot shows, two columns each.
const PLOTTED: usize = 12;
const LEVELS: [char; 8] = ['▁', '▂', '▃', '▄', '▅', '▆', '▇', '█'];

/// Column titles, and whether they hold numbers.
const COLUMNS: [(&str, bool); 12] = [
    ("PID", true),
    ("PROGRAM", false),
    ("ALLOCATOR", false),
    ("RSS", true),
    ("ANON", true),
    ("FLOOR", true),
    ("GROWTH", true),
    ("REQUESTS", true),
    ("TRIMS", true),
    ("RECLAIMED", true),
    ("TIME", true),
    ("VERDICT", false),
];

/// One line for each process; colours only where `terminal`, and NO_COLOR (no-color.org) is not set.
pub fn table(reports: &[Report], plot: bool, terminal: bool) -> String {
    let colours = terminal && std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty());
    let mut table = Table::new();
    table.load_style(NOTHING);
    if colours {
        table.enforce_styling();
    } else {
        table.force_no_tty();
    }
    let titles = COLUMNS.iter().map(|(title, is_number)| aligned(Cell::new(title), *is_number));
    table.set_header(titles.chain(plot.then(|| Cell::new("RSS BEFORE AND AFTER TRIMS"))));
    for report in reports {
        let texts = texts(report).map(|text| units::printable(&text));
        let mut cells: Vec<Cell> =
            texts.iter().zip(COLUMNS).map(|(text, (_, is_number))| aligned(Cell::new(text), is_number)).collect();
        if let Some(verdict) = cells.pop() {
            cells.push(if colours { coloured(verdict, report) } else { verdict });
        }
        cells.extend(plot.then(|| Cell::new(small_plot(&report.recent_trims))));
        table.add_row(cells);
    }
    table.trim_fmt()
}

fn texts(report: &Report) -> [String; COLUMNS.len()] {
    let bytes = |bytes: Option<u64>| bytes.map_or("-".into(), units::bytes);
    let count = |count: Option<u64>| count.map_or("-".into(), units::count);
    let growth = match (report.anonymous_bytes, report.floor_bytes) {
        (Some(now), Some(floor)) => units::difference(now, floor),
        _ => "-".into(),
    };
    [
        report.pid.to_string(),
        report.program.clone(),
        report.allocator.clone().unwrap_or("-".into()),
        bytes(report.resident_bytes),
        bytes(report.anonymous_bytes),
        bytes(report.floor_bytes),
        growth,
        count(report.requests),
        count(report.trims),
        bytes(report.reclaimed_bytes),
        report.trim_share.map_or("-".into(), |share| format!("{:.2}%", share * 100.0)),
        verdict(report),
    ]
}

/// In the words of the documentation, with its figure.
fn verdict(report: &Report) -> String {
    match (report.verdict.as_deref(), report.leak_bytes_per_request, report.verdict_bytes) {
        (_, Some(rate), _) => format!("leak? {}B/request", units::bytes(rate)),
        (Some("growth"), _, Some(bytes)) => format!("growth +{}", units::bytes(bytes)),
        (Some(verdict), _, Some(bytes)) => format!("{verdict} {}", units::bytes(bytes)),
        (Some(verdict), ..) => verdict.to_owned(),
        (None, ..) if report.note.is_some() => "no access".into(),
        (None, ..) => "not serving".into(),
    }
}

fn coloured(cell: Cell, report: &Report) -> Cell {
    match report.verdict.as_deref() {
        Some("leak") => cell.fg(Color::Red),
        Some("fragmented") => cell.fg(Color::Yellow),
        Some("retention" | "stable") => cell.fg(Color::Green),
        _ => cell.fg(Color::DarkGrey),
    }
}

fn aligned(cell: Cell, is_number: bool) -> Cell {
    if is_number { cell.set_alignment(CellAlignment::Right) } else { cell }
}

/// RSS before and after each of the last trims, from nothing to the highest.
fn small_plot(trims: &[Trim]) -> String {
    let shown = &trims[trims.len().saturating_sub(PLOTTED)..];
    let values: Vec<u64> =
        shown.iter().filter_map(|trim| Some([trim.before_bytes?, trim.after_bytes?])).flatten().collect();
    let highest = values.iter().copied().max().unwrap_or(0).max(1);
    let last = LEVELS.len() as u128 - 1;
    let level = |value: &u64| u128::from(*value) * last / u128::from(highest);
    values.iter().map(|value| LEVELS[level(value) as usize]).collect()
}
