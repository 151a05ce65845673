//! PURE: what resident memory consists of. Each mapping, or part of one, has an owner: it is known by its name, by its place, or by how
//! it begins, as allocators and runtimes begin their memory in ways that nothing else does.

use std::collections::BTreeMap;

use crate::heaps::Heap;
use crate::pure::pools::{self, Header, Pool};
use crate::smaps::Mapping;

/// What a page of any of these machines is a multiple of.
const PAGE: u64 = 4096;
/// So many places of one process are looked at: the pages of four gigabytes of which nothing is known.
const MOST_LOOKS: u64 = 1 << 20;
/// And of a mapping so many for each page that is in memory, some more for small ones: most of a large one may never have been touched.
const LOOKS_A_PAGE: u64 = 16;
const SOME_LOOKS: u64 = 256;
/// HotSpot puts a heap that its compressed pointers can reach below this address (CompressedOops::ptrs_base, 32 GiB).
const JAVA_HEAP_ENDS: u64 = 32 << 30;
/// V8's pages begin at multiples of this (kPageSizeBits = 18), and what is too large for one does, too.
const V8_PAGE: u64 = 256 << 10;
/// Ruby's pages, and what their addresses are multiples of (HEAP_PAGE_ALIGN_LOG = 16).
const RUBY_PAGE: u64 = 64 << 10;
/// No stack is larger, but what is joined with one may be.
const LARGEST_STACK: u64 = 1 << 30;
/// Of so much of the address space it is looked where it is in memory, which takes 8 bytes read for each page.
const MOST_COUNTED: u64 = 64 << 30;

/// The memory that is looked at.
pub trait Memory {
    /// Copies what is at an address; false where nothing is in memory there.
    fn read(&mut self, at: u64, bytes: &mut [u8]) -> bool;

    /// How many bytes of a range are in memory; `None` = not known.
    fn present(&mut self, _start: u64, _end: u64) -> Option<u64> {
        None
    }
}

impl<R: FnMut(u64, &mut [u8]) -> bool> Memory for R {
    fn read(&mut self, at: u64, bytes: &mut [u8]) -> bool {
        self(at, bytes)
    }
}

/// Whose memory it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Part {
    /// What brk(2) gave: glibc's main arena, where its malloc is in use.
    MainHeap,
    /// The heaps of glibc's other arenas.
    Arenas,
    /// Blocks so large that glibc's malloc maps each by itself, and unmaps it when it is freed.
    Blocks,
    /// Arenas of CPython's own allocator of small objects.
    Pools,
    /// The heap of a Java virtual machine.
    Java,
    /// The heap of V8: Node, Deno, Electron.
    V8,
    /// The pages of Ruby's heap.
    Ruby,
    /// Code that was made while running.
    Code,
    /// Stacks of threads.
    Stacks,
    /// Memory of no file of which nothing else is known.
    Other,
    /// Pages of mapped files that the process has changed.
    Data,
    /// Files as they are: programs, libraries, what is read by mapping it.
    Files,
    /// Memory that is shared by agreement (shm_open, memfd_create, MAP_SHARED of no file).
    Shared,
}

impl Part {
    /// What people call it.
    pub const fn name(self) -> &'static str {
        match self {
            Part::MainHeap => "main heap",
            Part::Arenas => "arenas",
            Part::Blocks => "large blocks",
            Part::Pools => "pymalloc",
            Part::Java => "Java heap",
            Part::V8 => "V8 heap",
            Part::Ruby => "Ruby heap",
            Part::Code => "compiled code",
            Part::Stacks => "stacks",
            Part::Other => "other anonymous",
            Part::Data => "changed pages of files",
            Part::Files => "files",
            Part::Shared => "shared",
        }
    }
}

