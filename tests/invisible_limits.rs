//! Odd descriptors and poor surroundings: no /proc, no descriptor, no memory, a seccomp filter, a setuid program.
//!
//! A machine without root, userfaultfd or seccomp fails these tests and says what it lacks.

mod common;
#[path = "common/fixture.rs"]
mod fixture;

use common::{library, log::Log};
use fixture::{Fixture, shared_object_as};
use std::process::Command;

#[test]
fn numbers_reused_by_threads_are_counted_right() {
    Fixture::new("descriptors_reused").is_unchanged_to_the_last_trim();
}

#[test]
fn close_range_of_everything_is_noticed() {
    Fixture::new("close_range_all").argument("close_range").is_unchanged_to_the_last_trim();
}

#[test]
fn close_range_by_its_number_is_noticed() {
    Fixture::new("close_range_all").argument("syscall").is_unchanged_to_the_last_trim();
}

#[test]
fn a_data_file_that_became_descriptor_2_holds_no_log() {
    Fixture::new("stderr_reused").is_unchanged_by_trims();
}

#[test]
fn a_server_without_proc_serves_and_trims() {
    let log = Fixture::new("no_proc").is_unchanged_to_the_last_trim();
    for trim in log.event("trim").lines {
        assert_eq!((trim.text("rss_before_kb"), trim.text("rss_after_kb")), ("unknown", "unknown"));
    }
}

#[test]
fn a_server_without_a_free_descriptor_serves_and_trims() {
    Fixture::new("limits").argument("descriptors").is_unchanged_to_the_last_trim();
}

#[test]
fn a_server_without_memory_serves_and_trims() {
    Fixture::new("limits").argument("memory").is_unchanged_to_the_last_trim();
}

/// There is no page left for the library's own state: it does nothing.
#[test]
fn a_server_that_starts_without_memory_serves() {
    Fixture::new("limits").argument("memory first").is_unchanged();
}

fn filtered(action: &str, installed_by: &str) {
    let log = Fixture::new("seccomp_filter").argument(action).argument(installed_by).is_unchanged_by_trims();
    assert_eq!(log.event("disabled").lines.len(), 1, "{log:?}");
}

#[test]
fn a_seccomp_filter_installed_by_prctl_kills_nobody() {
    filtered("kill", "prctl");
}

#[test]
fn a_seccomp_filter_installed_by_its_system_call_kills_nobody() {
    filtered("kill", "syscall");
}

#[test]
fn a_seccomp_filter_that_refuses_calls_is_respected() {
    filtered("refuse", "prctl");
}

#[test]
fn questions_about_seccomp_change_nothing() {
    Fixture::new("seccomp_probes").is_unchanged_to_the_last_trim();
}

/// The thread ends before a filter may come, and is back where none came.
#[test]
fn filters_that_fail_leave_the_thread() {
    let fixture = Fixture::new("seccomp_probes").argument("thread").env("AUTOTRIM_PERIOD", "10ms");
    let (outcome, _) = fixture.preloaded();
    assert!(outcome.status.success() && outcome.stderr == "thread before: 1\nthread after: 1\n", "{outcome:?}");
}

/// In a root directory of its own, on a tmpfs in a mount namespace of its own: there the library is in
/// /etc/ld.so.preload, the one way that ld.so takes for a setuid program.
const SETUID: &str = r#"
set -eu
mount -t tmpfs none "$ROOT"
cd "$ROOT"
mkdir usr etc tmp metrics
mount --bind /usr usr
for name in lib lib64 bin sbin; do
    if [ -L "/$name" ]; then
        ln -s "$(readlink "/$name")" "$name"
    elif [ -d "/$name" ]; then
        mkdir "$name"
        mount --bind "/$name" "$name"
    fi
done
cp "$LIBRARY" libautotrim.so
cp "$FIXTURE" fixture
chmod 755 libautotrim.so . && chmod 777 metrics
[ -z "$PRELOAD" ] || echo "$PRELOAD" >etc/ld.so.preload
chown 65534 fixture
chmod "$MODE" fixture
exec chroot . setpriv --reuid 1234 --clear-groups env AUTOTRIM_METRICS_DIR=/metrics AUTOTRIM_LOG=debug \
    AUTOTRIM_INTERVAL=1 AUTOTRIM_IDLE=10ms /fixture /metrics
