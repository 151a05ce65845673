//! AUTOTRIM_GC: Ruby's garbage is collected where it is quiet and a trim has left much, in a wait of Ruby's own, and only there.

mod common;

use common::script::Script;
use common::{LIMIT, free_port, process, wait_within};
use std::io::{Read, Write};
use std::net::TcpStream;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

/// Requests that each leave some tens of megabytes of garbage.
const BURST: usize = 3;
/// So many may still be named on some stack, which Ruby looks through for whatever may be one of its objects.
const NAMED: usize = 1;
/// Less than that by far, more than what comes by chance.
const LITTLE_KB: u64 = 64 * 1024;

/// What a collection and its trim give back at least, of what a burst has left.
const LESS_KB: u64 = 16 * 1024;

/// Longer than it takes until a task worker's threads have all waited anew, and one of them collects.
const QUIET: Duration = Duration::from_secs(15);

fn ruby(gc: &str, arguments: &[&str], environment: &[(&str, &str)]) -> Script {
    let environment = [&[("AUTOTRIM_GC", gc)], environment].concat();
    Script::run(Path::new("ruby"), "garbage.rb", &[&["0"], arguments].concat(), &environment)
}

fn burst(server: &Script) {
    for _ in 0..BURST {
        assert_eq!(server.get("/garbage").text(), "100000");
    }
}

/// What the program counts itself: full collections, objects that were finalized, waits that were interrupted.
fn tell(server: &Script) -> [usize; 3] {
    let text = server.get("/tell").text();
    let numbers: Vec<usize> = text.split_whitespace().map(|number| number.parse().expect("a number")).collect();
    numbers.try_into().expect("three numbers")
}

fn gives_garbage_back(server: &Script, gc: &str) {
    server.get("/");
    let before = server.anonymous_kb();
    for round in 1..=2 {
        burst(server);
        wait_within(LIMIT, "a trim with a collection", || (server.collections() >= round).then_some(()));
        wait_within(LIMIT, "RSS near where it was", || (server.anonymous_kb() < before + LITTLE_KB).then_some(()));
        let [_, finalized, _] = tell(server);
        assert!(finalized + NAMED >= BURST * round, "{finalized} were finalized");
        assert_eq!(server.get("/").text(), "fine");
    }
    assert_eq!(server.log().event("enabled").lines[0].text("gc"), gc);
    assert_eq!(server.log().collections().lines[0].text("gc"), "ruby");
}

#[test]
fn puma_gives_garbage_back() {
    gives_garbage_back(&ruby("auto", &[], &[]), "auto");
}

/// Whatever it costs: on a busy machine a collection before the burst is over takes so long that the budget has the next one wait for minutes.
#[test]
fn puma_gives_garbage_back_by_its_name() {
    gives_garbage_back(&ruby("ruby", &[], &[("AUTOTRIM_OVERHEAD", "0")]), "ruby");
}

/// One thread, which waits in the event loop of a gem's and nowhere else.
#[test]
fn a_server_of_fibers_gives_garbage_back() {
    gives_garbage_back(&ruby("auto", &["fibers"], &[]), "auto");
}

/// Ruby's by Ruby's rule. A CPython that is loaded later is not seen: its garbage is left to it, and it answers as ever.
#[test]
fn ruby_gives_garbage_back_beside_a_python_that_is_left_alone() {
    let server = ruby("auto", &["python"], &[]);
    assert_eq!(server.get("/python").text(), "0");
    gives_garbage_back(&server, "auto");
    assert_eq!(server.get("/python").text(), "0");
    assert!(server.log().collections().lines.iter().all(|line| line.text("gc") == "ruby"));
}

/// A forked worker, with what it has from its master.
#[test]
fn unicorn_gives_garbage_back() {
    let server = ruby("auto", &["unicorn"], &[]);
    server.get("/");
    let worker = *process::children(server.pid()).first().expect("a worker");
    burst(&server);
    let burst_kb = process::anonymous_kb(worker).expect("a worker");
    wait_within(LIMIT, "a trim with a collection", || (server.collections() >= 1).then_some(()));
    wait_within(LIMIT, "much less than after the burst", || {
        (process::anonymous_kb(worker)? + LESS_KB < burst_kb).then_some(())
    });
    assert_eq!(server.get("/").text(), "fine");
}

/// PSS of a Puma with two workers that share much with their master, after a few requests and some seconds of quiet.
fn shared_kb(environment: &[(&str, &str)]) -> u64 {
    let server = ruby("auto", &["cluster"], environment);
    for _ in 0..10 {
        assert_eq!(server.get("/little").text(), "5000");
    }
    std::thread::sleep(Duration::from_secs(4));
    let workers = process::children(server.pid());
    assert_eq!(workers.len(), 2);
    let pss = |pid: u32| process::pss_kb(pid).expect("a process that runs");
    pss(server.pid()) + workers.into_iter().map(pss).sum::<u64>()
}

/// What a collection would write to in each of them is theirs alone from then on: twice as much, and more.
#[test]
fn workers_go_on_sharing_what_they_have_from_their_master() {
    let (plain, preloaded) = (shared_kb(&[("AUTOTRIM_DISABLE", "1")]), shared_kb(&[("AUTOTRIM_OVERHEAD", "0")]));
    assert!(preloaded < plain * 5 / 4, "{plain} KB, {preloaded} KB with the library");
}

/// A Redis in memory, which ends with the test.
struct Redis(Child, u16);

