//! Why trims are not made: each reason is counted, and what a due trim waits for is known.

use super::*;
use crate::decide::skips::Skip;

fn waits_for(host: &Host) -> Option<(Trigger, Skip)> {
    host.policy.due().map(|due| (due.trigger(), due.waits_for()))
}

#[test]
fn a_trim_that_waits_for_a_request_in_flight_says_so() {
    let mut host = Host::new(every(1));
    assert_eq!(waits_for(&host), None);
    host.in_flight = 1;
    host.answer(1, MILLISECOND);
    assert_eq!(waits_for(&host), Some((Trigger::Requests, Skip::InFlight)));
    host.in_flight = 0;
    host.answer(1, MILLISECOND);
    assert_eq!((waits_for(&host), host.trims.len()), (None, 1));
}

#[test]
fn a_trim_that_waits_for_its_budget_says_so() {
    let mut host = Host::new(Rules { overhead: PERCENT, ..every(1) });
    host.cost = 2 * BURST;
    host.answer(2, MILLISECOND);
    assert_eq!(waits_for(&host), Some((Trigger::Requests, Skip::Overhead)));
}

#[test]
fn a_trim_of_locked_memory_is_counted_once_however_often_it_is_looked_at() {
    let mut host = Host::new(every(1));
    host.locked = true;
    host.floor = 40 * MB;
    for number in 1..4 {
        host.answer(20, MILLISECOND);
        assert_eq!(waits_for(&host), Some((Trigger::Requests, Skip::Locked)));
        assert_eq!(host.policy.counts.locked, number);
        while waits_for(&host).is_some() {
            host.answer(1, SECOND);
        }
    }
}

#[test]
fn a_long_trim_waits_for_quiet_and_says_so() {
    let mut host = by_default(40 * MB);
    host.rules.overhead = 0;
    host.cost = 2 * LONG;
    host.floor = 41 * MB;
    host.answer(1, MILLISECOND);
    host.rest(2 * SECOND);
    host.holds(60 * MB);
    host.floor = 41 * MB;
    host.answer(20, 10 * MILLISECOND);
    assert_eq!(waits_for(&host), Some((Trigger::Growth, Skip::Long)));
    assert_eq!(host.policy.counts.long, 1);
}

/// What has grown is in use: a try shows it, and the looks before the next one find nothing to gain.
#[test]
fn growth_that_a_trim_has_not_brought_back_is_counted() {
    let mut host = Host::new(on_growth(4 * MB));
    host.holds(60 * MB);
    host.answer(20, 10 * MILLISECOND);
    assert_eq!(host.trims.len(), 1);
    assert!(host.policy.counts.in_vain >= 5, "{:?}", host.policy.counts);
    assert_eq!(host.policy.counts.no_growth, 0);
}

#[test]
fn pressure_that_asks_for_nothing_new_is_counted() {
    let mut host = Host::new(Rules::default());
    let press = |host: &mut Host| {
        host.asked.pressure = true;
        host.wait_point();
        host.pass(MILLISECOND);
    };
    (0..3).for_each(|_| press(&mut host));
    assert_eq!((host.trims.len(), host.policy.counts.recent, host.policy.counts.swapped), (1, 2, 0));
    host.pass(PRESSURE_HOLD_OFF);
    host.swapped = true;
    press(&mut host);
    assert_eq!((host.policy.counts.recent, host.policy.counts.swapped), (2, 1));
}

#[test]
fn what_was_in_the_way_where_the_trim_was_to_be_is_remembered_until_it_is_made() {
    let mut host = Host::new(every(1));
    host.requests = 1;
    assert!(matches!(host.decide(), Decision::Trim { .. }));
    host.policy.obstructed(Skip::Handler);
    assert_eq!(waits_for(&host), Some((Trigger::Requests, Skip::Handler)));
    host.next.time = host.now;
    host.wait_point();
    assert_eq!((waits_for(&host), host.trims.len()), (None, 1));
}
