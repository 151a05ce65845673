//! A small HTTP/1.1 client that sends and returns raw bytes: the ground truth that the library's counts are
//! held against.

use std::io::{ErrorKind, Read, Write};
use std::net::{Shutdown, TcpStream};
use std::os::fd::AsRawFd;
use std::time::{Duration, Instant};

/// No answer of the tests takes longer; a server that hangs fails the test instead of stopping it.
const TIMEOUT: Duration = super::LIMIT;

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

    /// Whether the server closes the connection after this answer.
    pub fn closes(&self) -> bool {
        let connection = self.header("Connection").unwrap_or_default().to_ascii_lowercase();
        let framed = self.header("Content-Length").is_some() || self.header("Transfer-Encoding").is_some();
        match self.head.starts_with(b"HTTP/1.0") {
            true => !connection.contains("keep-alive"),
            false => connection.contains("close") || !framed,
        }
    }

    /// The body without the chunk framing.
    pub fn content(&self) -> Vec<u8> {
        if !self.is_chunked() {
            return self.body.clone();
        }
        let (mut content, mut rest) = (Vec::new(), self.body.as_slice());
        while let Some(end) = rest.windows(2).position(|window| window == b"\r\n") {
            let length = chunk_length(&rest[..end]);
            content.extend(&rest[end + 2..end + 2 + length]);
            rest = &rest[end + 2 + length + 2..];
        }
        content
    }

    fn is_chunked(&self) -> bool {
        self.header("Transfer-Encoding").is_some_and(|coding| coding == "chunked")
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

/// One connection, open as long as the value lives; over TCP, or over what `S` adds to it.
pub struct Connection<S = TcpStream> {
    stream: S,
    received: Vec<u8>,
}

/// Connects to the server on this machine.
pub fn connect(port: u16) -> TcpStream {
    let stream = TcpStream::connect(("127.0.0.1", port)).expect("connect");
    stream.set_nodelay(true).expect("set TCP_NODELAY");
    stream.set_read_timeout(Some(TIMEOUT)).expect("set a read timeout");
    stream.set_write_timeout(Some(TIMEOUT)).expect("set a write timeout");
    stream
}

impl Connection {
    /// Connects to the server on this machine.
    pub fn open(port: u16) -> Self {
        Self::over(connect(port))
    }

    /// Says that no more is to come; the answer can still be received.
    pub fn finish_sending(&self) {
        self.stream.shutdown(Shutdown::Write).expect("shutdown");
    }

    /// The client's own port.
    pub fn local_port(&self) -> u16 {
        self.stream.local_addr().expect("the client's address").port()
    }

    /// Whether something can be received, the end included, within so long.
    pub fn is_readable_within(&self, limit: Duration) -> bool {
        self.stream.set_read_timeout(Some(limit)).expect("set a read timeout");
        let readable = !self.received.is_empty() || self.stream.peek(&mut [0]).is_ok();
        self.stream.set_read_timeout(Some(TIMEOUT)).expect("set a read timeout");
        readable
    }

    /// Leaves, which the server cannot tell from a close, and sees what comes of it: whether the server answered. Nothing where it
    /// had sent something before.
    ///
    /// The kernel counts the segments with data that arrive although nobody will read them. Ends when the server has
    /// closed the connection, or sent to it and so got a reset.
    pub fn answered_after_leaving(self) -> Option<bool> {
        let before = self.segments_with_data();
        self.stream.shutdown(Shutdown::Both).expect("shutdown");
        let start = Instant::now();
        while self.tcp_info()[0] & 0xff != TCP_CLOSE {
            assert!(start.elapsed() < TIMEOUT, "the server keeps a connection whose client has left");
            std::thread::sleep(Duration::from_millis(2));
        }
        (before == 0).then(|| self.segments_with_data() > before)
    }

    fn segments_with_data(&self) -> u32 {
        // struct tcp_info, linux/tcp.h: tcpi_data_segs_in is at byte 152, since Linux 4.6.
        self.tcp_info()[152 / 4]
    }

    /// The beginning of struct tcp_info; its first byte is the connection's state.
    fn tcp_info(&self) -> [u32; 40] {
        let mut info = [0; 40];
        let mut length = size_of_val(&info) as libc::socklen_t;
        // SAFETY: the descriptor is open as long as `self.stream` lives, and the kernel writes `length` bytes at most.
        let got = unsafe {
            libc::getsockopt(
                self.stream.as_raw_fd(),
                libc::IPPROTO_TCP,
                libc::TCP_INFO,
                info.as_mut_ptr().cast(),
                &raw mut length,
            )
        };
        assert!(got == 0 && length as usize == size_of_val(&info), "TCP_INFO");
        info
    }

    /// Closes so that the server sees a reset: what it still reads or writes fails.
    pub fn reset(self) {
        let linger = libc::linger { l_onoff: 1, l_linger: 0 };
        // SAFETY: the descriptor is open as long as `self.stream` lives, and the option's value outlives the
        // call.
        let set = unsafe {
            libc::setsockopt(
                self.stream.as_raw_fd(),
                libc::SOL_SOCKET,
                libc::SO_LINGER,
                (&raw const linger).cast(),
                size_of_val(&linger) as libc::socklen_t,
            )
        };
        assert_eq!(set, 0, "SO_LINGER");
    }
}

/// The state of a closed connection (tcp_states.h).
const TCP_CLOSE: u32 = 7;

impl<S: Read + Write> Connection<S> {
    /// A connection over a stream that is open.
    pub fn over(stream: S) -> Self {
        Self { stream, received: Vec::new() }
    }

    /// The stream below.
    pub fn stream(&self) -> &S {
        &self.stream
    }

    /// Sends what a server may refuse to receive by now; whether it was sent.
    pub fn try_send(&mut self, bytes: &[u8]) -> bool {
        self.stream.write_all(bytes).is_ok()
    }

    /// The next whole answer, if the server sends one before it closes.
    pub fn try_receive(&mut self) -> Option<Answer> {
        while !self.received.windows(4).any(|window| window == b"\r\n\r\n") {
            let mut piece = [0; 65536];
            match self.stream.read(&mut piece) {
                Ok(length) if length > 0 => self.received.extend_from_slice(&piece[..length]),
                _ => return None,
            }
        }
        Some(self.receive())
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
        } else if answer.status() / 100 == 1 {
            Vec::new()
        } else if answer.is_chunked() {
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

    /// Chunks up to and with the last one, framing included.
    fn receive_chunks(&mut self) -> Vec<u8> {
        let mut raw = Vec::new();
        loop {
            let line = self.take_through(b"\r\n");
            let length = chunk_length(&line);
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
            // The second is how TLS calls a close without its own farewell.
            Err(problem) if matches!(problem.kind(), ErrorKind::ConnectionReset | ErrorKind::UnexpectedEof) => rest,
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

/// The length in a chunk's first line.
fn chunk_length(line: &[u8]) -> usize {
    usize::from_str_radix(String::from_utf8_lossy(line).trim(), 16).expect("a chunk length")
}
