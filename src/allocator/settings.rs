//! What is set in glibc's malloc, and when.
//!
//! What a user asks for by number is set at start. What `auto` stands for pays only where we trim, so it waits until there is
//! something to trim for: `M_ARENA_MAX` until the process listens, the thresholds until it has answered a request. A process that
//! we leave alone from then on gets glibc's start values back; what the program sets itself is left as it is.
//!
//! malloc_trim releases the main arena to its top. Of the others it leaves the tops ([`super::tops`]), which nothing but
//! `M_TRIM_THRESHOLD` releases: where several threads allocate in several arenas, that is lower, and for the moment of a trim it is 0.
//! To set that stops glibc's dynamic rule; so where nothing was set until then, what is left behind is where that rule ends.

use core::ffi::c_int;
use core::sync::atomic::{AtomicI32, AtomicU8, Ordering::Relaxed};

use super::tops;
use crate::options::{Arenas, Options, TrimThreshold};
use crate::sys;
use crate::sys::cpus;
use crate::sys::huge_pages::Enabled;
use crate::sys::optional::optional;
use crate::sys::real;

/// Kept beside a fixed `M_TRIM_THRESHOLD`: setting that freezes glibc's dynamic mmap threshold at 128 K, and then
/// reusing a 1 MB buffer costs an mmap and all its page faults each time. This is the most that mallopt
/// takes on 64-bit machines (HEAP_MAX_SIZE / 2, glibc malloc/malloc.c).
const MMAP_THRESHOLD: c_int = 32 << 20;

/// Where glibc's dynamic rule for `M_TRIM_THRESHOLD` ends: twice the mmap threshold (malloc/malloc.c, `__libc_free`). On the way there
/// free(3) gives back the top of the heap after each large answer, only to fault it in again for the next: a budget decides that better.
const TRIM_THRESHOLD: c_int = 2 * MMAP_THRESHOLD;

/// The same beside several arenas of CPython, and where that has too many page faults. DESIGN.md (Defaults) has the figures.
const TRIM_THRESHOLD_OF_MANY: c_int = 8 << 20;
const TRIM_THRESHOLD_OF_BUFFERS: c_int = 16 << 20;

/// Where the same rule starts, for both (malloc/malloc.c, `DEFAULT_TRIM_THRESHOLD` and `DEFAULT_MMAP_THRESHOLD_MIN`).
const START: c_int = 128 << 10;

/// glibc's own `M_TOP_PAD` (malloc/malloc.h, `DEFAULT_TOP_PAD`).
const TOP_PAD: c_int = 128 << 10;

/// glibc's own limit of arenas for each CPU (malloc/arena.c, `NARENAS_FROM_NCORES`).
const ARENAS_PER_CPU: i32 = 8;

/// Parts of what is set.
const ARENAS: u8 = 1;
const THRESHOLDS: u8 = 2;
/// Of these the trim threshold is that for one arena, because there was only one thread to allocate.
const ALONE: u8 = 4;
/// Thresholds were set to release tops, here or in the process that this was forked from.
const TOPS: u8 = 8;
/// Of the thresholds that are set the trim threshold is that for many page faults.
const BUFFERS: u8 = 16;

/// What `auto` has set in this process, or in the one that it was forked from, and has not been put back.
static SET: AtomicU8 = AtomicU8::new(0);
/// What the program has set itself.
static OWN: AtomicU8 = AtomicU8::new(0);

/// `M_TRIM_THRESHOLD` and `M_TOP_PAD` as they are but for the moment of a trim, whoever set them; 0 = glibc's dynamic rule.
static TRIM: AtomicI32 = AtomicI32::new(0);
static PAD: AtomicI32 = AtomicI32::new(TOP_PAD);

/// How many arenas as many threads may use as `cpus` run at once: one for each, and the main one, which glibc would give to the last of
/// them. That costs a pool of threads up to 6 % (DESIGN.md, Malloc is set up where we trim, and only there). Threads of one CPU hardly ever meet.
fn arenas_for(cpus: u32) -> i32 {
    let others = i32::from(cpus > 1);
    i32::try_from(cpus).map_or(0, |cpus| cpus.saturating_add(others))
}

