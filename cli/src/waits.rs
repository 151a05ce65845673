//! The threads of a process, and what each waits for.

use std::ops::Range;

use crate::frame;

/// A thread, as `/proc/PID/task/TID/syscall` tells it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Thread {
    /// Its id, as we see it.
    pub id: i32,
    /// The system call that it is in; `None` = none, or it runs.
    pub call: Option<i64>,
    /// The call's arguments.
    pub arguments: [u64; 6],
    /// Where its stack ends; `None` while it runs.
    pub stack: Option<u64>,
}

impl Thread {
    /// Whether it waits in a system call that malloc does not make.
    pub fn waits(&self) -> bool {
        let Some(call) = self.call else { return false };
        // A lock of malloc's is waited for without a bit set, a condition or a semaphore with one (nptl/futex-internal.c).
        let command = self.arguments[1] as i32 & libc::FUTEX_CMD_MASK;
        match call {
            libc::SYS_futex => command == libc::FUTEX_WAIT_BITSET,
            // Which goes on with a poll, a sleep, or a futex until a time, where something has interrupted that (restart_syscall(2)).
            libc::SYS_restart_syscall => true,
            libc::SYS_nanosleep | libc::SYS_clock_nanosleep | libc::SYS_rt_sigtimedwait | libc::SYS_waitid => true,
            call => frame::is_wait(call),
        }
    }
}

/// Whether a thread of process `pid` waits for something that no signal interrupts, as all of a frozen one do: it would not stop.
pub fn is_stuck(pid: i32) -> bool {
    let tasks = std::fs::read_dir(format!("/proc/{pid}/task")).into_iter().flatten().flatten();
    let mut states = tasks.filter_map(|task| {
        let stat = std::fs::read(task.path().join("stat")).ok()?;
        // Its name, in parentheses, may be of any bytes.
        let end = stat.iter().rposition(|&byte| byte == b')')?;
        stat.get(end + 2).copied()
    });
    states.any(|state| state == b'D')
}

/// The mapping that has this address, of a thread's stack, by `/proc/PID/maps`. That of the first thread, which grows, begins at 0.
pub fn stack_in(maps: &str, address: u64) -> Option<Range<u64>> {
    maps.lines().find_map(|line| {
        let (start, end) = line.split(' ').next()?.split_once('-')?;
        let number = |text| u64::from_str_radix(text, 16).ok();
        let (start, end) = (number(start)?, number(end)?);
        let found = (start..end).contains(&address);
        found.then_some(if line.ends_with(" [stack]") { 0..end } else { start..end })
    })
}

/// The threads of process `pid`, those that can be read, the first one first.
pub fn threads(pid: i32) -> Vec<Thread> {
    let tasks = std::fs::read_dir(format!("/proc/{pid}/task")).into_iter().flatten().flatten();
    let mut threads: Vec<Thread> = tasks
        .filter_map(|task| {
            let id = task.file_name().to_str()?.parse().ok()?;
            Some(parse(id, &std::fs::read_to_string(task.path().join("syscall")).ok()?))
        })
        .collect();
    threads.sort_by_key(|thread| thread.id);
    threads
}

/// `running`, or a call's number (-1 = none) with its arguments, the stack pointer and the place in the program (proc_pid_syscall(5)).
fn parse(id: i32, line: &str) -> Thread {
    let words: Vec<&str> = line.split_ascii_whitespace().collect();
    let number = |word: &&str| u64::from_str_radix(word.strip_prefix("0x")?, 16).ok();
    let call = words.first().and_then(|word| word.parse().ok()).filter(|&call: &i64| call >= 0);
    let mut arguments = [0; 6];
    if call.is_some() {
        arguments
            .iter_mut()
            .zip(words.iter().skip(1))
            .for_each(|(argument, word)| *argument = number(word).unwrap_or(0));
    }
    let stack = if words.len() >= 3 { words.get(words.len() - 2).and_then(number) } else { None };
    Thread { id, call, arguments, stack }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_thread_that_waits_tells_its_call_and_its_stack() {
        let line = "281 0x3 0x7f1 0x80 0xffffffff 0x0 0x8 0x7ffd1234 0x7f5678\n";
        let expected =
            Thread { id: 7, call: Some(281), arguments: [3, 0x7f1, 0x80, 0xffff_ffff, 0, 8], stack: Some(0x7ffd_1234) };
        assert_eq!(parse(7, line), expected);
    }

    #[test]
    fn only_the_first_stack_grows() {
        let maps = "7f0000010000-7f0000020000 rw-p 00000000 00:00 0 \n\
                    7ffd00010000-7ffd00020000 rw-p 00000000 00:00 0                          [stack]\n";
        assert_eq!(stack_in(maps, 0x7f00_0001_0000), Some(0x7f00_0001_0000..0x7f00_0002_0000));
        assert_eq!(stack_in(maps, 0x7ffd_0001_8000), Some(0..0x7ffd_0002_0000));
        assert_eq!(stack_in(maps, 0x7f00_0002_0000), None);
    }

    #[test]
    fn a_lock_of_malloc_is_no_wait() {
        let futex = |command: u64| Thread {
            id: 7,
            call: Some(libc::SYS_futex),
            arguments: [0, command, 2, 0, 0, 0],
            stack: None,
        };
        // FUTEX_WAIT_PRIVATE, as malloc does; FUTEX_WAIT_BITSET_PRIVATE, with and without FUTEX_CLOCK_REALTIME.
        assert!(!futex(0x80).waits());
        assert!(futex(0x89).waits() && futex(0x189).waits());
        let call = |number| Thread { id: 7, call: Some(number), arguments: [0; 6], stack: None };
        assert!(
            call(libc::SYS_restart_syscall).waits()
                && call(libc::SYS_epoll_wait).waits()
                && call(libc::SYS_clock_nanosleep).waits()
        );
        for number in
            [libc::SYS_madvise, libc::SYS_brk, libc::SYS_mmap, libc::SYS_munmap, libc::SYS_vfork, libc::SYS_write]
        {
            assert!(!call(number).waits(), "{number}");
        }
        assert!(!Thread { id: 7, call: None, arguments: [0; 6], stack: None }.waits());
    }

    #[test]
    fn one_that_does_not_tells_less() {
        let none = Thread { id: 7, call: None, arguments: [0; 6], stack: None };
        for line in ["running\n", "", "x"] {
            assert_eq!(parse(7, line), none, "{line:?}");
        }
        assert_eq!(parse(7, "-1 0x7ffd1234 0x7f5678\n"), Thread { stack: Some(0x7ffd_1234), ..none });
    }
}
