//! `autotrim doctor --try`: one malloc_trim in a process that was not prepared for it, by a debugger.

use std::ffi::OsStr;
use std::io::{BufRead, IsTerminal};
use std::ops::Range;
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::time::{Duration, Instant};

use crate::debugger::{self, Session};
use crate::elf::Elf;
use crate::failure::Failure;
use crate::frame::{self, Frame};
use crate::target::Target;
use crate::waits::{self, Thread};
use crate::{allocator, memory, terminal, tunables, units};

/// How often a process is stopped in search of a thread that waits.
const TRIES: u32 = 5;
/// How often one is looked for before, and how long is waited in between.
const LOOKS: u32 = 100;
/// No longer than this: a look at thousands of threads takes a second by itself.
const SEARCH: Duration = Duration::from_secs(5);
const PAUSE: Duration = Duration::from_millis(10);
/// No more of a stack is looked through.
const DEEPEST: u64 = 16 << 20;
/// What has to be left of one: for the call, and for a signal handler in the middle of it.
const ROOM: u64 = 8 << 10;
/// Where Go has its heap. In it are its goroutines' stacks, of which some hundred bytes may be left in a system call.
const GO_HEAP: Range<u64> = 0xc0_0000_0000..0x100_0000_0000;

/// What one trim brought. Sizes are bytes.
pub struct Outcome {
    /// RSS, and of it what is of no file, before.
    pub before: [u64; 2],
    /// The same afterwards.
    pub after: [u64; 2],
    /// The CPU time that it took.
    pub took: Duration,
    /// How long all threads stood still.
    pub stood: Duration,
}

/// Does it, once it has said what it does and that was agreed to.
pub fn attempt(target: &Target, is_agreed: bool) -> Result<Outcome, Failure> {
    let name = format!("process {} ({})", target.pid, target.name());
    let refuse = |why: String| Failure::not_done(format!("{name}: {why}: nothing was done"));
    let place = place(target).and_then(|place| free(target).map(|()| place)).map_err(refuse)?;
    let gdb = debugger::find().ok_or_else(|| refuse("gdb is not installed, and nothing else can do it".into()))?;
    soon_waiting(target.pid).ok_or_else(|| refuse(NO_THREAD.into()))?;
    if !is_agreed {
        ask(&name, target)?;
    }
    for _ in 1..TRIES {
        if let Some(outcome) = once(target, gdb.as_os_str(), place)? {
            return Ok(outcome);
        }
        soon_waiting(target.pid).ok_or_else(|| refuse(NO_THREAD.into()))?;
    }
    once(target, gdb.as_os_str(), place)?.ok_or_else(|| refuse(NO_THREAD.into()))
}

/// Stops the process and has it trim; nothing where no thread could do it at that moment.
fn once(target: &Target, gdb: &OsStr, at: Place) -> Result<Option<Outcome>, Failure> {
    let failed = |why| Failure::not_done(format!("process {} ({}): gdb: {why}", target.pid, target.name()));
    let mut session = Session::attach(gdb, target.pid).map_err(failed)?;
    // Only now does nothing move any more. It may have executed something else until then, with other addresses.
    if Target::open(target.pid).ok().and_then(|now| place(&now).ok()) != Some(at) {
        return Err(failed("it has become another program: nothing was done".into()));
    }
    let Some(thread) = waiting(target.pid) else { return Ok(None) };
    let (before, used) = (resident(target), cpu_time(target.pid, thread.id));
    let called = session.call(thread.id, at.address);
    let took = cpu_time(target.pid, thread.id).saturating_sub(used);
    let after = resident(target);
    let stood = session.let_go();
    drop(session);
    called.map_err(failed)?;
    Ok(Some(Outcome { before, after, took, stood: stood.map_err(failed)? }))
}

const NO_THREAD: &str = "no thread waits in a system call that malloc does not make, outside of signal handlers and with room on its \
                         stack, or another is stuck or frozen";

/// Where malloc_trim is, and in which program.
#[derive(Clone, Copy, PartialEq, Eq)]
struct Place {
    address: u64,
    /// Its device and inode.
    program: [u64; 2],
}

/// Whether nobody has stopped the process; an error says who has.
fn free(target: &Target) -> Result<(), String> {
    if target.status.tracerpid != 0 {
        return Err(format!("process {} is debugging it already", target.status.tracerpid));
    }
    if debugger::is_stopped(target.pid) {
        return Err("it is stopped by a signal".into());
    }
    Ok(())
}

