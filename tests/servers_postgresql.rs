//! PostgreSQL: every query is counted, in the process that serves the connection, and each connection's start once.

mod common;
#[path = "servers/configuration.rs"]
mod configuration;
mod matrix;

use common::opened::open_directory;
use common::process::clean_environment;
use common::{LIMIT, wait_within};
use configuration::{printed, without_rights};
use matrix::{Case, Outcome, Place, Running, Server};
use std::io::{BufRead, BufReader, Write};
use std::net::TcpStream;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::sync::OnceLock;
use tempfile::TempDir;

/// Where Debian keeps the newest version's programs.
fn program(name: &str) -> PathBuf {
    let versions = std::fs::read_dir("/usr/lib/postgresql").expect("PostgreSQL is missing (Debian: postgresql-15)");
    let number = |path: &PathBuf| path.file_name()?.to_str()?.parse::<u32>().ok();
    let programs = |path: PathBuf| path.join("bin").join(name);
    let newest = versions.flatten().map(|entry| entry.path()).filter(|path| programs(path.clone()).is_file());
    programs(newest.max_by_key(number).unwrap_or_else(|| panic!("{name} is missing (Debian: postgresql-15)")))
}

/// A directory that belongs to a user without rights: PostgreSQL refuses to run as root.
fn own_directory(path: &Path) {
    std::fs::create_dir_all(path).expect("a directory");
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o700)).expect("its permissions");
}

/// A database cluster that every start of the server copies: making one takes longer than all cases.
fn cluster() -> &'static Path {
    static CLUSTER: OnceLock<TempDir> = OnceLock::new();
    let directory = CLUSTER.get_or_init(|| {
        let directory = open_directory();
        let data = directory.path().join("data");
        own_directory(&data);
        let mut initdb = without_rights(program("initdb"), &data);
        initdb.args(["--no-sync", "--auth", "trust", "--username", "test", "--encoding", "UTF8", "--locale", "C"]);
        let output = clean_environment(&mut initdb).arg("-D").arg(&data).output().expect("initdb");
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        directory
    });
    directory.path()
}

fn postgresql(place: &Place) -> Command {
    let data = place.path("data");
    let copied = Command::new("cp").arg("-a").arg(cluster().join("data")).arg(&data).status();
    assert!(copied.is_ok_and(|status| status.success()), "the database cluster could not be copied");
    let mut command = without_rights(program("postgres"), &data);
    command.arg("-D").arg(&data).args(["-p", &place.port.to_string(), "-h", "127.0.0.1", "-k", ""]);
    command.args(["-c", "fsync=off", "-c", "logging_collector=off", "-c", "shared_buffers=16MB"]);
    command
}

/// A client's connection, without the questions for encryption that come before one.
fn url(running: &Running) -> String {
    format!("postgresql://test@127.0.0.1:{}/postgres?sslmode=disable&gssencmode=disable", running.port())
}

/// The start of a connection: what the client says first, answered once.
const START: u64 = 1;

/// psql, which reads queries from us. Dropped, it leaves: its process in the server ends, and the counts with it.
struct Psql {
    child: Child,
    input: ChildStdin,
    output: BufReader<ChildStdout>,
}

impl Psql {
    fn open(url: &str) -> Self {
        let mut command = Command::new(program("psql"));
        clean_environment(&mut command).args(["--no-psqlrc", "--quiet", "--tuples-only", "--no-align", url]);
        let mut child =
            command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null()).spawn().expect("psql");
        let input = child.stdin.take().expect("psql's input");
        let output = BufReader::new(child.stdout.take().expect("psql's output"));
        Self { child, input, output }
    }

    /// A query that answers one line.
    fn ask(&mut self, query: &str) -> String {
        writeln!(self.input, "{query};").expect("a query");
        let mut line = String::new();
        self.output.read_line(&mut line).expect("an answer");
        line.trim_end().to_owned()
    }
}

