//! The arenas of glibc's malloc: how many there are, what they hold, and which of them a trim reaches.

use super::findings::{Findings, Level};
use super::look::Look;
use crate::block::Trim;
use crate::heaps::Arenas;
use crate::status;
use crate::target::Target;
use crate::{allocator, units};

/// From here on it is worth a note that a trim leaves what is free there.
const MUCH: u64 = 16 << 20;

/// Nothing where glibc's malloc is not in use, or its arenas cannot be known.
pub fn of(target: &Target, look: Option<&Look>, findings: &mut Findings) {
    if !allocator::name(target).is_some_and(|name| name.starts_with(allocator::GLIBC)) {
        return;
    }
    let found = look.and_then(|look| look.arenas.as_ref());
    let (level, text) = match (found, target.library()) {
        (None, None) => return,
        (Some(arenas), None) => without_library(arenas),
        (_, Some(_)) => {
            let report = status::report(target, None);
            match with_library(found, report.arenas, &report.recent_trims) {
                Some(said) => said,
                None => return,
            }
        }
    };
    findings.add("arenas", level, text);
}

fn without_library(arenas: &Arenas) -> (Level, String) {
    let text = match arenas.count {
        0 => "the main one alone, whose top malloc_trim gives back".into(),
        _ => format!(
            "{}; malloc_trim leaves what is free at the tops of these, and the library gives it back",
            others(arenas.count, arenas.resident())
        ),
    };
    (Level::Info, text)
}

/// What is found from outside, what the library says that a trim reaches, and the last trims.
fn with_library(found: Option<&Arenas>, reached: Option<u64>, trims: &[Trim]) -> Option<(Level, String)> {
    let gave = gave(trims);
    let found = found.map(|arenas| (arenas.count, arenas.resident()));
    Some(match (found, reached) {
        (None, None) => return None,
        (None, Some(reached)) => (Level::Info, format!("a trim reaches {reached}{gave}")),
        (Some((0, _)), None) => (Level::Info, "the main one alone".into()),
        (Some((0, _)), Some(_)) => (Level::Good, "the main one alone, which a trim reaches".into()),
        (Some((count, resident)), None) => (Level::Info, others(count, resident)),
        (Some((count, resident)), Some(reached)) if reached > count => {
            (Level::Good, format!("{}; a trim reaches all{gave}", others(count, resident)))
        }
        (Some((count, resident)), Some(reached)) => {
            let text = format!(
                "{}; a trim reaches {reached} of all {}{gave}. What is free at the tops of the others stays: their threads \
                 started before the process listened or was trimmed, or malloc's thresholds are set, by \
                 AUTOTRIM_TRIM_THRESHOLD=0, for glibc or by the program",
                others(count, resident),
                count + 1
            );
            (if resident >= MUCH { Level::Warning } else { Level::Info }, text)
        }
    })
}

fn others(count: u64, resident: u64) -> String {
    let hold = if count == 1 { "holds" } else { "hold" };
    format!("{} besides the main one {hold} {}", units::count(count), units::bytes(resident))
}

/// What the tops gave in the last trims, where the library tells that.
fn gave(trims: &[Trim]) -> String {
    let tops: Vec<u64> = trims.iter().filter_map(|trim| trim.tops_bytes).collect();
    let bytes = units::bytes(tops.iter().fold(0, |sum, bytes| sum.saturating_add(*bytes)));
    match tops.len() {
        0 => String::new(),
        1 => format!("; the last trim gave back {bytes} from tops"),
        number => format!("; the last {number} trims gave back {bytes} from tops"),
    }
}
