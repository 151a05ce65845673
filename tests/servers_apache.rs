//! Apache counts every request: with threads and events, and with a process for each connection.

mod common;
#[path = "servers/configuration.rs"]
mod configuration;
mod matrix;

use configuration::{filled, is_root, printed};
use matrix::{Mode, Place, Server};
use std::os::unix::process::CommandExt;
use std::process::Command;

/// Where Debian keeps them (apache2-bin).
const MODULES: &str = "/usr/lib/apache2/modules";

fn apache(place: &Place, model: &str, processes: &str) -> Command {
    let http2 = format!("LoadModule http2_module {MODULES}/mod_http2.so\nProtocols h2c http/1.1");
    let tls = format!(
        "SSLEngine on\nSSLCertificateFile {}\nSSLCertificateKeyFile {}",
        place.certificate().display(),
        place.key().display()
    );
    let values = [
        ("mpm", model),
        ("modules", MODULES),
        // Apache refuses to serve as root.
        ("user", if is_root() { "User nobody\nGroup nogroup" } else { "" }),
        ("processes", processes),
        ("http2", if place.mode == Mode::Http2 { &http2 } else { "" }),
        ("tls", if place.mode == Mode::Tls { &tls } else { "" }),
    ];
    let mut command = Command::new("apache2");
    command.arg("-DFOREGROUND").arg("-f").arg(filled(place, "apache.conf", &values));
    // When it stops, Apache sends SIGTERM to its whole process group.
    command.process_group(0);
    command
}

fn version() -> String {
    let text = printed("apache2", &["-v"]);
    let name = text.split_whitespace().find_map(|word| word.strip_prefix("Apache/"));
    name.unwrap_or_else(|| panic!("no version in {text}")).to_owned()
}

#[test]
fn apache_event() {
    let processes = "StartServers 2\nServerLimit 2\nThreadsPerChild 16\nMaxRequestWorkers 32\nMinSpareThreads 1\n\
                     MaxSpareThreads 32";
    matrix::run(Server::new("Apache event", |place| apache(place, "event", processes)).version(version));
}

#[test]
fn apache_prefork() {
    let processes = "StartServers 12\nServerLimit 12\nMaxRequestWorkers 12\nMinSpareServers 1\nMaxSpareServers 12";
    matrix::run(Server::new("Apache prefork", |place| apache(place, "prefork", processes)).version(version));
}
