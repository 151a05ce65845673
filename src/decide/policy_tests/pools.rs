//! A release of CPython's pools before the trim.

use super::*;
use crate::decide::pools::PATIENCE;

const RELEASED: Released = Released { took: 2 * MILLISECOND, bytes: 30 * MB, rss: 0 };

fn with_pools(rules: Rules) -> Host {
    Host { has_pools: true, release: Some(RELEASED), rss: Some(100 * MB), floor: 40 * MB, ..Host::new(rules) }
}

/// Some work, and then quiet, in which the thread comes by when it says so.
fn rest_after_work(host: &mut Host) {
    host.answer(1, 0);
    host.rest(2 * SECOND);
}

#[test]
fn in_quiet_a_release_comes_before_the_trim_and_is_a_part_of_it() {
    let mut host = with_pools(on_quiet(SECOND));
    rest_after_work(&mut host);
    assert_eq!((host.triggers(), host.given_back.as_slice()), (vec![Trigger::Idle], [(100 * MB, 30 * MB)].as_slice()));
    assert_eq!((host.policy.low, host.policy.released), (40 * MB, 60 * MB));
}

/// At first any moment will do; once it is known what one takes, one without work is waited for a little; then the trim goes without.
#[test]
fn in_quiet_a_trim_waits_for_its_release_but_not_for_ever() {
    let mut host = with_pools(on_quiet(SECOND));
    host.release = None;
    for took in [0, 2 * MILLISECOND, 2 * SECOND] {
        host.rss = Some(100 * MB);
        if took != 0 {
            host.released = Released { took, bytes: 0, rss: 0 };
            host.decide();
        }
        host.answer(1, 0);
        host.now += SECOND;
        let wait = (took * PATIENCE).min(host.rules.defer);
        assert_eq!(host.wait_point(), Decision::Ask { garbage: false, insist_at: host.now + wait });
        host.now += wait + COLLECTED_WITHIN - MILLISECOND;
        assert!(matches!(host.decide(), Decision::Ask { garbage: false, .. }));
        host.now += MILLISECOND;
        let trims = host.trims.len();
        host.wait_point();
        assert_eq!(host.trims.len(), trims + 1, "{took}");
        host.now += 600 * SECOND;
    }
}

/// While there is work no trim is held up; what was released after it is a part of what it brought.
#[test]
fn between_requests_the_trim_comes_first() {
    let mut host = with_pools(on_growth(16 * MB));
    (host.policy.least, host.policy.left, host.floor) = (60 * MB, 60 * MB, 100 * MB);
    host.answer(1, 0);
    assert_eq!((host.triggers(), host.given_back.as_slice()), (vec![Trigger::Growth], [(0, 0)].as_slice()));
    let waits = host.policy.patience.until();
    assert!(waits > host.now, "the trim alone was in vain");
    host.come_by(false);
    host.answer(1, 0);
    assert!(host.policy.patience.until() <= host.now, "the release was not");
    assert_eq!((host.policy.low, host.policy.left, host.policy.released), (40 * MB, 70 * MB, 30 * MB));
}

/// An interval that somebody has asked for is not waited with; what was released after that trim is told by the next.
#[test]
fn an_exact_interval_is_kept() {
    let mut host = with_pools(every(5));
    host.answer(5, MILLISECOND);
    assert_eq!(host.counts(), [5]);
    host.come_by(false);
    host.answer(5, MILLISECOND);
    assert_eq!((host.counts(), host.given_back.as_slice()), (vec![5, 10], [(0, 0), (0, 30 * MB)].as_slice()));
}

/// Nor does it make a trim due. But RSS is known to come down so far.
#[test]
fn a_release_that_came_late_is_taken_note_of() {
    let mut host = with_pools(on_quiet(SECOND));
    (host.rss, host.floor) = (Some(100 * MB), 90 * MB);
    host.policy.low = 0;
    host.release = None;
    host.answer(1, 0);
    host.rest(5 * SECOND);
    assert_eq!((host.trims.len(), host.policy.low), (1, 90 * MB));
    host.released = Released { took: MILLISECOND, bytes: 30 * MB, rss: 60 * MB };
    host.rss = Some(60 * MB);
    assert_eq!(host.wait_point(), Decision::Rest);
    assert_eq!((host.policy.low, host.policy.left, host.policy.least), (60 * MB, 60 * MB, 40 * MB));
}

/// One call of CPython's does both, and where it does not come the trim waits once.
#[test]
fn garbage_and_pools_come_together() {
    let mut host = with_pools(every(5));
    (host.collects, host.pause) = (Collects::Always, Some(20 * MILLISECOND));
    host.answer(6, 0);
    assert_eq!((host.collections, host.trims_with.as_slice()), (1, [true].as_slice()));
    assert_eq!(host.given_back, [(100 * MB, 30 * MB)]);
    (host.pause, host.release) = (None, None);
    host.now += 600 * SECOND;
    host.answer(5, 0);
    host.now += SECOND + COLLECTED_WITHIN;
    host.wait_point();
    assert_eq!(host.trims_with, [true, false]);
}

/// Releases are paid for as trims are.
#[test]
fn releases_and_trims_stay_within_one_budget() {
    for took in [1, 10, 80] {
        let mut host = with_pools(Rules { overhead: PERCENT, ..on_quiet(5 * MILLISECOND) });
        host.release = Some(Released { took: took * MILLISECOND, bytes: MB, rss: 0 });
        host.cost = 5 * MILLISECOND;
        let start = host.now;
        while host.now < start + 120 * SECOND {
            host.rss = Some(100 * MB);
            host.answer(1, MILLISECOND);
            host.rest(20 * MILLISECOND);
        }
        let releases = host.given_back.iter().filter(|&&(before, _)| before != 0).count() as u64;
        let spent = releases * took * MILLISECOND + host.trims.len() as u64 * host.cost;
        let allowed = (host.now - start) / 100 + BURST + took * MILLISECOND + host.cost;
        assert!(spent <= allowed, "{spent} of {allowed} at {took} ms");
        assert!(releases >= 5 && host.trims.len() >= 5, "{releases}, {} at {took} ms", host.trims.len());
    }
}
