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
        growth: Growth { bytes: 4 << 20, percent: 5 },
        idle: SECOND,
        period: 0,
        defer: SECOND,
        overhead: 1,
    };
    assert_eq!(options.rules, expected);
    assert!(!options.needs_thread() && !options.gc);
    assert_eq!((options.arenas, options.log), (Arenas::Auto, Level::Info));
    assert_eq!(options.trim_threshold, TrimThreshold::Auto);
    assert!(options.is_active() && invalid(&options).is_empty() && options.unknown.is_none());
}

#[test]
fn good_values_are_taken() {
    let options = taken(&[
        b"AUTOTRIM_INTERVAL=5",
        b"AUTOTRIM_JITTER=3",
        b"AUTOTRIM_GROWTH=10%",
        b"AUTOTRIM_IDLE=250ms",
        b"AUTOTRIM_PERIOD=10m",
        b"AUTOTRIM_PRESSURE=/run/pressure",
        b"AUTOTRIM_SIGNAL=SIGRTMIN+18",
        b"AUTOTRIM_TRIM_THRESHOLD=128K",
        b"AUTOTRIM_OVERHEAD=0",
        b"AUTOTRIM_DEFER=2m",
        b"AUTOTRIM_PAD=1M",
        b"AUTOTRIM_ARENAS=4",
        b"AUTOTRIM_GC=python",
        b"AUTOTRIM_LOG=debug",
        b"PATH=/bin",
    ]);
    let expected = Rules {
        interval: 5,
        jitter: 3,
        growth: Growth { bytes: 0, percent: 10 },
        idle: 250 * MILLISECOND,
        period: 600 * SECOND,
        defer: 120 * SECOND,
        overhead: 0,
    };
    assert_eq!(options.rules, expected);
    assert_eq!((options.trim_threshold, options.pad), (TrimThreshold::At(128 << 10), 1 << 20));
    assert_eq!((options.arenas, options.log), (Arenas::AtMost(4), Level::Debug));
    assert!(matches!(options.pressure, Setting::At(path) if path.as_bytes() == b"/run/pressure"));
    assert_eq!(options.signal, 52);
    assert!(options.needs_thread() && options.gc);
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
        "AUTOTRIM_PERIOD=soon",
        "AUTOTRIM_PRESSURE=on",
        "AUTOTRIM_PRESSURE=/sys/../proc/pressure/memory",
        "AUTOTRIM_SIGNAL=SIGTERM",
        "AUTOTRIM_SIGNAL=9",
        "AUTOTRIM_METRICS_DIR=metrics",
        "AUTOTRIM_METRICS_DIR=/",
        "AUTOTRIM_METRICS_DIR=/run/../tmp",
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

/// Each alone is a reason to act.
#[test]
fn what_needs_a_thread_needs_no_other_trigger() {
    let off = [&b"AUTOTRIM_INTERVAL=0"[..], b"AUTOTRIM_GROWTH=0", b"AUTOTRIM_IDLE=0"];
    for option in [&b"AUTOTRIM_PERIOD=1m"[..], b"AUTOTRIM_PRESSURE=auto", b"AUTOTRIM_SIGNAL=SIGUSR2"] {
        let options = taken(&[off[0], off[1], off[2], option]);
        assert!(options.is_active() && options.needs_thread());
    }
}

/// open(2) would follow a link with a slash behind it.
#[test]
fn a_directory_loses_the_slash_at_its_end() {
    for (value, path) in [("", &b""[..]), ("/run/metrics", b"/run/metrics\0"), ("/run/metrics//", b"/run/metrics\0")] {
        let options = taken(&[format!("AUTOTRIM_METRICS_DIR={value}").as_bytes()]);
        assert_eq!(options.metrics.as_bytes(), path);
        assert!(invalid(&options).is_empty(), "{value}");
    }
}

#[test]
fn signals_have_names_and_numbers() {
    let signal = |value: &str| taken(&[format!("AUTOTRIM_SIGNAL={value}").as_bytes()]).signal;
    // SAFETY: no preconditions.
    let (low, high) = (libc::SIGRTMIN(), libc::SIGRTMAX());
    for (value, expected) in [
        ("off", 0),
        ("SIGUSR1", libc::SIGUSR1),
        ("SIGUSR2", libc::SIGUSR2),
        ("10", 10),
        ("SIGRTMIN+0", low),
        ("SIGRTMIN+18", low + 18),
        ("SIGRTMAX-2", high - 2),
        ("64", high),
    ] {
        assert_eq!(signal(value), expected, "{value}");
    }
    // 33 is glibc's own: setuid would hang.
    for refused in [
        "0",
        "1",
        "33",
        "65",
        "SIGRTMIN+31",
        "SIGRTMAX-31",
        "SIGRTMIN-1",
        "SIGRTMIN+",
        "sigusr1",
        "USR1",
        "-10",
        "4294967306",
    ] {
        let options = taken(&[format!("AUTOTRIM_SIGNAL={refused}").as_bytes()]);
        assert_eq!(invalid(&options).len(), 1, "{refused}");
        assert_eq!(options.signal, 0, "{refused}");
    }
}

#[test]
fn the_service_managers_variables_are_no_unknown_options() {
    let options = taken(&[b"MEMORY_PRESSURE_WATCH=/run/fifo", b"MEMORY_PRESSURE_WRITE=aGVsbG8K"]);
    assert!(matches!(options.watch, Watch::At(path) if path.as_bytes() == b"/run/fifo"));
    assert_eq!(options.write.expect("Base64").as_bytes(), b"hello\n");
    assert!(options.unknown.is_none() && !options.needs_thread(), "it takes AUTOTRIM_PRESSURE to follow them");
    assert!(taken(&[b"MEMORY_PRESSURE_WRITE=!"]).write.is_none());
}

#[test]
fn the_readme_shows_this_table() {
    let mut table = String::from("| name | default | meaning |\n|---|---|---|\n");
    for Entry { name, default, meaning, .. } in &TABLE {
        let default = if default.is_empty() { "unset".into() } else { format!("`{default}`") };
        table += &format!("| `{name}` | {default} | {meaning} |\n");
    }
    let readme = std::fs::read_to_string("README.md").expect("README.md");
    assert!(readme.contains(&table), "README.md should contain this table:\n{table}");
}
