//! The threads of a process, and what each waits for.

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
    fn one_that_does_not_tells_less() {
        let none = Thread { id: 7, call: None, arguments: [0; 6], stack: None };
        for line in ["running\n", "", "x"] {
            assert_eq!(parse(7, line), none, "{line:?}");
        }
        assert_eq!(parse(7, "-1 0x7ffd1234 0x7f5678\n"), Thread { stack: Some(0x7ffd_1234), ..none });
    }
}