/// What is to be set where a process serves.
#[derive(Clone, Copy)]
pub struct Settings {
    /// `M_ARENA_MAX`; 0 = none.
    arenas: i32,
    /// Whether the thresholds are to be set.
    thresholds: bool,
    /// `M_TRIM_THRESHOLD` beside several arenas.
    trim_threshold_of_many: c_int,
    /// `M_ARENA_MAX` as the user asked for it; 0 = not at all.
    asked: i32,
    /// Whether the tops of secondary arenas may be released: not where thresholds are a matter of the user.
    tops: bool,
    /// Whether malloc asks for huge pages (glibc.malloc.hugetlb=1), and whether its pages are those of hugetlbfs (2, or their size).
    asks_for_huge: bool,
    is_hugetlbfs: bool,
}

impl Settings {
    /// Sets what the options ask for by number, before any other thread exists, and tells what `auto` stands for. What the user
    /// set for glibc itself wins over that.
    pub fn at_start(options: &Options) -> Settings {
        let trim_threshold_of_many = if is_ruby() { TRIM_THRESHOLD } else { TRIM_THRESHOLD_OF_MANY };
        let mut settings = Settings {
            arenas: 0,
            thresholds: false,
            trim_threshold_of_many,
            asked: 0,
            tops: false,
            asks_for_huge: hugetlb().any(|value| value == b"1"),
            is_hugetlbfs: hugetlb().any(is_hugetlbfs),
        };
        if let Arenas::AtMost(number) = options.arenas {
            settings.asked = number;
        } else if !is_tuned(&TUNED_ARENAS) && allocates_under_a_lock() {
            settings.arenas = cpus::available().map_or(0, arenas_for);
        }
        if settings.asked > 0 {
            set(libc::M_ARENA_MAX, settings.asked);
        }
        match options.trim_threshold {
            TrimThreshold::At(0) => {}
            TrimThreshold::At(bytes) => {
                set_thresholds(i32::try_from(bytes).unwrap_or(i32::MAX), MMAP_THRESHOLD);
                settings.tops = true;
            }
            TrimThreshold::Auto => {
                settings.tops = !is_tuned(&TUNED_THRESHOLDS);
                settings.thresholds = settings.arenas > 0 && options.rules.growth.is_on() && settings.tops;
            }
        }
        settings
    }

    /// `M_ARENA_MAX` in a process that serves; 0 = glibc's own.
    pub fn arenas(&self) -> i32 {
        let own = OWN.load(Relaxed) & ARENAS != 0;
        if own { 0 } else { self.asked.max(self.arenas) }
    }

    /// Whether the program allocates under an interpreter's lock, and nothing else was asked for.
    pub fn is_for_interpreter(&self) -> bool {
        self.arenas > 0
    }

    /// Whether [`Settings::limit_arenas`] has something to do.
    pub fn has_arenas_to_limit(&self) -> bool {
        self.missing() & ARENAS != 0
    }

    /// Limits the number of arenas: before threads allocate that answer requests.
    pub fn limit_arenas(&self) {
        if self.has_arenas_to_limit() {
            set(libc::M_ARENA_MAX, self.arenas);
            SET.fetch_or(ARENAS, Relaxed);
        }
    }

    /// Whether [`Settings::take_over`] has something to do.
    pub fn has_something_to_take_over(&self) -> bool {
        self.missing() != 0
    }

    /// The duty of trimming is ours from here on. `alone`: the process has but one thread.
    pub fn take_over(&self, alone: bool) {
        self.limit_arenas();
        if self.missing() & THRESHOLDS != 0 {
            let one = alone || self.arenas <= 1;
            set_thresholds(if one { TRIM_THRESHOLD } else { self.trim_threshold_of_many }, MMAP_THRESHOLD);
            SET.fetch_or(THRESHOLDS | if alone { ALONE } else { 0 }, Relaxed);
        }
    }

