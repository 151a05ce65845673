//! Redis: every command is counted, by the server's own statistics; pipelined ones once for each read.

mod common;
#[path = "servers/configuration.rs"]
mod configuration;
mod matrix;

use common::LIMIT;
use common::process::clean_environment;
use configuration::printed;
use matrix::{Case, Exactness, Outcome, Place, Running, Server};
use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::process::{Command, Stdio};
use std::time::Duration;

fn redis(place: &Place) -> Command {
    let mut command = Command::new("redis-server");
    // No configuration file of this machine, nothing written to disk.
    command.args(["--port", &place.port.to_string(), "--bind", "127.0.0.1", "--save", "", "--appendonly", "no"]);
    command.args(["--daemonize", "no"]).arg("--dir").arg(place.directory());
    command
}

/// A client of our own: a connection, one command at a time.
struct Client {
    stream: BufReader<TcpStream>,
}

impl Client {
    fn open(running: &Running) -> Self {
        let stream = TcpStream::connect(("127.0.0.1", running.port())).expect("connect to Redis");
        stream.set_read_timeout(Some(LIMIT)).expect("a timeout");
        Self { stream: BufReader::new(stream) }
    }

    fn port(&self) -> u16 {
        self.stream.get_ref().local_addr().expect("the client's address").port()
    }

    fn send(&mut self, bytes: &[u8]) {
        self.stream.get_mut().write_all(bytes).expect("send to Redis");
    }

    /// One answer: a simple one as its line, a bulk string as its text.
    fn receive(&mut self) -> String {
        let mut line = String::new();
        self.stream.read_line(&mut line).expect("an answer");
        let Some(length) = line.strip_prefix('$') else { return line.trim_end().to_owned() };
        let length: usize = length.trim_end().parse().expect("a length");
        let mut text = vec![0; length + 2];
        self.stream.read_exact(&mut text).expect("a bulk string");
        String::from_utf8_lossy(&text[..length]).into_owned()
    }

    fn ask(&mut self, command: &str) -> String {
        self.send(format!("{command}\r\n").as_bytes());
        self.receive()
    }

    /// What Redis has processed before this very command.
    fn processed(&mut self) -> u64 {
        let text = self.ask("INFO stats");
        let value = text.lines().find_map(|line| line.strip_prefix("total_commands_processed:"));
        value.expect("total_commands_processed").parse().expect("a number")
    }
}

/// Runs a load and asks Redis how many commands it has answered, the asking included; `other` are those that it has
/// processed besides.
fn counted_by_redis(running: &Running, other: u64, load: impl FnOnce() -> Vec<String>) -> Outcome {
    let mut client = Client::open(running);
    let before = client.processed();
    let answers = load();
    let after = client.processed();
    // The last INFO has not counted itself.
    Outcome { truth: after - before + 1 - other, answers, ..Outcome::default() }
}

fn benchmark(running: &Running, arguments: &[&str]) -> Vec<String> {
    let mut command = Command::new("redis-benchmark");
    clean_environment(&mut command).args(["-p", &running.port().to_string(), "-q"]).args(arguments);
    let output = command.output().expect("redis-benchmark (Debian: redis-tools)");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    Vec::new()
}

fn by_redis_cli(running: &Running) -> Outcome {
    counted_by_redis(running, 0, || {
        let mut command = Command::new("redis-cli");
        clean_environment(&mut command).args(["-p", &running.port().to_string()]);
        let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().expect("redis-cli");
        let commands: String = (0..20).map(|at| format!("SET key:{at} {at}\nGET key:{at}\n")).collect();
        child.stdin.take().expect("its input").write_all(commands.as_bytes()).expect("commands");
        let output = child.wait_with_output().expect("redis-cli");
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        assert_eq!(text.lines().count(), 40, "{text}");
        vec![text]
    })
}

/// redis-benchmark itself begins with two commands in one write.
const PIPELINED_BY_BENCHMARK: u64 = 1;

fn by_benchmark(running: &Running) -> Outcome {
    counted_by_redis(running, PIPELINED_BY_BENCHMARK, || {
        benchmark(running, &["-n", "1000", "-c", "10", "-t", "set,get,lpush,mset"])
    })
}

