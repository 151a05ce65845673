//! Real servers of each kind of work hold, soon after it, little more than what a forced malloc_trim leaves: after the answer,
//! beside probes, by pushing, by receiving. A hundred clients that never ask change nothing. No option is set but the log's.

mod common;
#[path = "common/forced_trim.rs"]
mod forced_trim;
#[path = "common/program.rs"]
mod program;

use common::http::{Connection, get, request};
use common::process::{clean_environment, end_with_this_test};
use common::{npm, servers};
use program::{Place, Program, SLOW_CLIENTS, gives_back, of_the_environment};
use std::io::{BufRead, BufReader, Write};
use std::net::TcpListener;
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::thread::JoinHandle;
use std::time::Duration;
use tempfile::TempDir;

const HALF_OF_HTTP: Option<&[u8]> = Some(b"GET / HTTP/1.1\r\nHo");

/// An application in tests/servers that is its own server.
fn script(name: &str, place: &Place) -> Command {
    let mut command = of_the_environment("python");
    command.arg(servers().join(name)).arg(place.port.to_string());
    command
}

/// Asks for something again and again until it is dropped.
struct Probes {
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Probes {
    fn every(pause: Duration, port: u16, path: &'static str) -> Self {
        let stop = Arc::new(AtomicBool::new(false));
        let ends = stop.clone();
        let ask = move || {
            while !ends.load(Relaxed) {
                get(port, path);
                std::thread::sleep(pause);
            }
        };
        Self { stop, thread: Some(std::thread::spawn(ask)) }
    }
}

impl Drop for Probes {
    fn drop(&mut self) {
        self.stop.store(true, Relaxed);
        let _ = self.thread.take().map(JoinHandle::join);
    }
}

#[test]
fn background_tasks_of_fastapi() {
    gives_back(&Program {
        name: "FastAPI under uvicorn",
        command: &|place| {
            let mut command = of_the_environment("uvicorn");
            command.args(["report_fastapi:app", "--port", &place.port.to_string()]);
            command
        },
        work: &|running| {
            get(running.port, "/report");
            running.wait_for_reports(1);
            Box::new(())
        },
        half_a_request: HALF_OF_HTTP,
    });
}

#[test]
fn a_report_beside_probes_in_gunicorn() {
    gives_back(&Program {
        name: "gunicorn gthread",
        command: &|place| {
            let mut command = of_the_environment("gunicorn");
            command.args(["report_wsgi:application", "--bind", &format!("127.0.0.1:{}", place.port)]);
            // Each slow client keeps one of its threads, with or without the library.
            command.args(["--worker-class", "gthread", "--threads", &(SLOW_CLIENTS + 4).to_string()]);
            command
        },
        work: &|running| {
            let probes = Probes::every(Duration::from_millis(500), running.port, "/");
            get(running.port, "/report");
            Box::new(probes)
        },
        half_a_request: HALF_OF_HTTP,
    });
}

#[test]
fn events_of_aiohttp() {
    gives_back(&Program {
        name: "aiohttp, server-sent events",
        command: &|place| script("report_events.py", place),
        work: &|running| {
            let mut client = Connection::open(running.port);
            client.send(&request("GET", "/events", "", b""));
            running.wait_for_reports(6);
            Box::new(client)
        },
        half_a_request: HALF_OF_HTTP,
    });
}

#[test]
fn a_broadcast_by_websockets() {
    gives_back(&Program {
        name: "websockets",
        command: &|place| script("report_broadcast.py", place),
        work: &|running| {
            let address = format!("ws://127.0.0.1:{}/", running.port);
            let client = |_| tungstenite::client(&address, common::http::connect(running.port)).expect("a WebSocket");
            let clients: Vec<_> = (0..10).map(client).collect();
            running.wait_for_reports(6);
            Box::new(clients)
        },
        half_a_request: HALF_OF_HTTP,
    });
}

/// A configuration file of tests/servers, each `{name}` replaced by its value; its path in the server's directory.
fn filled(place: &Place, name: &str, next: u16) -> PathBuf {
    let text = std::fs::read_to_string(servers().join(name)).expect("a configuration file");
    let text = text.replace("{port}", &place.port.to_string()).replace("{next}", &next.to_string());
    let path = place.directory.join(name);
    std::fs::write(&path, text).expect("a file");
    path
}

/// Many lines, which the receiver holds until the next one takes them.
#[test]
fn lines_that_rsyslogd_passes_on() {
    const LINES: usize = 60_000;
    let next = TcpListener::bind(("127.0.0.1", 0)).expect("a port");
    let next_port = next.local_addr().expect("an address").port();
    gives_back(&Program {
        name: "rsyslogd",
        command: &|place| {
            let mut command = Command::new("/usr/sbin/rsyslogd");
            clean_environment(&mut command).args(["-n", "-i"]).arg(place.directory.join("pid"));
            command.arg("-f").arg(filled(place, "rsyslog.conf", next_port));
            command
        },
        work: &|running| {
            let rest = "x".repeat(1500);
            let mut clients = vec![];
            for number in 0..LINES {
                // They come one after the other, and stay.
                if number % 1000 == 0 {
                    clients.push(Connection::open(running.port));
                }
                let client = clients.last_mut().expect("a client");
                client.send(format!("<13>Nov 27 00:00:00 host program: {number} {rest}\n").as_bytes());
            }
            let (mut taken, mut line, mut connections) = (0, String::new(), vec![]);
            while taken < LINES {
                // One that has ended already is that of the rsyslogd before.
                let mut lines = BufReader::new(next.accept().expect("rsyslogd").0);
                while taken < LINES && lines.read_line(&mut line).is_ok_and(|length| length > 0) {
                    taken += 1;
                    line.clear();
                }
                connections.push(lines);
            }
            Box::new((clients, connections))
        },
        half_a_request: Some(b"<13>Nov 27 00:00:00 host progr"),
    });
}

/// Messages for a client that is away, and then there.
#[test]
fn messages_that_mosquitto_holds() {
    const ROUNDS: usize = 15;
    const MESSAGES: usize = 1000;
    gives_back(&Program {
        name: "mosquitto",
        command: &|place| {
            let mut command = Command::new("/usr/sbin/mosquitto");
            clean_environment(&mut command).arg("-c").arg(filled(place, "mosquitto.conf", 0));
            command
        },
        work: &|running| {
            let client = |program: &str, arguments: &[&str], input: &str| {
                let mut command = Command::new(program);
                clean_environment(&mut command).args(["-h", "127.0.0.1", "-p", &running.port.to_string(), "-q", "1"]);
                end_with_this_test(command.args(arguments)).stdin(Stdio::piped()).stdout(Stdio::null());
                let mut client = command.spawn();
                let client = client.as_mut().unwrap_or_else(|problem| panic!("{program}: {problem}"));
                client.stdin.take().expect("its input").write_all(input.as_bytes()).expect("what it sends");
                assert!(client.wait().is_ok_and(|status| status.success()), "{program}");
            };
            let subscriber = ["-i", "away", "-c", "-t", "news"];
            client("mosquitto_sub", &[&subscriber[..], &["-E"]].concat(), "");
            let message = "x".repeat(3000) + "\n";
            for round in 0..ROUNDS {
                client("mosquitto_pub", &["-t", "news", "-l"], &message.repeat(MESSAGES));
                client("mosquitto_pub", &["-t", &format!("last/{round}"), "-r", "-s"], &message);
            }
            let all = (ROUNDS * MESSAGES).to_string();
            client("mosquitto_sub", &[&subscriber[..], &["-C", &all]].concat(), "");
            Box::new(())
        },
        // The beginning of CONNECT.
        half_a_request: Some(b"\x10\x20\x00\x04MQ"),
    });
}

/// A database that every start of the server copies.
fn database() -> TempDir {
    let directory = tempfile::tempdir().expect("a temporary directory");
    let mut command = Command::new("mariadb-install-db");
    clean_environment(&mut command).args(["--no-defaults", "--skip-test-db", "--user=root"]);
    command.args(["--auth-root-authentication-method=normal", "--innodb-log-file-size=4M"]);
    let output = command.arg("--datadir").arg(directory.path()).output().expect("mariadb-install-db");
    assert!(output.status.success(), "{output:?}");
    directory
}

/// Each has many variables of its own, which the database holds until it goes.
#[test]
fn connections_that_come_to_mariadb_and_go() {
    const CONNECTIONS: usize = 50;
    let database = database();
    let variable = |number| format!("@variable_{number} = REPEAT('x', 3000)");
    let variables = |part: usize| (part * 50..(part + 1) * 50).map(variable).collect::<Vec<_>>().join(", ");
    let queries: String = (0..20).map(|part| format!("SET {};\n", variables(part))).collect();
    gives_back(&Program {
        name: "MariaDB",
        command: &|place| {
            let data = place.directory.join("data");
            let copied = Command::new("cp").arg("-a").arg(database.path()).arg(&data).status();
            assert!(copied.is_ok_and(|status| status.success()), "the database could not be copied");
            let mut command = Command::new("/usr/sbin/mariadbd");
            clean_environment(&mut command).args(["--no-defaults", "--user=root", "--bind-address=127.0.0.1"]);
            command.arg(format!("--datadir={}", data.display())).args(["--port", &place.port.to_string()]);
            command.args(["--socket=socket", "--skip-name-resolve", "--skip-grant-tables"]);
            command.args(["--innodb-buffer-pool-size=8M", "--innodb-log-file-size=4M"]);
            command
        },
        work: &|running| {
            let come = |_| {
                let mut command = Command::new("mariadb");
                clean_environment(&mut command).args(["--no-defaults", "--host=127.0.0.1", "--user=root"]);
                command.args(["--port", &running.port.to_string(), "--unbuffered", "--skip-column-names"]);
                let client = end_with_this_test(&mut command).stdin(Stdio::piped()).stdout(Stdio::piped()).spawn();
                let mut client = client.expect("mariadb (scripts/packages.txt)");
                let queries = format!("{queries}SELECT COUNT(*) FROM mysql.help_topic;\n");
                let input = client.stdin.as_mut().expect("its input");
                input.write_all(queries.as_bytes()).expect("queries");
                client
            };
            let mut clients: Vec<_> = (0..CONNECTIONS).map(come).collect();
            for client in &mut clients {
                let mut answer = String::new();
                BufReader::new(client.stdout.as_mut().expect("its output")).read_line(&mut answer).expect("an answer");
            }
            for mut client in clients {
                drop(client.stdin.take());
                assert!(client.wait().is_ok_and(|status| status.success()), "mariadb");
            }
            Box::new(())
        },
        // The beginning of the answer to its greeting.
        half_a_request: Some(b"\x50\x00\x00\x01\x85\xa6"),
    });
}

/// A server that answers each request with so many bytes, until the last client has left.
fn streams(listener: TcpListener, bytes: usize) {
    let piece = vec![b'x'; 1 << 16];
    for client in listener.incoming() {
        let (client, piece) = (client.expect("a connection"), piece.clone());
        std::thread::spawn(move || {
            let (mut request, mut client) = (BufReader::new(&client), &client);
            let mut line = String::new();
            while request.read_line(&mut line).is_ok_and(|length| length > 2) {
                line.clear();
            }
            let head = format!("HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: {bytes}\r\n\r\n");
            let mut sent = client.write_all(head.as_bytes());
            for _ in 0..bytes / piece.len() {
                sent = sent.and_then(|()| client.write_all(&piece));
            }
            sent
        });
    }
}

/// A hundred megabytes, to many clients at once, which begin to read late.
#[test]
fn streams_through_haproxy() {
    const CLIENTS: usize = 320;
    const BYTES: usize = 5 << 16;
    let behind = TcpListener::bind(("127.0.0.1", 0)).expect("a port");
    let port = behind.local_addr().expect("an address").port();
    std::thread::spawn(|| streams(behind, BYTES));
    gives_back(&Program {
        name: "HAProxy",
        command: &|place| {
            let mut command = Command::new("/usr/sbin/haproxy");
            clean_environment(&mut command).arg("-f").arg(filled(place, "haproxy.cfg", port));
            command
        },
        work: &|running| {
            let client = |_| {
                let mut client = Connection::open(running.port);
                client.send(&request("GET", "/", "", b""));
                client
            };
            let mut clients: Vec<_> = (0..CLIENTS).map(client).collect();
            for client in &mut clients {
                assert_eq!(client.receive().body.len(), BYTES);
            }
            Box::new(())
        },
        half_a_request: HALF_OF_HTTP,
    });
}

/// It serves nobody, and never waits for long.
#[test]
fn what_a_timer_of_node_takes() {
    gives_back(&Program {
        name: "Node, a timer",
        command: &|_| {
            let mut command = Command::new("node");
            clean_environment(&mut command).arg("--expose-gc").arg(servers().join("report_timer.js"));
            command
        },
        work: &|running| {
            running.wait_for_reports(1);
            running.wait_until_old();
            Box::new(())
        },
        half_a_request: None,
    });
}

/// On threads of libuv's and of libvips's own, at whose waits nobody looks.
#[test]
fn pictures_that_sharp_makes_in_node() {
    let modules = npm("sharp");
    gives_back(&Program {
        name: "Node and sharp",
        command: &|place| {
            let mut command = Command::new("node");
            clean_environment(&mut command).env("NODE_PATH", &modules);
            command.arg(servers().join("report_sharp.js")).arg(place.port.to_string());
            command
        },
        work: &|running| {
            for _ in 0..3 {
                std::thread::scope(|scope| (0..2).for_each(|_| drop(scope.spawn(|| get(running.port, "/")))));
            }
            Box::new(())
        },
        half_a_request: HALF_OF_HTTP,
    });
}
