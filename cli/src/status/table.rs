//! The table: columns and no lines, as of ps(1).

use std::fmt::Write;

use crate::block::Trim;
use crate::status::report::Report;
use crate::units;

/// Trims that a small plot shows, two columns each.
const PLOTTED: usize = 12;
/// How wide that is at most, with a range such as 100.0M–200.0M behind it.
const PLOT_WIDTH: usize = 2 * PLOTTED + 14;
const LEVELS: [char; 8] = ['▁', '▂', '▃', '▄', '▅', '▆', '▇', '█'];

/// Between two columns.
const GAP: usize = 2;
/// No program's name is longer (the kernel cuts it), and no verdict.
const LONGEST_NAME: usize = 15;

/// One column.
struct Column {
    title: &'static str,
    /// Whether it holds numbers.
    is_number: bool,
    /// How wide it is at least where it must stand still: as wide as what may come.
    least: usize,
    /// Which columns are left out first where there is no room for all: those with the highest number.
    rank: u8,
    text: fn(&Report) -> String,
}

impl Column {
    /// What stands in it; programs have names of any bytes.
    fn shown(&self, report: &Report) -> String {
        units::printable(&(self.text)(report))
    }
}

const fn column(title: &'static str, is_number: bool, least: usize, rank: u8, text: fn(&Report) -> String) -> Column {
    Column { title, is_number, least, rank, text }
}

/// All of them, from left to right; the last one is the verdict.
const COLUMNS: [Column; 16] = [
    column("PID", true, 7, 0, |report| report.pid.to_string()),
    column("PROGRAM", false, 8, 0, |report| report.program.chars().take(LONGEST_NAME).collect()),
    column("ALLOCATOR", false, 10, 12, |report| report.allocator.clone().unwrap_or("-".into())),
    column("RSS", true, 7, 1, |report| bytes(report.resident_bytes)),
    column("PSS", true, 7, 9, |report| bytes(report.pss_bytes)),
    column("ANON", true, 7, 11, |report| bytes(report.anonymous_bytes)),
    column("LIVE", true, 7, 2, |report| bytes(report.live_bytes)),
    column("FREE", true, 7, 2, |report| bytes(report.free_bytes)),
    column("FLOOR", true, 7, 8, |report| bytes(report.floor_bytes)),
    column("GROWTH", true, 8, 3, |report| match (report.anonymous_bytes, report.floor_bytes) {
        (Some(now), Some(floor)) => units::difference(now, floor),
        _ => "-".into(),
    }),
    column("REQUESTS", true, 11, 7, |report| count(report.requests)),
    column("TRIMS", true, 6, 4, |report| count(report.trims)),
    column("RECLAIMED", true, 9, 6, |report| bytes(report.reclaimed_bytes)),
    column("TIME", true, 6, 10, |report| {
        report.trim_share.map_or("-".into(), |share| format!("{:.2}%", share * 100.0))
    }),
    column("WHY NOT", false, 15, 5, |report| report.why_not.clone().unwrap_or("-".into())),
    column("VERDICT", false, 20, 0, verdict),
];

fn bytes(bytes: Option<u64>) -> String {
    bytes.map_or("-".into(), units::bytes)
}

fn count(count: Option<u64>) -> String {
    count.map_or("-".into(), units::count)
}

/// Which columns there are, and how wide they are.
pub struct Layout {
    /// Places in [`COLUMNS`], and widths.
    columns: Vec<(usize, usize)>,
    plot: bool,
}

impl Layout {
    /// As wide as what is in them. `room`: where there is no room for all, some are left out.
    pub fn fitting(reports: &[Report], plot: bool, room: Option<usize>) -> Layout {
        Layout::of(reports, plot, room, |_| 0)
    }

    /// The same with room for what may come: they stand still while what is in them changes.
    pub fn still(reports: &[Report], plot: bool, room: Option<usize>) -> Layout {
        Layout::of(reports, plot, room, |column| column.least)
    }

    fn of(reports: &[Report], plot: bool, room: Option<usize>, least: impl Fn(&Column) -> usize) -> Layout {
        let width = |column: &Column| {
            let longest = reports.iter().map(|report| column.shown(report).chars().count()).max().unwrap_or(0);
            longest.max(column.title.len()).max(least(column))
        };
        let widths: Vec<usize> = COLUMNS.iter().map(width).collect();
        let mut by_rank: Vec<usize> = (0..COLUMNS.len()).collect();
        by_rank.sort_by_key(|&place| COLUMNS[place].rank);
        let plot_width = if plot { PLOT_WIDTH } else { 0 };
        let mut left = room.unwrap_or(usize::MAX).saturating_add(GAP).saturating_sub(plot_width);
        let mut columns = Vec::new();
        for place in by_rank {
            let needed = widths[place] + GAP;
            if COLUMNS[place].rank > 0 && needed > left {
                // Nor what is less important: who widens the terminal sees the next in line.
                break;
            }
            left = left.saturating_sub(needed);
            columns.push((place, widths[place]));
        }
        columns.sort_unstable();
        Layout { columns, plot }
    }

    /// One line for each process; colours only where `terminal`, and NO_COLOR (no-color.org) is not set.
    pub fn table(&self, reports: &[Report], terminal: bool) -> String {
        let colours = terminal && std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty());
        let mut text =
            self.line(|column| (column.title.into(), None), self.plot.then(|| "RSS BEFORE AND AFTER TRIMS".into()));
        for report in reports {
            let colour = |column: &Column| Some(colour(report)).filter(|_| colours && column.title == "VERDICT");
            let plot = self.plot.then(|| small_plot(&report.recent_trims));
            text += "\n";
            text += &self.line(|column| (column.shown(report), colour(column)), plot);
        }
        text
    }

    fn line(&self, cell: impl Fn(&Column) -> (String, Option<u8>), last: Option<String>) -> String {
        let mut line = String::new();
        for &(place, width) in &self.columns {
            let column = &COLUMNS[place];
            let (text, colour) = cell(column);
            let text: String = text.chars().take(width).collect();
            let blanks = " ".repeat(width - text.chars().count());
            let text = match colour {
                Some(number) => format!("\x1b[38;5;{number}m{text}\x1b[39m"),
                None => text,
            };
            let (before, after) = if column.is_number { (&*blanks, "") } else { ("", &*blanks) };
            let _ = write!(line, "{before}{text}{after}{:GAP$}", "");
        }
        line += &last.unwrap_or_default();
        line.trim_end().into()
    }
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

/// Of 256: red, yellow, green; a grey that is seen on dark and on light.
fn colour(report: &Report) -> u8 {
    match report.verdict.as_deref() {
        Some("leak") => 9,
        Some("fragmented" | "growth") => 11,
        Some("retention" | "stable") => 10,
        _ => 245,
    }
}

/// RSS before and after each of the last trims, between the least of them and the highest, which are told behind it.
fn small_plot(trims: &[Trim]) -> String {
    let shown = &trims[trims.len().saturating_sub(PLOTTED)..];
    let values: Vec<u64> =
        shown.iter().filter_map(|trim| Some([trim.before_bytes?, trim.after_bytes?])).flatten().collect();
    let (Some(&least), Some(&highest)) = (values.iter().min(), values.iter().max()) else { return String::new() };
    let (range, last) = (u128::from(highest - least).max(1), LEVELS.len() as u128 - 1);
    let level = |value: &u64| u128::from(*value - least) * last / range;
    let plot: String = values.iter().map(|value| LEVELS[level(value) as usize]).collect();
    format!("{plot} {}–{}", units::bytes(least), units::bytes(highest))
}
