//! Allocators other than glibc's: those that libraries bring along beside the program's malloc, which no trim reaches, and those that take
//! its place. Each is named with the switch that helps.

use std::collections::{BTreeMap, HashSet};

use super::findings::{Findings, Level};
use super::look::Look;
use crate::composition::{Memory, Part};
use crate::pages::Pages;
use crate::smaps::Mapping;
use crate::target::Target;
use crate::{texts, units};

/// How one is known.
enum Mark {
    /// By what the name of a mapped file begins with.
    File(&'static str),
    /// By what stands in a mapped file.
    Text(&'static [u8]),
    /// By the name of the variable from which jemalloc takes its options: it is MALLOC_CONF behind the prefix that this copy was built with.
    Jemalloc,
    /// By the program's own name.
    Program(&'static str),
}

/// One that is known.
struct Known {
    mark: Mark,
    /// Whose it is; `{file}` stands for the file's name.
    holder: &'static str,
    /// Whether it is the program's malloc, and the library knows it.
    is_malloc: bool,
    /// The variable that decides; `{variable}` = the one that was found. Empty = it is none.
    variable: &'static str,
    /// What to set, and what that does.
    switch: &'static str,
}

/// Those that are known. A file goes to the first that fits.
///
/// Each switch was looked up in its project: Arrow's docs/source/cpp/env_vars.rst; jemalloc's doc/jemalloc.xml.in (opt.dirty_decay_ms) and, for
/// the prefix, src/jemalloc.c (JEMALLOC_CPREFIX "MALLOC_CONF"), of which polars, granian and DuckDB have copies; mimalloc's doc/ (Environment Options);
/// gperftools' docs/tcmalloc.adoc; MariaDB's innodb_buffer_pool_size.
const KNOWN: [Known; 8] = [
    Known {
        mark: Mark::File("libjemalloc"),
        holder: "jemalloc is the program's malloc",
        is_malloc: true,
        variable: "MALLOC_CONF",
        switch: "MALLOC_CONF=background_thread:true,dirty_decay_ms:1000,muzzy_decay_ms:0 has it give back what is free",
    },
    Known {
        mark: Mark::File("libmimalloc"),
        holder: "mimalloc is the program's malloc",
        is_malloc: true,
        variable: "MIMALLOC_PURGE_DELAY",
        switch: "MIMALLOC_PURGE_DELAY=0 (before 2.1 MIMALLOC_RESET_DELAY=0) has it give back at once what is freed, which costs CPU time",
    },
    Known {
        mark: Mark::File("libtcmalloc"),
        holder: "tcmalloc is the program's malloc",
        is_malloc: true,
        variable: "TCMALLOC_AGGRESSIVE_DECOMMIT",
        switch: "TCMALLOC_AGGRESSIVE_DECOMMIT=true has gperftools' give back at once what is freed, which costs CPU time",
    },
    Known {
        mark: Mark::File("libarrow.so"),
        holder: "Apache Arrow (pyarrow) has a pool of its own",
        is_malloc: false,
        variable: "ARROW_DEFAULT_MEMORY_POOL",
        switch: "ARROW_DEFAULT_MEMORY_POOL=system has it use malloc, whose free memory the library gives back",
    },
    Known {
        mark: Mark::Jemalloc,
        holder: "{file} has a jemalloc of its own",
        is_malloc: false,
        variable: "{variable}",
        switch: "{variable}=dirty_decay_ms:0,muzzy_decay_ms:0 has it give back at once what is freed, which costs CPU time",
    },
    Known {
        mark: Mark::Text(b"mimalloc: warning: "),
        holder: "{file} has a mimalloc of its own",
        is_malloc: false,
        variable: "MIMALLOC_PURGE_DELAY",
        switch: "MIMALLOC_PURGE_DELAY=0 (before 2.1 MIMALLOC_RESET_DELAY=0) has it give back at once what is freed, which costs CPU time",
    },
    Known {
        mark: Mark::Program("mariadbd"),
        holder: "MariaDB has its buffer pool and other caches beside malloc",
        is_malloc: false,
        variable: "",
        switch: "innodb_buffer_pool_size bounds the largest of them",
    },
    Known {
        mark: Mark::Program("mysqld"),
        holder: "MySQL has its buffer pool and other caches beside malloc",
        is_malloc: false,
        variable: "",
        switch: "innodb_buffer_pool_size bounds the largest of them",
    },
];

/// Less than this in memory of which nothing is known is not worth an advice.
const WORTH_ADVICE: u64 = 4 << 20;
/// So much of files is looked through at a time, and the next time so much of it again, for what lies across.
const PIECE: usize = 256 << 10;
const AGAIN: usize = 64;
/// And so much of a process at most, of its memory and of its address space.
const MOST: usize = 1 << 30;
const MOST_SPACE: u64 = 16 << 30;

/// What was found: who, and what helps; the variable that has been set already.
struct Found {
    holder: String,
    is_malloc: bool,
    switch: String,
    set: Option<String>,
}

/// Names those of a process.
pub fn of(target: &Target, look: &Look, findings: &mut Findings) {
    let other = look.composition.of(Part::Other);
    let has_library = target.library().is_some();
    for Found { holder, is_malloc, switch, set } in found(target, &look.mappings) {
        let set = set.map(|set| format!("; set here: {set}")).unwrap_or_default();
        let (level, reach) = match is_malloc {
            true => (Level::Info, "which the library has give back what is free; without it"),
            false => (Level::Warning, "which no trim of malloc reaches:"),
        };
        findings.add("allocator", level, format!("{holder}, {reach} {switch}{set}"));
        if other >= WORTH_ADVICE && set.is_empty() && !(is_malloc && has_library) {
            let whose = if is_malloc { "are not in glibc's malloc" } else { "are in no allocator that a trim reaches" };
            findings.advise(other, format!("{} {whose}: {switch}", units::bytes(other)));
        }
    }
}

fn found(target: &Target, mappings: &[Mapping]) -> Vec<Found> {
    let environment = target.environment().unwrap_or_default();
    let tell = |known: &Known, file: &str, variable: &str| {
        let put = |text: &str| text.replace("{file}", file).replace("{variable}", variable);
        let name = put(known.variable);
        let value = environment.get(std::ffi::OsStr::new(&name)).map(|value| value.to_string_lossy().into_owned());
        let set = value.map(|value| format!("{name}={value}"));
        Found { holder: put(known.holder), is_malloc: known.is_malloc, switch: put(known.switch), set }
    };
    let program = target.process.exe().unwrap_or_default();
    let program = program.file_name().unwrap_or_default().to_string_lossy();
    let of_program = KNOWN.iter().filter(|known| matches!(known.mark, Mark::Program(name) if name == program));
    let of_program: Vec<Found> = of_program.map(|known| tell(known, "", "")).collect();
    let of_files = texts_of(target.pid, mappings);
    let of_files = of_files.iter().filter_map(|(file, texts)| {
        KNOWN.iter().find_map(|known| {
            let variable = match known.mark {
                Mark::File(prefix) => file.starts_with(prefix).then_some(""),
                Mark::Text(text) => texts.marks.contains(&text).then_some(""),
                Mark::Jemalloc => texts.variable.as_deref(),
                Mark::Program(_) => None,
            }?;
            Some(tell(known, file, variable))
        })
    });
    of_program.into_iter().chain(of_files).collect()
}

/// What stands in a file, of what is looked for.
#[derive(Default)]
struct Texts {
    marks: Vec<&'static [u8]>,
    variable: Option<String>,
}

impl Texts {
    /// Takes a piece of the file.
    fn take(&mut self, piece: &[u8]) {
        for known in &KNOWN {
            if let Mark::Text(text) = known.mark
                && !self.marks.contains(&text)
                && texts::contains(piece, text)
            {
                self.marks.push(text);
            }
        }
        self.variable = self.variable.take().or_else(|| texts::jemalloc_variable(piece));
    }
}

/// By name, what stands in the programs and libraries of a process, as far as they are in memory. Files of data are none, whatever stands
/// in them, and may be large.
fn texts_of(pid: i32, mappings: &[Mapping]) -> BTreeMap<String, Texts> {
    let mut found: BTreeMap<String, Texts> = BTreeMap::new();
    let (mut pages, mut left, mut piece) = (Pages::of(pid), MOST, vec![0; PIECE]);
    let of_file = || mappings.iter().filter(|mapping| mapping.inode != 0);
    let identity = |mapping: &Mapping| (mapping.inode, mapping.name.clone());
    let programs: HashSet<_> = of_file().filter(|mapping| mapping.permissions.contains('x')).map(identity).collect();
    let is_read = |mapping: &&Mapping| {
        mapping.permissions.starts_with("r-") && mapping.resident > 0 && programs.contains(&identity(mapping))
    };
    let mut space = MOST_SPACE;
    for mapping in of_file().filter(is_read) {
        let size = mapping.size().min(space);
        space -= size;
        let name = mapping.name.rsplit('/').next().unwrap_or_default();
        let texts = found.entry(units::printable(name)).or_default();
        for run in pages.runs(mapping.start, mapping.start + size) {
            let mut at = run.start;
            while at < run.end && left > 0 {
                let length = PIECE.min((run.end - at) as usize);
                if pages.read(at, &mut piece[..length]) {
                    texts.take(&piece[..length]);
                }
                left = left.saturating_sub(length);
                // What lies across two pieces is in the next one whole.
                at += if at + length as u64 == run.end { length } else { length - AGAIN } as u64;
            }
        }
    }
    found
}
