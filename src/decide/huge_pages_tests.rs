//! What is taken for memory that has come back by itself, and what is not; and when it is looked for.

use super::*;
use crate::decide::MILLISECOND;

const MB: u64 = 1 << 20;

/// A process that a trim in quiet has left with 20 MB, at the end of its tenth second.
fn trimmed() -> Returns {
    let mut returns = Returns::default();
    returns.trimmed(10 * SECOND, SECOND, 50 * MB, 20 * MB, Some(100 * MB));
    returns
}

/// The same half a minute later, when it holds so much, and a trim is due.
fn shown(rss: u64, evidence: Evidence) -> Returns {
    let mut returns = trimmed();
    returns.due(40 * SECOND, SECOND + MILLISECOND, rss);
    assert!(returns.asks());
    returns.show(rss, evidence);
    returns
}

#[test]
fn what_comes_back_in_huge_pages_and_without_page_faults_is_seen() {
    let mut returns = shown(70 * MB, Evidence { huge: 60 * MB, faulted: 101 * MB });
    assert_eq!((returns.again(48 * MB), returns.again(90 * MB)), (48 * MB, 49 * MB));
    assert!(!returns.is_seen(), "only a trim shows that it was free");
    returns.trimmed(41 * SECOND, SECOND, 48 * MB, 22 * MB, Some(101 * MB));
    assert!(returns.is_seen());
    assert_eq!(returns.again(48 * MB), 0, "each is told once");
}

#[test]
fn what_the_process_has_put_there_itself_is_none() {
    let huge = 60 * MB;
    for evidence in [
        // By page faults; in small pages; nothing is known.
        Evidence { huge, faulted: 150 * MB },
        Evidence { huge: 2 * MB, faulted: 100 * MB },
        Evidence { huge: 0, faulted: u64::MAX },
    ] {
        let mut returns = shown(70 * MB, evidence);
        assert_eq!(returns.again(50 * MB), 0, "{evidence:?}");
        returns.trimmed(41 * SECOND, SECOND, 50 * MB, 20 * MB, None);
        assert!(!returns.is_seen());
    }
    // In use now.
    let mut returns = shown(70 * MB, Evidence { huge, faulted: 100 * MB });
    returns.trimmed(41 * SECOND, SECOND, 5 * MB, 65 * MB, Some(0));
    assert!(!returns.is_seen());
}

#[test]
fn nothing_is_asked_for_where_there_was_work_or_little_growth() {
    for (cpu, rss) in [(2 * SECOND, 70 * MB), (SECOND, 23 * MB)] {
        let mut returns = trimmed();
        returns.due(40 * SECOND, cpu, rss);
        assert!(!returns.asks(), "{cpu} {rss}");
    }
    let mut unknown = Returns::default();
    unknown.trimmed(10 * SECOND, SECOND, 50 * MB, 20 * MB, None);
    unknown.due(40 * SECOND, SECOND, 70 * MB);
    assert!(!unknown.asks() && unknown.next() == u64::MAX);
}

/// Reading two files is for each trim once, however often it is decided on.
#[test]
fn it_is_asked_for_once() {
    let mut returns = shown(70 * MB, Evidence { huge: 60 * MB, faulted: 100 * MB });
    returns.due(50 * SECOND, SECOND, 71 * MB);
    assert!(!returns.asks() && returns.again(u64::MAX) == 50 * MB);
}

#[test]
fn looks_come_at_doubled_distances_and_after_work_anew() {
    let mut returns = trimmed();
    let mut waits = Vec::new();
    let mut now = 10 * SECOND;
    for _ in 0..7 {
        waits.push((returns.next() - now) / SECOND);
        now = returns.next();
        assert!(returns.is_due(now) && !returns.is_due(now - 1));
        assert!(!returns.look(now, 21 * MB));
    }
    assert_eq!(waits, [10, 20, 40, 80, 160, 320, 320]);
    returns.put_off(now);
    assert_eq!(returns.next(), now + FIRST);
    assert!(returns.look(now + FIRST, 24 * MB));
    returns.restart(SECOND);
    assert!(returns.next() <= SECOND + LONGEST);
    returns.leave();
    returns.put_off(now);
    assert_eq!(returns.next(), u64::MAX);
}
