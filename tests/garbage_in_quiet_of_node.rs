//! Whatever Node was told to do, and whichever Node it is: collections in quiet come, and the program does what it does without them.

mod common;

use common::http::{Connection, connect, request};
use common::script::Script;
use common::{LIMIT, npm, wait_within};
use object::{Object, ObjectSection};
use serde_json::{Value, json};
use std::net::TcpStream;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::process::ExitStatusExt;
use std::path::Path;
use std::time::Duration;
use tungstenite::{Message, WebSocket};

/// Each quiet moment is one for a collection.
const EAGER: [(&str, &str); 4] =
    [("AUTOTRIM_GC", "node"), ("AUTOTRIM_IDLE", "10ms"), ("AUTOTRIM_OVERHEAD", "0"), ("AUTOTRIM_INTERVAL", "1")];
const PLAIN: [(&str, &str); 1] = [("LD_PRELOAD", "")];

fn node(options: &[&str], environment: &[(&str, &str)]) -> Script {
    Script::run_with(Path::new("node"), options, "garbage.js", &["0"], environment)
}

/// The same program without the library, and with as many collections as can be.
fn both(options: &[&str]) -> [Script; 2] {
    [node(options, &PLAIN), node(options, &EAGER)]
}

/// Garbage and a little quiet, until so many collections have come.
fn collect(server: &Script, collections: usize) {
    wait_within(LIMIT, "collections", || {
        assert_eq!(server.get("/garbage").text(), "20000");
        std::thread::sleep(Duration::from_millis(100));
        (server.collections() >= collections).then_some(())
    });
}

#[test]
fn a_heap_keeps_its_limit() {
    let [plain, preloaded] = both(&["--max-old-space-size=64"]);
    collect(&preloaded, 3);
    assert_eq!(preloaded.get("/limit").text(), plain.get("/limit").text());
    for mut server in [plain, preloaded] {
        let mut client = Connection::open(server.port);
        client.send(&request("GET", "/full", "", b""));
        let status = server.wait();
        assert!(server.read("stderr").contains("heap out of memory"), "{status}: {}", server.read("stderr"));
        assert_eq!(status.signal(), Some(libc::SIGABRT), "{status}");
    }
}

#[test]
fn the_program_may_collect_as_well() {
    for (options, what) in [(&["--expose-gc"][..], "function"), (&[], "undefined")] {
        let [plain, preloaded] = both(options);
        for collections in 1..=3 {
            collect(&preloaded, collections);
            assert_eq!(preloaded.get("/gc").text(), what);
        }
        assert_eq!(plain.get("/gc").text(), what);
    }
}

#[test]
fn a_snapshot_of_the_heap_is_whole() {
    let [plain, preloaded] = both(&[]);
    let nodes = |server: &Script| server.get("/snapshot").text().parse::<usize>().expect("a number of nodes");
    assert!(nodes(&plain) > 1000);
    for collections in 1..=2 {
        collect(&preloaded, collections);
        assert!(nodes(&preloaded) > 1000);
    }
}

/// A debugger that is attached by a WebSocket.
struct Debugger(WebSocket<TcpStream>);

impl Debugger {
    fn attach(server: &Script) -> Self {
        let address = wait_within(LIMIT, "the debugger's address", || {
            let text = server.read("stderr");
            let mut lines = text.lines();
            lines.find_map(|line| line.strip_prefix("Debugger listening on ")).map(str::to_owned)
        });
        let port = address.split([':', '/']).nth(4).and_then(|port| port.parse().ok()).expect("a port");
        Self(tungstenite::client(address, connect(port)).expect("a WebSocket").0)
    }

    fn send(&mut self, method: &str, parameters: &Value) {
        let message = json!({ "id": 1, "method": method, "params": parameters });
        self.0.send(Message::text(message.to_string())).expect("a message");
    }

    /// The first message of all that come that is wanted.
    fn receive(&mut self, is_wanted: impl Fn(&Value) -> bool) -> Value {
        loop {
            let message = self.0.read().expect("a message");
            let message = serde_json::from_str(message.to_text().expect("text")).expect("JSON");
            if is_wanted(&message) {
                return message;
            }
        }
    }

    fn call(&mut self, method: &str, parameters: &Value) -> Value {
        self.send(method, parameters);
        self.receive(|message| message["id"] == 1)["result"].clone()
    }