impl Drop for Psql {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn by_psql(running: &Running) -> Outcome {
    let mut psql = Psql::open(&url(running));
    let answers = (0..20).map(|number| psql.ask(&format!("SELECT {number} * 2"))).collect();
    Outcome { truth: START + 20, answers, held: Some(Box::new(psql)), ..Outcome::default() }
}

/// As psql connects when it is told nothing: it asks for GSSAPI or TLS first, and is refused.
fn by_psql_asking_for_tls(running: &Running) -> Outcome {
    let url = format!("postgresql://test@127.0.0.1:{}/postgres?gssencmode=disable&sslmode=prefer", running.port());
    let mut psql = Psql::open(&url);
    let answers = (0..20).map(|number| psql.ask(&format!("SELECT {number} * 2"))).collect();
    Outcome { truth: 1 + START + 20, answers, held: Some(Box::new(psql)), ..Outcome::default() }
}

/// A query of 1 MiB, and an answer of 5 MiB.
fn large(running: &Running) -> Outcome {
    let mut psql = Psql::open(&url(running));
    let sent = psql.ask(&format!("SELECT length('{}')", "x".repeat(1 << 20)));
    let received = psql.ask("SELECT repeat('y', 5242880)").len().to_string();
    Outcome { truth: START + 2, answers: vec![sent, received], held: Some(Box::new(psql)), ..Outcome::default() }
}

/// A query that another client cancels: the error is its answer.
fn cancelled(running: &Running) -> Outcome {
    let (mut waiting, mut cancelling) = (Psql::open(&url(running)), Psql::open(&url(running)));
    let pid = waiting.ask("SELECT pg_backend_pid()");
    writeln!(waiting.input, "SELECT pg_sleep(600);").expect("a query");
    // One message for the server, and one answer: waits until the other query runs, and cancels it.
    let asleep = format!("SELECT FROM pg_stat_activity WHERE pid = {pid} AND wait_event = 'PgSleep'");
    let look_again = "PERFORM pg_sleep(0.01), pg_stat_clear_snapshot();";
    let wait = format!("DO $$ BEGIN WHILE NOT EXISTS ({asleep}) LOOP {look_again} END LOOP; END $$");
    let done = cancelling.ask(&format!("{wait} \\; SELECT pg_cancel_backend({pid})"));
    let answers = vec![done, waiting.ask("SELECT 'goes on'")];
    Outcome { truth: START + 3 + START + 1, answers, held: Some(Box::new((waiting, cancelling))), ..Outcome::default() }
}

/// Clients that say nothing.
fn connect_only(running: &Running) -> Outcome {
    for _ in 0..3 {
        drop(TcpStream::connect(("127.0.0.1", running.port())).expect("connect to PostgreSQL"));
    }
    Outcome::default()
}

/// A running pgbench; dropped, it is killed.
struct Pgbench(Child);

impl Drop for Pgbench {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Two clients of pgbench with so many queries each; they then wait until they are dropped.
fn by_pgbench(running: &Running, protocol: &str, queries: usize) -> Outcome {
    const CLIENTS: u64 = 2;
    let directory = tempfile::tempdir().expect("a temporary directory");
    let script = directory.path().join("script");
    let text = format!("{}\\shell touch :client_id\n\\sleep 600 s\n", "SELECT :client_id;\n".repeat(queries));
    std::fs::write(&script, text).expect("a script");
    let mut command = Command::new(program("pgbench"));
    clean_environment(&mut command)
        .args(["--no-vacuum", "--client", &CLIENTS.to_string(), "--transactions", "1", "--protocol", protocol])
        .arg("--file")
        .arg(&script)
        .current_dir(&directory)
        .arg(url(running))
        .stdout(Stdio::null())
        .stderr(Stdio::null());
    let pgbench = Pgbench(command.spawn().expect("pgbench"));
    for client in 0..CLIENTS {
        let mark = directory.path().join(client.to_string());
        wait_within(LIMIT, "pgbench's queries", || mark.exists().then_some(()));
    }
    Outcome {
        truth: CLIENTS * (START + queries as u64),
        answers: Vec::new(),
        held: Some(Box::new((pgbench, directory))),
        ..Outcome::default()
    }
}

fn by_pgbench_simple(running: &Running) -> Outcome {
    by_pgbench(running, "simple", 200)
}

fn by_pgbench_extended(running: &Running) -> Outcome {
    by_pgbench(running, "extended", 200)
}

/// Three clients, a hundred queries each: trims happen in the processes that serve them.
fn steady_load(running: &Running) {
    let mut clients: Vec<_> = (0..3).map(|_| Psql::open(&url(running))).collect();
    for _ in 0..100 {
        for client in &mut clients {
            client.ask("SELECT count(*) FROM pg_class");
        }
    }
    // Looked at while the clients are there: afterwards the processes are gone.
    running.counts();
}

#[test]
fn postgresql_server() {
    let cases = vec![
        Case::exact("psql, 20 queries", by_psql),
        Case::exact("psql that asks for TLS first", by_psql_asking_for_tls),
        Case::exact("1 MiB query, 5 MiB answer", large),
        Case::exact("a cancelled query", cancelled),
        Case::exact("pgbench, 2 × 200 simple", by_pgbench_simple),
        Case::exact("pgbench, 2 × 200 extended", by_pgbench_extended),
        Case::exact("connect and leave", connect_only),
    ];
    let server = Server::new("PostgreSQL", postgresql)
        .cases(cases)
        .version(|| {
            let program = program("postgres");
            printed(program.to_str().expect("a path in UTF-8"), &["--version"]).replace("postgres (PostgreSQL) ", "")
        })
        .steady_load(steady_load)
        .start_up("1 per connection; 1 more for each encryption that the client asks for and does not get");
    matrix::run(server);
}
