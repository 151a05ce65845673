//! The triggers that need no request, and the thread that looks after them: a period, memory pressure, a signal. It
//! also has Java collect its garbage ([`java`]), where that is asked for.
//!
//! There is no thread unless an option asks for one of these. A process starts its own at a wait point or a read, once it is
//! five seconds old (a forked child: one) and has forked no child: a master that is about to fork has none, its workers
//! have one each. Until then, and in a process that forks, the triggers are looked after at wait points alone.
//!
//! The thread has all signals blocked but faults. It makes a trim due; the next wait point of another thread may take it, or the
//! thread itself does, when nothing is in flight or `AUTOTRIM_DEFER` is over.

use core::ffi::c_void;
use core::sync::atomic::{AtomicBool, Ordering::Relaxed};

use crate::decide::skips::Skip;
use crate::decide::{MILLISECOND, SECOND};
use crate::options::Options;
use crate::own::hints::Reason;
use crate::own::process::{self, Process};
use crate::own::runtime::{Runtime, runtime};
use crate::own::{descriptors, in_force};
use crate::pure::layout::Handler;
use crate::pure::pressure::{Setting, Watch as Manager};
use crate::reclaim::{duty, java, trim};
use crate::sys;
use crate::sys::signals::{self, Info, Shield};
use crate::sys::threads::{self, Company};
use crate::sys::watch::{self, Source, Told, Watch};
use crate::tell::log::{self, Lack};
use crate::watch::outside::{self, NO_MORE, PRESSURE, SIGNAL, ask, asked_by_signal, is_wanted, signal_of_thread};
use crate::watch::safety::may_act;
use crate::watch::tasks;

/// How old a program is before it starts its thread: most are gone by then, and masters have forked.
const PROGRAM_GROWN_UP: u64 = 5 * SECOND;
/// The same of a forked child, which goes on where its parent was, or is soon another program.
const CHILD_GROWN_UP: u64 = SECOND;

/// How long a process that retires waits for its thread's end: a trim that has begun is finished first.
const LONGEST_FAREWELL: u64 = SECOND;

/// How often the thread looks whether it has been left alone, while the first thread runs, and once that has ended.
const LOOK_FOR_OTHERS: u64 = SECOND;
const LOOK_FOR_LAST: u64 = 10 * MILLISECOND;

/// Whether `AUTOTRIM_SIGNAL` was ignored, or had a handler, when the program started, and so was left alone.
static SIGNAL_IS_TAKEN: AtomicBool = AtomicBool::new(false);

/// In the constructor: prepares what the options ask for.
pub fn prepare(options: &Options) {
    if !is_wanted() {
        return;
    }
    threads::resolve();
    sys::memory::at_fork(None, Some(in_parent), None);
    let is_taken = options.signal != 0 && !signals::install(options.signal, asked_by_signal);
    SIGNAL_IS_TAKEN.store(is_taken, Relaxed);
    if options.signal != 0 {
        in_force::handler(if is_taken { Handler::Taken } else { Handler::Ours });
    }
    if process::open() {
        process::with(|process| begin(process, PROGRAM_GROWN_UP));
    }
}

/// In a forked child, whose page is wiped.
pub fn in_forked_child(process: &Process) {
    if is_wanted() {
        begin(process, CHILD_GROWN_UP);
    }
}

fn begin(process: &Process, grown_up: u64) {
    process.outside.start_at.store(sys::now().saturating_add(grown_up), Relaxed);
    if SIGNAL_IS_TAKEN.load(Relaxed) {
        log::lack_silently(process, Lack::Signal);
    }
    process.hints.now();
    descriptors::mark();
}

/// The fork handler: runs in the parent of each fork(3).
extern "C" fn in_parent() {
    process::with(|process| process.outside.has_forked.store(true, Relaxed));
}

/// Whether the thread is yet to be started.
pub fn is_awaited(process: &Process) -> bool {
    let state = &process.outside;
    state.start_at.load(Relaxed) != 0 && state.thread.load(Relaxed) == 0 && !state.has_forked.load(Relaxed)
}

/// At a wait point, under `shield`: starts the thread if it is time; after how many nanoseconds it will be.
pub fn at_wait_point(process: &Process, shield: &Shield) -> Option<u64> {
    let state = &process.outside;
    let start_at = state.start_at.load(Relaxed);
    if start_at == 0 || state.thread.load(Relaxed) != 0 {
        return None;
    }
    if state.has_forked.load(Relaxed) {
        descriptors::unmark();
        return None;
    }
    let wait = start_at.saturating_sub(sys::now());
    if wait > 0 {
        return Some(wait);
    }
    if !may_act(process, shield) || state.thread.compare_exchange(0, NO_MORE, Relaxed, Relaxed).is_err() {
        return None;
    }
    // Set before the thread runs: this wait is already one that the signal need not interrupt.
    let runtime = runtime()?;
    let listens = runtime.options.signal != 0;
    state.listens.store(listens, Relaxed);
    if listens {
        process.hints.add(Reason::Signal);
    }
    descriptors::unmark();
    let stack = if runtime.java.is_some() { sys::java::STACK } else { threads::STACK };
    if !threads::start(run, signals::word(&shield.mask), stack) {
        state.listens.store(false, Relaxed);
        log::lack(process, Lack::Thread);
    }
    None
}