/// A value that comes in many reads, and goes in many writes.
fn large_value(running: &Running) -> Outcome {
    counted_by_redis(running, 0, || {
        let mut client = Client::open(running);
        let value = "x".repeat(5 << 20);
        client.send(format!("*3\r\n$3\r\nSET\r\n$3\r\nbig\r\n${}\r\n", value.len()).as_bytes());
        for piece in value.as_bytes().chunks(1 << 18) {
            client.send(piece);
            std::thread::sleep(Duration::from_millis(2));
        }
        client.send(b"\r\n");
        let stored = client.receive();
        let equal = client.ask("GET big") == value;
        vec![stored, equal.to_string()]
    })
}

/// The command of the client that leaves.
const UNANSWERED: u64 = 1;

/// A client that waits in the server for another's push, and one that leaves while it waits.
fn blocked(running: &Running) -> Outcome {
    counted_by_redis(running, UNANSWERED, || {
        let (mut waiting, mut leaving, mut pushing) =
            (Client::open(running), Client::open(running), Client::open(running));
        leaving.send(b"BLPOP elsewhere 0\r\n");
        waiting.send(b"BLPOP list 0\r\n");
        running.wait_until_read(leaving.port());
        running.wait_until_read(waiting.port());
        drop(leaving);
        let pushed = pushing.ask("RPUSH list value");
        vec![pushed, waiting.receive()]
    })
}

/// Messages that the server sends to a subscriber are no answers; what was asked is.
fn subscribed(running: &Running) -> Outcome {
    counted_by_redis(running, 0, || {
        let (mut subscriber, mut publisher) = (Client::open(running), Client::open(running));
        subscriber.send(b"SUBSCRIBE channel\r\n");
        assert_eq!(subscriber.receive(), "*3", "the beginning of the answer");
        (0..10).map(|number| publisher.ask(&format!("PUBLISH channel {number}"))).collect()
    })
}

/// Three commands in one write: one read, one count.
fn pipelined(running: &Running) -> Outcome {
    let mut client = Client::open(running);
    client.send(b"SET one 1\r\nGET one\r\nDEL one\r\n");
    let answers = (0..3).map(|_| client.receive()).collect();
    Outcome { truth: 3, answers, ..Outcome::default() }
}

/// What the pipelines count: the reads that bring them, and the asking before and after.
const READS: u64 = 1000 / 10 + 1 + 2;

fn pipelining_benchmark(running: &Running) -> Outcome {
    counted_by_redis(running, 0, || benchmark(running, &["-n", "1000", "-c", "1", "-P", "10", "-t", "get"]))
}

fn leaving(running: &Running) -> Outcome {
    let mut client = Client::open(running);
    client.send(b"*3\r\n$3\r\nSET\r\n$3\r\nkey\r\n$100\r\nhalf");
    running.wait_until_read(client.port());
    drop((client, Client::open(running)));
    Outcome::default()
}

#[test]
fn redis_server() {
    let defined = |name, count, play| Case { exactness: Exactness::Definition(count), ..Case::exact(name, play) };
    let cases = vec![
        Case::exact("redis-cli, 40 commands", by_redis_cli),
        Case::exact("redis-benchmark, 4 × 1,000", by_benchmark),
        Case::exact("5 MiB value, set and get", large_value),
        Case::exact("BLPOP, one client leaves", blocked),
        Case::exact("10 messages to a subscriber", subscribed),
        Case::exact("half a command, leave", leaving),
        defined("3 pipelined in one write", 1, pipelined),
        defined("redis-benchmark, pipelines of 10", READS, pipelining_benchmark),
    ];
    let server = Server::new("Redis", redis)
        .cases(cases)
        .version(|| {
            let text = printed("redis-server", &["--version"]);
            text.split_whitespace().find_map(|word| word.strip_prefix("v=")).expect("a version").to_owned()
        })
        .steady_load(|running| {
            benchmark(running, &["-n", "500", "-c", "3", "-t", "get"]);
        });
    matrix::run(server);
}
