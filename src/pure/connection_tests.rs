//! The state machine against recorded traces of real servers, and against each of its rules.

use super::*;

/// One line of a trace: a server, a test case, the true count, and the calls per connection as
/// `[kind, libc symbol, result, first bytes sent]`.
#[derive(serde::Deserialize)]
struct Trace {
    server: String,
    test: String,
    answered: u64,
    connections: Vec<Vec<(String, String, i64, String)>>,
}

/// Counts and in-flight number after a sequence of events on one connection.
#[derive(Clone, Copy, Default, Debug, PartialEq)]
struct Tally {
    requests: u64,
    in_flight: i64,
    lingering: i64,
}

fn run(state: &mut State, tally: &mut Tally, event: Event) {
    let (next, effect) = step(*state, event);
    *state = next;
    match effect {
        Effect::None => {}
        Effect::Began => tally.in_flight += 1,
        Effect::Answered => {
            tally.requests += 1;
            tally.in_flight -= 1;
        }
        Effect::AnsweredForParent => tally.requests += 1,
        Effect::Abandoned => tally.in_flight -= 1,
        Effect::Lingers => tally.lingering += 1,
        Effect::AnsweredLate => {
            tally.requests += 1;
            tally.in_flight -= 1;
            tally.lingering -= 1;
        }
        Effect::AbandonedLate => {
            tally.in_flight -= 1;
            tally.lingering -= 1;
        }
    }
    assert!((0..=1).contains(&tally.lingering) && tally.lingering <= tally.in_flight);
    assert!((0..=1).contains(&tally.in_flight), "one connection has at most one request in flight");
}

fn event_of(kind: &str, result: i64, head: &str) -> Option<Event> {
    match kind {
        "recv" if result > 0 => Some(Event::Received),
        "send" if result > 0 && !is_interim(head.as_bytes()) => Some(Event::Sent),
        "close" => Some(Event::Forgotten),
        _ => None,
    }
}

#[test]
fn every_recorded_trace_is_counted_exactly() {
    let mut lines = 0;
    for file in std::fs::read_dir("tests/traces").expect("tests/traces") {
        let path = file.expect("a directory entry").path();
        for line in std::fs::read_to_string(&path).expect("a trace").lines() {
            let trace: Trace = serde_json::from_str(line).expect("a line of JSON");
            let mut requests = 0;
            for calls in &trace.connections {
                let (mut state, mut tally) = (State::NotFollowed, Tally::default());
                run(&mut state, &mut tally, Event::Opened);
                for (kind, _, result, head) in calls {
                    if let Some(event) = event_of(kind, *result, head) {
                        run(&mut state, &mut tally, event);
                    }
                }
                assert_eq!((state, tally.in_flight), (State::NotFollowed, 0), "{} {}", trace.server, trace.test);
                requests += tally.requests;
            }
            assert_eq!(requests, trace.answered, "{} {}", trace.server, trace.test);
            lines += 1;
        }
    }
    assert_eq!(lines, 133, "all recorded lines were read");
}

#[test]
fn an_interim_response_answers_nothing() {
    for head in ["HTTP/1.1 100 Continue\r\n", "HTTP/1.0 102 Processing", "HTTP/1.1 103 Early Hints"] {
        assert!(is_interim(head.as_bytes()), "{head}");
    }
}

#[test]
fn everything_else_answers() {
    for head in ["HTTP/1.1 101 Switching", "HTTP/1.1 200 OK", "HTTP/2 100", "HTTP/1.1 1", "1", "", "\u{1}\u{6}"] {
        assert!(!is_interim(head.as_bytes()), "{head}");
    }
}

/// What was sent at once, whole and cut in two at any place.
fn answers_nothing(sent: &str) -> bool {
    let read = |parts: &[&[u8]]| {
        let mut interim = Interim::new();
        parts.iter().for_each(|part| interim.read(part));
        interim.answers_nothing()
    };
    let whole = read(&[sent.as_bytes()]);
    for cut in 0..sent.len() {
        let (first, second) = sent.as_bytes().split_at(cut);
        assert_eq!(read(&[first, second]), whole, "{sent:?} cut at {cut}");
    }
    whole
}

const EARLY: &str = "HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n";

#[test]
fn interim_responses_alone_answer_nothing() {
    let short = "HTTP/1.1 100 Continue\n\n";
    for sent in [EARLY.to_owned(), EARLY.repeat(3), short.to_owned(), format!("{short}{EARLY}")] {
        assert!(answers_nothing(&sent), "{sent:?}");
    }
    // The rest of its fields is yet to come.
    assert!(answers_nothing("HTTP/1.1 103 Early Hints\r\nLink:"));
}

