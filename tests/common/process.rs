//! What a test needs to know of the processes it started, read from /proc, and the signals it sends them.

use procfs::process::{Process, all_processes};
use procfs::{Current, Uptime};
use std::path::Path;
use std::process::{Child, Command};
use std::time::Duration;

/// Anonymous resident memory in KB; nothing when the process is gone.
pub fn anonymous_kb(pid: u32) -> Option<u64> {
    Process::new(pid as i32).ok()?.status().ok()?.rssanon
}

/// The same, each page divided by how many processes have it, and with what files have (PSS).
pub fn pss_kb(pid: u32) -> Option<u64> {
    let rollup = std::fs::read_to_string(format!("/proc/{pid}/smaps_rollup")).ok()?;
    rollup.lines().find_map(|line| line.strip_prefix("Pss:")?.trim().strip_suffix(" kB")?.parse().ok())
}

/// How often the process's main thread has gone to sleep so far.
pub fn sleeps(pid: u32) -> u64 {
    let status = Process::new(pid as i32).and_then(|process| process.status()).expect("the process's status");
    status.voluntary_ctxt_switches.expect("voluntary_ctxt_switches")
}

/// Ends a program and the children that it would leave behind.
pub fn kill_with_children(child: &mut Child) {
    for pid in children(child.id()) {
        send_signal(pid, libc::SIGKILL);
    }
    let _ = child.kill();
    let _ = child.wait();
}

/// The running children of a process, in the order of their ids; zombies have left already.
pub fn children(parent: u32) -> Vec<u32> {
    let mut pids: Vec<u32> = all_processes()
        .expect("/proc")
        .filter_map(|process| process.ok()?.stat().ok())
        .filter(|stat| stat.ppid == parent as i32 && stat.state != 'Z')
        .map(|stat| stat.pid as u32)
        .collect();
    pids.sort_unstable();
    pids
}

/// Whether the process has forked this child, its first, before it was old enough for a thread of the library: not where the machine is so
/// busy that start takes five seconds.
pub fn has_forked_soon(process: u32, child: u32) -> bool {
    let ticks =
        |pid: u32| Process::new(pid as i32).and_then(|process| process.stat()).expect("/proc/PID/stat").starttime;
    ticks(child) < ticks(process) + 4 * procfs::ticks_per_second()
}

/// Whether a file of this name is mapped into the process.
pub fn has_mapped(pid: u32, file: &Path) -> bool {
    let name = file.file_name().expect("a file name").to_string_lossy().into_owned();
    std::fs::read_to_string(format!("/proc/{pid}/maps")).is_ok_and(|maps| maps.contains(&name))
}

/// Sends a signal to one process that the test started.
pub fn send_signal(pid: u32, signal: i32) {
    // SAFETY: kill takes two integers and touches no memory of ours; an id that is gone answers ESRCH.
    unsafe { libc::kill(pid as libc::pid_t, signal) };
}

/// Starts `command` with nothing of this test's environment but what programs need to run at all.
///
/// What a developer has set (AUTOTRIM_…, MALLOC_…, GUNICORN_CMD_ARGS, …) must not decide a test.
pub fn clean_environment(command: &mut Command) -> &mut Command {
    let path = std::env::var_os("PATH").unwrap_or_default();
    command.env_clear().env("PATH", path).env("LANG", "C.UTF-8").env("PYTHONDONTWRITEBYTECODE", "1")
}

/// Lets the kernel end the process with SIGTERM when the test that started it is gone, however it ended.
pub fn end_with_this_test(command: &mut Command) -> &mut Command {
    use std::os::unix::process::CommandExt;
    // SAFETY: prctl is a bare system call, and so allowed between fork and exec.
    unsafe {
        command.pre_exec(|| {
            libc::prctl(libc::PR_SET_PDEATHSIG, libc::SIGTERM);
            Ok(())
        })
    }
}

/// How long ago a process was forked.
fn age(pid: u32) -> Duration {
    let stat = Process::new(pid as i32).and_then(|process| process.stat()).expect("a process that runs");
    let uptime = Uptime::current().expect("/proc/uptime").uptime_duration();
    uptime.saturating_sub(Duration::from_millis(stat.starttime * 1_000 / procfs::ticks_per_second()))
}

/// How long it takes until a process is so old that the library looks at it where it serves nobody: from its fifth second on.
pub fn until_old(pid: u32) -> Duration {
    Duration::from_secs(6).saturating_sub(age(pid))
}

/// The CPU time that a process has used so far, all threads together.
pub fn cpu_time(pid: u32) -> Duration {
    let stat = Process::new(pid as i32).and_then(|process| process.stat()).expect("a process that runs");
    Duration::from_millis((stat.utime + stat.stime) * 1_000 / procfs::ticks_per_second())
}

/// The ids of the library's own threads in a process.
pub fn own_threads(pid: u32) -> Vec<u32> {
    let Ok(tasks) = std::fs::read_dir(format!("/proc/{pid}/task")) else { return Vec::new() };
    let name = |task: &std::path::PathBuf| std::fs::read_to_string(task.join("comm")).unwrap_or_default();
    tasks
        .filter_map(|task| Some(task.ok()?.path()))
        .filter(|task| name(task) == "autotrim\n")
        .map(|task| task.file_name().and_then(|id| id.to_str()?.parse().ok()).expect("a thread id"))
        .collect()
}

/// What the descriptors of a process are, as `/proc/PID/fd` names them.
pub fn open_files(pid: u32) -> Vec<String> {
    let files = std::fs::read_dir(format!("/proc/{pid}/fd")).expect("/proc/PID/fd");
    let link = |file: std::io::Result<std::fs::DirEntry>| std::fs::read_link(file.ok()?.path()).ok();
    files.filter_map(|file| Some(link(file)?.to_string_lossy().into_owned())).collect()
}

/// Sends a signal with a value, as `kill -q` does.
pub fn queue_signal(pid: u32, signal: i32, value: usize) {
    let value = libc::sigval { sival_ptr: value as *mut libc::c_void };
    // SAFETY: numbers alone.
    assert_eq!(unsafe { libc::sigqueue(pid as libc::pid_t, signal, value) }, 0, "sigqueue");
}
