//! libautotrim(7): what the library does, its options, and what it tells. From the tables of `docs/`.

use clap_mangen::roff::{Inline, Roff, bold, italic, roman};

use super::manual::{DATE, MANUAL, examples, see_also};
use crate::tables::{self, Row};

const DESCRIPTION: &[&str] = &[
    "The library is preloaded into an unmodified server. It counts completed requests from outside, by interposing accept(2), recv(2), \
     send(2), close(2), epoll_wait(2) and related calls, and gives memory that the server has freed back to the kernel when there is \
     something to gain, at a moment when no request waits for an answer.",
    "It works with the malloc of glibc, jemalloc, tcmalloc and mimalloc, and with what CPython, Node and Ruby keep above that. It does \
     nothing in setuid programs and in static ones, and under musl leaves malloc alone.",
    "A leak is not cured by it: what the program still holds cannot be given back.",
];

const EXAMPLES: &[(&str, &str)] = &[
    ("LD_PRELOAD=libautotrim.so gunicorn app:wsgi", "With the defaults."),
    ("autotrim run --log debug -- gunicorn app:wsgi", "The same, with a line for each trim; each option is a flag."),
    (
        "AUTOTRIM_PERIOD=1m LD_PRELOAD=libautotrim.so celery -A app worker",
        "Each minute, in a program that serves nothing, too.",
    ),
];

/// Its text.
pub fn page() -> String {
    let mut roff = Roff::new();
    let source = format!("autotrim {}", env!("CARGO_PKG_VERSION"));
    roff.control("TH", ["libautotrim", "7", DATE, source.as_str(), MANUAL]);
    roff.control("SH", ["NAME"]);
    roff.text([roman("libautotrim - gives the free heap memory of an unmodified server back to the kernel")]);
    roff.control("SH", ["SYNOPSIS"]);
    roff.text([bold("LD_PRELOAD=libautotrim.so "), italic("program"), roman(" ["), italic("argument"), roman("]...")]);
    roff.control("br", []);
    roff.text([bold("autotrim run -- "), italic("program"), roman(" ["), italic("argument"), roman("]...")]);
    roff.control("SH", ["DESCRIPTION"]);
    paragraphs(&mut roff, DESCRIPTION);
    roff.control("SH", ["OPTIONS"]);
    text(&mut roff, tables::values());
    for row in tables::options() {
        let default = if row[1] == "unset" { "not set".into() } else { format!("default {}", row[1]) };
        item(&mut roff, row[0], &format!("{} ({default})", row[2]));
    }
    section(
        &mut roff,
        "LOG",
        "Lines on the descriptor 2 that the process began with, from its first answered request on.",
        &tables::events(),
    );
    roff.control("SS", ["Fields"]);
    table(&mut roff, &tables::fields());
    section(
        &mut roff,
        "METRICS",
        "In AUTOTRIM_METRICS_DIR, for Prometheus; each sample has the labels pid and program.",
        &tables::metrics(),
    );
    section(&mut roff, "VERDICTS", "What is said of the growth of a process.", &[]);
    let (titles, verdicts) = tables::verdicts();
    for row in verdicts {
        let said: Vec<String> =
            titles.iter().zip(&row).skip(1).map(|(title, cell)| format!("{title} {cell}")).collect();
        item(&mut roff, row[0], &said.join("; "));
    }
    roff.control("SH", ["FILES"]);
    item(&mut roff, "libautotrim.so", "the library, where the dynamic linker finds it by its name");
    item(&mut roff, "autotrim-PID.prom", "the counters of a process, in AUTOTRIM_METRICS_DIR");
    examples(&mut roff, EXAMPLES);
    let others =
        ["autotrim(1)", "autotrim-run(1)", "autotrim-status(1)", "autotrim-doctor(1)", "ld.so(8)", "malloc_trim(3)"];
    see_also(&mut roff, others.into_iter().map(String::from));
    roff.render()
}

fn section(roff: &mut Roff, heading: &str, about: &str, rows: &[Row]) {
    roff.control("SH", [heading]);
    roff.text([roman(about)]);
    table(roff, rows);
}

/// Each row by its first cell; the others are what is said of it.
fn table(roff: &mut Roff, rows: &[Row]) {
    for row in rows {
        let (name, rest) = row.split_first().expect("a row has cells");
        item(roff, name, &rest.join("; "));
    }
}

fn item(roff: &mut Roff, name: &str, meaning: &str) {
    roff.control("TP", []);
    roff.text(inline(name));
    roff.text(inline(meaning));
}

/// A page's text: paragraphs and lists, without its title.
fn text(roff: &mut Roff, page: &'static str) {
    let blocks = page.split("\n\n").map(str::trim).filter(|block| !block.is_empty() && !block.starts_with('#'));
    for block in blocks {
        if block.starts_with("- ") {
            for entry in block.trim_start_matches("- ").split("\n- ") {
                roff.control("IP", ["\\(bu", "2"]);
                roff.text(inline(entry));
            }
        } else {
            paragraphs(roff, &[block]);
        }
    }
}

fn paragraphs(roff: &mut Roff, paragraphs: &[&str]) {
    for paragraph in paragraphs {
        roff.control("PP", []);
        roff.text(inline(paragraph));
    }
}

/// Markdown within a line: code is bold, of a link its text is left.
fn inline(text: &str) -> Vec<Inline> {
    let text = ascii(&without_links(text)).replace('\n', " ");
    let parts = text.split('`').enumerate().filter(|(_, part)| !part.is_empty());
    parts.map(|(number, part)| if number % 2 == 1 { bold(part) } else { roman(part) }).collect()
}

/// `[text](target)` → `text`.
fn without_links(text: &str) -> String {
    let mut rest = text;
    let mut plain = String::new();
    while let Some((before, link)) = rest.split_once('[') {
        plain += before;
        match link.split_once("](").and_then(|(text, target)| Some((text, target.split_once(')')?.1))) {
            Some((text, after)) => {
                plain += text;
                rest = after;
            }
            None => {
                plain.push('[');
                rest = link;
            }
        }
    }
    plain + rest
}

/// What plain troff reads.
fn ascii(text: &str) -> String {
    const SPELT: [(char, &str); 6] = [('→', "->"), ('–', "-"), ('…', "..."), ('×', "x"), ('≥', ">="), ('≤', "<=")];
    SPELT.iter().fold(text.to_owned(), |text, (letter, spelt)| text.replace(*letter, spelt))
}