#[test]
fn an_answer_behind_interim_responses_is_one() {
    for answer in ["HTTP/1.1 200 OK\r\n\r\nok", "HTTP/1.1 101 Switching Protocols\r\n\r\n", "HTTP/1.1 2", "H"] {
        assert!(!answers_nothing(&format!("{EARLY}{answer}")), "{answer}");
        assert!(!answers_nothing(&format!("{EARLY}{EARLY}{answer}")), "{answer}");
    }
    for sent in ["", "H", "HTTP/1.1 200 OK\r\n\r\n", "\u{1}\u{6}\0\u{1}HTTP/1.1 103 "] {
        assert!(!answers_nothing(sent), "{sent:?}");
    }
}

#[test]
fn who_speaks_first_on_a_connection_that_was_passed_is_a_client() {
    let after = |events: &[Event]| {
        let (mut state, mut tally) = (State::NotFollowed, Tally::default());
        events.iter().for_each(|&event| run(&mut state, &mut tally, event));
        (state, tally)
    };
    let client = [Event::Brought, Event::Sent, Event::Received, Event::Sent];
    assert_eq!(after(&client), (State::NotFollowed, Tally::default()));
    let server = [Event::Brought, Event::Received, Event::Sent];
    assert_eq!(after(&server), (State::Idle, Tally { requests: 1, in_flight: 0, ..Tally::default() }));
    assert_eq!(after(&[Event::Opened, Event::Received, Event::Brought]), (State::Brought, Tally::default()));
    assert_eq!(after(&[Event::Brought, Event::Forked]), (State::Brought, Tally::default()));
}

#[test]
fn a_number_closed_behind_our_back_starts_afresh() {
    let (mut state, mut tally) = (State::NotFollowed, Tally::default());
    for event in [Event::Opened, Event::Received, Event::Opened] {
        run(&mut state, &mut tally, event);
    }
    assert_eq!((state, tally), (State::Fresh, Tally { requests: 0, in_flight: 0, ..Tally::default() }));
}

#[test]
fn a_client_that_leaves_counts_nothing() {
    let (mut state, mut tally) = (State::NotFollowed, Tally::default());
    for event in [Event::Opened, Event::Received, Event::Received, Event::Forgotten] {
        run(&mut state, &mut tally, event);
    }
    assert_eq!((state, tally), (State::NotFollowed, Tally::default()));
}

#[test]
fn a_greeting_counts_nothing() {
    let (mut state, mut tally) = (State::Fresh, Tally::default());
    run(&mut state, &mut tally, Event::Sent);
    assert_eq!((state, tally), (State::Idle, Tally::default()));
}

#[test]
fn a_forked_child_counts_the_answer_to_what_its_parent_received() {
    let (mut state, mut tally) = (State::Pending, Tally::default());
    run(&mut state, &mut tally, Event::Forked);
    assert_eq!(state, State::Inherited);
    run(&mut state, &mut tally, Event::Received);
    run(&mut state, &mut tally, Event::Sent);
    assert_eq!((state, tally), (State::Idle, Tally { requests: 1, in_flight: 0, ..Tally::default() }));
}

#[test]
fn what_is_in_flight_for_long_lingers_until_it_ends() {
    let (mut state, mut tally) = (State::Fresh, Tally::default());
    run(&mut state, &mut tally, Event::Aged);
    assert_eq!(state, State::Fresh, "nothing is in flight");
    run(&mut state, &mut tally, Event::Received);
    run(&mut state, &mut tally, Event::Aged);
    run(&mut state, &mut tally, Event::Received);
    assert_eq!((state, tally.lingering), (State::Waiting, 0));
    run(&mut state, &mut tally, Event::Aged);
    run(&mut state, &mut tally, Event::Received);
    assert_eq!((state, tally.in_flight, tally.lingering), (State::Lingering, 1, 1));
    let (mut other, mut others) = (state, tally);
    run(&mut state, &mut tally, Event::Sent);
    assert_eq!((state, tally), (State::Idle, Tally { requests: 1, ..Tally::default() }));
    run(&mut other, &mut others, Event::Forgotten);
    assert_eq!((other, others), (State::NotFollowed, Tally::default()));
    // One that comes again begins anew.
    run(&mut state, &mut tally, Event::Received);
    assert_eq!(state, State::Pending);
}

#[test]
fn what_is_not_followed_stays_so() {
    for event in [Event::Received, Event::Sent, Event::Forgotten, Event::Forked, Event::Aged] {
        assert_eq!(step(State::NotFollowed, event), (State::NotFollowed, Effect::None));
    }
}

#[test]
fn every_state_survives_its_byte() {
    for state in [
        State::NotFollowed,
        State::Fresh,
        State::Idle,
        State::Pending,
        State::Inherited,
        State::Brought,
        State::Waiting,
        State::Lingering,
    ] {
        assert_eq!(State::from_byte(state as u8), state);
    }
    assert_eq!(State::from_byte(255), State::NotFollowed);
}