    fn evaluate(&mut self, expression: &str) -> Value {
        self.call("Runtime.evaluate", &json!({ "expression": expression }))["result"]["value"].clone()
    }
}

#[test]
fn a_debugger_sees_the_same() {
    let nothing = json!({});
    for (server, collections) in both(&["--inspect=127.0.0.1:0"]).into_iter().zip([0, 2]) {
        let mut debugger = Debugger::attach(&server);
        assert_eq!(debugger.evaluate("6 * 7"), 42);
        debugger.call("Debugger.enable", &nothing);
        collect(&server, collections);
        // Stopped for longer than a quiet moment takes, it goes on when it is told to.
        debugger.send("Runtime.evaluate", &json!({ "expression": "debugger; 5 * 5" }));
        debugger.receive(|message| message["method"] == "Debugger.paused");
        std::thread::sleep(Duration::from_millis(300));
        debugger.send("Debugger.resume", &nothing);
        debugger.receive(|message| message["result"]["result"]["value"] == 25);
        debugger.call("HeapProfiler.collectGarbage", &nothing);
        collect(&server, 2 * collections);
        assert_eq!(debugger.evaluate("3 * 3"), 9);
        assert_eq!(server.get("/").text(), "fine");
    }
}

/// Soon after an answer a collection is decided on, asked for, runs, and is followed by a trim: the end comes in the midst of each.
#[test]
fn the_end_may_come_in_a_wait() {
    let mut servers = [0, 10, 12, 15, 20, 60].map(|after| (after, node(&[], &EAGER)));
    for (after, server) in &mut servers {
        collect(server, 1);
        server.get("/garbage");
        server.get(&format!("/later?{after}"));
    }
    for (after, server) in &mut servers {
        assert_eq!(server.wait().code(), Some(8), "after {after} ms: {}", server.read("stderr"));
    }
}

/// Statically linked, as nodejs.org and npm have it.
#[test]
fn each_version_gives_garbage_back() {
    let modules = npm("node");
    let servers = ["node-18", "node-20", "node-22", "node-24"].map(|version| {
        let program = modules.join(version).join("bin/node");
        (version, Script::run(&program, "garbage.js", &["0"], &EAGER))
    });
    for (version, server) in servers {
        collect(&server, 2);
        assert_eq!(server.log().collections().lines[0].text("gc"), "node", "{version}");
        wait_within(LIMIT, "the callbacks", || {
            (server.get("/tell").text().split(' ').nth(1) != Some("0")).then_some(())
        });
    }
}

/// A build that shows one function less is one that cannot be asked: nothing is done, and that is said once.
#[test]
fn nothing_is_collected_where_v8_is_hidden() {
    let (shown, hidden) = (b"_ZN2v87Isolate13TryGetCurrentEv", b"_ZN2v87Isolate13TryGetHidden_Ev");
    let directory = tempfile::tempdir().expect("a directory");
    let program = directory.path().join("node");
    let mut bytes = std::fs::read(npm("node").join("node-18/bin/node")).expect("Node");
    // Where the names are that the program shows.
    let (begin, length) = object::File::parse(&*bytes)
        .expect("an ELF file")
        .section_by_name(".dynstr")
        .and_then(|names| names.file_range())
        .expect("names");
    let names = &mut bytes[begin as usize..][..length as usize];
    let place = names.windows(shown.len()).position(|name| name == shown).expect("a function that is shown");
    names[place..][..hidden.len()].copy_from_slice(hidden);
    std::fs::write(&program, bytes).expect("a copy");
    std::fs::set_permissions(&program, PermissionsExt::from_mode(0o755)).expect("a program");
    let server = Script::run(&program, "garbage.js", &["0"], &EAGER);
    let trims = || server.log().event("trim").lines.len();
    wait_within(LIMIT, "trims", || {
        assert_eq!(server.get("/garbage").text(), "20000");
        std::thread::sleep(Duration::from_millis(100));
        (trims() >= 5).then_some(())
    });
    assert_eq!(server.collections(), 0, "{}", server.read("stderr"));
    let said = server.log().event("unavailable").lines;
    assert_eq!(said.iter().map(|line| line.text("what")).collect::<Vec<_>>(), ["gc"]);
}
