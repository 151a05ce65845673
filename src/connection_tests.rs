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
#[derive(Default, Debug, PartialEq)]
struct Tally {
    requests: u64,
    in_flight: i64,
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
    }
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

#[test]
fn a_number_closed_behind_our_back_starts_afresh() {
    let (mut state, mut tally) = (State::NotFollowed, Tally::default());
    for event in [Event::Opened, Event::Received, Event::Opened] {
        run(&mut state, &mut tally, event);
    }
    assert_eq!((state, tally), (State::Fresh, Tally { requests: 0, in_flight: 0 }));
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
    assert_eq!((state, tally), (State::Idle, Tally { requests: 1, in_flight: 0 }));
}

#[test]
fn what_is_not_followed_stays_so() {
    for event in [Event::Received, Event::Sent, Event::Forgotten, Event::Forked] {
        assert_eq!(step(State::NotFollowed, event), (State::NotFollowed, Effect::None));
    }
}

#[test]
fn every_state_survives_its_byte() {
    for state in [State::NotFollowed, State::Fresh, State::Idle, State::Pending, State::Inherited] {
        assert_eq!(State::from_byte(state as u8), state);
    }
    assert_eq!(State::from_byte(255), State::NotFollowed);
}
