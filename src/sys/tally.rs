//! Only with the cargo feature `often`: how many releases of pools there were, or collections of Ruby's, in all processes of a run. The counters are in a file
//! that whoever starts the run has made, and that each process maps: a fork shares it, and a kill loses nothing.

use core::ffi::CStr;
use core::ptr;
use core::sync::atomic::{AtomicU64, Ordering::Relaxed};

use super::cell::Late;
use super::environment;

/// The variable that names the file. It is none of the library's options.
const VARIABLE: &[u8] = b"TALLY_OF_RELEASES=";
/// Bytes that are mapped; the file must have as many.
const LENGTH: usize = 4096;

/// The counters, in the order in which scripts/compare-programs reads them.
#[repr(C)]
pub struct Tally {
    /// Passes through CPython's arenas, or collections of Ruby's.
    releases: AtomicU64,
    /// What the passes gave back, in bytes.
    bytes: AtomicU64,
    /// Passes that found a doubt, each in another process.
    doubts: AtomicU64,
}

static TALLY: Late<&'static Tally> = Late::new();

/// Maps the file, if one is named. For the constructor.
pub fn prepare() {
    let mut path = [0u8; 256];
    let Some(named) = environment().find_map(|assignment| assignment.strip_prefix(VARIABLE)) else { return };
    let Some(place) = path.get_mut(..named.len()) else { return };
    place.copy_from_slice(named);
    let Ok(path) = CStr::from_bytes_until_nul(&path) else { return };
    // SAFETY: a C string; a new shared mapping of a file of that length, which nobody unmaps.
    unsafe {
        let file = libc::open(path.as_ptr(), libc::O_RDWR | libc::O_CLOEXEC);
        if file < 0 {
            return;
        }
        let access = libc::PROT_READ | libc::PROT_WRITE;
        let memory = libc::mmap(ptr::null_mut(), LENGTH, access, libc::MAP_SHARED, file, 0);
        libc::close(file);
        if memory != libc::MAP_FAILED {
            TALLY.set(&*memory.cast::<Tally>());
        }
    }
}

/// There was a pass that gave back so many bytes; `None` = it found a doubt.
pub fn count(bytes: Option<u64>) {
    let Some(tally) = TALLY.get() else { return };
    match bytes {
        Some(bytes) => {
            tally.releases.fetch_add(1, Relaxed);
            tally.bytes.fetch_add(bytes, Relaxed);
        }
        None => {
            tally.doubts.fetch_add(1, Relaxed);
        }
    }
}
