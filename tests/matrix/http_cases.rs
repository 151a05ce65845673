//! Plain HTTP/1.x: every request is answered, and the client reads each answer to its end.

use super::case::{KEEP_ALIVE, Outcome};
use super::common::http::{Answer, Connection, request};
use super::leaving;
use super::running::Running;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::io::{Read, Write};
use std::time::{Duration, Instant};

const CLOSE: &str = "Connection: close\r\n";
const MIB: usize = 1 << 20;

/// The largest body that /limited accepts is smaller than this.
const TOO_LARGE: usize = 8 * MIB;

/// What two runs must agree on in an answer: status, headers whose values do not differ anyway, the body.
pub fn told(running: &Running, answer: &Answer) -> String {
    let head = String::from_utf8_lossy(&answer.head).into_owned();
    let varies = |line: &&str| {
        let name = line.split(':').next().unwrap_or_default().to_ascii_lowercase();
        running.server.varying_headers.contains(&name.as_str())
    };
    let lines: Vec<_> = head.trim().lines().filter(|line| !varies(line)).collect();
    let content = answer.content();
    let mut hasher = DefaultHasher::new();
    content.hash(&mut hasher);
    let port = running.port().to_string();
    format!("{} | {} bytes, hash {:016x}", lines.join(" | ").replace(&port, "PORT"), content.len(), hasher.finish())
}

/// One answered request for each of these answers.
fn answered(running: &Running, answers: impl IntoIterator<Item = Answer>) -> Outcome {
    let answers: Vec<_> = answers.into_iter().map(|answer| told(running, &answer)).collect();
    Outcome { truth: answers.len() as u64, answers, ..Outcome::default() }
}

/// A request on a connection of its own.
fn once(running: &Running, request: &[u8]) -> Answer {
    let mut connection = Connection::open(running.port());
    connection.send(request);
    let answer = connection.receive();
    // uWSGI's http11-socket keeps the connection whatever it was asked.
    if answer.closes() {
        connection.read_to_end();
    }
    answer
}

/// A request that must be answered with 200.
fn once_ok(running: &Running, request: &[u8]) -> Outcome {
    let answer = once(running, request);
    assert_eq!(answer.status(), 200, "{}", String::from_utf8_lossy(&answer.head));
    answered(running, [answer])
}

/// A client that keeps its connection, and opens another when the server has closed it.
pub struct Client {
    port: u16,
    connection: Option<Connection>,
    /// How many it has opened.
    pub connections: usize,
}

impl Client {
    pub fn new(port: u16) -> Self {
        Self { port, connection: None, connections: 0 }
    }

    /// A GET that is answered.
    pub fn get(&mut self, path: &str) -> Answer {
        let bytes = request("GET", path, "", b"");
        // Some servers close without having said so: the request is sent again, as any client does.
        let kept = self.connection.take().and_then(|connection| Self::exchange(connection, &bytes));
        let (answer, connection) = kept.unwrap_or_else(|| {
            self.connections += 1;
            Self::exchange(Connection::open(self.port), &bytes).expect("an answer")
        });
        self.connection = (!answer.closes()).then_some(connection);
        answer
    }

    fn exchange(mut connection: Connection, bytes: &[u8]) -> Option<(Answer, Connection)> {
        let answer = connection.try_send(bytes).then(|| connection.try_receive())??;
        if answer.closes() {
            connection.read_to_end();
        }
        Some((answer, connection))
    }
}

/// Twenty GETs on a connection each.
pub fn close(running: &Running) -> Outcome {
    answered(running, (0..20).map(|_| once(running, &request("GET", "/small", CLOSE, b""))))
}

/// Twenty GETs on one connection.
pub fn keep_alive(running: &Running) -> Outcome {
    let mut client = Client::new(running.port());
    let outcome = answered(running, (0..20).map(|_| client.get("/small")));
    assert_eq!(client.connections, 1, "{KEEP_ALIVE}: the server closed it, which its description must say");
    outcome
}

/// Three clients at the same time, ten GETs each.
pub fn concurrent(running: &Running) -> Outcome {
    let port = running.port();
    let client = move || {
        let mut client = Client::new(port);
        (0..10).map(|_| client.get("/small")).collect::<Vec<_>>()
    };
    let clients: Vec<_> = (0..3).map(|_| std::thread::spawn(client)).collect();
    let answers = clients.into_iter().flat_map(|client| client.join().expect("a client"));
    answered(running, answers.collect::<Vec<_>>())
}

/// A POST of 1 MiB in one write.
pub fn post_at_once(running: &Running) -> Outcome {
    once_ok(running, &request("POST", "/upload", CLOSE, &vec![b'x'; MIB]))
}

