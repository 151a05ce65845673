//! Programs that no one here wrote: their own test suites give the same results under the library, and it gets along with
//! the other libraries that people preload.

mod common;

use common::gunicorn::{Gunicorn, Server, Worker};
use common::http::get;
use common::package::file_of;
use common::process::{clean_environment, has_mapped};
use common::{library, root};
use std::path::PathBuf;
use std::process::{Command, Output, Stdio};

const REQUESTS: usize = 20;

/// Quick here, all of it with scripts/compare-programs: test suites of CPython, libuv and Redis. Node's are fetched there alone.
#[test]
fn test_suites_give_the_same_results() {
    let output = Command::new(root().join("scripts/compare-programs"))
        .args(["--quick", "--suite=libuv", "--suite=redis", "--suite=cpython", "--suite=pools"])
        .env("AUTOTRIM_LIBRARY", library())
        .output()
        .expect("bash");
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    assert!(output.status.success(), "{}\n{}", text(&output.stdout), text(&output.stderr));
}

/// Another library to preload.
struct Other {
    package: &'static str,
    file: &'static str,
    environment: &'static [(&'static str, &'static str)],
}

impl Other {
    const fn new(package: &'static str, file: &'static str) -> Self {
        Self { package, file, environment: &[] }
    }

    /// Where the package has put it.
    fn path(&self) -> PathBuf {
        file_of(self.package, self.file)
    }

    /// The values of LD_PRELOAD that load it and this library, in both orders.
    fn both_orders(&self) -> [String; 2] {
        let (ours, other) = (library().display().to_string(), self.path().display().to_string());
        [format!("{other}:{ours}"), format!("{ours}:{other}")]
    }
}

/// A gunicorn under these preloads that has answered so many requests as a plain one does; its worker.
fn serve(other: &Other, preload: &str) -> (Server, u32) {
    // Plain as far as the launcher is concerned: it knows one library to preload.
    let mut gunicorn = Gunicorn::plain(Worker::Gthread).trimming_every(5).env("LD_PRELOAD", preload);
    for (name, value) in other.environment {
        gunicorn = gunicorn.env(name, *value);
    }
    let server = gunicorn.start();
    let worker = server.worker();
    for path in [other.path(), library()] {
        let path = path.canonicalize().expect("a library");
        assert!(has_mapped(worker, &path), "{} is not loaded: {}", path.display(), server.stderr());
    }
    for _ in 0..REQUESTS {
        let answer = get(server.port, "/small");
        assert_eq!((answer.status(), answer.body), (200, b"hello\n".to_vec()));
    }
    (server, worker)
}

/// Pipes, here documents, subshells, exit codes and jobs.
const PIPELINE: &str = "set -o pipefail
seq 2000 | sort -rn | awk '{ sum += $1; print sum }' | tail -n 3 | sed 's/^/sum /' | tee /dev/stderr | wc -c
(cat <<<here; exit 3) | tr a-z A-Z; echo \"${PIPESTATUS[*]}\"
sleep 0.1 & wait $!; echo \"$?\"
printf '%s\\n' b a c | xargs -n 1 -P 3 sh -c 'exit $(( $(printf %s \"$0\" | od -An -tu1) % 2 ))'; echo \"$?\"
false | true; exit $?";

/// Started by env(1), in whose process bash goes on. What libfaketime shares between processes it makes in the first one
/// and removes when that one, or any fork of it, calls exit, under the eyes of a child that has just read its name
/// (its issue #56): without env, one pipeline of 300 fails with libfaketime alone. What env made nobody removes but we.
fn pipeline(other: &Other, preload: &str) -> Output {
    let mut command = Command::new("env");
    clean_environment(&mut command).args(["bash", "-c", PIPELINE]).envs(other.environment.iter().copied());
    command.env("LD_PRELOAD", preload).env("AUTOTRIM_LOG", "debug").stdout(Stdio::piped()).stderr(Stdio::piped());
    let child = command.spawn().expect("env");
    let shared = [format!("/dev/shm/sem.faketime_sem_{}", child.id()), format!("/dev/shm/faketime_shm_{}", child.id())];
    let output = child.wait_with_output().expect("bash");
    // Not there beside other libraries.
    shared.iter().for_each(|file| drop(std::fs::remove_file(file)));
    output
}

fn assert_pipeline_is_the_same(other: &Other) {
    let plain = pipeline(other, "");
    assert_eq!(plain.status.code(), Some(1));
    assert!(!plain.stdout.is_empty());
    for preload in other.both_orders() {
        assert_eq!(pipeline(other, &preload), plain, "{preload}");
    }
}

/// Both at work: every request is counted, and every trim that is due is made.
fn counts_exactly_beside(other: Other) {
    assert_pipeline_is_the_same(&other);
    for preload in other.both_orders() {
        let (mut server, worker) = serve(&other, &preload);
        let log = server.stop_and_read_log();
        assert_eq!(log.pids(), [worker], "{preload}");
        assert_eq!(log.event("enabled").lines.len(), 1, "{preload}: {log:?}");
        let expected: Vec<u64> = (1..=REQUESTS as u64 / 5).map(|trim| 5 * trim).collect();
        assert_eq!(log.trims("requests").numbers("requests"), expected, "{preload}");
        assert_eq!(log.lines.len(), 1 + expected.len(), "{preload}: {log:?}");
    }
}

#[test]
fn counts_exactly_beside_jemalloc() {
    counts_exactly_beside(Other::new("libjemalloc2", "libjemalloc.so.2"));
}

#[test]
fn counts_exactly_beside_mimalloc() {
    counts_exactly_beside(Other::new("libmimalloc2.0", "libmimalloc.so.2"));
}

#[test]
fn counts_exactly_beside_tcmalloc() {
    counts_exactly_beside(Other::new("libtcmalloc-minimal4", "libtcmalloc_minimal.so.4"));
}

#[test]
fn counts_exactly_beside_faketime() {
    let environment = &[("FAKETIME", "+10d")];
    counts_exactly_beside(Other { environment, ..Other::new("libfaketime", "libfaketimeMT.so.1") });
}

/// The monotonic clock stands still as well: no time ever passes between two looks.
#[test]
fn counts_exactly_while_time_stands_still() {
    let environment = &[("FAKETIME", "2030-01-01 00:00:00")];
    counts_exactly_beside(Other { environment, ..Other::new("libfaketime", "libfaketimeMT.so.1") });
}

#[test]
fn counts_exactly_beside_eatmydata() {
    counts_exactly_beside(Other::new("libeatmydata1", "libeatmydata.so"));
}