"#;

/// (stdout, stderr) of the fixture with this mode, with or without the library.
fn run_with_mode(mode: &str, preload: bool) -> (String, String) {
    // SAFETY: no preconditions.
    assert_eq!(unsafe { libc::geteuid() }, 0, "this test needs root, for a setuid program");
    let root = tempfile::tempdir().expect("a directory");
    let output = Command::new("unshare")
        .args(["--mount", "--propagation", "private", "sh", "-c", SETUID])
        .env("ROOT", root.path())
        .env("LIBRARY", library())
        .env("FIXTURE", Fixture::new("secure").program())
        .env("PRELOAD", if preload { "/libautotrim.so" } else { "" })
        .env("MODE", mode)
        .output()
        .expect("unshare");
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    assert!(output.status.success(), "{}", text(&output.stderr));
    (text(&output.stdout), text(&output.stderr))
}

#[test]
fn a_setuid_program_is_left_alone() {
    let preloaded = run_with_mode("4755", true);
    assert!(preloaded.0.starts_with("secure 1\n") && preloaded.0.ends_with("0 files\n"), "{preloaded:?}");
    assert_eq!(preloaded, run_with_mode("4755", false));
    assert_eq!(preloaded.1, "");
}

/// Else the test above would show nothing.
#[test]
fn the_same_program_without_setuid_is_not() {
    let (stdout, stderr) = run_with_mode("755", true);
    assert!(stdout.starts_with("secure 0\n") && stdout.ends_with("1 files\n"), "{stdout}");
    assert!(!Log::read(stderr.as_bytes()).event("trim").lines.is_empty(), "{stderr}");
}

/// A thread that closes everything in a descriptor table of its own closes none of the others' connections.
#[test]
fn close_range_in_a_table_of_its_own_is_the_threads_own() {
    Fixture::new("close_range_unshare").is_unchanged_to_the_last_trim();
}

/// As with the select of glibc before 2.34, the kernel's.
#[test]
fn select_leaves_a_timeout_alone_that_cannot_be_written() {
    let fixture = Fixture::new("select_read_only").preload_after(fixture::shared_object("old_select"));
    fixture.is_unchanged_to_the_last_trim();
}

/// What a wait takes of the stack, with all that may happen in it: what DESIGN.md says, and no more.
#[test]
fn a_wait_takes_no_more_of_the_stack_than_is_said() {
    const PLAIN_LIMIT: usize = 4500;
    const METRICS_LIMIT: usize = 5500;
    let directory = tempfile::tempdir().expect("a directory");
    let alone = Fixture::new("stack_use");
    let with_metrics = Fixture::new("stack_use").env("AUTOTRIM_METRICS_DIR", directory.path());
    for (fixture, limit) in [(alone, PLAIN_LIMIT), (with_metrics, METRICS_LIMIT)] {
        let (outcome, log) = fixture.preloaded();
        assert!(outcome.status.success() && log.event("trim").lines.len() > 14, "{outcome:?}");
        for line in outcome.stdout.lines() {
            let used: usize = line.rsplit(' ').next().and_then(|number| number.parse().ok()).expect("a number");
            assert!(used < limit + PLAIN_CALL, "{line} bytes");
        }
    }
}

/// So much the same waits take without the library once they are bound.
const PLAIN_CALL: usize = 500;
/// While a call is blocked in the kernel, and when it has returned: what was sent, and the vectors that tell where that is, are gone
/// before the library could look at them.
fn outlives(call: &str) {
    Fixture::new("sent_buffer_vanishes").argument(call).is_unchanged_to_the_last_trim();
    let library = shared_object_as("vanishes_after_send", "vanishes_after_send.so", &["-ldl"]);
    let fixture = Fixture::new("sent_buffer_vanishes").argument(call).argument("a page").preload_after(library);
    fixture.is_unchanged_to_the_last_trim();
}

#[test]
fn a_buffer_may_vanish_in_send() {
    outlives("send");
}

#[test]
fn a_buffer_may_vanish_in_sendto() {
    outlives("sendto");
}

#[test]
fn a_buffer_may_vanish_in_write() {
    outlives("write");
}

#[test]
fn a_buffer_may_vanish_in_writev() {
    outlives("writev");
}

#[test]
fn a_buffer_may_vanish_in_sendmsg() {
    outlives("sendmsg");
}
