//! A small HTTP/1.1 client that sends and returns raw bytes: the ground truth that the library's counts are
//! held against.

use std::io::{ErrorKind, Read, Write};
use std::net::TcpStream;
use std::time::Duration;

/// No answer of the tests takes longer; a server that hangs fails the test instead of stopping it.
const TIMEOUT: Duration = Duration::from_secs(30);

/// One answer, byte for byte.
#[derive(Clone, PartialEq, Eq)]
pub struct Answer {
    /// Status line, headers and the empty line.
    pub head: Vec<u8>,
    /// What followed, with the chunk framing if there was one.
    pub body: Vec<u8>,
}

impl Answer {
    /// The status code.
    pub fn status(&self) -> u16 {
        let head = String::from_utf8_lossy(&self.head);
        let code = head.split(' ').nth(1).and_then(|code| code.parse().ok());
        code.unwrap_or_else(|| panic!("no status line: {head:?}"))
    }

    /// The body as text without white space at its ends.
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).trim().to_owned()
    }

    /// A header's value, if the answer has it.
    pub fn header(&self, name: &str) -> Option<String> {
        let head = String::from_utf8_lossy(&self.head).into_owned();
        head.lines().skip(1).find_map(|line| {
            let (found, value) = line.split_once(':')?;
            found.eq_ignore_ascii_case(name).then(|| value.trim().to_owned())
        })
    }

    /// The head with the value of Date blanked: the only part that two runs may differ in.
    pub fn head_without_date(&self) -> String {
        let head = String::from_utf8_lossy(&self.head).into_owned();
        let is_date = |line: &str| line.get(..5).is_some_and(|start| start.eq_ignore_ascii_case("date:"));
        head.split_inclusive("\r\n").map(|line| if is_date(line) { "Date: …\r\n" } else { line }).collect()
    }
}

/// A request as bytes. `extra` holds whole header lines, each with its line end.
pub fn request(method: &str, path: &str, extra: &str, body: &[u8]) -> Vec<u8> {
    let length = if method == "POST" { format!("Content-Length: {}\r\n", body.len()) } else { String::new() };
    let mut bytes = format!("{method} {path} HTTP/1.1\r\nHost: test\r\n{length}{extra}\r\n").into_bytes();
    bytes.extend_from_slice(body);
    bytes
}

/// A GET on a connection of its own, which the server is asked to close. Panics unless the answer is
/// complete.
pub fn get(port: u16, path: &str) -> Answer {
    exchange(port, &request("GET", path, "Connection: close\r\n", b""))
}

/// A POST on a connection of its own.
pub fn post(port: u16, path: &str, body: &[u8]) -> Answer {
    exchange(port, &request("POST", path, "Connection: close\r\n", body))
}

/// A POST that waits for `100 Continue` before it sends the body; the final answer.
pub fn post_after_continue(port: u16, path: &str, body: &[u8]) -> Answer {
    let whole = request("POST", path, "Connection: close\r\nExpect: 100-continue\r\n", body);
    let (head, body) = whole.split_at(whole.len() - body.len());
    let mut connection = Connection::open(port);
    connection.send(head);
    let interim = connection.receive_head();
    assert!(interim.starts_with(b"HTTP/1.1 100 "), "{}", String::from_utf8_lossy(&interim));
    connection.send(body);
    connection.receive()
}

/// Sends raw bytes on a connection of their own and reads the answer up to the server's close.
pub fn exchange(port: u16, bytes: &[u8]) -> Answer {
    let mut connection = Connection::open(port);
    connection.send(bytes);
    let answer = connection.receive();
    let rest = connection.read_to_end();
    assert!(rest.is_empty(), "{} bytes after the answer", rest.len());
    answer
}

/// One connection, open as long as the value lives.
pub struct Connection {
    stream: TcpStream,
    received: Vec<u8>,
}

impl Connection {
    /// Connects to the server on this machine.
    pub fn open(port: u16) -> Self {
        let stream = TcpStream::connect(("127.0.0.1", port)).expect("connect");
        stream.set_read_timeout(Some(TIMEOUT)).expect("set a read timeout");
        stream.set_write_timeout(Some(TIMEOUT)).expect("set a write timeout");
        Self { stream, received: Vec::new() }
    }

    /// Sends raw bytes: a request, or as much of one as the test wants.
    pub fn send(&mut self, bytes: &[u8]) {
        self.stream.write_all(bytes).expect("send");
    }

    /// A GET on this connection, which stays open.
    pub fn get(&mut self, path: &str) -> Answer {
        self.send(&request("GET", path, "", b""));
        self.receive()
    }

    /// Reads one whole answer.
    pub fn receive(&mut self) -> Answer {
        let head = self.receive_head();
        let mut answer = Answer { head, body: Vec::new() };
        answer.body = if let Some(length) = answer.header("Content-Length") {
            self.take(length.parse().expect("a length"))
        } else if answer.header("Transfer-Encoding").is_some_and(|coding| coding == "chunked") {
            self.receive_chunks()
        } else {
            self.read_to_end()
        };
        answer
    }

    /// Reads a status line and headers, up to and with the empty line.
    pub fn receive_head(&mut self) -> Vec<u8> {
        self.take_through(b"\r\n\r\n")
    }

    /// Closes so that the server sees a reset: what it still reads or writes fails.
    pub fn reset(self) {
        let linger = libc::linger { l_onoff: 1, l_linger: 0 };
        // SAFETY: the descriptor is open as long as `self.stream` lives, and the option's value outlives the
        // call.
        let set = unsafe {
            libc::setsockopt(
                std::os::fd::AsRawFd::as_raw_fd(&self.stream),
                libc::SOL_SOCKET,
                libc::SO_LINGER,
                (&raw const linger).cast(),
                size_of_val(&linger) as libc::socklen_t,
            )
        };
        assert_eq!(set, 0, "SO_LINGER");
    }

    /// Chunks up to and with the last one, framing included.
    fn receive_chunks(&mut self) -> Vec<u8> {
        let mut raw = Vec::new();
        loop {
            let line = self.take_through(b"\r\n");
            let length = usize::from_str_radix(String::from_utf8_lossy(&line).trim(), 16).expect("a chunk length");
            raw.extend(line);
            raw.extend(self.take(length + 2));
            if length == 0 {
                return raw;
            }
        }
    }

    fn take_through(&mut self, end: &[u8]) -> Vec<u8> {
        loop {
            if let Some(at) = self.received.windows(end.len()).position(|window| window == end) {
                return self.take(at + end.len());
            }
            self.receive_more("the answer is cut short");
        }
    }

    fn take(&mut self, length: usize) -> Vec<u8> {
        while self.received.len() < length {
            self.receive_more("the answer is cut short");
        }
        self.received.drain(..length).collect()
    }

    /// Everything up to the server's close.
    pub fn read_to_end(&mut self) -> Vec<u8> {
        let mut rest = std::mem::take(&mut self.received);
        match self.stream.read_to_end(&mut rest) {
            Ok(_) => rest,
            Err(problem) if problem.kind() == ErrorKind::ConnectionReset => rest,
            Err(problem) => panic!("receive: {problem}"),
        }
    }

    fn receive_more(&mut self, at_end: &str) {
        let mut piece = [0; 65536];
        let length = self.stream.read(&mut piece).expect("receive");
        assert!(length > 0, "{at_end}: {:?}", String::from_utf8_lossy(&self.received));
        self.received.extend_from_slice(&piece[..length]);
    }
}
