//! On which servers CPython comes by in quiet, with nothing set: where free pools are released, and garbage is collected.

mod common;

use common::http::get;
use common::log::Log;
use common::process::{clean_environment, end_with_this_test, kill_with_children};
use common::{LIMIT, free_port, library, python, servers, wait_within};
use std::fs::File;
use std::net::TcpStream;
use std::process::{Child, Command};
use std::time::Duration;
use tempfile::TempDir;

/// Requests that each leave some megabytes in free pools, and as many in a cycle.
const BURST: usize = 3;
/// What may come by chance of pools.
const LITTLE_KB: u64 = 1024;

/// A server under the library with its defaults, in a directory of its own.
struct Server {
    child: Child,
    port: u16,
    directory: TempDir,
}

impl Server {
    /// `{port}` in an argument is its port.
    fn start(program: &str, arguments: &[&str]) -> Server {
        let (directory, port) = (tempfile::tempdir().expect("a directory"), free_port());
        let arguments = arguments.iter().map(|argument| argument.replace("{port}", &port.to_string()));
        let output = |name| File::create(directory.path().join(name)).expect("a file");
        let in_environment = python().with_file_name(program);
        let mut command = if in_environment.is_file() { Command::new(in_environment) } else { Command::new(program) };
        clean_environment(&mut command)
            .args(arguments)
            .current_dir(directory.path())
            .env("PYTHONPATH", servers())
            .env("PYTHONDONTWRITEBYTECODE", "1")
            .env("LD_PRELOAD", library())
            .env("AUTOTRIM_LOG", "debug")
            .stdout(output("stdout"))
            .stderr(output("stderr"));
        let child = end_with_this_test(&mut command).spawn().unwrap_or_else(|error| panic!("{program}: {error}"));
        wait_within(LIMIT, program, || TcpStream::connect(("127.0.0.1", port)).is_ok().then_some(()));
        Server { child, port, directory }
    }

    fn log(&self) -> Log {
        Log::read(&std::fs::read(self.directory.path().join("stderr")).expect("stderr"))
    }

    /// Kilobytes of pools that trims tell of, and how many trims tell of a collection, in processes that have answered: a master is looked at,
    /// too, when it is old.
    fn seen(&self) -> (u64, usize) {
        let mut trims = self.log().event("trim");
        trims.lines.retain(|line| line.number("requests") > 0);
        let pools = trims.lines.iter().filter(|line| line.fields.contains_key("pools_kb"));
        (pools.map(|line| line.number("pools_kb")).sum(), trims.collections().lines.len())
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        kill_with_children(&mut self.child);
    }
}

fn burst(server: &Server) {
    for _ in 0..BURST {
        assert!(!get(server.port, "/").text().is_empty());
    }
}

fn comes_by(program: &str, arguments: &[&str]) {
    let server = Server::start(program, arguments);
    wait_within(LIMIT, "pools and garbage", || {
        burst(&server);
        // More than the quiet, the collection and its trim take.
        std::thread::sleep(Duration::from_secs(5));
        let (pools_kb, collections) = server.seen();
        (pools_kb > LITTLE_KB && collections >= 1).then_some(())
    });
}

/// No garbage, and of pools no more than what comes by chance while there is work; and it goes on.
fn does_not_come_by(program: &str, arguments: &[&str]) {
    let server = Server::start(program, arguments);
    burst(&server);
    wait_within(LIMIT, "a trim in quiet", || (!server.log().trims("idle").lines.is_empty()).then_some(()));
    std::thread::sleep(Duration::from_secs(5));
    let (pools_kb, collections) = server.seen();
    assert!(pools_kb < LITTLE_KB && collections == 0, "{:?}", server.log());
    burst(&server);
}

const GUNICORN: [&str; 5] = ["--bind", "127.0.0.1:{port}", "moments:wsgi", "--timeout", "4"];
const ASGI: [&str; 5] = ["moments:asgi", "--host", "127.0.0.1", "--port", "{port}"];

#[test]
fn gunicorn_sync() {
    comes_by("gunicorn", &GUNICORN);
}

#[test]
fn gunicorn_gthread() {
    comes_by("gunicorn", &[&GUNICORN[..], &["--threads", "4"]].concat());
}

#[test]
fn gunicorn_gevent() {
    comes_by("gunicorn", &[&GUNICORN[..], &["--worker-class", "gevent"]].concat());
}

#[test]
fn uvicorn_asyncio() {
    comes_by("uvicorn", &[&ASGI[..], &["--loop", "asyncio"]].concat());
}

#[test]
fn uvicorn_uvloop() {
    comes_by("uvicorn", &[&ASGI[..], &["--loop", "uvloop"]].concat());
}

#[test]
fn hypercorn() {
    comes_by("hypercorn", &["moments:asgi", "--bind", "127.0.0.1:{port}"]);
}

#[test]
fn waitress() {
    comes_by("waitress-serve", &["--listen", "127.0.0.1:{port}", "moments:wsgi"]);
}

#[test]
fn aiohttp() {
    comes_by("python", &[&servers().join("moments.py").to_string_lossy(), "{port}"]);
}

fn granian_arguments(event_loop: &str) -> [&str; 9] {
    ["moments:asgi", "--interface", "asgi", "--host", "127.0.0.1", "--port", "{port}", "--loop", event_loop]
}

#[test]
fn granian_asyncio() {
    comes_by("granian", &granian_arguments("asyncio"));
}

/// Its main thread waits in uvloop, without a timer.
#[test]
fn granian_uvloop() {
    does_not_come_by("granian", &granian_arguments("uvloop"));
}

/// Debian's uWSGI loads Python as a plugin, after the library has looked what the program is.
#[test]
fn uwsgi_with_a_plugin() {
    does_not_come_by(
        "uwsgi",
        &[
            "--plugin",
            "python3",
            "--master",
            "--die-on-term",
            "--http-socket",
            "127.0.0.1:{port}",
            "--module",
            "moments:wsgi",
        ],
    );
}

/// Its main thread waits for changes of files.
#[test]
fn runserver() {
    does_not_come_by("django-admin", &["runserver", "--settings", "moments", "127.0.0.1:{port}"]);
}

/// Without that thread it serves on the first one.
#[test]
fn runserver_without_reloading() {
    comes_by(
        "django-admin",
        &["runserver", "--noreload", "--nothreading", "--settings", "moments", "127.0.0.1:{port}"],
    );
}
