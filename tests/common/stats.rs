//! The library's own block of counters, read out of a running process as any observer can.

use object::{Object, ObjectSymbol};
use procfs::process::{MMapPath, Process};
use std::sync::OnceLock;

/// What one process has counted so far.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Counts {
    pub requests: u64,
    /// Connections pending now.
    pub in_flight: i64,
    pub trims: u64,
}

/// Counts of a process; nothing where it has no library, or has accepted no connection yet.
pub fn counts(pid: u32) -> Option<Counts> {
    let block = block(pid)?;
    let word = |at: usize| u64::from_ne_bytes(block[at..at + 8].try_into().expect("8 bytes"));
    let owner = i32::from_ne_bytes(block[..4].try_into().expect("4 bytes"));
    // A forked child that has done nothing yet shows its parent's place, and zeros; one that only listens, no beginning.
    (owner == pid as i32 && word(BEGAN) != 0).then(|| Counts {
        requests: word(8),
        in_flight: word(16) as i64,
        trims: (0..TRIGGERS).map(|trigger| word(40 + 8 * trigger)).sum(),
    })
}

/// What a process has given back, in bytes; nothing where it has no library, or has accepted no connection yet.
pub fn reclaimed(pid: u32) -> Option<u64> {
    const AT: usize = 40 + 8 * TRIGGERS;
    let block = block(pid)?;
    Some(u64::from_ne_bytes(block[AT..AT + 8].try_into().expect("8 bytes")))
}

/// What the floors of a process say.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    Unknown,
    Stable,
    Retention,
    Leak { bytes_per_request: u64, requests: u64 },
    Fragmented,
    Growth,
}

/// The verdict on a process; nothing where it has no library, or has accepted no connection yet.
pub fn verdict(pid: u32) -> Option<Verdict> {
    /// Behind the counters of trims: eight words, and the ring of 64 trims of five words; then looks that found no growth.
    const AT: usize = 40 + 8 * TRIGGERS + 8 * (8 + 64 * 5 + 1);
    let block = block(pid)?;
    let word = |n: usize| u64::from_ne_bytes(block[AT + 8 * n..AT + 8 * n + 8].try_into().expect("8 bytes"));
    Some(match (word(0), word(1), word(2)) {
        (0, 0, 0) => Verdict::Unknown,
        (1, 0, 0) => Verdict::Stable,
        (2, 0, 0) => Verdict::Retention,
        (3, bytes_per_request, requests) => Verdict::Leak { bytes_per_request, requests },
        (4, 0, 0) => Verdict::Fragmented,
        (5, 0, 0) => Verdict::Growth,
        other => panic!("a verdict of {other:?}"),
    })
}

/// How many descriptors of a process the library follows; nothing where it has no library.
pub fn followed(pid: u32) -> Option<usize> {
    let directory = directory(pid)?;
    let end = read(pid, directory.connections_end, 8)?;
    let end = usize::from_ne_bytes(end.try_into().ok()?);
    Some(read(pid, directory.connections, end)?.iter().filter(|&&state| state != 0).count())
}

/// Where the block tells when the process received from its first connection.
const BEGAN: usize = 32;

/// Triggers of a trim, each with a counter of its own.
const TRIGGERS: usize = 6;

struct Directory {
    size: usize,
    stats: u64,
    connections: u64,
    connections_end: u64,
}

fn block(pid: u32) -> Option<Vec<u8>> {
    let directory = directory(pid)?;
    (directory.stats != 0).then(|| read(pid, directory.stats, directory.size)).flatten()
}

fn directory(pid: u32) -> Option<Directory> {
    let bytes = read(pid, base(pid)? + offset(), 40)?;
    assert_eq!(&bytes[..8], b"autotrim", "autotrim_stats of {pid}");
    let number = |at: usize| u32::from_ne_bytes(bytes[at..at + 4].try_into().expect("4 bytes"));
    let address = |at: usize| u64::from_ne_bytes(bytes[at..at + 8].try_into().expect("8 bytes"));
    assert_eq!(number(8), 1, "the version of autotrim_stats");
    let size = number(12) as usize;
    Some(Directory { size, stats: address(16), connections: address(24), connections_end: address(32) })
}

/// Where the library's first byte is mapped.
fn base(pid: u32) -> Option<u64> {
    let library = super::library();
    let maps = Process::new(pid as i32).ok()?.maps().ok()?;
    maps.iter()
        .filter(|map| matches!(&map.pathname, MMapPath::Path(path) if path.file_name() == library.file_name()))
        .map(|map| map.address.0)
        .min()
}

/// The address of `autotrim_stats` in the file.
fn offset() -> u64 {
    static OFFSET: OnceLock<u64> = OnceLock::new();
    *OFFSET.get_or_init(|| {
        let data = std::fs::read(super::library()).expect("the library");
        let file = object::File::parse(&*data).expect("an ELF file");
        let symbol = file.dynamic_symbols().find(|symbol| symbol.name() == Ok("autotrim_stats"));
        symbol.expect("autotrim_stats among the exports").address()
    })
}

fn read(pid: u32, address: u64, length: usize) -> Option<Vec<u8>> {
    let mut bytes = vec![0u8; length];
    let local = libc::iovec { iov_base: bytes.as_mut_ptr().cast(), iov_len: length };
    let remote = libc::iovec { iov_base: address as *mut _, iov_len: length };
    // SAFETY: `local` is valid for writing its length; the kernel checks the other process's side.
    let copied = unsafe { libc::process_vm_readv(pid as i32, &local, 1, &remote, 1, 0) };
    (copied == length as isize).then_some(bytes)
}
