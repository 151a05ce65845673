//! A `malloc_trim(0)` that another process is made to call: what memory it can do without, by glibc's own word.
//!
//! As a debugger does it, so that the process needs no handler, thread or option for it, any of which could change what the
//! library does there. Afterwards it stays stopped: it is only good to be looked at and ended.

use super::common::wait_within;
use object::{Object, ObjectSymbol};
use procfs::process::{MMapPath, Process};
use std::time::Duration;

/// A walk over the largest heap of the tests takes a hundredth of it.
const LIMIT: Duration = Duration::from_secs(30);

/// What the kernel leaves as the result of a call that it has interrupted: EINTR, or that it is to begin again (linux/errno.h).
const INTERRUPTED: [i64; 5] = [-4, -512, -513, -514, -516];

/// Has a process's first thread call `malloc_trim(0)` in the wait in which it is.
///
/// In a wait, because a thread that computes may hold a lock of malloc's.
pub fn force_trim(pid: u32) {
    let function = address(pid, "malloc_trim");
    let tracee = pid as libc::pid_t;
    let mut registers = wait_within(LIMIT, "a thread that waits", || {
        ask(libc::PTRACE_SEIZE, tracee, 0, 0);
        ask(libc::PTRACE_INTERRUPT, tracee, 0, 0);
        stopped(tracee);
        let registers = registers(tracee);
        let waits = registers.orig_rax as i64 >= 0 && INTERRUPTED.contains(&(registers.rax as i64));
        if !waits {
            ask(libc::PTRACE_DETACH, tracee, 0, 0);
        }
        waits.then_some(registers)
    });
    // Below the red zone, aligned as a call leaves it; it returns to an address that nothing is mapped at, which stops it.
    registers.rsp = ((registers.rsp - 1024) & !15) - 8;
    ask(libc::PTRACE_POKEDATA, tracee, registers.rsp as usize, 0);
    registers.rip = function;
    registers.rdi = 0;
    registers.rax = 0;
    // No call is to begin again.
    registers.orig_rax = u64::MAX;
    ask(libc::PTRACE_SETREGS, tracee, 0, (&raw const registers) as usize);
    loop {
        ask(libc::PTRACE_CONT, tracee, 0, 0);
        if stopped(tracee) == libc::SIGSEGV {
            break;
        }
    }
    assert_eq!(self::registers(tracee).rip, 0, "malloc_trim has not returned");
}

/// Where a function of libc's is in a process.
fn address(pid: u32, function: &str) -> u64 {
    let maps = Process::new(pid as i32).and_then(|process| process.maps()).expect("the process's maps");
    let is_libc = |path: &MMapPath| matches!(path, MMapPath::Path(path) if path.ends_with("libc.so.6"));
    let first = maps.iter().find(|map| is_libc(&map.pathname)).expect("a program with glibc");
    let MMapPath::Path(path) = &first.pathname else { unreachable!("it has a path") };
    let file = std::fs::read(path).expect("libc");
    let file = object::File::parse(&*file).expect("an ELF file");
    let symbol = file.dynamic_symbols().find(|symbol| symbol.name() == Ok(function));
    first.address.0 + symbol.expect("libc's own function").address()
}

fn ask(request: libc::c_uint, pid: libc::pid_t, address: usize, data: usize) {
    // SAFETY: the requests above write to the other process alone, and read registers that outlive the call.
    let answer = unsafe { libc::ptrace(request, pid, address, data) };
    assert_ne!(answer, -1, "ptrace: {}", std::io::Error::last_os_error());
}

fn registers(pid: libc::pid_t) -> libc::user_regs_struct {
    let mut registers = std::mem::MaybeUninit::uninit();
    // SAFETY: the kernel fills the registers in, or the call has failed.
    unsafe {
        assert_eq!(libc::ptrace(libc::PTRACE_GETREGS, pid, 0, registers.as_mut_ptr()), 0, "the registers");
        registers.assume_init()
    }
}

/// Waits until the traced thread has stopped; the signal that it has stopped for.
fn stopped(pid: libc::pid_t) -> libc::c_int {
    wait_within(LIMIT, "a thread that stops", || {
        let mut status = 0;
        // SAFETY: the kernel writes one integer.
        let got = unsafe { libc::waitpid(pid, &raw mut status, libc::__WALL | libc::WNOHANG) };
        assert_ne!(got, -1, "waitpid: {}", std::io::Error::last_os_error());
        assert!(got == 0 || libc::WIFSTOPPED(status), "the process has ended: {status}");
        (got == pid).then(|| libc::WSTOPSIG(status))
    })
}
