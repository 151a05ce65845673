//! What the kernel does with the memory of a process, whatever malloc gives back: huge pages, locks, swap.

use super::findings::{Findings, Level};
use super::look::Look;
use crate::target::Target;
use crate::units::bytes;

const HUGE_PAGES: &str = "/sys/kernel/mm/transparent_hugepage";
/// Less than this may be chance.
const MUCH: u64 = 4 << 20;

/// Says what concerns this process.
pub fn of(target: &Target, look: &Look, findings: &mut Findings) {
    huge_pages(target, look, findings);
    locked(target, look, findings);
    let swapped = look.composition.swapped;
    if swapped >= MUCH {
        let text = format!(
            "{} are swapped out: they count neither in RSS nor in what a trim gives back, and a trim that walks through them \
             brings them in",
            bytes(swapped)
        );
        findings.add("swap", Level::Warning, text);
    }
}

/// Whether khugepaged may take back what a trim gave (admin-guide/mm/transhuge.rst).
fn huge_pages(target: &Target, look: &Look, findings: &mut Findings) {
    let read = |name: &str| std::fs::read_to_string(format!("{HUGE_PAGES}/{name}")).unwrap_or_default();
    let enabled = read("enabled");
    let Some(mode) = chosen(&enabled) else { return };
    let missing = read("khugepaged/max_ptes_none").trim().parse::<u32>().unwrap_or(0);
    let (sum, is_off) = (&look.composition, is_off_for(target));
    // What khugepaged may fill up again: of no other memory does a trim give anything back.
    let huge = match mode {
        "always" if !is_off => sum.huge_reached,
        "madvise" if !is_off => sum.huge_wanted,
        _ => 0,
    };
    let state = if is_off { format!("{mode}, off for this process") } else { mode.to_owned() };
    let mut text = format!("transparent huge pages: {state}; {} of RSS in them", bytes(sum.huge));
    let is_undone = huge >= MUCH && missing > 0;
    if is_undone {
        text += &format!(
            "; khugepaged makes one of 512 pages of which {missing} may be missing (max_ptes_none), and so takes back what \
             trims gave"
        );
    }
    findings.add("huge pages", if is_undone { Level::Warning } else { Level::Info }, text);
    if is_undone {
        let text = format!(
            "{} of malloc's are in huge pages, which khugepaged fills up again after trims: echo 0 \
             >{HUGE_PAGES}/khugepaged/max_ptes_none ends that, for the whole machine",
            bytes(huge)
        );
        findings.advise(huge, text);
    }
}

/// The word in brackets: `always [madvise] never`.
fn chosen(enabled: &str) -> Option<&str> {
    enabled.split_once('[')?.1.split_once(']').map(|(word, _)| word)
}

/// Whether the process has switched them off for itself (PR_SET_THP_DISABLE).
fn is_off_for(target: &Target) -> bool {
    // Its name, among the rest, may be of any bytes.
    let status = target.read("status").unwrap_or_default();
    let mut lines = status.split(|&byte| byte == b'\n');
    lines.any(|line| line.strip_prefix(b"THP_enabled:").is_some_and(|value| value.trim_ascii() == b"0"))
}

/// Memory that is locked is not given back.
fn locked(target: &Target, look: &Look, findings: &mut Findings) {
    let locked = look.composition.locked;
    if locked < MUCH {
        return;
    }
    let all = target.status.vmlck.unwrap_or(0) * 1024;
    let how = if locked * 10 >= look.composition.resident * 9 { "mlockall" } else { "mlock" };
    let text = format!(
        "{} of RSS are locked ({how}; {} of address space): trims give little or nothing of it back",
        bytes(locked),
        bytes(all)
    );
    findings.add("locked", Level::Warning, text);
    findings.advise(locked, format!("{} are locked: without {how} trims would reach them", bytes(locked)));
}
