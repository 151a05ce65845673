//! One server through all of it: the cases plain, the cases preloaded, the steady load, the symbols.

use super::case::{Case, Outcome};
use super::common::LIMIT;
use super::page;
use super::place::{Mode, Site};
use super::row::{CaseRow, Measured, Row};
use super::running::{Running, Setting};
use super::server::Server;
use super::{steady, symbols};
use std::collections::BTreeMap;
use std::time::{Duration, Instant};

/// Between two cases a server may take so long to notice that its clients have left; after the last one it has to.
const LEFT: Duration = Duration::from_secs(3);

/// Plays every case, writes the row, and panics with all that does not hold.
pub fn run(server: Server) {
    let site = Site::new();
    let mut found = Found::all(&server, &site);
    let row = Row {
        server: server.name.to_owned(),
        version: (server.version)().trim().to_owned(),
        cases: server.cases.iter().map(|case| found.row(&server, case)).collect(),
        symbols: symbols::seen(&server, &site),
        steady: steady::measure(&server, &site),
        followed_at_end: found.followed,
        leftover: server.leftover.map(str::to_owned),
        start_up: server.start_up.clone(),
        notes: server.notes.iter().map(|&note| note.to_owned()).collect(),
    };
    row.write(&server.file_name());
    found.judge(&server, &row);
    assert!(found.wrong.is_empty(), "{}:\n{}", server.name, found.wrong.join("\n"));
    page::assert_holds(&row);
}

/// How often a case is played again because the client was late.
const TRIES: usize = 40;

/// Plays a case without counting, until the client is not late.
fn played(case: &Case, running: &Running) -> Outcome {
    let outcomes = (0..=TRIES).map(|_| (case.play)(running));
    let mut last = Outcome::default();
    for outcome in outcomes {
        last = outcome;
        if !last.late {
            break;
        }
    }
    last
}

/// What was found so far.
#[derive(Default)]
struct Found {
    measured: BTreeMap<&'static str, Measured>,
    followed: usize,
    wrong: Vec<String>,
}

impl Found {
    /// Every case that the server can do, plain and preloaded.
    fn all(server: &Server, site: &Site) -> Self {
        let mut found = Self::default();
        for mode in [Mode::Plain, Mode::Tls, Mode::Http2] {
            let supported = |case: &&Case| case.mode == mode && server.reason_against(case).is_none();
            let cases: Vec<_> = server.cases.iter().filter(supported).collect();
            if !cases.is_empty() {
                found.play(server, site, mode, &cases);
            }
        }
        found
    }

    fn play(&mut self, server: &Server, site: &Site, mode: Mode, cases: &[&Case]) {
        let running = Running::start(server, site, &Setting::plain(mode));
        let plain: Vec<_> = cases.iter().map(|case| played(case, &running).answers).collect();
        running.stop();
        let running = Running::start(server, site, &Setting::counting(mode, site));
        for (case, plain) in cases.iter().zip(plain) {
            self.count(&running, case, &plain);
        }
        if !running.wait_for_closed_connections(LIMIT) {
            self.wrong.push(format!("{mode:?}: connections stay open when the clients have left"));
        }
        // The number goes before the server's own close returns, but a thread may be in between.
        let start = Instant::now();
        while server.leftover.is_none() && running.followed() > 0 && start.elapsed() < LEFT {
            std::thread::sleep(Duration::from_millis(20));
        }
        self.followed += running.followed();
        running.stop();
    }

    fn count(&mut self, running: &Running, case: &Case, plain: &[String]) {
        running.wait_for_closed_connections(LEFT);
        let mut before = running.counts_at_rest();
        let start = Instant::now();
        let mut outcome = (case.play)(running);
        for _ in 0..TRIES {
            if !outcome.late {
                break;
            }
            before = running.counts_at_rest();
            outcome = (case.play)(running);
        }
        eprintln!("{}: {:.2} s", case.name, start.elapsed().as_secs_f64());
        let without = |count: u64| count.saturating_sub(outcome.beside);
        let after = running.settled(before, |count| case.exactness.accepts(without(count), outcome.truth));
        let count = without(after.requests - before.requests);
        drop(outcome.held);
        let answers_equal = outcome.answers == plain;
        if !answers_equal {
            self.wrong.push(difference(case, plain, &outcome.answers));
        }
        let rule = case.exactness.name().to_owned();
        let measured = Measured { count, truth: outcome.truth, rule, answers_equal, in_flight: after.in_flight };
        self.measured.insert(case.name, measured);
    }

    fn row(&self, server: &Server, case: &Case) -> CaseRow {
        let reason = server.reason_against(case).map(str::to_owned);
        CaseRow { case: case.name.to_owned(), measured: self.measured.get(case.name).cloned(), reason }
    }

    fn judge(&mut self, server: &Server, row: &Row) {
        for case in &server.cases {
            let Some(measured) = self.measured.get(case.name) else { continue };
            let Measured { count, truth, in_flight, .. } = *measured;
            if !case.exactness.accepts(count, truth) {
                self.wrong.push(format!("{}: {count} counted, {truth} answered ({:?})", case.name, case.exactness));
            }
            if in_flight != 0 && server.in_flight_at_rest.is_none() {
                self.wrong.push(format!("{}: {in_flight} in flight when all was answered", case.name));
            }
        }
        if (row.followed_at_end > 0) != server.leftover.is_some() {
            self.wrong.push(format!("{} descriptors followed at the end", row.followed_at_end));
        }
        if row.steady.trims == 0 {
            self.wrong.push("no trim under steady load".to_owned());
        }
        if row.symbols.is_empty() {
            self.wrong.push("no symbol was recorded".to_owned());
        }
        if row.version.is_empty() {
            self.wrong.push("the program did not tell its version".to_owned());
        }
    }
}

/// The first answer in which two runs differ.
fn difference(case: &Case, plain: &[String], preloaded: &[String]) -> String {
    let same = plain.iter().zip(preloaded).take_while(|(one, other)| one == other).count();
    let [one, other] = [plain, preloaded].map(|answers| answers.get(same).map_or("(none)", String::as_str));
    format!("{}: answer {same} differs\n  plain:     {one}\n  preloaded: {other}", case.name)
}
