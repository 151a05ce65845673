//! Whose malloc is this, how it is set up at start, and how it releases memory.

mod fork;
mod glibc;
mod malloc;
mod others;

use crate::options::Options;
use crate::sys::handler;
use crate::sys::optional::optional;
use crate::text::Text;

use glibc::Glibc;
use malloc::Malloc;
use others::Others;

/// Names and versions, such as `glibc-2.36` or `glibc-2.36+jemalloc`.
type Name = Text<48>;

/// What releases this process's memory: the allocator that `malloc` is, and any that stands beside it.
#[derive(Clone, Copy)]
pub struct Allocator {
    glibc: Option<Glibc>,
    others: Others,
    /// Its name and version, such as `glibc-2.36`; joined by `+` where there are two.
    pub name: Name,
    /// `M_ARENA_MAX` as set by [`Allocator::prepare`]; 0 = left alone.
    pub arenas: i32,
}

impl Allocator {
    /// What is in use here, or `None` where nothing of it is known. Asked by address: an allocator is in use where the
    /// program's `malloc` lies in the same object as the function that releases its memory. glibc's malloc_trim is never
    /// called under another `malloc`.
    pub fn find() -> Option<Allocator> {
        let (malloc, mut name) = (Malloc::find(), Name::new());
        // A handler that waits may have interrupted any of them.
        let optional = optional();
        for allocator in
            [optional.jemalloc, optional.prefixed_jemalloc, optional.gperftools, optional.google, optional.mimalloc]
        {
            handler::beware_of(allocator);
        }
        let glibc = malloc.and_then(|malloc| Glibc::find(malloc, &mut name));
        let others = Others::find(malloc.filter(|_| glibc.is_none()), &mut name);
        (!name.as_bytes().is_empty()).then_some(Allocator { glibc, others, name, arenas: 0 })
    }

    /// Sets glibc's malloc up as the options ask. To be called before any other thread exists.
    pub fn prepare(&mut self, options: &Options) {
        if let Some(glibc) = &self.glibc {
            self.arenas = glibc.prepare(options);
        }
    }

    /// Gives free memory back to the kernel; of glibc's, all but `pad` bytes at the top of the heap. What was released is
    /// not told. Takes the allocator's own locks: for a wait point, never for a hook that a signal handler may call.
    pub fn release(&self, pad: u64) {
        if let Some(glibc) = &self.glibc {
            glibc.release(pad);
        }
        self.others.release();
    }
}

/// Begins the next name.
#[inline(never)]
fn named<'a>(name: &'a mut Name, text: &str) -> &'a mut Name {
    if !name.as_bytes().is_empty() {
        name.byte(b'+');
    }
    name.text(text)
}
