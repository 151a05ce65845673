//! The server matrix: asynchronous servers.

mod common;
mod matrix;

use matrix::{Mode, Place, Server, case, python, run};
use std::process::Command;

/// uvicorn, with this event loop and HTTP parser.
fn uvicorn(place: &Place, event_loop: &str, http: &str) -> Command {
    let mut command = python::program(place, "uvicorn");
    command.args(["--host", "127.0.0.1", "--port", &place.port.to_string(), "--no-access-log"]).args([
        "--loop",
        event_loop,
        "--http",
        http,
        "--ws",
        "websockets-sansio",
        "matrix:asgi",
    ]);
    if place.is_tls() {
        command.arg("--ssl-certfile").arg(place.certificate()).arg("--ssl-keyfile").arg(place.key());
    }
    command
}

#[test]
fn uvicorn_asyncio_h11() {
    run(Server::new("uvicorn asyncio h11", |place| uvicorn(place, "asyncio", "h11"))
        .version(|| python::versions(&["uvicorn", "h11", "websockets"]))
        .lacks_mode(Mode::Http2, "uvicorn speaks HTTP/1.1 only"));
}

#[test]
fn uvicorn_uvloop_httptools() {
    run(Server::new("uvicorn uvloop httptools", |place| uvicorn(place, "uvloop", "httptools"))
        .version(|| python::versions(&["uvicorn", "uvloop", "httptools", "websockets"]))
        .lacks_mode(Mode::Http2, "uvicorn speaks HTTP/1.1 only"));
}

#[test]
fn granian_wsgi() {
    run(granian("granian WSGI", "wsgi").lacks(case::WEBSOCKET, "WSGI has no WebSocket"));
}

#[test]
fn granian_asgi() {
    run(granian("granian ASGI", "asgi"));
}

fn granian(name: &'static str, interface: &'static str) -> Server {
    let start = move |place: &Place| {
        let mut command = python::program(place, "granian");
        command
            .args(["--host", "127.0.0.1", "--port", &place.port.to_string(), "--interface", interface])
            .arg(format!("matrix:{interface}"));
        if place.is_tls() {
            command.arg("--ssl-certificate").arg(place.certificate()).arg("--ssl-keyfile").arg(place.key());
            command.args(["--ssl-protocol-min", "tls1.2"]);
        }
        command
    };
    // Whether a refusal in the middle of an upload says `connection: close` is chance.
    Server::new(name, start).version(|| python::versions(&["granian"])).varying("connection")
}

#[test]
fn aiohttp() {
    let start = |place: &Place| {
        let mut command = python::program(place, "python");
        command.arg(common::servers().join("matrix_aiohttp.py")).arg(place.port.to_string());
        if place.is_tls() {
            command.arg(place.certificate()).arg(place.key());
        }
        command
    };
    run(Server::new("aiohttp", start)
        .version(|| python::versions(&["aiohttp"]))
        .lacks_mode(Mode::Http2, "aiohttp speaks HTTP/1.1 only"));
}