impl Redis {
    fn start() -> Redis {
        let port = free_port();
        let mut command = Command::new("redis-server");
        process::clean_environment(&mut command).args(["--port", &port.to_string(), "--bind", "127.0.0.1"]);
        command.args(["--save", "", "--appendonly", "no"]).stdout(Stdio::null());
        let child = process::end_with_this_test(&mut command).spawn().expect("redis-server (Debian: redis-server)");
        let redis = Redis(child, port);
        wait_within(LIMIT, "Redis", || TcpStream::connect(("127.0.0.1", port)).is_ok().then_some(()));
        redis
    }

    /// Puts a task into Sidekiq's queue, as its client does.
    fn push(&self, count: usize, id: usize) {
        let task =
            format!(r#"{{"class":"Garbage","args":[{count}],"jid":"task{id}","queue":"default","retry":false}}"#);
        let mut connection = TcpStream::connect(("127.0.0.1", self.1)).expect("Redis");
        let command = format!("*3\r\n$5\r\nLPUSH\r\n$13\r\nqueue:default\r\n${}\r\n{task}\r\n", task.len());
        connection.write_all(command.as_bytes()).expect("a command");
        connection.read_exact(&mut [0; 2]).expect("an answer");
    }
}

impl Drop for Redis {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// A task worker answers nobody: it is looked after from its fifth second on.
#[test]
fn sidekiq_gives_garbage_back() {
    let redis = Redis::start();
    let port = redis.1.to_string();
    let environment = [("AUTOTRIM_GC", "auto")];
    let worker = Script::run(Path::new("ruby"), "garbage.rb", &[&port, "sidekiq"], &environment);
    std::thread::sleep(process::until_old(worker.pid()));
    let done = || worker.read("stdout").matches("INFO: done").count();
    let (mut sent, mut highest) = (0, 0);
    // On a busy machine one may come amid a burst, and the next has to wait for its budget: then there is another burst.
    wait_within(LIMIT, "much less than while there was work, after a collection", || {
        for _ in 0..BURST {
            redis.push(100_000, sent);
            sent += 1;
            wait_within(LIMIT, "the task", || {
                highest = highest.max(worker.anonymous_kb());
                (done() >= sent).then_some(())
            });
        }
        let quiet = Instant::now();
        while quiet.elapsed() < QUIET {
            std::thread::sleep(Duration::from_millis(200));
            if worker.collections() >= 1 && worker.anonymous_kb() + LESS_KB < highest {
                return Some(());
            }
        }
        None
    });
}

/// While there is work, and where nobody asks, garbage is Ruby's own matter. So it is in a library's wait, which may hold what a finalizer needs.
#[test]
fn nothing_is_collected_where_nobody_asks_or_there_is_work_or_a_library_waits() {
    for (gc, idle, arguments) in
        [("off", "1s", &[][..]), ("node", "1s", &[]), ("auto", "60s", &[]), ("ruby", "1s", &["library"])]
    {
        let server = ruby(gc, arguments, &[("AUTOTRIM_IDLE", idle)]);
        server.get("/");
        burst(&server);
        // Longer than it takes where it comes.
        std::thread::sleep(Duration::from_secs(4));
        wait_within(LIMIT, "a trim", || (!server.log().event("trim").lines.is_empty()).then_some(()));
        assert_eq!(server.collections(), 0, "{gc} {arguments:?}: {}", server.read("stderr"));
    }
}

#[test]
fn what_the_program_has_switched_off_stays_off() {
    let server = ruby("ruby", &[], &[("AUTOTRIM_OVERHEAD", "0")]);
    server.get("/disable");
    let [before, ..] = tell(&server);
    let trims = || server.log().event("trim").lines.len();
    for round in 1..=3 {
        server.get("/garbage");
        wait_within(LIMIT, "a trim", || (trims() >= round).then_some(()));
    }
    assert_eq!(tell(&server)[0], before, "{}", server.read("stderr"));
    assert_eq!(server.collections(), 0);
    assert_eq!(server.get("/disable").text(), "true", "and nobody has switched it on");
}

/// A main thread that waits without an end: what comes while it collects, or just before, runs its trap at once.
fn signals_are_seen(waits: &str) {
    let environment = [("AUTOTRIM_IDLE", "10ms"), ("AUTOTRIM_OVERHEAD", "0"), ("AUTOTRIM_INTERVAL", "1")];
    let server = ruby("ruby", &[waits], &environment);
    wait_within(LIMIT, "thirty collections", || {
        assert_eq!(server.get("/little").text(), "5000");
        std::thread::sleep(Duration::from_millis(60));
        let [_, _, late] = tell(&server);
        assert_eq!(late, 0);
        (server.collections() >= 30).then_some(())
    });
}

#[test]
fn signals_are_seen_in_select() {
    signals_are_seen("signals");
}

#[test]
fn signals_are_seen_in_an_event_loop() {
    signals_are_seen("nio4r");
}

/// Threads are interrupted all the time in waits like those in which others collect, and in which they collect themselves.
#[test]
fn interrupts_leave_a_wait_as_ever() {
    let environment = [("AUTOTRIM_IDLE", "10ms"), ("AUTOTRIM_OVERHEAD", "0"), ("AUTOTRIM_INTERVAL", "1")];
    let server = ruby("ruby", &["interrupts"], &environment);
    let mut bursts = 0;
    wait_within(LIMIT, "thirty bursts, thirty collections and a thousand interrupts", || {
        assert_eq!(server.get("/little").text(), "5000");
        bursts += 1;
        std::thread::sleep(Duration::from_millis(80));
        let [_, _, interrupted] = tell(&server);
        (bursts >= 30 && server.collections() >= 30 && interrupted >= 1000).then_some(())
    });
    assert_eq!(server.get("/").text(), "fine");
}
