//! Where a trim can give nothing back, or would do harm, there are few or none, and that is said once.

mod common;
#[path = "common/fixture.rs"]
mod fixture;

use common::script::Script;
use fixture::shared_object;

const REQUESTS: usize = 50;
const EACH_REQUEST: [(&str, &str); 3] =
    [("AUTOTRIM_INTERVAL", "1"), ("AUTOTRIM_OVERHEAD", "0"), ("AUTOTRIM_IDLE", "0")];

fn serve(program: &str, environment: &[(&str, &str)]) -> Script {
    let server = Script::start(program, &[], &[&EACH_REQUEST, environment].concat());
    for _ in 0..REQUESTS {
        assert_eq!(server.get("/").text(), "hello");
    }
    server
}

/// Without it there is a trim for each request.
#[test]
fn a_server_that_is_not_locked_is_trimmed_after_each_request() {
    let server = serve("plain_server.py", &[]);
    assert!(server.log().event("trim").lines.len() >= REQUESTS - 1, "{}", server.read("stderr"));
    assert!(server.log().event("locked").lines.is_empty());
}

/// The kernel refuses MADV_DONTNEED for pages that are locked.
#[test]
fn trims_of_locked_memory_are_few() {
    let server = serve("locked.py", &[]);
    server.wait_for_line("what is said of locked memory", |line| line.event == "locked");
    let log = server.log();
    assert_eq!(log.event("locked").lines.len(), 1);
    // They come 1, 2, 4 and so on seconds after each other.
    assert!((1..REQUESTS / 3).contains(&log.event("trim").lines.len()), "{}", server.read("stderr"));
}

#[test]
fn nothing_is_trimmed_where_the_kernel_would_take_more_than_it_is_asked_to() {
    let old_kernel = shared_object("old_kernel");
    let preload = format!("{}:{}", common::library().display(), old_kernel.display());
    let hugetlb = ("GLIBC_TUNABLES", "glibc.malloc.hugetlb=2");
    let server = serve("plain_server.py", &[("LD_PRELOAD", &preload), hugetlb]);
    let log = server.log();
    assert_eq!(log.lines.len(), 1, "{}", server.read("stderr"));
    assert_eq!((log.lines[0].event.as_str(), log.lines[0].text("reason")), ("disabled", "hugetlb"));
    // Either alone does no harm.
    for environment in [("LD_PRELOAD", preload.as_str()), hugetlb] {
        assert!(!serve("plain_server.py", &[environment]).log().event("trim").lines.is_empty());
    }
}