/// Where malloc_trim is in the process; an error says why it must not be called.
fn place(target: &Target) -> Result<Place, String> {
    let is_ours = target.pid == std::process::id() as i32;
    if is_ours || !target.has_memory() {
        return Err("there is nothing to trim".into());
    }
    let malloc = allocator::name(target).ok_or("its memory may not be read; root and CAP_SYS_PTRACE may")?;
    if !malloc.starts_with(allocator::GLIBC) {
        return Err(format!("its malloc is not glibc's ({malloc}), and malloc_trim does not reach it"));
    }
    let has = |part: &str| target.files.iter().flatten().any(|file| file.name().starts_with(part));
    if has("libc_malloc_debug") {
        return Err("glibc's malloc is being debugged there".into());
    }
    if target.library().is_some() {
        return Err(format!("it has the library, which trims by itself (autotrim status {})", target.pid));
    }
    // Linux 5.18 to 6.0 would destroy data.
    if tunables::has_huge_heaps(target).unwrap_or(true) {
        return Err("glibc.malloc.hugetlb is set there, with which madvise is not safe on every kernel".into());
    }
    if line_of_status(target.pid, "Seccomp").as_deref() == Some("1") {
        return Err("it is under strict seccomp, and its first madvise would be its end".into());
    }
    if line_of_status(target.pid, "x86_Thread_features").is_some_and(|features| features.contains("shstk")) {
        return Err("it has a shadow stack, of which debuggers may not know".into());
    }
    let libc = allocator::libc_file(target).ok_or("no libc is mapped")?;
    let image =
        Elf::read(memory::Image { pid: target.pid, base: libc.first.start }).map_err(|error| error.to_string())?;
    let found = image.map(|image| image.address("malloc_trim")).transpose().map_err(|error| error.to_string())?;
    let address = found.flatten().ok_or("its libc has no malloc_trim")?;
    let program = std::fs::metadata(format!("/proc/{}/exe", target.pid)).map_err(|error| error.to_string())?;
    Ok(Place { address, program: [program.dev(), program.ino()] })
}

/// A thread in which the call can be made: it waits in a system call that malloc does not make, has a stack for it, and is in no signal
/// handler, which might have interrupted malloc. The first one is tried first.
fn waiting(pid: i32) -> Option<Thread> {
    // Files that it has mapped may have names of any bytes.
    let maps = std::fs::read(format!("/proc/{pid}/maps")).ok()?;
    let maps = String::from_utf8_lossy(&maps);
    waits::threads(pid).into_iter().find(|thread| thread.waits() && is_fit(pid, thread, &maps).unwrap_or(false))
}

/// The same, within a second or so.
fn soon_waiting(pid: i32) -> Option<Thread> {
    let start = Instant::now();
    let found = (0..LOOKS).take_while(|_| start.elapsed() < SEARCH).find_map(|_| {
        let found = waiting(pid).filter(|_| !waits::is_stuck(pid));
        if found.is_none() {
            std::thread::sleep(PAUSE);
        }
        found
    });
    found.or_else(|| waiting(pid).filter(|_| !waits::is_stuck(pid)))
}

/// Whether a thread's stack has room, and no frame for a signal handler, which the kernel puts there; `None` where it cannot be read.
fn is_fit(pid: i32, thread: &Thread, maps: &str) -> Option<bool> {
    let top = thread.stack?;
    let stack = waits::stack_in(maps, top)?;
    if GO_HEAP.contains(&top) || top - stack.start < ROOM {
        return Some(false);
    }
    let bytes = memory::read(pid, top, (stack.end.min(top + DEEPEST) - top) as usize).ok()?;
    let (words, _) = bytes.as_chunks();
    let words: Vec<u64> = words.iter().map(|word| u64::from_ne_bytes(*word)).collect();
    Some(!words.windows(frame::WORDS).enumerate().any(|(index, words)| {
        let start = top as usize + 8 * index;
        let words = words.first_chunk().filter(|_| frame::is_key(words[frame::KEY]));
        words.is_some_and(|words| Frame::read(words, start).is_some())
    }))
}

/// Says what would happen, and asks.
fn ask(name: &str, target: &Target) -> Result<(), Failure> {
    let rss = units::bytes(resident(target)[0]);
    let filter = if line_of_status(target.pid, "Seccomp").as_deref() == Some("2") {
        "  It is under a seccomp filter: one that forbids madvise or brk could end it.\n"
    } else {
        ""
    };
    terminal::ask(&format!(
        "{name}, RSS {rss}:\n  gdb stops its threads, has one that waits in a system call call malloc_trim(0), and lets go.\n  \
         It stands still meanwhile: about a second, and longer with thousands of threads or a heap of many gigabytes.\n  \
         System calls that wait may end early, with EINTR, as under any debugger.\n{filter}Do it? [y/N] "
    ));
    if !std::io::stdin().is_terminal() {
        terminal::ask("\n");
        return Err(Failure::unsuitable("nobody is there to agree: --yes does it without a question"));
    }
    let mut answer = String::new();
    let _ = std::io::stdin().lock().read_line(&mut answer);
    match answer.trim() {
        "y" | "Y" | "yes" => Ok(()),
        _ => Err(Failure::not_done("nothing was done")),
    }
}

/// RSS, and of it what is of no file.
fn resident(target: &Target) -> [u64; 2] {
    let status = target.status_now().ok();
    let bytes = |kilobytes: Option<u64>| kilobytes.unwrap_or(0) * 1024;
    status.map_or([0; 2], |status| [bytes(status.vmrss), bytes(status.rssanon)])
}

/// What a thread has used of a CPU (the first field of schedstat, in nanoseconds).
fn cpu_time(pid: i32, thread: i32) -> Duration {
    let text = std::fs::read_to_string(format!("/proc/{pid}/task/{thread}/schedstat")).unwrap_or_default();
    let nanoseconds = text.split_ascii_whitespace().next().and_then(|word| word.parse().ok());
    Duration::from_nanos(nanoseconds.unwrap_or(0))
}

/// What a field of `/proc/PID/status` says.
fn line_of_status(pid: i32, field: &str) -> Option<String> {
    let status = std::fs::read_to_string(Path::new("/proc").join(pid.to_string()).join("status")).ok()?;
    let value = status.lines().find_map(|line| line.strip_prefix(field)?.strip_prefix(':'));
    value.map(|value| value.trim().to_owned())
}
