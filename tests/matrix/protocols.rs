//! What lies above or below HTTP/1.x: WebSocket, HTTP/2, TLS. The counts are ratios, told and not asserted to be exact.

use super::case::Outcome;
use super::common::http::{Connection, connect};
use super::common::process::clean_environment;
use super::http_cases::{on, told};
use super::running::Running;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, ClientConnection, RootCertStore, StreamOwned, SupportedProtocolVersion, version};
use std::net::TcpStream;
use std::process::Command;
use std::sync::Arc;
use tungstenite::Message;

const REQUESTS: usize = 20;

/// An upgrade and ten echoed messages: eleven exchanges. The farewell may be one more.
pub fn websocket(running: &Running) -> Outcome {
    const MESSAGES: usize = 10;
    let address = format!("ws://127.0.0.1:{}/ws", running.port());
    let (mut socket, answer) = tungstenite::client(address, connect(running.port())).expect("a WebSocket");
    let mut answers = vec![answer.status().to_string()];
    for number in 0..MESSAGES {
        socket.send(Message::text(format!("message {number}"))).expect("send a message");
        answers.push(socket.read().expect("an echo").into_text().expect("a text").to_string());
    }
    socket.close(None).expect("close");
    while socket.read().is_ok() {}
    assert_eq!(answers[MESSAGES], format!("message {}", MESSAGES - 1));
    Outcome { truth: 1 + MESSAGES as u64, answers, ..Outcome::default() }
}

/// Twenty requests on one connection without TLS, one after the other, by h2load. (curl before 8.0 cannot keep it.)
pub fn http2(running: &Running) -> Outcome {
    let mut h2load = Command::new("h2load");
    clean_environment(&mut h2load)
        .args(["--requests", &REQUESTS.to_string(), "--clients", "1", "--max-concurrent-streams", "1"])
        .arg(format!("http://127.0.0.1:{}/small", running.port()));
    let output = h2load.output().expect("h2load could not be started (Debian: nghttp2-client)");
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let answered =
        format!("requests: {REQUESTS} total, {REQUESTS} started, {REQUESTS} done, {REQUESTS} succeeded, 0 failed");
    assert!(text.contains(&answered), "{text}{}", String::from_utf8_lossy(&output.stderr));
    // What was received but for the headers, which are compressed: their length differs.
    let data = text.lines().find_map(|line| line.strip_prefix("traffic: ")?.rsplit(", ").next()).expect("traffic");
    assert!(data.starts_with(&format!("{}B", REQUESTS * "hello\n".len())), "{text}");
    Outcome { truth: REQUESTS as u64, answers: vec![data.to_owned()], ..Outcome::default() }
}

/// A client's side of TLS.
struct Tls<'a> {
    running: &'a Running<'a>,
    config: Arc<ClientConfig>,
}

impl<'a> Tls<'a> {
    fn new(running: &'a Running, version: &'static SupportedProtocolVersion, resumes: bool) -> Self {
        let certificate = std::fs::read(running.place.site.join("certificate.der")).expect("the certificate");
        let mut roots = RootCertStore::empty();
        roots.add(CertificateDer::from(certificate)).expect("a root certificate");
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let builder = ClientConfig::builder_with_provider(provider).with_protocol_versions(&[version]);
        let mut config = builder.expect("a version").with_root_certificates(roots).with_no_client_auth();
        if !resumes {
            config.resumption = rustls::client::Resumption::disabled();
        }
        Self { running, config: Arc::new(config) }
    }

    fn open(&self) -> Connection<StreamOwned<ClientConnection, TcpStream>> {
        let name = ServerName::try_from("localhost").expect("a name");
        let session = ClientConnection::new(self.config.clone(), name).expect("a TLS session");
        Connection::over(StreamOwned::new(session, connect(self.running.port())))
    }

    /// Twenty GETs on one connection.
    fn keep_alive(&self) -> Outcome {
        let mut connection = self.open();
        let answers = on(&mut connection, REQUESTS, false);
        self.outcome(answers.iter().map(|answer| told(self.running, answer)).collect())
    }

    /// Twenty GETs on a connection each; how many of them resumed a session.
    fn close(&self) -> (Outcome, usize) {
        let (mut answers, mut resumed) = (Vec::new(), 0);
        for _ in 0..REQUESTS {
            let mut connection = self.open();
            answers.extend(on(&mut connection, 1, true).iter().map(|answer| told(self.running, answer)));
            connection.read_to_end();
            let kind = connection.stream().conn.handshake_kind();
            resumed += usize::from(kind == Some(rustls::HandshakeKind::Resumed));
        }
        (self.outcome(answers), resumed)
    }

    fn outcome(&self, answers: Vec<String>) -> Outcome {
        assert!(answers.iter().all(|answer| answer.contains(" 200")), "{answers:?}");
        Outcome { truth: answers.len() as u64, answers, ..Outcome::default() }
    }
}

pub fn tls13_keep_alive(running: &Running) -> Outcome {
    Tls::new(running, &version::TLS13, false).keep_alive()
}

pub fn tls13_close(running: &Running) -> Outcome {
    Tls::new(running, &version::TLS13, false).close().0
}

pub fn tls13_resumed(running: &Running) -> Outcome {
    resumed(Tls::new(running, &version::TLS13, true))
}

pub fn tls12_keep_alive(running: &Running) -> Outcome {
    Tls::new(running, &version::TLS12, false).keep_alive()
}

pub fn tls12_close(running: &Running) -> Outcome {
    Tls::new(running, &version::TLS12, false).close().0
}

pub fn tls12_resumed(running: &Running) -> Outcome {
    resumed(Tls::new(running, &version::TLS12, true))
}

fn resumed(tls: Tls) -> Outcome {
    let (outcome, resumed) = tls.close();
    // How many is the server's choice. Where workers have tickets of their own, run one.
    assert!(resumed > 0, "no session was resumed, which the description must say");
    outcome
}
