//! What the memory of real programs consists of, recorded from them: `tests/memory/NAME.txt` has what is known of a process, its smaps,
//! and the words that its allocators and runtimes begin their memory with.
//!
//! To record another one: `AUTOTRIM_RECORD='PID NAME glibc python' cargo nextest run --run-ignored all -E 'test(=records::record)'`, with the
//! words of [`facts`] that hold.
use std::collections::BTreeMap;
use std::fmt::Write;
use std::path::{Path, PathBuf};

use crate::composition::Part::{Arenas, Blocks, Code, Data, Files, Java, MainHeap, Other, Pools, Ruby, Stacks, V8};
use crate::composition::{Composition, Facts, Memory, Part, composition};
use crate::smaps::Mapping;
use crate::{heaps, pages, smaps, waits};

/// The words at an address.
type Words = BTreeMap<u64, Vec<u64>>;

fn file(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/memory").join(name).with_extension("txt")
}

fn facts(words: &[&str], stacks: Vec<u64>) -> Facts {
    let is = |name: &str| words.contains(&name);
    Facts { glibc: is("glibc"), python: is("python"), java: is("java"), v8: is("v8"), ruby: is("ruby"), stacks }
}

/// What the command would make of this, when `read` reads the memory.
fn look(mappings: &[Mapping], facts: &Facts, mut read: impl FnMut(u64, &mut [u8]) -> bool) -> Composition {
    let begins = |at: u64| {
        let mut bytes = [[0; 8]; heaps::WORDS];
        read(at, bytes.as_flattened_mut()).then(|| bytes.map(u64::from_ne_bytes))
    };
    let arenas = if facts.glibc { heaps::arenas(mappings, begins) } else { None };
    let heaps = arenas.unwrap_or_default().heaps;
    composition(mappings, &heaps, facts, read)
}

/// A record, looked at.
fn recorded(name: &str) -> Composition {
    let text = std::fs::read_to_string(file(name)).unwrap_or_else(|error| panic!("{name}: {error}"));
    let (first, rest) = text.split_once('\n').expect("a first line");
    let (known, stacks) = first.split_once(" stacks").expect("stacks");
    let hexadecimal = |word: &str| u64::from_str_radix(word, 16).expect("a number");
    let stacks = stacks.split_ascii_whitespace().map(hexadecimal).collect();
    let (mappings, words) = rest.split_once("\nwords\n").expect("words");
    let words: Words = words
        .lines()
        .map(|line| {
            let mut words = line.split(' ').map(hexadecimal);
            (words.next().expect("an address"), words.collect())
        })
        .collect();
    let mappings = smaps::mappings(mappings.as_bytes()).expect("mappings");
    look(&mappings, &facts(&known.split(' ').collect::<Vec<_>>(), stacks), |at, bytes| {
        let Some(words) = words.get(&at) else { return false };
        let known = words.iter().flat_map(|word| word.to_ne_bytes());
        bytes.iter_mut().zip(known).for_each(|(byte, known)| *byte = known);
        true
    })
}

/// Asserts that these are the parts that matter, the largest first, in megabytes, and that little is left of which nothing is known.
#[track_caller]
fn consists(name: &str, expected: &[(Part, u64)]) {
    const MB: u64 = 1 << 20;
    let composition = recorded(name);
    let rounded = |bytes: u64| (bytes + MB / 2) / MB;
    let parts: Vec<_> = composition.by_size().into_iter().map(|(part, bytes)| (part, rounded(bytes))).collect();
    assert_eq!(
        parts.iter().copied().filter(|(_, mb)| *mb > 0).collect::<Vec<_>>(),
        expected,
        "{name}: {composition:#?}"
    );
    let sum: u64 = composition.by_size().iter().map(|(_, bytes)| bytes).sum();
    assert_eq!(sum, composition.resident, "{name}: nothing is counted twice or left out");
}

