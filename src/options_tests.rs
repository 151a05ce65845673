//! The option table: every value good and bad, and the page that shows it.

use super::*;
use crate::decide::rules::Growth;
use crate::decide::{MILLISECOND, SECOND};

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

fn unknown(options: &Options) -> Vec<String> {
    options.unknown.iter().flatten().map(|name| String::from_utf8(name.as_bytes().to_vec()).expect("UTF-8")).collect()
}

/// The value as the log writes it; `None` for those that it never does.
fn told(options: &Options, entry: &Entry) -> Option<String> {
    let mut text = Line::new();
    if entry.told == Never {
        return None;
    }
    entry.tell(options, &mut text);
    Some(String::from_utf8(text.as_bytes().to_vec()).expect("UTF-8"))
}

/// What the library makes of `NAME=value`, as the log writes it; `None` where it is refused.
fn made(name: &str, value: &str) -> Option<String> {
    let name = format!("AUTOTRIM_{name}");
    let entry = TABLE.iter().find(|entry| entry.name == name).expect("an option");
    let options = taken(&[format!("{name}={value}").as_bytes()]);
    let refused = invalid(&options);
    assert!(refused.is_empty() || told(&options, entry) == told(&taken(&[]), entry), "{name}={value} is half taken");
    if refused.is_empty() { Some(told(&options, entry).expect("told")) } else { None }
}

#[test]
fn every_default_parses() {
    for entry in TABLE {
        let mut options = Options::new(b"gunicorn");
        assert!((entry.set)(&mut options, entry.default.as_bytes()).is_some(), "{}", entry.name);
    }
}

/// Each is written as it is read, so that the line can leave out what nobody has changed.
#[test]
fn the_defaults_are_those_of_the_table() {
    let options = taken(&[]);
    for entry in TABLE {
        assert!(told(&options, entry).is_none_or(|text| text == entry.default), "{}", entry.name);
    }
    let rules = options.rules;
    assert_eq!((rules.interval, rules.growth.bytes, rules.growth.share), (1024, 4 << 20, 5 * PERCENT));
    assert_eq!((rules.idle, rules.defer, rules.overhead), (SECOND, SECOND, PERCENT));
    assert!(!options.needs_thread() && options.pools);
    assert_eq!(options.gc, Gc { auto: true, ..Gc::default() });
    assert_eq!((options.arenas, options.log), (Arenas::Auto, Level::Info));
    assert_eq!(options.trim_threshold, TrimThreshold::Auto);
    assert!(options.is_active() && invalid(&options).is_empty() && unknown(&options).is_empty());
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
    let rules = options.rules;
    assert_eq!((rules.interval, rules.jitter, rules.overhead), (5, 3, 0));
    assert_eq!(rules.growth, Growth { bytes: 0, share: 10 * PERCENT });
    assert_eq!((rules.idle, rules.period, rules.defer), (250 * MILLISECOND, 600 * SECOND, 120 * SECOND));
    assert_eq!((options.trim_threshold, options.pad), (TrimThreshold::At(128 << 10), 1 << 20));
    assert_eq!((options.arenas, options.log), (Arenas::AtMost(4), Level::Debug));
    assert!(matches!(options.pressure, Setting::At(path) if path.as_bytes() == b"/run/pressure"));
    assert_eq!(options.signal, 52);
    assert!(options.needs_thread() && options.gc == Gc { python: true, ..Gc::default() });
    assert_eq!(invalid(&options), []);
}

#[test]
fn sizes_have_the_units_that_people_write() {
    for value in ["8M", "8m", "8MB", "8mb", "8MiB", "8mib", "8 MB", "8192K", "8192KiB", "8388608", "8388608B", "8.0M"] {
        assert_eq!(made("PAD", value).as_deref(), Some("8M"), "{value}");
    }
    for (value, expected) in
        [("1.5G", "1536M"), (".5M", "512K"), ("0.1K", "102"), ("2GB", "2G"), ("0", "0"), ("0.0M", "0")]
    {
        assert_eq!(made("PAD", value).as_deref(), Some(expected), "{value}");
    }
    for value in
        ["8T", "8Mi", "8MBs", "1.5", "1.5B", "1.M", ".M", "M", "1..5M", "1.5.5M", "1,5M", "0.0001K", "-1M", "1e3", ""]
    {
        assert_eq!(made("PAD", value), None, "{value}");
    }
}

