//! Node counts every request: in one process, and in a cluster whose primary accepts for its workers, or does not.

mod common;
#[path = "servers/configuration.rs"]
mod configuration;
mod matrix;

use common::servers;
use configuration::printed;
use matrix::{Mode, Place, Ready, Server};
use std::process::Command;

fn node(place: &Place) -> Command {
    let protocol = match place.mode {
        Mode::Plain => "http",
        Mode::Tls => "https",
        Mode::Http2 => "http2",
    };
    let mut command = Command::new("node");
    command.arg(servers().join("node.js")).arg(protocol).arg(place.port.to_string()).arg(&place.site);
    command
}

fn server(name: &'static str, start: impl Fn(&Place) -> Command + 'static) -> Server {
    Server::new(name, start).ready(Ready::Says("ready", 1)).version(|| printed("node", &["--version"]))
}

#[test]
fn node_http() {
    matrix::run(server("Node http", node));
}

/// The primary accepts, and hands each connection to a worker by SCM_RIGHTS.
#[test]
fn node_cluster_round_robin() {
    let start = |place: &Place| {
        let mut command = node(place);
        command.arg("cluster").env("NODE_CLUSTER_SCHED_POLICY", "rr");
        command
    };
    matrix::run(server("Node cluster, round-robin", start));
}

/// The workers accept for themselves, on a listener that the primary has handed to them.
#[test]
fn node_cluster_without_round_robin() {
    let start = |place: &Place| {
        let mut command = node(place);
        command.arg("cluster").env("NODE_CLUSTER_SCHED_POLICY", "none");
        command
    };
    matrix::run(server("Node cluster, none", start));
}