    /// Whether [`Settings::share`] has something to do if another thread has come.
    pub fn is_for_one_thread(&self) -> bool {
        self.arenas > 1 && SET.load(Relaxed) & !OWN.load(Relaxed) & ALONE != 0
    }

    /// Another thread has come.
    pub fn share(&self) {
        if SET.fetch_and(!ALONE, Relaxed) & ALONE != 0 {
            set_trim_threshold(self.trim_threshold_of_many);
        }
    }

    /// Whether page faults may say that the trim threshold is too low.
    pub fn may_be_raised(&self) -> bool {
        let is_low = TRIM.load(Relaxed) == TRIM_THRESHOLD_OF_MANY;
        is_low && SET.load(Relaxed) & !OWN.load(Relaxed) & (THRESHOLDS | BUFFERS) == THRESHOLDS
    }

    /// They do.
    pub fn raise(&self) {
        SET.fetch_or(BUFFERS, Relaxed);
        set_trim_threshold(TRIM_THRESHOLD_OF_BUFFERS);
    }

    /// Whether tops may be released here.
    pub fn has_tops(&self) -> bool {
        self.tops && OWN.load(Relaxed) & THRESHOLDS == 0
    }

    /// Releases the tops of the arenas that have a plant, but for `pad` bytes of each. Whether there is a plant:
    /// then [`tops::grow`] has to follow.
    pub fn release_tops(&self, pad: u64) -> bool {
        if !tops::are_planted() || !self.has_tops() {
            return false;
        }
        if TRIM.load(Relaxed) == 0 {
            set_thresholds(TRIM_THRESHOLD, MMAP_THRESHOLD);
            SET.fetch_or(THRESHOLDS | TOPS, Relaxed);
        }
        set(libc::M_TRIM_THRESHOLD, 0);
        set(libc::M_TOP_PAD, i32::try_from(pad).unwrap_or(i32::MAX));
        tops::cut();
        // The program may have set them meanwhile.
        set(libc::M_TOP_PAD, PAD.load(Relaxed));
        set(libc::M_TRIM_THRESHOLD, TRIM.load(Relaxed));
        true
    }

    /// Whether the kernel may put malloc's heaps into huge pages by itself, as it is `enabled`.
    pub fn may_get_huge_pages(&self, enabled: Enabled) -> bool {
        match enabled {
            Enabled::Always => !self.is_hugetlbfs,
            Enabled::Advised => self.asks_for_huge,
            Enabled::Never => false,
        }
    }

    /// It is glibc's again. The dynamic rule does not come back: it stays where it starts. No more arenas come where glibc
    /// has asked for the limit already (malloc/arena.c, `narenas_limit`).
    pub fn put_back(&self) {
        put_back_thresholds();
        if SET.fetch_and(!ARENAS, Relaxed) & !OWN.load(Relaxed) & ARENAS != 0 {
            // SAFETY: no preconditions.
            let cpus = unsafe { libc::sysconf(libc::_SC_NPROCESSORS_ONLN) };
            set(libc::M_ARENA_MAX, i32::try_from(cpus.max(1)).unwrap_or(1).saturating_mul(ARENAS_PER_CPU));
        }
    }

    /// Whether a process that serves has thresholds of ours.
    fn has_thresholds(&self) -> bool {
        self.thresholds || SET.load(Relaxed) & TOPS != 0
    }

    /// What is to be set, is not, and is not the program's own.
    fn missing(&self) -> u8 {
        let wanted = if self.arenas > 0 { ARENAS } else { 0 } | if self.has_thresholds() { THRESHOLDS } else { 0 };
        wanted & !SET.load(Relaxed) & !OWN.load(Relaxed)
    }
}

/// Whether the thresholds are those of a process that is trimmed: perhaps only of the one that this was forked from.
pub fn has_thresholds() -> bool {
    SET.load(Relaxed) & THRESHOLDS != 0
}

/// Puts the thresholds back to where glibc starts.
pub fn put_back_thresholds() {
    if SET.fetch_and(!(THRESHOLDS | ALONE | BUFFERS), Relaxed) & !OWN.load(Relaxed) & THRESHOLDS != 0 {
        set_thresholds(START, START);
    }
}