/// What has to be known of a process besides its mappings.
#[derive(Clone, Debug, Default)]
pub struct Facts {
    /// Whether glibc's malloc is in use.
    pub glibc: bool,
    /// Whether CPython runs in it.
    pub python: bool,
    /// Whether a Java virtual machine does.
    pub java: bool,
    /// Whether V8 does.
    pub v8: bool,
    /// Whether Ruby does.
    pub ruby: bool,
    /// Where the stack of each thread ends now, as far as that can be known.
    pub stacks: Vec<u64>,
}

/// The sums over all mappings, in bytes.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Composition {
    parts: BTreeMap<Part, u64>,
    /// Resident memory.
    pub resident: u64,
    /// The same, what is shared divided by how many share it.
    pub proportional: u64,
    /// Of it, memory of no file that other processes map, too: what a forked child has not changed yet.
    pub shared_anonymous: u64,
    /// Of it, in transparent huge pages.
    pub huge: u64,
    /// Of that, in what malloc and pymalloc have, and there where the program has asked for them.
    pub huge_reached: u64,
    /// See `huge_reached`.
    pub huge_wanted: u64,
    /// In pages of hugetlbfs, which RSS does not count.
    pub hugetlb: u64,
    /// Of it, what is locked.
    pub locked: u64,
    /// What has been swapped out.
    pub swapped: u64,
}

impl Composition {
    /// What one part has.
    pub fn of(&self, part: Part) -> u64 {
        self.parts.get(&part).copied().unwrap_or(0)
    }

    /// The parts that have something, the largest first.
    pub fn by_size(&self) -> Vec<(Part, u64)> {
        let mut parts: Vec<_> =
            self.parts.iter().map(|(part, bytes)| (*part, *bytes)).filter(|(_, b)| *b > 0).collect();
        parts.sort_by_key(|&(_, bytes)| std::cmp::Reverse(bytes));
        parts
    }

    /// What glibc's malloc has from the kernel: what it uses, and what is free in it.
    pub fn malloc(&self) -> u64 {
        self.of(Part::MainHeap) + self.of(Part::Arenas) + self.of(Part::Blocks)
    }

    /// The same with what CPython's pools have: all that a trim may change.
    pub fn reached(&self) -> u64 {
        self.malloc() + self.of(Part::Pools)
    }

    /// All memory of no file that is this process's own.
    pub fn anonymous(&self) -> u64 {
        let theirs = [Part::Files, Part::Shared].map(|part| self.of(part)).iter().sum();
        self.resident.saturating_sub(theirs)
    }

    fn add(&mut self, part: Part, bytes: u64) {
        *self.parts.entry(part).or_default() += bytes;
    }
}

/// What the memory consists of whose mappings these are, and these the heaps of glibc's arenas.
pub fn composition(mappings: &[Mapping], heaps: &[Heap], facts: &Facts, memory: impl Memory) -> Composition {
    let mut look = Look { heaps, facts, memory, left: MOST_LOOKS, countable: MOST_COUNTED };
    let mut sum = Composition::default();
    for mapping in mappings {
        sum.resident += mapping.resident;
        sum.proportional += mapping.proportional;
        sum.huge += mapping.huge;
        sum.hugetlb += mapping.hugetlb;
        sum.swapped += mapping.swapped;
        if mapping.is_locked {
            sum.locked += mapping.resident;
        }
        if mapping.is_anonymous() {
            sum.shared_anonymous += mapping.shared;
        }
        if mapping.resident > 0 {
            let before = sum.reached();
            look.divide(mapping, &mut sum);
            let reached = u128::from(sum.reached() - before) * u128::from(mapping.huge) / u128::from(mapping.resident);
            sum.huge_reached += reached as u64;
            sum.huge_wanted += if mapping.wants_huge { reached as u64 } else { 0 };
        }
    }
    sum
}

struct Look<'a, M> {
    heaps: &'a [Heap],
    facts: &'a Facts,
    memory: M,
    /// How many places may still be looked at, and of how much of the address space what is in memory be counted.
    left: u64,
    countable: u64,
}

