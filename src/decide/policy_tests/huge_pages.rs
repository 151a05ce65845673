//! The kernel fills what a trim has given back, while nothing comes or goes.

use super::*;

/// A process that was trimmed in quiet, after which the kernel may fill its heap.
fn at_rest() -> Host {
    let mut host = by_default(20 * MB);
    host.faulted = Some(0);
    host.rss = Some(60 * MB);
    host.answer(1, 6 * MILLISECOND);
    host.rest(5 * SECOND);
    assert_eq!(host.rss, Some(20 * MB));
    host
}

fn fill(host: &mut Host) {
    host.rss = Some(60 * MB);
    host.huge = 40 * MB;
}

#[test]
fn it_is_given_back_again_and_seen() {
    let mut host = at_rest();
    let trims = host.trims.len();
    fill(&mut host);
    host.rest(25 * SECOND);
    assert_eq!((host.rss, host.trims.len()), (Some(20 * MB), trims + 1));
    assert!(host.policy.returns().is_seen() && host.again == [40 * MB]);
}

#[test]
fn where_the_kernel_makes_no_huge_pages_nobody_wakes_for_it() {
    let mut host = at_rest();
    host.faulted = None;
    host.trim(Trigger::Idle, host.rss);
    host.wait_point();
    let looks = host.looks;
    host.rest(3_600 * SECOND);
    assert_eq!(host.looks, looks);
}

/// An hour in quiet, in which nothing happens.
#[test]
fn an_idle_process_wakes_seldom() {
    let mut host = at_rest();
    let (looks, trims) = (host.looks, host.trims.len());
    host.rest(3_600 * SECOND);
    assert!(host.looks <= looks + 20, "{} looks", host.looks - looks);
    assert_eq!(host.trims.len(), trims);
}

#[test]
fn where_it_is_left_nobody_looks_any_more() {
    let mut host = at_rest();
    fill(&mut host);
    host.rest(25 * SECOND);
    host.policy.leave_returns();
    host.wait_point();
    fill(&mut host);
    let trims = host.trims.len();
    host.rest(600 * SECOND);
    assert_eq!(host.trims.len(), trims);
}

#[test]
fn who_wants_no_trims_in_quiet_gets_none() {
    let mut host = at_rest();
    host.rules.idle = 0;
    host.wait_point();
    fill(&mut host);
    let trims = host.trims.len();
    host.rest(600 * SECOND);
    assert_eq!(host.trims.len(), trims);
}

/// The page faults that were spared are not paid for.
#[test]
fn the_budget_of_work_pays_no_page_faults_for_it() {
    let mut host = at_rest();
    host.rest(600 * SECOND);
    fill(&mut host);
    host.rest(400 * SECOND);
    assert!(host.policy.returns().is_seen());
    assert_eq!(host.policy.budget.until_worth_it(PERCENT), 0);
}

/// While a request waits for its answer nothing is looked for, and no wait is cut for it again and again.
#[test]
fn it_waits_for_requests_in_flight() {
    let mut host = at_rest();
    fill(&mut host);
    host.in_flight = 1;
    let (looks, trims) = (host.looks, host.trims.len());
    host.rest(100 * SECOND);
    assert_eq!(host.trims.len(), trims);
    assert!(host.looks <= looks + 2);
    host.in_flight = 0;
    host.requests += 1;
    host.rest(25 * SECOND);
    assert_eq!(host.rss, Some(20 * MB));
}