/// Before and after a read: starts the thread if it is time. For processes that wait nowhere else, such as workers that read
/// their tasks from a pipe.
#[cold]
pub fn at_read() {
    process::with(|process| {
        let (awaited, handed_back) = (is_awaited(process), duty::at_wait_of_child(process));
        if !awaited && (handed_back && !tasks::is_waiting_for(process) || process.has_begun()) {
            descriptors::unmark();
        }
        let start_at = process.outside.start_at.load(Relaxed);
        let awaits = start_at != 0 && runtime().is_some_and(|runtime| runtime.allocator.is_ok());
        if awaits && sys::now() >= start_at {
            let shield = signals::shield();
            at_wait_point(process, &shield);
            shield.end();
        }
    });
}

/// Ends the thread, and waits for that: no system call of ours is to come after this. `options`: the runtime is withdrawn.
pub fn stop(options: &Options) {
    process::with(|process| {
        let thread = process.outside.thread.swap(NO_MORE, Relaxed);
        let (until, mut pause) = (sys::now().saturating_add(LONGEST_FAREWELL), Info::new());
        if thread > 0 && process.is_mine() && threads::signal(thread, signal_of_thread(options)) {
            while threads::signal(thread, 0) && sys::now() < until {
                pause.take(0, Some(MILLISECOND));
            }
        }
    });
}

/// After [`stop`]: a wait point or a read may start a thread again.
pub fn resume() {
    if is_wanted() {
        process::with(|process| {
            process.outside.thread.store(0, Relaxed);
            process.hints.now();
            descriptors::mark();
        });
    }
}

/// The thread; `mask` is that of the thread which started it. When the program's own last thread has ended, so does this one, and
/// with it the process (pthread_exit(3)).
extern "C" fn run(mask: *mut c_void) -> *mut c_void {
    threads::set_name(c"autotrim");
    process::with(|process| {
        let (Some(runtime), thread) = (runtime(), threads::own_id()) else { return };
        if process.outside.thread.compare_exchange(NO_MORE, thread, Relaxed, Relaxed).is_ok() {
            look_after(process, runtime);
        }
    });
    if threads::company() == Company::None {
        // What exit(3) runs now is the program's: it gets a stack and a mask as the program's own threads have.
        signals::set_word(mask as u64);
        threads::end_on_another();
    }
    core::ptr::null_mut()
}

fn look_after(process: &Process, runtime: &Runtime) {
    let options = &runtime.options;
    let source = source(options);
    if source.is_none() && !matches!(options.pressure, Setting::Off) && !matches!(options.watch, Manager::Off) {
        log::lack(process, Lack::Pressure);
    }
    let signal = signal_of_thread(options);
    let mut watch = Watch::new(signal, source);
    while self::runtime().is_some() {
        let company = match threads::company() {
            Company::None => return,
            Company::First => LOOK_FOR_OTHERS,
            Company::Others => LOOK_FOR_LAST,
        };
        java::work(process);
        let again = trim::in_background(process).map_or(company, |again| again.min(company));
        let (told, signalled) = watch.wait(Some(again));
        match told {
            Told::Pressure => ask(process, PRESSURE),
            Told::Gone => process.stats.skip(Skip::Source),
            Told::Nothing => {}
        }
        if !signalled || watch.info.is_own() {
            continue;
        }
        if options.signal == 0 || !signals::is_installed(signal) {
            // Meant for a handler of the program's own: from now on it goes there.
            process.outside.listens.store(false, Relaxed);
            process.stats.skip(Skip::Signal);
            outside::note_handler(options);
            watch.ignore_signals();
        } else if watch.info.asks() {
            ask(process, SIGNAL);
        }
    }
}

/// What the options and the service manager say to watch.
fn source(options: &Options) -> Option<Source> {
    let write = options.write.as_ref().map(|payload| payload.as_bytes());
    match (&options.pressure, &options.watch) {
        (Setting::Off, _) => None,
        (Setting::At(path), _) => watch::open(path, write?),
        (Setting::Auto, Manager::At(path)) => watch::open(path, write?),
        (Setting::Auto, Manager::Unset) => watch::open_best(),
        (Setting::Auto, Manager::Off | Manager::Broken) => None,
    }
}
