//! What a trim reaches of a process's memory, and what one could do about the rest: a line for each part that is large.

use super::findings::{Findings, Level};
use super::look::Look;
use crate::allocator;
use crate::composition::{Composition, Part};
use crate::target::Target;
use crate::units::bytes;

/// Less than this is not worth an advice.
const WORTH_ADVICE: u64 = 4 << 20;

/// What helps with one part, whether the library is there or not.
struct Advice {
    part: Part,
    text: &'static str,
}

/// Parts that no trim reaches, or only after the runtime's own collection.
const BY_PART: [Advice; 5] = [
    Advice {
        part: Part::Java,
        text: "the Java heap is its collector's: with the library AUTOTRIM_GC=java has Java collect in quiet; -Xmx bounds it, and \
               from JDK 12 on -XX:G1PeriodicGCInterval=60000 has an idle G1 give back what is free",
    },
    Advice {
        part: Part::V8,
        text: "the V8 heap is its collector's: with the library Node collects in quiet (AUTOTRIM_GC), and \
               --max-old-space-size bounds it",
    },
    Advice {
        part: Part::Ruby,
        text: "Ruby's heap is its collector's: with the library Ruby collects in quiet (AUTOTRIM_GC), which frees what its \
               objects hold in malloc",
    },
    Advice {
        part: Part::Stacks,
        text: "stacks of threads stay as large as they once were: fewer threads, or smaller stacks (ulimit -s), hold less",
    },
    Advice {
        part: Part::Shared,
        text: "shared memory is given back by who made it; PostgreSQL's is bounded by shared_buffers",
    },
];

/// Says how far trims reach, and what helps.
pub fn of(target: &Target, look: &Look, findings: &mut Findings) {
    let sum = &look.composition;
    let is_glibc = allocator::name(target).is_some_and(|name| name.starts_with(allocator::GLIBC));
    if is_glibc {
        findings.add("reach", Level::Info, reach(sum));
    }
    if target.library().is_none() && is_glibc {
        without_library(target.pid, sum, findings);
    }
    for Advice { part, text } in &BY_PART {
        if sum.of(*part) >= WORTH_ADVICE {
            findings.advise(sum.of(*part), format!("{}: {text}", bytes(sum.of(*part))));
        }
    }
}

/// What of the process's own memory is in layers that the library gives back.
fn reach(sum: &Composition) -> String {
    let (all, malloc, pools) = (sum.anonymous(), sum.malloc(), sum.of(Part::Pools));
    let reached = match pools {
        0 => format!("{} in malloc", bytes(malloc)),
        _ => format!("{} in malloc and {} in pymalloc", bytes(malloc), bytes(pools)),
    };
    let rest = all.saturating_sub(sum.reached());
    format!(
        "of {} of its own memory a trim can change {reached}, of which it gives back what is free; not the other {}",
        bytes(all),
        bytes(rest)
    )
}

fn without_library(pid: i32, sum: &Composition, findings: &mut Findings) {
    let malloc = sum.malloc();
    if malloc >= WORTH_ADVICE {
        let text = format!(
            "{} are malloc's: what of it is free the library gives back (autotrim run -- CMD); how much that is, one \
             trim tells: autotrim doctor --try {pid}",
            bytes(malloc)
        );
        findings.advise(malloc, text);
    }
    let pools = sum.of(Part::Pools);
    if pools >= WORTH_ADVICE {
        let text = format!(
            "{} are pymalloc's, which malloc_trim does not reach: the library gives back its free pools (CPython 3.10 to \
             3.14); else PYTHONMALLOC=malloc puts small objects into malloc, where they are slower",
            bytes(pools)
        );
        findings.advise(pools, text);
    }
}