impl<M: Memory> Look<'_, M> {
    /// Adds what is resident of a mapping to the parts that it belongs to.
    fn divide(&mut self, mapping: &Mapping, sum: &mut Composition) {
        if let Some(part) = self.whole(mapping) {
            sum.add(part, mapping.resident);
        } else if !mapping.is_anonymous() {
            // What a process has changed of a file of its own is a copy.
            sum.add(Part::Data, mapping.anonymous);
            sum.add(Part::Files, mapping.resident.saturating_sub(mapping.anonymous));
        } else {
            self.walk(mapping, sum);
        }
    }

    /// Whose all of it is, by its name or its place.
    fn whole(&self, mapping: &Mapping) -> Option<Part> {
        let name = mapping.name.as_str();
        let is_named = |prefixes: &[&str]| prefixes.iter().any(|prefix| name.starts_with(prefix));
        if self.facts.java && is_named(&["/memfd:java_heap"]) {
            // ZGC maps the same memory at several addresses.
            return Some(Part::Java);
        }
        if mapping.permissions.ends_with('s') {
            return is_named(&["/memfd:", "/dev/shm/", "/dev/zero", "/SYSV", "[anon_shmem:"]).then_some(Part::Shared);
        }
        if !mapping.is_anonymous() {
            return None;
        }
        match name {
            "[heap]" => Some(Part::MainHeap),
            _ if is_named(&["[stack", "[anon: glibc: pthread"]) => Some(Part::Stacks),
            _ if self.facts.java && mapping.start < JAVA_HEAP_ENDS => Some(Part::Java),
            _ if mapping.permissions.contains('x') => Some(Part::Code),
            _ => None,
        }
    }

    /// Whose the rest is of memory in which nothing else is known. Before Linux 6.7 the kernel joins a thread's stack with what is mapped
    /// behind it.
    fn rest(&self, mapping: &Mapping) -> Part {
        let holds = |stack: &u64| (mapping.start..mapping.end).contains(stack) && mapping.size() <= LARGEST_STACK;
        if self.facts.stacks.iter().any(holds) { Part::Stacks } else { Part::Other }
    }

    /// How much of a part of a mapping is in memory.
    fn resident(&mut self, mapping: &Mapping, start: u64, length: u64) -> u64 {
        if mapping.resident == mapping.size() {
            return length;
        }
        if let Some(countable) = self.countable.checked_sub(length) {
            self.countable = countable;
            if let Some(bytes) = self.memory.present(start, start + length) {
                return bytes;
            }
        }
        (u128::from(mapping.resident) * u128::from(length) / u128::from(mapping.size())) as u64
    }

    /// Goes through private memory of no file, in which the kernel may have joined what belongs to several.
    fn walk(&mut self, mapping: &Mapping, sum: &mut Composition) {
        let (mut at, mut rest) = (mapping.start, mapping.resident);
        let mut looks =
            (mapping.resident / PAGE).saturating_mul(LOOKS_A_PAGE).saturating_add(SOME_LOOKS).min(self.left);
        while at < mapping.end && looks > 0 {
            (looks, self.left) = (looks - 1, self.left - 1);
            let (part, length) = self.begins(at, mapping.end).unwrap_or((Part::Other, PAGE));
            if part != Part::Other {
                let resident = self.resident(mapping, at, length).min(rest);
                sum.add(part, resident);
                rest -= resident;
            }
            at += length;
        }
        sum.add(self.rest(mapping), rest);
    }

    /// What begins at an address, and how long it is: at least a page, and not beyond `end`.
    fn begins(&mut self, at: u64, end: u64) -> Option<(Part, u64)> {
        let heap = self.heaps.binary_search_by_key(&at, |heap| heap.base).ok().map(|index| self.heaps[index]);
        if let Some(heap) = heap {
            return Some((Part::Arenas, heap.end.min(end) - at)).filter(|(_, length)| *length > 0);
        }
        let facts = self.facts;
        let is_asked = [(facts.v8, V8_PAGE), (facts.ruby, RUBY_PAGE), (facts.glibc || facts.python, PAGE)];
        if !is_asked.iter().any(|(is_asked, multiple)| *is_asked && at.is_multiple_of(*multiple)) {
            return None;
        }
        // An arena's first page may be before its first pool, and untouched.
        let words = self.words::<5>(at).unwrap_or_default();
        if let Some(length) = block(&words, at, end).filter(|_| facts.glibc) {
            return Some((Part::Blocks, length));
        }
        if let Some(length) = v8_page(&words, at, end).filter(|_| facts.v8) {
            return Some((Part::V8, length));
        }
        if facts.ruby && self.is_ruby_page(words[0], at, end) {
            return Some((Part::Ruby, RUBY_PAGE));
        }
        (facts.python && self.is_arena_of_pools(at, end)).then_some((Part::Pools, pools::ARENA as u64))
    }

    /// Whether a page of Ruby's begins here: with where it is described, which tells where its objects begin (gc.c, struct heap_page).
    fn is_ruby_page(&mut self, description: u64, at: u64, end: u64) -> bool {
        let objects = at + 8..at + 1024;
        at.is_multiple_of(RUBY_PAGE)
            && end - at >= RUBY_PAGE
            && description > PAGE
            && description.is_multiple_of(8)
            && self.words::<6>(description).is_some_and(|words| words.iter().any(|word| objects.contains(word)))
    }

    fn words<const N: usize>(&mut self, at: u64) -> Option<[u64; N]> {
        let mut bytes = [[0; 8]; N];
        self.memory.read(at, bytes.as_flattened_mut()).then(|| bytes.map(u64::from_ne_bytes))
    }

    /// Whether all of CPython's pools are where they would be in an arena that begins here, the first of which was used first.
    fn is_arena_of_pools(&mut self, at: u64, end: u64) -> bool {
        if end - at < pools::ARENA as u64 {
            return false;
        }
        let mut arena = pools::Arena::at(at as usize);
        let mut pools = pools::pools(at as usize).map(|pool| {
            // What is not in memory was never used.
            let header = self.header(pool as u64).unwrap_or_default();
            arena.look(pool, &header)
        });
        pools.next().flatten().is_some_and(|first| first != Pool::Untouched) && pools.all(|pool| pool.is_some())
    }

    fn header(&mut self, at: u64) -> Option<Header> {
        let [count, free, next, previous, ids, places] = self.words(at)?;
        let half = |word: u64, upper: bool| if upper { (word >> 32) as u32 } else { word as u32 };
        let (arena, class) = (half(ids, false), half(ids, true));
        let (unused, last) = (half(places, false), half(places, true));
        Some(Header { count, free, next, previous, arena, class, unused, last })
    }
}

/// The length of a block that glibc's malloc has mapped by itself: nothing before it, its size, and the mark of such (malloc/malloc.c,
/// IS_MMAPPED).
fn block(&[before, size, ..]: &[u64; 5], at: u64, end: u64) -> Option<u64> {
    const IS_MMAPPED: u64 = 2;
    let length = size & !7;
    let is_block = before == 0 && size & 7 == IS_MMAPPED && length >= PAGE && length.is_multiple_of(PAGE);
    (is_block && length <= end - at).then_some(length)
}

/// The length of what V8 has mapped: its size, flags, whose it is, and where its objects begin and end (src/heap/basic-memory-chunk.h).
fn v8_page(&[size, _, heap, first, last]: &[u64; 5], at: u64, end: u64) -> Option<u64> {
    let is_page = size >= PAGE && size.is_multiple_of(PAGE) && size <= end - at;
    // What is no page may hold any number.
    let is_sound = || heap > PAGE && first > at && first < at + V8_PAGE && first < last && last <= at + size;
    (at.is_multiple_of(V8_PAGE) && is_page && is_sound()).then_some(size)
}

#[cfg(test)]
#[path = "composition_tests.rs"]
mod tests;
