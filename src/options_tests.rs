//! The option table: every value good and bad, and the README that shows it.

use super::*;

fn taken(assignments: &[&[u8]]) -> Options {
    let mut options = Options::new(b"gunicorn");
    assignments.iter().for_each(|assignment| options.take(assignment));
    options
}

fn invalid(options: &Options) -> Vec<(&'static str, Vec<u8>)> {
    TABLE
        .iter()
        .zip(&options.invalid)
        .filter_map(|(entry, value)| Some((entry.name, value.as_ref()?.as_bytes().to_vec())))
        .collect()
}

#[test]
fn every_default_parses() {
    for entry in &TABLE {
        let mut options = Options::new(b"gunicorn");
        assert!((entry.set)(&mut options, entry.default.as_bytes()).is_some(), "{}", entry.name);
    }
}

#[test]
fn the_defaults_are_those_of_the_table() {
    let options = taken(&[]);
    let expected = Rules {
        interval: 1024,
        jitter: 0,
        growth: Growth { bytes: 16 << 20, percent: 5 },
        idle: SECOND,
        defer: SECOND,
        overhead: 1,
    };
    assert_eq!(options.rules, expected);
    assert_eq!((options.arenas, options.log), (Arenas::Auto, Level::Info));
    assert!(options.is_active() && invalid(&options).is_empty() && options.unknown.is_none());
}

#[test]
fn good_values_are_taken() {
    let options = taken(&[
        b"AUTOTRIM_INTERVAL=5",
        b"AUTOTRIM_JITTER=3",
        b"AUTOTRIM_GROWTH=10%",
        b"AUTOTRIM_IDLE=250ms",
        b"AUTOTRIM_TRIM_THRESHOLD=128K",
        b"AUTOTRIM_OVERHEAD=0",
        b"AUTOTRIM_DEFER=2m",
        b"AUTOTRIM_PAD=1M",
        b"AUTOTRIM_ARENAS=4",
        b"AUTOTRIM_LOG=debug",
        b"PATH=/bin",
    ]);
    let expected = Rules {
        interval: 5,
        jitter: 3,
        growth: Growth { bytes: 0, percent: 10 },
        idle: 250 * MILLISECOND,
        defer: 120 * SECOND,
        overhead: 0,
    };
    assert_eq!(options.rules, expected);
    assert_eq!((options.trim_threshold, options.pad), (128 << 10, 1 << 20));
    assert_eq!((options.arenas, options.log), (Arenas::AtMost(4), Level::Debug));
    assert_eq!(invalid(&options), []);
}

#[test]
fn blanks_around_a_value_do_no_harm() {
    assert_eq!(taken(&[b"AUTOTRIM_INTERVAL= 7\n"]).rules.interval, 7);
}

#[test]
fn a_bad_value_leaves_the_default_and_is_remembered() {
    for value in [&b"abc"[..], b"-1", b"1e9999", b"", b"1.5", b"0x10", b"18446744073709551616", b"\xff\xfe", b"5 5"] {
        let options = taken(&[&[b"AUTOTRIM_INTERVAL=", value].concat()]);
        assert_eq!(options.rules.interval, 1024, "{value:?}");
        assert_eq!(invalid(&options), [("AUTOTRIM_INTERVAL", value.to_vec())]);
    }
}

#[test]
fn of_a_very_long_value_the_beginning_is_remembered() {
    let options = taken(&[&[&b"AUTOTRIM_INTERVAL="[..], &[b'9'; 4096]].concat()]);
    assert_eq!(invalid(&options), [("AUTOTRIM_INTERVAL", vec![b'9'; 48])]);
}

#[test]
fn bad_sizes_durations_and_words_are_refused() {
    for assignment in [
        "AUTOTRIM_GROWTH=8T",
        "AUTOTRIM_GROWTH=8M,",
        "AUTOTRIM_GROWTH=%",
        "AUTOTRIM_GROWTH=99999999999999G",
        "AUTOTRIM_IDLE=5d",
        "AUTOTRIM_IDLE=ms",
        "AUTOTRIM_OVERHEAD=101",
        "AUTOTRIM_ARENAS=many",
        "AUTOTRIM_ARENAS=2147483648",
        "AUTOTRIM_LOG=loud",
        "AUTOTRIM_DISABLE=maybe",
        "AUTOTRIM_PROGRAMS=,",
        "AUTOTRIM_DEFER=99999999999999999s",
        "AUTOTRIM_PAD=-1",
        "AUTOTRIM_TRIM_THRESHOLD=lots",
    ] {
        let name = assignment.split('=').next().expect("a name");
        let options = taken(&[assignment.as_bytes()]);
        assert_eq!(invalid(&options).first().map(|&(name, _)| name), Some(name), "{assignment}");
        assert_eq!(options.rules, taken(&[]).rules, "{assignment}");
    }
}

#[test]
fn a_misspelt_option_is_remembered() {
    let options = taken(&[b"AUTOTRIM_INTERVALL=5"]);
    assert_eq!(options.unknown.expect("remembered").as_bytes(), b"AUTOTRIM_INTERVALL");
}

#[test]
fn it_can_be_switched_off() {
    for assignments in [
        &[&b"AUTOTRIM_DISABLE=1"[..]][..],
        &[b"AUTOTRIM_PROGRAMS=nginx"],
        &[b"AUTOTRIM_PROGRAMS=*,!gunicorn"],
        &[b"AUTOTRIM_INTERVAL=0", b"AUTOTRIM_GROWTH=0", b"AUTOTRIM_IDLE=0"],
    ] {
        assert!(!taken(assignments).is_active());
    }
    assert!(taken(&[b"AUTOTRIM_DISABLE=0", b"AUTOTRIM_PROGRAMS=guni*,puma"]).is_active());
}

#[test]
fn the_readme_shows_this_table() {
    let mut table = String::from("| name | default | meaning |\n|---|---|---|\n");
    for Entry { name, default, meaning, .. } in &TABLE {
        table += &format!("| `{name}` | `{default}` | {meaning} |\n");
    }
    let readme = std::fs::read_to_string("README.md").expect("README.md");
    assert!(readme.contains(&table), "README.md should contain this table:\n{table}");
}
