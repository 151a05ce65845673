//! nginx counts every request: as a file server, and as a proxy in front of a server that is not counted.

mod common;
#[path = "servers/configuration.rs"]
mod configuration;
mod matrix;

use common::servers;
use configuration::{filled, is_root, printed};
use matrix::{Mode, Place, Ready, Server, case};
use std::path::Path;
use std::process::Command;

fn nginx(place: &Place, configuration: &Path) -> Command {
    let mut command = Command::new("nginx");
    command.args(["-e", "stderr", "-p"]).arg(place.directory()).arg("-c").arg(configuration);
    command
}

/// As root the workers stay root: the test's directory is theirs to read. Others cannot change their user.
fn user() -> &'static str {
    if is_root() { "user root;" } else { "" }
}

fn protocol(place: &Place) -> &'static str {
    match place.mode {
        Mode::Plain => "",
        Mode::Tls => "ssl",
        Mode::Http2 => "http2",
    }
}

fn version() -> String {
    printed("nginx", &["-v"]).replace("nginx version: nginx/", "")
}

#[test]
fn nginx_with_files() {
    let start = |place: &Place| {
        let event = |number| format!("echo \"data: {number}\"; echo; echo_flush; echo_sleep 0.005;");
        let events: String = (1..=20).map(event).collect();
        let values = [("user", user()), ("protocol", protocol(place)), ("events", &events)];
        nginx(place, &filled(place, "nginx_static.conf", &values))
    };
    let server =
        Server::new("nginx static", start).version(version).lacks(case::WEBSOCKET, "a file server has no WebSocket");
    matrix::run(server);
}

#[test]
fn nginx_as_proxy() {
    let start = |place: &Place| {
        let values = [("user", user()), ("protocol", protocol(place))];
        nginx(place, &filled(place, "nginx_proxy.conf", &values))
    };
    let behind = |place: &Place| {
        let mut command = Command::new("node");
        command.arg(servers().join("node.js")).arg("http").arg(place.backend.to_string()).arg(&place.site);
        command
    };
    let server = Server::new("nginx proxy", start).version(version).beside(behind, Ready::BackendListening);
    matrix::run(server);
}
