//! Where the memory of the process is: what RSS consists of, and what of it is locked, shared, swapped out or in huge pages.

use super::findings::{Findings, Level};
use super::look::Look;
use crate::composition::Part;
use crate::target::Target;
use crate::{allocator, units};

/// Less than this is not worth a line.
const WORTH_TELLING: u64 = 1 << 20;

/// What RSS consists of.
pub fn of(target: &Target, look: Option<&Look>, findings: &mut Findings) {
    let Some(look) = look else { return by_status(target, findings) };
    let malloc = allocator::name(target).unwrap_or_default();
    let parts = look.composition.by_size().into_iter();
    let parts: Vec<String> =
        parts.map(|(part, bytes)| format!("{} {}", label(part, look, &malloc), units::bytes(bytes))).collect();
    let text = format!("RSS {} = {}", units::bytes(look.composition.resident), parts.join(" + "));
    findings.add("memory", Level::Info, text);
    beside(look, findings);
}

/// What a part is called in a process with this malloc.
fn label(part: Part, look: &Look, malloc: &str) -> String {
    let is_glibc = malloc.starts_with(allocator::GLIBC);
    match (part, look.arenas.as_ref().map(|arenas| arenas.count)) {
        (Part::Arenas, Some(1)) => "one more arena".into(),
        (Part::Arenas, Some(count)) => format!("{} more arenas", units::count(count)),
        // Other allocators take theirs by mmap, which nothing tells apart.
        (Part::Other, _) if allocator::is_known(malloc) => format!("{malloc} and other anonymous"),
        (Part::MainHeap, _) if !is_glibc => "heap by brk".into(),
        _ => part.name().into(),
    }
}

/// What is true of some of it, whichever part that is in.
fn beside(look: &Look, findings: &mut Findings) {
    let sum = &look.composition;
    let mut said = Vec::new();
    let mut say = |bytes: u64, words: &str| {
        if bytes >= WORTH_TELLING {
            said.push(format!("{} {words}", units::bytes(bytes)));
        }
    };
    say(sum.huge, "in transparent huge pages");
    say(sum.locked, "locked");
    say(sum.shared_anonymous, "shared with processes that were forked from it, or it from them");
    say(sum.hugetlb, "beside RSS in pages of hugetlbfs");
    say(sum.swapped, "swapped out");
    if sum.proportional + WORTH_TELLING < sum.resident {
        said.push(format!("PSS is {}", units::bytes(sum.proportional)));
    }
    if !said.is_empty() {
        findings.add("memory", Level::Info, format!("of it {}", said.join(", ")));
    }
}

/// What everybody may know.
fn by_status(target: &Target, findings: &mut Findings) {
    let kilobytes = |size: Option<u64>| size.unwrap_or(0) * 1024;
    let status = &target.status;
    let parts = [status.rssanon, status.rssfile, status.rssshmem].map(kilobytes);
    let [anonymous, files, shared] = parts.map(units::bytes);
    let total = units::bytes(parts.iter().sum());
    let text = format!("RSS {total} = anonymous {anonymous} + files {files} + shared {shared}");
    findings.add("memory", Level::Info, text);
}