#[test]
fn durations_have_the_units_that_people_write() {
    for (value, expected) in [
        ("1h", "3600s"),
        ("1.5s", "1500ms"),
        ("100ms", "100ms"),
        ("2m", "120s"),
        ("2min", "120s"),
        ("2 MIN", "120s"),
        ("0.5d", "43200s"),
        ("1.5", "1500ms"),
        ("30sec", "30s"),
        ("250us", "250us"),
        ("1500ns", "1500ns"),
        ("0.001ms", "1us"),
        // 0.333… of a second, cut off at the nanosecond.
        ("0.33333333333333333333333333333333333333s", "333333333ns"),
        ("0s", "0"),
    ] {
        assert_eq!(made("IDLE", value).as_deref(), Some(expected), "{value}");
    }
    for value in ["1w", "1 fortnight", "1.s", "s", "1h30m", "1,5s", "0.0000000001s", "0.5ns", "213504d"] {
        assert_eq!(made("IDLE", value), None, "{value}");
    }
}

#[test]
fn shares_may_be_fractions() {
    for (value, expected) in
        [("0.5", "0.5"), ("0.5%", "0.5"), ("1", "1"), ("100", "100"), ("0.0001", "0.0001"), (".25 %", "0.25")]
    {
        assert_eq!(made("OVERHEAD", value).as_deref(), Some(expected), "{value}");
    }
    // No limit is what 0 means: nothing else becomes that.
    for value in ["0.00001", "100.5", "101", "0.5.5", "1e-1", "off", "no", ""] {
        assert_eq!(made("OVERHEAD", value), None, "{value}");
    }
    for (value, expected) in
        [("2.5%", "2.5%"), ("8MB, 0.5 %", "8M,0.5%"), ("5%,16M", "16M,5%"), ("0,5%", "5%"), ("0", "0")]
    {
        assert_eq!(made("GROWTH", value).as_deref(), Some(expected), "{value}");
    }
    for value in ["8M,16M", "5%,5%", "1,5M", "8M,off", "8M,5%,"] {
        assert_eq!(made("GROWTH", value), None, "{value}");
    }
}

#[test]
fn what_0_switches_off_off_does_too() {
    for name in ["INTERVAL", "JITTER", "GROWTH", "IDLE", "PERIOD", "DEFER", "PAD", "TRIM_THRESHOLD"] {
        for value in ["0", "off", "OFF", "no", "false"] {
            assert_eq!(made(name, value).as_deref(), Some("0"), "{name}={value}");
        }
        assert_eq!((made(name, ""), made(name, "on"), made(name, "none")), (None, None, None), "{name}");
    }
    for value in ["0", "off", "No", "FALSE", ""] {
        for name in ["PRESSURE", "SIGNAL"] {
            assert_eq!(made(name, value).as_deref(), Some("off"), "{name}={value}");
        }
        let options =
            taken(&[b"AUTOTRIM_METRICS_DIR=/run/metrics", format!("AUTOTRIM_METRICS_DIR={value}").as_bytes()]);
        assert_eq!((invalid(&options), options.metrics.as_bytes()), (vec![], &b""[..]), "{value}");
    }
    for value in ["off", "OFF", "no", "0"] {
        let options =
            taken(&[format!("AUTOTRIM_LOG={value}").as_bytes(), format!("AUTOTRIM_ARENAS={value}").as_bytes()]);
        assert_eq!((options.log, options.arenas), (Level::Off, Arenas::AtMost(0)), "{value}");
    }
}

/// The same words for each.
#[test]
fn switches_have_one_reader() {
    for (value, on) in [
        ("1", true),
        ("yes", true),
        ("true", true),
        ("on", true),
        ("Yes", true),
        ("TRUE", true),
        (" on ", true),
        ("0", false),
        ("no", false),
        ("false", false),
        ("off", false),
        ("Off", false),
        ("", false),
    ] {
        let given = |name: &str| format!("AUTOTRIM_{name}={value}").into_bytes();
        let options = taken(&[&given("DISABLE"), &given("GC"), &given("PRESSURE")]);
        assert_eq!(invalid(&options), [], "{value}");
        let pressure = matches!(options.pressure, Setting::Auto);
        assert_eq!(
            (options.disabled, options.gc == Gc { auto: on, ..Gc::default() }, pressure),
            (on, true, on),
            "{value}"
        );
        assert_eq!(options.is_active(), !on, "{value}");
    }
    for value in ["2", "maybe", "disable", "yes please", "nope"] {
        let options = taken(&[format!("AUTOTRIM_DISABLE={value}").as_bytes()]);
        assert_eq!(invalid(&options), [("AUTOTRIM_DISABLE", value.as_bytes().to_vec())]);
        assert!(!options.disabled);
    }
}