/// A POST of 1 MiB in 17 writes, with pauses in which the server reads what has come.
pub fn post_paced(running: &Running) -> Outcome {
    let bytes = request("POST", "/upload", CLOSE, &vec![b'x'; MIB]);
    let mut connection = Connection::open(running.port());
    for piece in bytes.chunks(MIB / 16) {
        connection.send(piece);
        std::thread::sleep(Duration::from_millis(5));
    }
    let answer = connection.receive();
    assert_eq!(answer.status(), 200, "{}", String::from_utf8_lossy(&answer.head));
    answered(running, [answer])
}

/// 5 MiB in pieces.
pub fn stream(running: &Running) -> Outcome {
    once_ok(running, &request("GET", "/stream", CLOSE, b""))
}

/// 5 MiB from a file.
pub fn file(running: &Running) -> Outcome {
    once_ok(running, &request("GET", "/file", CLOSE, b""))
}

/// Server-sent events: twenty sends, one answer.
pub fn events(running: &Running) -> Outcome {
    once_ok(running, &request("GET", "/events", CLOSE, b""))
}

/// A POST that waits for `100 Continue`, as curl does: not for ever.
pub fn expect_continue(running: &Running) -> Outcome {
    let body = b"expected".repeat(100);
    let whole = request("POST", "/upload", &format!("{CLOSE}Expect: 100-continue\r\n"), &body);
    let (head, body) = whole.split_at(whole.len() - body.len());
    let mut connection = Connection::open(running.port());
    connection.send(head);
    let mut outcome = Outcome::default();
    if running.answers_within(&connection, Duration::from_millis(500)) {
        let interim = String::from_utf8_lossy(&connection.receive_head()).into_owned();
        assert!(interim.starts_with("HTTP/1.1 100 "), "{interim}");
        outcome.answers.push(interim);
    }
    connection.send(body);
    let mut answer = connection.receive();
    // werkzeug says it twice.
    while answer.status() == 100 {
        outcome.answers.push(told(running, &answer));
        answer = connection.receive();
    }
    assert_eq!(answer.status(), 200, "{}", String::from_utf8_lossy(&answer.head));
    outcome.truth = 1;
    outcome.answers.push(told(running, &answer));
    outcome
}

/// An upload that the server refuses at its beginning, the rest of it, and a further request: on the same connection if
/// the server keeps it.
pub fn early_413(running: &Running) -> Outcome {
    let bytes = request("POST", "/limited", "", &vec![b'x'; TOO_LARGE]);
    let (first, rest) = bytes.split_at(64 << 10);
    let mut connection = Connection::open(running.port());
    connection.send(first);
    let refusal = connection.receive();
    assert_eq!(refusal.status(), 413, "{}", String::from_utf8_lossy(&refusal.head));
    let kept = !refusal.closes() && connection.try_send(rest);
    let kept = kept && connection.try_send(&request("GET", "/small", CLOSE, b""));
    let further = if kept { connection.try_receive() } else { None };
    // Closed only now: the server may still be reading the upload, or have closed before it was through.
    let further = further.unwrap_or_else(|| once(running, &request("GET", "/small", CLOSE, b"")));
    drop(connection);
    // A proxy had kept its connection to the server behind it, which has refused and is about to close it.
    if further.status() == 502 {
        return Outcome { late: true, ..Outcome::default() };
    }
    assert_eq!(further.status(), 200, "{}", String::from_utf8_lossy(&further.head));
    answered(running, [refusal, further])
}

/// A request after which the client says that no more is to come; a server may take that for leaving.
///
/// It says so while the server works on the answer: at once, chance would decide which the server sees first.
pub fn half_close(running: &Running) -> Outcome {
    let mut connection = Connection::open(running.port());
    let start = Instant::now();
    connection.send(&request("GET", "/slow", CLOSE, b""));
    running.wait_until_at_work(connection.local_port());
    connection.finish_sending();
    let late = start.elapsed() > leaving::IN_TIME;
    Outcome { late, ..answered(running, connection.try_receive()) }
}

/// Three requests in one write; the last asks the server to close.
pub fn pipelined(running: &Running) -> Outcome {
    let two = request("GET", "/small", "", b"").repeat(2);
    let mut connection = Connection::open(running.port());
    connection.send(&[two, request("GET", "/small", CLOSE, b"")].concat());
    let mut answers = Vec::new();
    while answers.len() < 3 && running.answers_within(&connection, Duration::from_secs(1)) {
        let Some(answer) = connection.try_receive() else { break };
        answers.push(answer);
    }
    answered(running, answers)
}

/// The same client over any stream: twenty GETs on this connection, or one.
pub fn on<S: Read + Write>(connection: &mut Connection<S>, number: usize, last_closes: bool) -> Vec<Answer> {
    let get = |at: usize| {
        connection.send(&request("GET", "/small", if last_closes && at + 1 == number { CLOSE } else { "" }, b""));
        connection.receive()
    };
    (0..number).map(get).collect()
}
