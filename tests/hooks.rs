//! A hook has more places than its entry in the one list: each of them has it, or says here why it need not.

mod common;
#[path = "common/hooks.rs"]
mod hooks;

use common::root;
use std::collections::BTreeSet;

/// What checks its arguments and then is the function without `_chk`: `tests/fixtures/fortified.c` calls it.
const CHECKED: &[&str] = &["__recv_chk", "__recvfrom_chk", "__read_chk", "__poll_chk", "__ppoll_chk"];
/// Other names of functions that are there: glibc's own, and of times when offsets had 32 bits.
const OTHER_NAMES: &[&str] = &[
    "__read",
    "__write",
    "__send",
    "__close",
    "__connect",
    "__dup2",
    "__poll",
    "__select",
    "sendfile64",
    "preadv64v2",
    "pwritev64v2",
];
/// No thread of a server waits in these for a client or a signal.
const NO_WAITS: &[&str] = &[
    "bind",
    "listen",
    "send",
    "sendto",
    "sendmsg",
    "sendmmsg",
    "write",
    "writev",
    "pwritev2",
    "sendfile",
    "splice",
    "close",
    "close_range",
    "dup2",
    "dup3",
    "connect",
    "syscall",
    "prctl",
    "mallopt",
    "pthread_create",
];

/// The file, and the hooks that it need not have.
const PLACES: &[(&str, &[&[&str]])] = &[
    // What a call costs: one line for each function. bind is called once in the life of a listener, mallopt at start,
    // and a thread costs more than any call.
    ("bench/calls.c", &[CHECKED, OTHER_NAMES, &["epoll_pwait2", "bind", "mallopt", "pthread_create"]]),
    // These are no calls on a connection.
    ("tests/fixtures/records_symbols.c", &[&["prctl", "mallopt", "pthread_create"]]),
    ("tests/fixtures/waits.h", &[CHECKED, OTHER_NAMES, NO_WAITS]),
    // Its errors are no errno: tests/fixtures/thread_starts.c.
    ("tests/fixtures/errno_kept.c", &[CHECKED, &["pthread_create"]]),
];

/// The identifiers in a C program, without its comments and texts.
fn identifiers(source: &str) -> BTreeSet<String> {
    let mut code = String::new();
    let mut rest = source;
    while let Some(at) = rest.find(['"', '/']) {
        code.push_str(&rest[..at]);
        rest = &rest[at..];
        let end = match rest {
            text if text.starts_with("/*") => text.find("*/").map(|end| end + 2),
            text if text.starts_with("//") => text.find('\n'),
            text if text.starts_with('"') => {
                let mut escaped = false;
                let closing = text[1..].find(|character| {
                    let closes = character == '"' && !escaped;
                    escaped = character == '\\' && !escaped;
                    closes
                });
                closing.map(|end| end + 2)
            }
            _ => Some(1),
        };
        code.push(' ');
        rest = &rest[end.unwrap_or(rest.len())..];
    }
    code.push_str(rest);
    code.split(|character: char| !character.is_ascii_alphanumeric() && character != '_').map(str::to_owned).collect()
}

#[test]
fn every_place_has_every_hook() {
    let hooks = hooks::names();
    for (file, excused) in PLACES {
        let source = std::fs::read_to_string(root().join(file)).expect(file);
        let (present, excused): (_, BTreeSet<String>) = (
            identifiers(&source),
            excused.iter().flat_map(|names| names.iter()).map(|&name| name.to_owned()).collect(),
        );
        let lacking: Vec<_> = hooks.difference(&excused).filter(|&name| !present.contains(name)).collect();
        assert!(lacking.is_empty(), "{file} lacks {lacking:?}: add them, or say in tests/hooks.rs why not");
        let stale: Vec<_> = excused.iter().filter(|&name| !hooks.contains(name)).collect();
        assert!(stale.is_empty(), "no hooks any more: {stale:?}");
    }
}

#[test]
fn what_stands_in_comments_and_texts_is_no_place() {
    let found = identifiers("/* poll */ // read\nsend(\"recv \\\" write\"); a / b;");
    assert!(found.contains("send") && found.contains("a") && found.contains("b"));
    assert!(["poll", "read", "recv", "write"].iter().all(|&name| !found.contains(name)), "{found:?}");
}
