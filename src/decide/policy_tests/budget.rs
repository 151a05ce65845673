//! What trims may cost.

use super::*;

/// A process under load takes back at once all that a trim gives back.
fn takes_all_back(host: &mut Host, seconds: u64) {
    let end = host.now + seconds * SECOND;
    while host.now < end {
        host.rss = Some(80 * MB);
        host.answer(1, 10 * MILLISECOND);
    }
}

#[test]
fn page_faults_after_trims_are_paid_for() {
    let mut host =
        Host::new(Rules { growth: Growth { bytes: 4 * MB, share: 0 }, overhead: PERCENT, ..Rules::default() });
    host.cost = MILLISECOND / 10;
    takes_all_back(&mut host, 20);
    let each = host.cost + 40 * MB / BYTES_PER_NANOSECOND;
    let allowed = (20 * SECOND / 100 * COST + 20 * SECOND / 100 / ALLOWANCE + BURST_OF_WORK) / each;
    assert!((allowed - 1..=allowed + 2).contains(&(host.trims.len() as u64)), "{} of {allowed}", host.trims.len());
}

#[test]
fn memory_that_stays_away_costs_nothing_more() {
    let mut host =
        Host::new(Rules { growth: Growth { bytes: 4 * MB, share: 0 }, overhead: PERCENT, ..Rules::default() });
    host.cost = MILLISECOND / 10;
    for trims in 1..=6 {
        // A gigabyte once, and then a little again and again.
        host.rss = Some(if trims == 1 { 1 << 30 } else { 45 * MB });
        host.answer(1, 10 * MILLISECOND);
        assert_eq!(host.trims.len(), trims);
    }
}

#[test]
fn a_trim_that_waits_for_its_budget_comes_when_it_is_quiet() {
    let growth = Growth { bytes: 4 * MB, share: 0 };
    let mut host = Host::new(Rules { growth, idle: SECOND / 2, overhead: PERCENT, ..Rules::default() });
    host.policy.budget.charge_page_faults(10 * SECOND * BYTES_PER_NANOSECOND);
    host.rss = Some(80 * MB);
    host.answer(1, 10 * MILLISECOND);
    assert_eq!((host.trims.len(), host.policy.is_due()), (0, true));
    // Before that nothing need be looked at but quiet.
    assert_eq!((host.next.requests, host.until_next()), (u64::MAX, SECOND / 2 - 10 * MILLISECOND));
    assert!(host.next.look > host.now + SECOND);
    host.answer(20, 400 * MILLISECOND);
    assert_eq!(host.triggers(), []);
    host.now += 200 * MILLISECOND;
    host.wait_point();
    assert_eq!(host.triggers(), [Trigger::Idle]);
}

#[test]
fn quiet_and_who_asks_need_not_wait_for_page_faults_to_be_paid() {
    let growth = Growth { bytes: 4 * MB, share: 0 };
    let mut host = Host::new(Rules { growth, idle: SECOND / 2, overhead: PERCENT, ..Rules::default() });
    host.cost = MILLISECOND / 10;
    host.floor = 20 * MB;
    takes_all_back(&mut host, 5);
    host.rss = Some(1 << 30);
    host.policy.budget.charge_page_faults(SECOND * BYTES_PER_NANOSECOND);
    host.asked.signal = true;
    host.wait_point();
    assert_eq!(host.trims.last().map(|trim| trim.0), Some(Trigger::Signal));
    host.rss = Some(80 * MB);
    host.answer(1, SECOND);
    host.wait_point();
    assert_eq!(host.trims.last().map(|trim| trim.0), Some(Trigger::Idle));
}
