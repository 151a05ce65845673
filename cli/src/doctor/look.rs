//! One look at the memory of a process, which several findings are drawn from.

use std::fs::File;
use std::io::BufReader;

use super::activity::{self, Runtime};
use crate::allocator;
use crate::composition::{Composition, Facts, Memory, composition};
use crate::heaps::{self, Arenas, WORDS};
use crate::pages::Pages;
use crate::smaps::{self, Mapping};
use crate::target::Target;
use crate::{tunables, waits};

/// What was seen.
pub struct Look {
    /// All mappings.
    pub mappings: Vec<Mapping>,
    /// The secondary arenas of glibc's malloc; nothing where it is not in use, or they cannot be told from other memory.
    pub arenas: Option<Arenas>,
    /// What resident memory consists of.
    pub composition: Composition,
}

impl Look {
    /// At `target`; nothing where its mappings cannot be read.
    pub fn at(target: &Target) -> Option<Look> {
        let smaps = File::open(format!("/proc/{}/smaps", target.pid)).ok()?;
        let mappings = smaps::mappings(BufReader::new(smaps)).ok()?;
        let has = |name: &str| target.files.iter().flatten().any(|file| file.name() == name);
        let runtime = activity::runtime(target);
        let facts = Facts {
            glibc: allocator::name(target)?.starts_with(allocator::GLIBC),
            python: runtime == Some(Runtime::Python),
            java: has("libjvm.so"),
            v8: runtime == Some(Runtime::Node),
            ruby: runtime == Some(Runtime::Ruby),
            stacks: waits::threads(target.pid).iter().filter_map(|thread| thread.stack).collect(),
        };
        let mut pages = Pages::of(target.pid);
        let arenas = if facts.glibc && !tunables::has_huge_heaps(target)? {
            heaps::arenas(&mappings, |address| {
                let mut bytes = [[0; 8]; WORDS];
                pages.read(address, bytes.as_flattened_mut()).then(|| bytes.map(u64::from_ne_bytes))
            })
        } else {
            None
        };
        let heaps = arenas.as_ref().map(|arenas| arenas.heaps.as_slice()).unwrap_or_default();
        let composition = composition(&mappings, heaps, &facts, pages);
        Some(Look { mappings, arenas, composition })
    }
}
