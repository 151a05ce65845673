//! Programs that serve no connection are not touched: they print what they would have printed, and nothing of
//! ours.

mod common;

use common::process::clean_environment;
use common::{library, python};
use std::io::{Read, Write};
use std::net::TcpListener;
use std::process::{Command, Output};

/// Runs a shell script in a directory with two files, with `$PYTHON` set.
fn run(script: &str, environment: &[(&str, &str)], preload: bool) -> Output {
    let directory = tempfile::tempdir().expect("a temporary directory");
    for name in ["one", "two"] {
        std::fs::write(directory.path().join(name), name).expect("a file");
    }
    let mut command = Command::new("sh");
    clean_environment(&mut command).args(["-c", script]).current_dir(directory.path());
    command.env("PYTHON", python()).envs(environment.iter().copied());
    if preload {
        command.env("LD_PRELOAD", library());
    }
    command.output().expect("sh")
}

/// The output is that of a plain run; returns it.
fn is_unchanged(script: &str, environment: &[(&str, &str)]) -> Output {
    let plain = run(script, environment, false);
    let preloaded = run(script, environment, true);
    assert_eq!(plain, preloaded, "{script}");
    plain
}

const LOUD: [(&str, &str); 2] = [("AUTOTRIM_LOG", "debug"), ("AUTOTRIM_INTERVAL", "1")];

#[test]
fn a_pipeline_and_a_script_print_nothing_of_ours() {
    for environment in [&LOUD[..], &[]] {
        let output = is_unchanged(r#"ls | cat; "$PYTHON" -c "print(1)""#, environment);
        assert_eq!(String::from_utf8_lossy(&output.stdout), "one\ntwo\n1\n");
        assert_eq!(output.stderr, b"");
    }
}

#[test]
fn exit_codes_and_errors_are_unchanged() {
    assert_eq!(is_unchanged("exit 7", &LOUD).status.code(), Some(7));
    assert_eq!(is_unchanged("ls nowhere", &LOUD).status.code(), Some(2));
    assert_eq!(is_unchanged(r#"exec "$PYTHON" -c 'import os; os.abort()'"#, &LOUD).status.code(), None);
}

/// A bad value is of no interest to `ls`.
#[test]
fn a_bad_value_is_not_reported_by_programs_that_do_not_serve() {
    let output = is_unchanged("ls | cat", &[("AUTOTRIM_INTERVAL", "abc"), ("AUTOTRIM_LOG", "loud")]);
    assert_eq!(output.stderr, b"");
}

/// A client connects and does not accept: nothing of it is counted.
#[test]
fn a_client_prints_nothing_of_ours() {
    const REQUESTS: usize = 5;
    let listener = TcpListener::bind("127.0.0.1:0").expect("a listener");
    let port = listener.local_addr().expect("its address").port().to_string();
    let answering = std::thread::spawn(move || {
        for _ in 0..2 * REQUESTS {
            let (mut stream, _) = listener.accept().expect("accept");
            for _ in 0..2 {
                let _ = stream.read(&mut [0; 1024]).expect("a question");
                stream.write_all(b"answer").expect("answer");
            }
        }
    });
    let client = format!(
        r#""$PYTHON" -c '
import select, socket, os
for _ in range({REQUESTS}):
    with socket.create_connection(("127.0.0.1", int(os.environ["PORT"]))) as client:
        for _ in range(2):
            client.sendall(b"question")
            select.select([client], [], [], 5)
            print(client.recv(100))
'"#
    );
    let output = is_unchanged(&client, &[LOUD[0], LOUD[1], ("PORT", &port)]);
    assert_eq!(String::from_utf8_lossy(&output.stdout), "b'answer'\n".repeat(2 * REQUESTS));
    answering.join().expect("the answering thread");
}

/// A server and its client over a socket pair or a pipe: only accepted connections count.
#[test]
fn pipes_and_socket_pairs_are_not_connections() {
    let script = r#""$PYTHON" -c '
import os, select, socket
one, other = socket.socketpair()
reader, writer = os.pipe()
for _ in range(5):
    one.sendall(b"question")
    other.recv(100)
    other.sendall(b"answer")
    one.recv(100)
    os.write(writer, b"x")
    select.select([reader], [], [], 1)
    os.read(reader, 1)
print("done")
'"#;
    let output = is_unchanged(script, &LOUD);
    assert_eq!((&*output.stdout, &*output.stderr), (&b"done\n"[..], &b""[..]));
}
