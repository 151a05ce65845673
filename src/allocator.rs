//! Whose malloc is this, how it is set up, and how it releases memory.

mod fork;
mod glibc;
mod malloc;
mod name;
mod others;
pub mod settings;
pub mod tops;

use crate::options::Options;
use crate::pure::heaps::HEAP;
use crate::pure::usage::Usage;
use crate::sys::huge_pages::{self, Enabled};
use crate::sys::libc_in_use::Libc;
use crate::sys::optional::optional;
use crate::sys::{self, handler, memory};

use glibc::Glibc;
use malloc::Malloc;
use name::Name;
use others::Others;
use settings::Settings;

/// What releases this process's memory: the allocator that `malloc` is, and any that stands beside it.
#[derive(Clone, Copy)]
pub struct Allocator {
    glibc: Option<Glibc>,
    others: Others,
    /// Its name and version, such as `glibc-2.36`; joined by `+` where there are two.
    pub name: Name,
    /// What is set in glibc's malloc; `None` under another one.
    settings: Option<Settings>,
}

/// What the tops of secondary arenas did for a release.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Tops {
    /// What they gave of anonymous RSS, in bytes; `None` where they were not asked, or that could not be measured.
    pub gave: Option<u64>,
    /// How long that took, in nanoseconds.
    pub took: u64,
}

/// Why memory cannot be released, as it stands in a log line.
pub type Refusal = &'static str;

impl Allocator {
    /// What is in use here, set up as the options ask; or why it cannot be used. Asked by address: an allocator is in use where
    /// the program's `malloc` lies in the same object as the function that releases its memory. glibc's malloc_trim is never
    /// called under another `malloc`. To be called before any other thread exists.
    pub fn find(options: &Options, libc: Libc) -> Result<Allocator, Refusal> {
        let (malloc, mut name) = (Malloc::find(), Name::new());
        // A handler that waits may have interrupted any of them.
        let optional = optional();
        for allocator in
            [optional.jemalloc, optional.prefixed_jemalloc, optional.gperftools, optional.google, optional.mimalloc]
        {
            handler::beware_of(allocator);
        }
        let glibc = malloc.and_then(|malloc| Glibc::find(malloc, &mut name));
        if glibc.is_some() && glibc::is_dangerous() {
            return Err("hugetlb");
        }
        let others = Others::find(malloc.filter(|_| glibc.is_none()), &mut name);
        // musl's malloc gives back by itself what it can, and is not asked for anything.
        if name.as_bytes().is_empty() && libc == Libc::Musl {
            name::named(&mut name, "musl");
        }
        if name.as_bytes().is_empty() {
            return Err("allocator allocator=unknown");
        }
        let settings = glibc.map(|_| Settings::at_start(options));
        Ok(Allocator { glibc, others, name, settings })
    }

    /// `M_ARENA_MAX` in a process that serves; 0 = left alone.
    pub fn arenas(&self) -> i32 {
        self.settings.map_or(0, |settings| settings.arenas())
    }

    /// What `auto` stands for in glibc's malloc, where that may still have to be set. Each change takes the lock of the main
    /// arena: for a wait point, as [`Allocator::release`].
    pub fn settings(&self) -> Option<&Settings> {
        self.settings.as_ref()
    }

    /// What is in use of glibc's malloc right after [`Allocator::release`], if `last` was live before; `None` under another one, which
    /// does not tell. Takes as long as a trim that finds nothing.
    pub fn usage(&self, last: u64) -> Option<Usage> {
        self.glibc.as_ref()?.usage(last)
    }

    /// Whether the kernel may put free memory into huge pages by itself. Of another allocator than glibc's it is not known whether that
    /// asks for them.
    pub fn may_get_huge_pages(&self) -> bool {
        let enabled = huge_pages::enabled();
        self.settings.map_or(enabled != Enabled::Never, |settings| settings.may_get_huge_pages(enabled))
    }

    /// From here on it does so no more where many holes are between the pages of a heap of glibc's that are in use, as they are now; false under
    /// another allocator.
    pub fn keep_holes(&self) -> bool {
        if self.glibc.is_some() {
            if let Some((start, end)) = huge_pages::main_heap() {
                huge_pages::keep_holes(start, end);
            }
            let (mut heaps, mut end) = ([0; huge_pages::HEAPS], 0);
            loop {
                let number = huge_pages::other_heaps(end, &mut heaps);
                for &start in heaps.iter().take(number) {
                    end = start.saturating_add(HEAP);
                    huge_pages::keep_holes(start, end);
                }
                if number < heaps.len() {
                    break;
                }
            }
        }
        self.glibc.is_some()
    }

    /// Gives free memory back to the kernel; of glibc's, all but `pad` bytes at the top of the heap. Anonymous RSS is `before`, and
    /// what the tops of secondary arenas gave of that is told. Takes the allocator's own locks: for a wait point, never for a hook that a signal handler may call.
    pub fn release(&self, pad: u64, before: Option<u64>) -> Tops {
        let began = sys::now();
        let has_tops = self.settings.is_some_and(|settings| settings.release_tops(pad));
        let took = if has_tops { sys::now().saturating_sub(began) } else { 0 };
        let left = if has_tops { memory::anonymous_rss() } else { None };
        if let Some(glibc) = &self.glibc {
            glibc.release(pad);
        }
        if has_tops {
            tops::grow();
        }
        self.others.release();
        Tops { gave: before.zip(left).map(|(before, left)| before.saturating_sub(left)), took }
    }
}
