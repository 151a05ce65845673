//! The reader of the log is strict: the other tests lean on it, so a line that is not as it should be has to
//! fail them.

mod common;

use common::log::Log;

const TRIM: &str = "autotrim: pid=71 program=gunicorn event=trim trigger=requests requests=3072 in_flight=0\n";

fn refuses(written: &str) {
    let read = std::panic::catch_unwind(|| Log::read(written.as_bytes()));
    assert!(read.is_err(), "{written:?} was read as {read:?}");
}

#[test]
fn a_line_is_read_whole() {
    let log = Log::read(format!("[71] [INFO] Booting\n{TRIM}autotrim: pid=7").as_bytes());
    assert_eq!(log.lines.len(), 1, "other text and an unfinished line are no lines of ours");
    let line = &log.lines[0];
    assert_eq!((line.pid, &*line.program, &*line.event), (71, "gunicorn", "trim"));
    assert!(line.is_trim("requests") && !line.is_trim("idle"));
    assert_eq!((line.number("requests"), line.number("in_flight")), (3072, 0));
    assert_eq!(line.fields.len(), 3);
}

#[test]
fn quoted_values_are_read() {
    let quoted = r#"autotrim: pid=1 program=a event=b value="two \"words\" \\ \x0a" next="""#;
    let log = Log::read(format!("{quoted}\n").as_bytes());
    assert_eq!(log.lines[0].text("value"), r#"two "words" \ \x0a"#);
    assert_eq!(log.lines[0].text("next"), "");
}

#[test]
fn broken_lines_are_refused() {
    refuses(&format!("text before {TRIM}"));
    refuses(&TRIM.replace('\n', " \n"));
    refuses(&TRIM.replace("pid=71 program=gunicorn", "program=gunicorn pid=71"));
    refuses(&TRIM.replace("pid=71", "pid=many"));
    refuses(&TRIM.replace("in_flight", "requests"));
    refuses(&TRIM.replace("in_flight=0", "in_flight"));
    refuses(&TRIM.replace("in_flight=0", "in_flight=\"0"));
    refuses(&TRIM.replace("in_flight=0", "in flight=0"));
    refuses(&TRIM.replace("in_flight=0", "in_flight=\u{1b}[2J"));
    refuses(&TRIM.replace("3072", &"3".repeat(1024)));
    refuses(&TRIM.replace(" event=trim", ""));
}

#[test]
fn lines_that_are_not_text_are_refused() {
    let mut written = TRIM.as_bytes().to_vec();
    written[80] = 0xff;
    assert!(std::panic::catch_unwind(|| Log::read(&written)).is_err());
}