#[test]
fn garbage_is_collected_of_runtimes_by_their_names() {
    let gc = |value: &str| taken(&[format!("AUTOTRIM_GC={value}").as_bytes()]);
    let told = |value: &str| {
        let mut line = Line::new();
        gc(value).gc.write(&mut line);
        String::from_utf8(line.as_bytes().to_vec()).expect("UTF-8")
    };
    for value in
        ["off", "auto", "python", "node", "ruby", "java", "python,node", "auto,java", "auto,python,node,ruby,java"]
    {
        assert_eq!((invalid(&gc(value)), told(value)), (vec![], value.to_owned()));
    }
    assert_eq!(gc("Node, PYTHON").gc, Gc { python: true, node: true, ..Gc::default() });
    for value in ["perl", "javac", "python,", ",", "node,off", "on,node", "python node"] {
        assert_eq!(invalid(&gc(value)).len(), 1, "{value}");
    }
}

#[test]
fn words_may_be_in_capitals() {
    let options =
        taken(&[b"AUTOTRIM_LOG=Warning", b"AUTOTRIM_GC=Python", b"AUTOTRIM_ARENAS=AUTO", b"AUTOTRIM_PRESSURE=Auto"]);
    assert_eq!(invalid(&options), []);
    assert_eq!(
        (options.log, options.gc, options.arenas),
        (Level::Warn, Gc { python: true, ..Gc::default() }, Arenas::Auto)
    );
    assert_eq!(taken(&[b"AUTOTRIM_LOG=DEBUG"]).log, Level::Debug);
    assert!(!taken(&[b"AUTOTRIM_PROGRAMS=GUNICORN"]).chosen, "names of files are what they are");
}

#[test]
fn the_line_tells_what_is_on_by_default_and_what_was_changed() {
    let line = |assignments: &[&[u8]]| {
        let mut line = Line::new();
        taken(assignments).tell(&mut line);
        String::from_utf8(line.as_bytes().to_vec()).expect("UTF-8")
    };
    assert_eq!(line(&[]), " interval=1024 growth=4M,5% idle=1s");
    assert_eq!(line(&[b"AUTOTRIM_OVERHEAD=1.0", b"AUTOTRIM_DEFER=1000ms", b"AUTOTRIM_LOG=debug"]), line(&[]));
    assert_eq!(
        line(&[b"AUTOTRIM_OVERHEAD=0.5", b"AUTOTRIM_IDLE=off", b"AUTOTRIM_PRESSURE=/run/a b", b"AUTOTRIM_SIGNAL=usr1"]),
        " interval=1024 growth=4M,5% idle=0 pressure=\"/run/a b\" signal=10 overhead=0.5"
    );
}

/// What is in force comes first, and the longest of it leaves room for some of what is wrong.
#[test]
fn the_longest_record_of_what_is_in_force_is_whole() {
    let path = format!("/{}", "x".repeat(290));
    let mut options = taken(&[
        format!("AUTOTRIM_PRESSURE={path}").as_bytes(),
        format!("AUTOTRIM_METRICS_DIR={path}").as_bytes(),
        b"AUTOTRIM_INTERVAL=18446744073709551615",
        b"AUTOTRIM_GC=auto,python,node,ruby",
    ]);
    (0..MOST_UNKNOWN).for_each(|n| options.take(format!("AUTOTRIM_{n:x>40}=").as_bytes()));
    let record = options.record();
    let assignments: Vec<_> = record.as_bytes().split(|&byte| byte == 0).collect();
    for (entry, assignment) in TABLE.iter().zip(&assignments) {
        assert!(assignment.starts_with(format!("{}=", entry.name).as_bytes()), "{}", entry.name);
    }
    // Each that is there is whole.
    assert_eq!((assignments[TABLE.len()], assignments[assignments.len() - 1]), (&b""[..], &b""[..]));
    assert!(assignments.len() > TABLE.len() + 4, "{}", assignments.len());
}

