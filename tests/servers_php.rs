//! php-fpm counts every request that nginx hands to it, on a connection each and on connections that are kept.

mod common;
#[path = "servers/configuration.rs"]
mod configuration;
mod matrix;

use configuration::{filled, is_root, printed};
use matrix::{Exactness, Mode, Place, Ready, Server, case};
use std::process::Command;

/// The server under test.
fn php_fpm(place: &Place) -> Command {
    let user = if is_root() { "user = nobody\ngroup = nogroup" } else { "" };
    let mut command = Command::new(program());
    // No php.ini of this machine.
    command.args(["-n", "-F", "-O", "-y"]).arg(filled(place, "php-fpm.conf", &[("user", user)]));
    command
}

/// What the clients talk to.
fn nginx(place: &Place, keepalive: &str, keep_conn: &str) -> Command {
    let app = place.servers.join("app.php");
    let values = [
        ("user", if is_root() { "user root;" } else { "" }),
        ("keepalive", keepalive),
        ("keep_conn", keep_conn),
        ("app", app.to_str().expect("a path in UTF-8")),
    ];
    let mut command = Command::new("nginx");
    command.args(["-e", "stderr", "-p"]).arg(place.directory());
    command.arg("-c").arg(filled(place, "nginx_php.conf", &values));
    command
}

/// Debian names it after PHP's version.
fn program() -> String {
    let versions = std::fs::read_dir("/usr/sbin").expect("/usr/sbin").flatten();
    let names = versions.filter_map(|entry| entry.file_name().into_string().ok());
    let newest = names.filter(|name| name.starts_with("php-fpm")).max();
    newest.expect("php-fpm is missing (Debian: php-fpm)")
}

/// Why a client that has left is counted.
const LEFT: &str = "clients that leave before the answer leave nginx; php-fpm works on and answers nginx: counted";

fn server(name: &'static str, keepalive: &'static str, keep_conn: &'static str) -> Server {
    Server::new(name, php_fpm)
        .ready(Ready::BackendListening)
        .beside(move |place| nginx(place, keepalive, keep_conn), Ready::Listening)
        .version(|| printed(&program(), &["-n", "-v"]).split_whitespace().nth(1).expect("a version").to_owned())
        .expects(case::HALF_CLOSE, Exactness::Definition(1), LEFT)
        .expects(case::GONE, Exactness::Definition(3), LEFT)
        .expects(case::RESET, Exactness::Definition(3), LEFT)
        .expects(
            case::EARLY_413,
            Exactness::Definition(1),
            "nginx refuses the large upload itself: php-fpm gets the request after it",
        )
        .note(
            "an application that answers an upload before it has the body (fastcgi_request_buffering off) counts twice: \
             php-fpm reads the rest, then sends the record that ends the answer",
        )
        .expects(case::PIPELINED, Exactness::Exact, "nginx takes pipelined requests apart: php-fpm counts each")
        .note(
            "the log lines of php-fpm's workers go to /dev/null; strace shows that each trims on its only thread, before \
             accept, or before a read where nginx keeps the connection",
        )
        .lacks(case::WEBSOCKET, "FastCGI has no WebSocket")
        .lacks_mode(Mode::Tls, "nginx ends TLS, not php-fpm")
        .lacks_mode(Mode::Http2, "nginx ends HTTP/2, not php-fpm")
}

#[test]
fn php_fpm_with_a_connection_per_request() {
    matrix::run(server("php-fpm", "", "off"));
}

#[test]
fn php_fpm_with_kept_connections() {
    let server = server("php-fpm keep_conn", "keepalive 8;", "on")
        .stays_in_flight(
            "php-fpm reads the empty record that ends a request's body after it has answered: on a kept connection that \
             looks like the next request, in flight until nginx sends it; trims come before that read",
        )
        .leaves_followed("nginx keeps its connections to php-fpm");
    matrix::run(server);
}
