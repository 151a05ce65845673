//! The server matrix: gunicorn with each of its worker classes, two workers, with TLS one.

mod common;
mod matrix;

use common::gunicorn::Worker;
use common::servers;
use matrix::{Mode, Place, Ready, Server, case, python, run};
use std::process::Command;

const WORKERS: usize = 2;
const NO_HTTP2: &str = "gunicorn speaks HTTP/1.1 only";
const NO_RESUMPTION: &str = "a TLS context for each connection: no session is ever resumed";
const NO_WEBSOCKET: &str = "WSGI has no WebSocket";

/// With TLS one worker: a ticket of another's resumes nothing, and whose turn it is would be chance.
fn workers(place: &Place) -> usize {
    if place.is_tls() { 1 } else { WORKERS }
}

fn gunicorn(place: &Place, worker: Worker) -> Command {
    let mut command = python::program(place, "gunicorn");
    command
        .args(["--bind", &format!("127.0.0.1:{}", place.port), "--worker-class", worker.class()])
        .args(["--workers", &workers(place).to_string()])
        .arg("--config")
        .arg(servers().join("gunicorn_ready.py"));
    if worker == Worker::Gthread {
        command.args(["--threads", "4"]);
    }
    if place.is_tls() {
        command.arg("--certfile").arg(place.certificate()).arg("--keyfile").arg(place.key());
    }
    command.arg(if worker == Worker::Uvicorn { "matrix:asgi" } else { "matrix:wsgi" });
    command
}

fn server(name: &'static str, worker: Worker, packages: &'static [&str]) -> Server {
    Server::new(name, move |place| gunicorn(place, worker))
        .ready(Ready::Says("Worker ready: ", 1))
        .version(|| python::versions(packages))
        .lacks_mode(Mode::Http2, NO_HTTP2)
}

#[test]
fn gunicorn_sync() {
    const CLOSES: &str = "the sync worker closes after each answer";
    run(server("gunicorn sync", Worker::Sync, &["gunicorn"])
        .lacks(case::KEEP_ALIVE, CLOSES)
        .lacks(case::TLS13_KEEP_ALIVE, CLOSES)
        .lacks(case::TLS12_KEEP_ALIVE, CLOSES)
        .lacks(case::TLS13_RESUMED, NO_RESUMPTION)
        .lacks(case::TLS12_RESUMED, NO_RESUMPTION)
        .lacks(case::WEBSOCKET, NO_WEBSOCKET));
}

#[test]
fn gunicorn_gthread() {
    run(server("gunicorn gthread", Worker::Gthread, &["gunicorn"])
        .note("Of pipelined requests gthread answers the first; the others stay in its buffer until keep-alive ends.")
        .lacks(case::TLS13_RESUMED, NO_RESUMPTION)
        .lacks(case::TLS12_RESUMED, NO_RESUMPTION)
        .lacks(case::WEBSOCKET, NO_WEBSOCKET));
}

#[test]
fn gunicorn_gevent() {
    run(server("gunicorn gevent", Worker::Gevent, &["gunicorn", "gevent"]).lacks(case::WEBSOCKET, NO_WEBSOCKET));
}

#[test]
fn gunicorn_uvicorn_worker() {
    run(server("gunicorn UvicornWorker", Worker::Uvicorn, &["gunicorn", "uvicorn", "uvloop", "httptools"]));
}
