//! The server matrix: WSGI servers, and the development servers of two frameworks.

mod common;
mod matrix;

use matrix::{Mode, Place, Server, case, python, run};
use std::process::Command;

const NO_WEBSOCKET: &str = "WSGI has no WebSocket";

#[test]
fn waitress() {
    let start = |place: &Place| {
        let mut command = python::program(place, "waitress-serve");
        command
            .args(["--listen", &format!("127.0.0.1:{}", place.port), "--max-request-body-size", "4194304"])
            .arg("matrix:wsgi");
        command
    };
    run(Server::new("waitress", start)
        .version(|| python::versions(&["waitress"]))
        .lacks(case::WEBSOCKET, NO_WEBSOCKET)
        .lacks_mode(Mode::Tls, "waitress has no TLS")
        .lacks_mode(Mode::Http2, "waitress speaks HTTP/1.1 only"));
}

/// Debian's uWSGI with its Python plugin: two processes, started with these options.
fn uwsgi(name: &'static str, socket: &'static str, more: &'static [&str]) -> Server {
    let start = move |place: &Place| {
        let mut command = Command::new("uwsgi");
        let address = format!("127.0.0.1:{}", place.port);
        match place.mode {
            Mode::Tls => command.arg("--https-socket").arg(format!(
                "{address},{},{}",
                place.certificate().display(),
                place.key().display()
            )),
            _ => command.args([socket, &address]),
        };
        command
            .args(["--plugin", "python3", "--master", "--die-on-term"])
            // With TLS one: each process has session tickets of its own.
            .args(["--processes", if place.is_tls() { "1" } else { "2" }])
            .args(["--pythonpath", &common::servers().to_string_lossy(), "--module", "matrix:wsgi"])
            .args(more)
            .env("SITE", &place.site);
        command
    };
    Server::new(name, start)
        .version(|| {
            let output = Command::new("uwsgi").arg("--version").output().expect("uwsgi (Debian: uwsgi-core)");
            format!("uWSGI {}", String::from_utf8_lossy(&output.stdout))
        })
        .lacks(case::WEBSOCKET, NO_WEBSOCKET)
        .lacks_mode(Mode::Http2, "uWSGI speaks HTTP/1.1 only")
}

#[test]
fn uwsgi_http_socket() {
    const CLOSES: &str = "http-socket and https-socket close after each answer";
    run(uwsgi("uWSGI http-socket", "--http-socket", &[])
        .lacks(case::KEEP_ALIVE, CLOSES)
        .lacks(case::TLS13_KEEP_ALIVE, CLOSES)
        .lacks(case::TLS12_KEEP_ALIVE, CLOSES));
}

/// uWSGI with keep-alive.
fn uwsgi_http11(name: &'static str, more: &'static [&str]) -> Server {
    uwsgi(name, "--http11-socket", more)
        .note("http11-socket does not chunk: an answer without a length ends by --socket-timeout, here 1 s.")
        .lacks_mode(Mode::Tls, "https-socket is measured in the row of http-socket")
}

#[test]
fn uwsgi_http11_socket() {
    run(uwsgi_http11("uWSGI http11-socket", &["--socket-timeout", "5"]));
}

#[test]
fn uwsgi_threads() {
    run(uwsgi_http11("uWSGI http11-socket, threads", &["--socket-timeout", "5", "--threads", "4"]));
}

#[test]
fn django_runserver() {
    let start = |place: &Place| {
        let mut command = python::program(place, "django-admin");
        command
            .args(["runserver", "--settings", "matrix_django", "--skip-checks"])
            .arg(format!("127.0.0.1:{}", place.port));
        command
    };
    run(Server::new("Django runserver", start)
        .version(|| python::versions(&["django"]))
        .lacks(case::WEBSOCKET, NO_WEBSOCKET)
        .lacks_mode(Mode::Tls, "runserver has no TLS")
        .lacks_mode(Mode::Http2, "runserver speaks HTTP/1.1 only"));
}

#[test]
fn flask_run() {
    const CLOSES: &str = "werkzeug closes after each answer";
    let start = |place: &Place| {
        let mut command = python::program(place, "flask");
        command.args(["--app", "matrix_flask", "run", "--host", "127.0.0.1", "--port", &place.port.to_string()]);
        if place.is_tls() {
            command.arg("--cert").arg(place.certificate()).arg("--key").arg(place.key());
        }
        command
    };
    run(Server::new("Flask (werkzeug)", start)
        .version(|| python::versions(&["flask", "werkzeug"]))
        .lacks(case::KEEP_ALIVE, CLOSES)
        .lacks(case::TLS13_KEEP_ALIVE, CLOSES)
        .lacks(case::TLS12_KEEP_ALIVE, CLOSES)
        .lacks(case::WEBSOCKET, NO_WEBSOCKET)
        .lacks_mode(Mode::Http2, "werkzeug speaks HTTP/1.x only"));
}
