//! AUTOTRIM_GC=java: what looks at Java from outside, or at its end, finds the library's thread as one more daemon, and all else as it is without.

mod common;

use common::http::request;
use common::script::Script;
use common::{LIMIT, wait_within};
use std::io::{Read, Write};
use std::net::TcpStream;
use std::path::Path;
use std::process::{Command, ExitStatus};
use std::time::Duration;

/// Each moment is one for a collection, and it takes its time: meanwhile the thread is there to be seen.
const EAGER: [(&str, &str); 4] =
    [("AUTOTRIM_GC", "java"), ("AUTOTRIM_OVERHEAD", "0"), ("AUTOTRIM_IDLE", "10ms"), ("AUTOTRIM_GROWTH", "256K")];
const PLAIN: [(&str, &str); 1] = [("LD_PRELOAD", "")];
/// As the virtual machine's own threads are told of.
const THREAD: &str = "\"autotrim\" ";

fn java(arguments: &[&str], environment: &[(&str, &str)]) -> Script {
    let options = "-XX:MaxRAM=2g -XX:+UseG1GC -XX:+ExplicitGCInvokesConcurrent -XX:-CreateCoredumpOnCrash -XX:ErrorFile=hs_err.log";
    let environment = [environment, &[("JDK_JAVA_OPTIONS", options)]].concat();
    Script::run(Path::new("java"), "Garbage.java", &[&["0"], arguments].concat(), &environment)
}

/// Garbage and a little quiet, until this is so.
fn burst_until(server: &Script, what: &str, mut is_so: impl FnMut() -> bool) {
    wait_within(LIMIT, what, || {
        assert_eq!(server.get("/garbage").text(), "60000");
        std::thread::sleep(Duration::from_millis(200));
        is_so().then_some(())
    });
}

/// What a tool of the JDK's prints about a server; it must end well.
fn tool(server: &Script, command: &[&str]) -> String {
    let (name, arguments) = command.split_first().expect("a command");
    let mut tool = Command::new(name);
    if *name == "jcmd" {
        tool.arg(server.pid().to_string()).args(arguments);
    } else {
        tool.args(arguments).arg(server.pid().to_string());
    }
    let output = tool.output().expect("the JDK's tools");
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(output.status.success(), "{command:?}: {text}{}", String::from_utf8_lossy(&output.stderr));
    text
}

#[test]
fn thread_dumps_list_a_daemon() {
    let server = java(&["keep"], &EAGER);
    // A signal asks for the same dump as jstack does, and takes no second to come.
    burst_until(&server, "a dump with the thread", || {
        for _ in 0..20 {
            server.signal(libc::SIGQUIT);
            std::thread::sleep(Duration::from_millis(5));
        }
        server.read("stdout").contains(THREAD)
    });
    let text = server.read("stdout");
    let line = text.lines().find(|line| line.starts_with(THREAD)).expect("a thread");
    assert!(line.contains(" daemon "), "{line}");
    let collections = server.collections();
    burst_until(&server, "collections beside jstack", || {
        assert!(tool(&server, &["jstack"]).contains("\"DestroyJavaVM\""));
        assert!(tool(&server, &["jcmd", "Thread.print"]).contains("\"DestroyJavaVM\""));
        server.collections() > collections
    });
    assert_eq!(server.get("/").text(), "fine");
}

/// The records of a heap dump fill it to its last byte, and the last one says that it is the end.
fn assert_is_whole(dump: &[u8]) {
    // A text with its end, the size of an identifier, and the time.
    let begin = dump.iter().position(|&byte| byte == 0).expect("a header") + 1 + 4 + 8;
    assert!(dump.starts_with(b"JAVA PROFILE 1.0.2\0"));
    let (mut at, mut last) = (begin, 0);
    while at < dump.len() {
        // Its kind, a time, and its length.
        let length = u32::from_be_bytes(dump[at + 5..at + 9].try_into().expect("four bytes"));
        (at, last) = (at + 9 + length as usize, dump[at]);
    }
    assert_eq!((at, last), (dump.len(), 0x2c));
}

#[test]
fn heap_dumps_are_whole() {
    let server = java(&["keep"], &EAGER);
    burst_until(&server, "collections", || server.collections() > 0);
    for number in 0..3 {
        let name = format!("dump{number}.hprof");
        let collections = server.collections();
        std::thread::scope(|scope| {
            let dump = scope.spawn(|| tool(&server, &["jcmd", "GC.heap_dump", "-all", &name]));
            while !dump.is_finished() {
                assert_eq!(server.get("/garbage").text(), "60000");
                std::thread::sleep(Duration::from_millis(50));
            }
            assert!(dump.join().expect("a dump").contains("Heap dump file created"));
        });
        assert_is_whole(&server.read_bytes(&name));
        burst_until(&server, "a collection after it", || server.collections() > collections);
    }
}

/// A request whose answer may never come.
fn ask_only(server: &Script, path: &str) {
    if let Ok(mut client) = TcpStream::connect(("127.0.0.1", server.port)) {
        let _ = client.write_all(&request("GET", path, "", b""));
        // Until the answer, or the end.
        let _ = client.read(&mut [0]);
    }
}

/// How a server has ended, and what Java says about it.
fn end_of(server: &mut Script) -> (ExitStatus, String) {
    (server.wait(), server.read("hs_err.log"))
}

#[test]
fn a_crash_is_told_of_as_ever() {
    let [mut plain, mut killed_plain] = [java(&[], &PLAIN), java(&[], &PLAIN)];
    let [mut crashing, mut killed] = [java(&["crash"], &EAGER), java(&[], &EAGER)];
    ask_only(&plain, "/crash");
    let (expected, report) = end_of(&mut plain);
    assert!(report.contains("SIGSEGV") && report.contains("END."), "{report}");

    // The moment that the thread is there.
    wait_within(LIMIT, "the crash", || {
        ask_only(&crashing, "/garbage");
        std::thread::sleep(Duration::from_millis(200));
        crashing.read("hs_err.log").contains("END.").then_some(())
    });
    let (status, report) = end_of(&mut crashing);
    assert_eq!(status, expected, "{report}");
    let thread = report.lines().find(|line| line.contains("JavaThread \"autotrim\" daemon"));
    assert!(thread.is_some() && report.contains("SIGSEGV"), "{report}");

    burst_until(&killed, "collections", || killed.collections() > 0);
    for server in [&killed_plain, &killed] {
        server.signal(libc::SIGSEGV);
    }
    let [(expected, _), (status, report)] = [&mut killed_plain, &mut killed].map(end_of);
    assert_eq!(status, expected, "{report}");
    assert!(report.contains("SIGSEGV") && report.contains("END."), "{report}");
}