/// Records a process.
#[test]
#[ignore = "records a process"]
fn record() {
    let asked = std::env::var("AUTOTRIM_RECORD").expect("AUTOTRIM_RECORD");
    let words: Vec<&str> = asked.split(' ').collect();
    let [pid, name, known @ ..] = words.as_slice() else { panic!("{asked}") };
    let pid: i32 = pid.parse().expect("a process id");
    let smaps = std::fs::read(format!("/proc/{pid}/smaps")).expect("smaps");
    let mappings = smaps::mappings(smaps.as_slice()).expect("mappings");
    let stacks: Vec<u64> = waits::threads(pid).iter().filter_map(|thread| thread.stack).collect();
    let facts = facts(known, stacks);
    let mut pages = pages::Pages::of(pid);
    let mut seen = Words::new();
    let real = look(&mappings, &facts, |at, bytes| {
        let read = pages.read(at, bytes);
        let (words, _) = bytes.as_chunks();
        let words: Vec<u64> = words.iter().map(|word| u64::from_ne_bytes(*word)).collect();
        if read && tells(at, &words, facts.ruby) && seen.get(&at).is_none_or(|known| known.len() < words.len()) {
            seen.insert(at, words);
        }
        read
    });
    let mut text = known.join(" ") + " stacks";
    facts.stacks.iter().for_each(|stack| write!(text, " {stack:x}").expect("text"));
    text.push('\n');
    for mapping in &mappings {
        let Mapping { start, end, permissions, inode, .. } = mapping;
        let name = known_part(&mapping.name);
        writeln!(text, "{start:x}-{end:x} {permissions} 0 0:0 {inode} {name}").expect("text");
        let sizes = [
            ("Rss", mapping.resident),
            ("Pss", mapping.proportional),
            ("Anonymous", mapping.anonymous),
            ("AnonHugePages", mapping.huge),
            ("Shared_Dirty", mapping.shared),
            ("Swap", mapping.swapped),
        ];
        for (field, bytes) in sizes.into_iter().filter(|(_, bytes)| *bytes > 0) {
            writeln!(text, "{field}: {} kB", bytes / 1024).expect("text");
        }
        if mapping.is_locked {
            text.push_str("VmFlags: lo\n");
        }
    }
    text.push_str("\nwords\n");
    for (at, words) in seen {
        let words: Vec<String> = words.iter().map(|word| format!("{word:x}")).collect();
        writeln!(text, "{at:x} {}", words.join(" ")).expect("text");
    }
    std::fs::create_dir_all(file(name).parent().expect("a directory")).expect("a directory");
    std::fs::write(file(name), text).expect("the record");
    assert_eq!(recorded(name), real);
    println!("{:#?}", real);
}

/// Of a path the file's name, as where it lies says nothing; but what shared memory is called is known by its beginning.
fn known_part(name: &str) -> String {
    let is_shared = ["/dev/", "/memfd:", "/SYSV"].iter().any(|prefix| name.starts_with(prefix));
    match name.rsplit_once('/') {
        Some((_, file)) if !is_shared => format!("/{file}"),
        _ => name.to_owned(),
    }
}

/// Whether words at an address are the beginning of something: all else, the data of programs, is not recorded.
fn tells(at: u64, words: &[u64], is_ruby: bool) -> bool {
    use crate::pure::pools::{Arena, Header, POOL};
    let is_inside = |word: u64, least: u64| word >= at + least && word <= at + (1 << 30);
    match words {
        // A heap.
        [arena, ..] if words.len() == heaps::WORDS => is_inside(*arena, 0),
        // A large block, or a page of V8.
        [0, size, ..] if words.len() == 5 => size & 0xfff == 2,
        [_, _, _, _, _] if is_ruby => at.is_multiple_of(64 << 10),
        [size, _, _, first, last] => size % 4096 == 0 && is_inside(*first, 0) && is_inside(*last, 0),
        [_, _, _, _, _, _] if is_ruby => true,
        &[count, free, next, previous, ids, places] => {
            let (arena, class) = (ids as u32, (ids >> 32) as u32);
            let (unused, last) = (places as u32, (places >> 32) as u32);
            let header = Header { count, free, next, previous, arena, class, unused, last };
            // The next free pool of its arena may be on either side.
            let starts = [at as usize, at.saturating_sub(1 << 20) as usize];
            let is_pool = starts.iter().any(|start| Arena::at(*start).look(at as usize, &header).is_some());
            at.is_multiple_of(POOL as u64) && header != Header::default() && is_pool
        }
        _ => false,
    }
}

/// gthread, four threads, JSON: each thread has an arena, and CPython its own.
#[test]
fn gunicorn() {
    consists("gunicorn", &[(Arenas, 31), (Pools, 22), (Files, 5), (MainHeap, 4), (Data, 2), (Blocks, 1)]);
}

/// Four threads; the large rest is Ruby's transient heap, which begins in no way of its own.
#[test]
fn puma() {
    consists("puma", &[(Arenas, 11), (Files, 9), (MainHeap, 7), (Other, 7), (Ruby, 3), (Data, 1)]);
}

/// Node 20.
#[test]
fn node() {
    consists("node", &[(Files, 39), (V8, 18), (MainHeap, 4), (Arenas, 2)]);
}

/// Java 17 with G1.
#[test]
fn java() {
    consists(
        "java",
        &[(Java, 124), (Files, 20), (Data, 11), (Other, 8), (Blocks, 3), (Code, 2), (Arenas, 2), (Stacks, 1)],
    );
}

/// Debian's, linked with jemalloc, whose memory looks like nobody's.
#[test]
fn redis() {
    consists("redis", &[(Files, 9), (Other, 6), (Data, 1)]);
}

/// cpp-httplib, four threads.
#[test]
fn a_server_in_cpp() {
    consists("cpp", &[(Arenas, 28), (Files, 7), (Data, 1)]);
}

/// The buffer pool and other caches are mapped by themselves.
#[test]
fn mariadb() {
    consists("mariadb", &[(Other, 89), (Files, 23), (Blocks, 16), (MainHeap, 4), (Data, 3), (Arenas, 2)]);
}

/// Its arrays are in a pool of its own, which is not malloc's.
#[test]
fn pyarrow() {
    consists("pyarrow", &[(Other, 40), (Files, 36), (Pools, 9), (MainHeap, 5), (Data, 4), (Blocks, 1)]);
}