/// The line is one write, and whole: its buffer holds the longest of every value, and what else stands in it.
#[test]
fn the_longest_line_fits() {
    let most = u64::MAX;
    let path = format!("/{}", "\"".repeat(250));
    let extremes = [format!("{most}"), format!("{most}B,1844674407370955.1615%"), format!("{most}ns"), path];
    let extremes = extremes.iter().map(String::as_str).chain(["1000ns", "64", "99.9999", "auto"]);
    let longest = |entry: &Entry| {
        let name = entry.name.strip_prefix(PREFIX).expect("the prefix");
        let length = extremes.clone().filter_map(|value| Some(name.len() + 2 + made(name, value)?.len())).max();
        length.unwrap_or_else(|| panic!("a long value of {name}"))
    };
    let options: usize = TABLE.iter().filter(|entry| entry.told != Never).map(longest).sum();
    // The longest pid and program, all of it quoted; gc, arenas, allocator, version and the end of the line.
    let rest = "autotrim: pid=4194304 program=\"\" event=enabled".len()
        + 2 * 64
        + " gc=auto,python,node arenas=2147483647 allocator=tcmalloc-google-2.36 version=10.10.10\n".len();
    assert!(options + rest <= Line::new().room(), "{options} and {rest}");
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
        "AUTOTRIM_IDLE=5w",
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
        "AUTOTRIM_PRESSURE=maybe",
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
fn every_misspelt_option_is_remembered() {
    let options =
        taken(&[b"AUTOTRIM_INTERVALL=5", b"AUTOTRIM_FOO=", b"autotrim_idle=2s", b"AUTOTRIM_IDLE=2s", b"PATH=/bin"]);
    assert_eq!(unknown(&options), ["AUTOTRIM_INTERVALL", "AUTOTRIM_FOO", "autotrim_idle"]);
    assert_eq!((options.more_unknown, options.rules.idle), (0, 2 * SECOND));
}

#[test]
fn of_very_many_misspelt_options_the_rest_is_counted() {
    let names: Vec<String> = (0..100).map(|number| format!("AUTOTRIM_{number}=")).collect();
    let options = taken(&names.iter().map(String::as_bytes).collect::<Vec<_>>());
    assert_eq!(unknown(&options).len() as u64 + options.more_unknown, 100);
    assert_eq!(unknown(&options).last().map(String::as_str), Some(names[TABLE.len() - 1].trim_end_matches('=')));
}

/// The container image and the shell profile of a developer have it.
#[test]
fn what_the_command_is_told_is_no_misspelt_option() {
    assert_eq!(unknown(&taken(&[b"AUTOTRIM_LIBRARY=/opt/libautotrim.so"])), [""; 0]);
}

#[test]
fn a_misspelt_option_has_a_nearest() {
    for (name, expected) in [
        ("AUTOTRIM_INTERVALL", Some("AUTOTRIM_INTERVAL")),
        ("autotrim_interval", Some("AUTOTRIM_INTERVAL")),
        ("AUTOTRIM_INTREVAL", Some("AUTOTRIM_INTERVAL")),
        ("AUTOTRIM_GROW", Some("AUTOTRIM_GROWTH")),
        ("AUTOTRIM_IDEL", Some("AUTOTRIM_IDLE")),
        ("AUTOTRIM_DISABLED", Some("AUTOTRIM_DISABLE")),
        ("AUTOTRIM_LOG_LEVEL", Some("AUTOTRIM_LOG")),
        ("AUTOTRIM_LOGLEVEL", Some("AUTOTRIM_LOG")),
        ("AUTOTRIM_METRICS", Some("AUTOTRIM_METRICS_DIR")),
        ("AUTOTRIM_THRESHOLD", Some("AUTOTRIM_TRIM_THRESHOLD")),
        ("AUTOTRIM_PROGRAM", Some("AUTOTRIM_PROGRAMS")),
        ("AUTOTRIM_OVERHED", Some("AUTOTRIM_OVERHEAD")),
        ("AUTOTRIM_LIBARY", Some("AUTOTRIM_LIBRARY")),
        // The opposite is nothing to suggest.
        ("AUTOTRIM_ENABLE", None),
        ("AUTOTRIM_FOO", None),
        ("AUTOTRIM_", None),
    ] {
        assert_eq!(nearest(name.as_bytes()), expected, "{name}");
    }
    for entry in TABLE {
        assert_eq!(nearest(entry.name.as_bytes()), Some(entry.name));
    }
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
        ("USR1", libc::SIGUSR1),
        ("usr2", libc::SIGUSR2),
        ("sigusr1", libc::SIGUSR1),
        ("RTMIN+18", low + 18),
        ("rtmax-2", high - 2),
        ("SIGRTMIN", low),
        ("RTMAX", high),
        ("0", 0),
        ("OFF", 0),
    ] {
        assert_eq!(signal(value), expected, "{value}");
    }
    // 33 is glibc's own: setuid would hang.
    for refused in [
        "1",
        "on",
        "33",
        "65",
        "SIGRTMIN+31",
        "SIGRTMAX-31",
        "SIGRTMIN-1",
        "SIGRTMIN+",
        "RTMIN18",
        "RTMAX-31",
        "SIG10",
        "SIG",
        "TERM",
        "SIGSIGUSR1",
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
    assert!(unknown(&options).is_empty() && !options.needs_thread(), "it takes AUTOTRIM_PRESSURE to follow them");
    assert!(taken(&[b"MEMORY_PRESSURE_WRITE=!"]).write.is_none());
}

#[test]
fn the_documentation_shows_this_table() {
    let mut table = String::from("| name | default | meaning |\n|---|---|---|\n");
    for Entry { name, default, meaning, .. } in TABLE {
        let default = if default.is_empty() { "unset".into() } else { format!("`{default}`") };
        table += &format!("| `{name}` | {default} | {meaning} |\n");
    }
    let page = std::fs::read_to_string("docs/options.md").expect("docs/options.md");
    assert!(page.contains(&table), "docs/options.md should contain this table:\n{table}");
}