/// The program calls mallopt(3): what it sets is its own from here on.
pub fn setting_up(parameter: c_int, value: c_int, next: impl Fn() -> c_int) -> c_int {
    program_sets(parameter, value);
    next()
}

fn program_sets(parameter: c_int, value: c_int) {
    match parameter {
        libc::M_TRIM_THRESHOLD => TRIM.store(value, Relaxed),
        libc::M_TOP_PAD => PAD.store(value, Relaxed),
        _ => {}
    }
    let part = match parameter {
        libc::M_ARENA_MAX | libc::M_ARENA_TEST => ARENAS,
        libc::M_TRIM_THRESHOLD | libc::M_MMAP_THRESHOLD | libc::M_TOP_PAD | libc::M_MMAP_MAX => THRESHOLDS | ALONE,
        _ => return,
    };
    OWN.fetch_or(part, Relaxed);
}

fn set_thresholds(trim: c_int, mmap: c_int) {
    set_trim_threshold(trim);
    set(libc::M_MMAP_THRESHOLD, mmap);
}

fn set_trim_threshold(bytes: c_int) {
    TRIM.store(bytes, Relaxed);
    set(libc::M_TRIM_THRESHOLD, bytes);
}

fn set(parameter: c_int, value: c_int) {
    if let Some(mallopt) = real::mallopt.known() {
        // SAFETY: glibc's mallopt, thread-safe (mallopt(3)); an unsuitable value is refused with 0 and changes nothing.
        unsafe { mallopt(parameter, value) };
    }
}

/// What a user may have set for glibc itself: a variable, and a tunable of the same meaning (malloc/arena.c, `ptmalloc_init`).
type Tuning = (&'static [u8], &'static [u8]);

const TUNED_ARENAS: [Tuning; 1] = [(b"MALLOC_ARENA_MAX", b"glibc.malloc.arena_max=")];

/// Any of these freezes the dynamic rule.
const TUNED_THRESHOLDS: [Tuning; 4] = [
    (b"MALLOC_TRIM_THRESHOLD_", b"glibc.malloc.trim_threshold="),
    (b"MALLOC_MMAP_THRESHOLD_", b"glibc.malloc.mmap_threshold="),
    (b"MALLOC_TOP_PAD_", b"glibc.malloc.top_pad="),
    (b"MALLOC_MMAP_MAX_", b"glibc.malloc.mmap_max="),
];

/// Whether the environment already sets one of these.
fn is_tuned(tunings: &[Tuning]) -> bool {
    tunings.iter().any(|&(variable, tunable)| {
        sys::is_set(variable) || tunables().any(|assignment| assignment.starts_with(tunable))
    })
}

/// What the environment sets of glibc's tunables, as `name=value`.
pub fn tunables() -> impl Iterator<Item = &'static [u8]> {
    sys::environment()
        .filter_map(|assignment| assignment.strip_prefix(b"GLIBC_TUNABLES="))
        .flat_map(|tunables| tunables.split(|&byte| byte == b':'))
}

/// What the environment says of pages for malloc.
pub fn hugetlb() -> impl Iterator<Item = &'static [u8]> {
    tunables().filter_map(|tunable| tunable.strip_prefix(b"glibc.malloc.hugetlb="))
}

/// Whether such a value means pages of hugetlbfs. It is read as C reads numbers; 0 and 1 mean something else (manual/tunables.texi).
pub fn is_hugetlbfs(value: &[u8]) -> bool {
    !matches!(value, b"" | b"0" | b"1")
}

/// Whether an interpreter lock serialises most of allocation, so that few arenas cost nothing: CPython, but not a
/// free-threaded build (which alone exports `_Py_MergeZeroLocalRefcount`), and Ruby.
fn allocates_under_a_lock() -> bool {
    let optional = optional();
    (!optional.python.is_null() && optional.python_without_lock.is_null()) || is_ruby()
}

fn is_ruby() -> bool {
    !optional().ruby.is_null()
}
