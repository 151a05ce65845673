//! Which of the hooked functions a server uses on its connections, recorded by tests/fixtures/records_symbols.c.

use super::common::opened::open_copy;
use super::fixture::shared_object;
use super::place::{Mode, Site};
use super::running::{Running, Setting};
use super::server::Server;

/// Bytes of a record: a name filled with zeros, and a count.
const RECORD: usize = 32;

/// Bytes of the name.
const NAME: usize = 24;

/// Plays all cases without TLS on a server that is recorded; the names, sorted.
pub fn seen(server: &Server, site: &Site) -> Vec<String> {
    let file = site.path().join(format!("symbols.{}", server.file_name()));
    let mut setting = Setting::counting(Mode::Plain, site);
    // In front of the library, whose own waits (ppoll for poll, say) are none of the server's.
    setting.preload.insert(0, open_copy(&shared_object("records_symbols"), site.path()));
    setting.environment.push(("SYMBOLS_FILE", file.clone().into()));
    let running = Running::start(server, site, &setting);
    for case in &server.cases {
        if case.mode == Mode::Plain && server.reason_against(case).is_none() {
            drop((case.play)(&running));
        }
    }
    running.stop();
    let recorded = std::fs::read(file).expect("the recorded symbols");
    let mut names: Vec<String> = recorded.chunks_exact(RECORD).filter(called).map(name).collect();
    names.sort();
    names
}

fn called(record: &&[u8]) -> bool {
    record[NAME..].iter().any(|&byte| byte != 0)
}

fn name(record: &[u8]) -> String {
    String::from_utf8_lossy(&record[..NAME]).trim_end_matches('\0').to_owned()
}
