//! `autotrim status --watch`: again and again, in a terminal and as JSON.

mod support;

use std::io::{BufRead, BufReader, Read, Write};
use std::process::{Child, Command, Stdio};

use serde_json::Value;
use support::common::gunicorn::{Gunicorn, Server, Worker};
use support::common::http::get;
use support::common::process::{clean_environment, end_with_this_test};
use support::common::{LIMIT, wait_within};
use support::{autotrim, autotrim_with};

/// Where each drawing begins.
const HOME: &str = "\x1b[H";

/// A worker that has answered, and trimmed.
fn server() -> Server {
    let server = Gunicorn::preloaded(Worker::Gthread).trimming_every(2).env("AUTOTRIM_OVERHEAD", "0").start();
    (0..4).for_each(|_| assert_eq!(get(server.port, "/fragment").status(), 200));
    wait_within(LIMIT, "trims", || (report(server.worker())["trims"].as_u64() >= Some(2)).then_some(()));
    server
}

fn report(pid: u32) -> Value {
    autotrim_with(["status", "--json", &pid.to_string()]).json()["processes"][0].clone()
}

/// The command in a terminal of so many columns, which script(1) gives it.
struct Terminal {
    script: Child,
    drawn: String,
}

impl Terminal {
    fn open(columns: u32, arguments: &str, colour: &str) -> Terminal {
        let line = format!(
            "trap : INT; stty cols {columns} rows 24; timeout --foreground {} {} status {arguments}; echo code $?; stty -a",
            LIMIT.as_secs(),
            env!("CARGO_BIN_EXE_autotrim")
        );
        let mut command = Command::new("script");
        clean_environment(&mut command).args(["-qc", &line, "/dev/null"]).env("TERM", "xterm");
        if !colour.is_empty() {
            command.env("NO_COLOR", colour);
        }
        let command = end_with_this_test(&mut command).stdin(Stdio::piped()).stdout(Stdio::piped());
        Terminal { script: command.spawn().expect("script"), drawn: String::new() }
    }

    /// Reads on until the text so far is enough.
    fn read_until(&mut self, enough: impl Fn(&str) -> bool) -> &str {
        let mut piece = [0; 4096];
        while !enough(&self.drawn) {
            let length = self.script.stdout.as_mut().expect("its output").read(&mut piece).expect("its output");
            assert!(length > 0, "{:?}", self.drawn);
            self.drawn += &String::from_utf8_lossy(&piece[..length]);
        }
        &self.drawn
    }

    fn type_keys(&mut self, keys: &str) {
        self.script.stdin.as_mut().expect("its input").write_all(keys.as_bytes()).expect("its input");
    }

    /// Whole drawings: the lines of each, without what drives the terminal.
    fn drawings(&mut self, number: usize) -> Vec<Vec<String>> {
        let text = self.read_until(|text| text.matches(HOME).count() > number).to_owned();
        let drawing = |part: &str| {
            let lines =
                part.split("\r\n").map(|line| line.split("\x1b[").next().unwrap_or_default().trim_end().to_owned());
            lines.collect()
        };
        text.split(HOME).skip(1).take(number).map(drawing).collect()
    }
}

impl Drop for Terminal {
    fn drop(&mut self) {
        let _ = self.script.kill();
        let _ = self.script.wait();
    }
}

#[test]
fn watching_as_json_writes_a_document_a_line() {
    let server = server();
    let mut command = autotrim();
    command.args(["status", "--json", "--watch", "0.05", &server.worker().to_string()]).stdout(Stdio::piped());
    let mut watching = command.spawn().expect("autotrim");
    let lines = BufReader::new(watching.stdout.take().expect("stdout")).lines();
    // Taking the reader away ends it, silently.
    let seen: Vec<Value> =
        lines.take(3).map(|line| serde_json::from_str(&line.expect("a line")).expect("JSON")).collect();
    use std::os::unix::process::ExitStatusExt;
    assert_eq!(watching.wait().expect("wait").signal(), Some(libc::SIGPIPE));
    assert!(seen.iter().all(|document| document["processes"][0]["pid"] == server.worker()), "{seen:?}");
}

#[test]
fn watching_in_a_terminal_redraws_with_colours_unless_they_are_unwanted() {
    let server = server();
    let watched = |colour: &str| {
        let mut terminal = Terminal::open(200, &format!("--watch 0.2 {}", server.worker()), colour);
        terminal.read_until(|text| text.matches(HOME).count() >= 4).to_owned()
    };
    let (coloured, plain) = (watched(""), watched("1"));
    let verdict = report(server.worker())["verdict"].as_str().expect("a verdict").to_owned();
    assert!(coloured.contains(&verdict) && coloured.contains("\x1b[38;5;"), "{coloured:?}");
    assert!(plain.contains(&verdict) && !plain.contains("\x1b[38;5;"), "{plain:?}");
}

/// While what is in them changes.
#[test]
fn columns_stand_still_in_eighty_columns_with_the_verdict_in_view() {
    let server = server();
    let mut terminal = Terminal::open(80, &format!("--watch 0.2 {}", server.worker()), "1");
    let before = terminal.drawings(2);
    // From three digits to four.
    (0..1_000).for_each(|_| assert_eq!(get(server.port, "/small").status(), 200));
    let after = terminal.drawings(before.len() + 3 * 5);
    let titles = &before[0][2];
    assert!(titles.starts_with("    PID  PROGRAM ") && titles.contains("  FREE  "), "{titles}");
    for drawing in &after {
        assert_eq!(&drawing[2], titles, "{drawing:?}");
        let verdict = titles.find("VERDICT").expect("the verdict");
        let line = &drawing[3];
        assert!(line.len() <= 80 && line.is_char_boundary(verdict), "{line}");
        let words = ["unknown", "stable", "retention", "fragmented", "leak?"];
        assert!(words.iter().any(|word| line[verdict..].starts_with(word)), "{line}\n{titles}");
    }
}

#[test]
fn q_ends_it_and_leaves_the_terminal_as_it_was() {
    let server = server();
    let mut terminal = Terminal::open(80, &format!("--watch 60 {}", server.worker()), "1");
    assert!(terminal.drawings(0).is_empty());
    terminal.read_until(|text| text.contains("q ends it"));
    terminal.read_until(|text| text.contains("VERDICT"));
    // Other keys do nothing.
    terminal.type_keys("xq");
    let text = terminal.read_until(|text| text.contains("-iexten") || text.contains(" iexten")).to_owned();
    let end = &text[text.find("code ").expect("its end")..];
    assert!(end.starts_with("code 0") && end.contains(" icanon") && end.contains(" echo "), "{end}");
}

/// It ends by the signal, as it would without a terminal.
#[test]
fn ctrl_c_ends_it_and_leaves_the_terminal_as_it_was() {
    let server = server();
    let mut terminal = Terminal::open(80, &format!("--watch 60 {}", server.worker()), "1");
    terminal.read_until(|text| text.contains("VERDICT"));
    terminal.type_keys("\x03");
    let text = terminal.read_until(|text| text.contains("-iexten") || text.contains(" iexten")).to_owned();
    let end = &text[text.find("code ").expect("its end")..];
    assert!(!end.starts_with("code 0") && end.contains(" icanon") && end.contains(" echo "), "{end}");
}
