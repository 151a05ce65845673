//! The arenas of glibc's malloc: how many there are, what they hold, and which of them a trim reaches.

use std::ffi::OsStr;
use std::fs::File;
use std::io::BufReader;
use std::os::unix::ffi::OsStrExt;

use nix::errno::Errno;

use super::findings::{Findings, Level};
use crate::block::Trim;
use crate::heaps::{self, Arenas, WORDS};
use crate::status;
use crate::target::Target;
use crate::{allocator, memory, units};

/// From here on it is worth a note that a trim leaves what is free there.
const MUCH: u64 = 16 << 20;
/// The tunable that may make heaps of another size.
const HUGETLB: &[u8] = b"glibc.malloc.hugetlb=";

/// Nothing where glibc's malloc is not in use, or its arenas cannot be known.
pub fn of(target: &Target, findings: &mut Findings) {
    if !allocator::name(target).is_some_and(|name| name.starts_with(allocator::GLIBC)) {
        return;
    }
    let found = found(target);
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

/// The secondary arenas; nothing where they cannot be told from other memory.
fn found(target: &Target) -> Option<Arenas> {
    if has_other_heaps(target)? {
        return None;
    }
    let smaps = BufReader::new(File::open(format!("/proc/{}/smaps", target.pid)).ok()?);
    let mut is_closed = false;
    let arenas = heaps::arenas(smaps, |address| {
        let mut bytes = [0; 8 * WORDS];
        match memory::read_into(target.pid, address, &mut bytes) {
            Ok(()) => {}
            // It was unmapped meanwhile.
            Err(Errno::EFAULT) => return None,
            Err(_) => {
                is_closed = true;
                return None;
            }
        }
        let (words, _) = bytes.as_chunks();
        Some(std::array::from_fn(|word| u64::from_ne_bytes(words[word])))
    });
    arenas.filter(|_| !is_closed)
}

/// Whether glibc's malloc makes heaps of another size (manual/tunables.texi: 0 and 1 do not); `None` where that cannot be read.
fn has_other_heaps(target: &Target) -> Option<bool> {
    let environment = target.environment()?;
    let tunables = environment.get(OsStr::new("GLIBC_TUNABLES")).map(|value| value.as_bytes()).unwrap_or_default();
    let mut sizes = tunables.split(|&byte| byte == b':').filter_map(|tunable| tunable.strip_prefix(HUGETLB));
    Some(sizes.any(|size| !matches!(size, b"" | b"0" | b"1")))
}

fn without_library(Arenas { count, resident }: Arenas) -> (Level, String) {
    let text = match count {
        0 => "the main one alone, whose top malloc_trim gives back".into(),
        _ => format!(
            "{}; malloc_trim leaves what is free at the tops of these, and the library gives it back",
            others(count, resident)
        ),
    };
    (Level::Info, text)
}

/// What is found from outside, what the library says that a trim reaches, and the last trims.
fn with_library(found: Option<Arenas>, reached: Option<u64>, trims: &[Trim]) -> Option<(Level, String)> {
    let gave = gave(trims);
    Some(match (found, reached) {
        (None, None) => return None,
        (None, Some(reached)) => (Level::Info, format!("a trim reaches {reached}{gave}")),
        (Some(Arenas { count: 0, .. }), None) => (Level::Info, "the main one alone".into()),
        (Some(Arenas { count: 0, .. }), Some(_)) => (Level::Good, "the main one alone, which a trim reaches".into()),
        (Some(Arenas { count, resident }), None) => (Level::Info, others(count, resident)),
        (Some(Arenas { count, resident }), Some(reached)) if reached > count => {
            (Level::Good, format!("{}; a trim reaches all{gave}", others(count, resident)))
        }
        (Some(Arenas { count, resident }), Some(reached)) => {
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
