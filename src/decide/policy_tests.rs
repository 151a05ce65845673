//! The policy driven by a fake clock and a fake RSS, part by part.

#[path = "policy_tests/budget.rs"]
mod budget;
#[path = "policy_tests/collection.rs"]
mod collection;
#[path = "policy_tests/due.rs"]
mod due;
#[path = "policy_tests/gain.rs"]
mod gain;
#[path = "policy_tests/histories.rs"]
mod histories;
#[path = "policy_tests/huge_pages.rs"]
mod huge_pages;
#[path = "policy_tests/outside.rs"]
mod outside;
#[path = "policy_tests/pools.rs"]
mod pools;
#[path = "policy_tests/skips.rs"]
mod skips;

use super::*;
use crate::decide::budget::{ALLOWANCE, BURST, BURST_OF_WORK, BYTES_PER_NANOSECOND, COST};
use crate::decide::collection::{COLLECTED_WITHIN, Collects, Pause};
use crate::decide::looks;
use crate::decide::outside::{PRESSURE_HOLD_OFF, PRESSURE_SPREAD};
use crate::decide::pools::Released;
use crate::decide::rules::Asked;

const MB: u64 = 1 << 20;

/// A process at a wait point every time it is asked, with a clock and an RSS that the test sets.
struct Host {
    policy: Policy,
    rules: Rules,
    /// What the last decision said of the next.
    next: Next,
    now: u64,
    /// CPU time that the process has used: while it answers, and in quiet if it works.
    cpu: u64,
    works: bool,
    /// When bytes came or went last, and whether the policy does not know.
    active_at: u64,
    active: bool,
    ended: bool,
    /// Whether the kernel has work for this thread at each wait point.
    somebody_waits: bool,
    between_tasks: bool,
    requests: u64,
    in_flight: u64,
    seen_in_flight: u64,
    asked: Asked,
    rss: Option<u64>,
    /// How often RSS was measured.
    looks: u32,
    trims: Vec<(Trigger, u64)>,
    /// When garbage is collected, and what of the floor is garbage until then.
    collects: Collects,
    garbage: u64,
    /// What one takes where the main thread comes by at once; `None` where it never does.
    pause: Option<u64>,
    /// What one took that the policy does not know of yet, what it cost where that is not the same, how many there were, and whether each trim had one.
    collected: u64,
    collection_cost: Option<u64>,
    collections: u32,
    trims_with: Vec<bool>,
    /// Whether a trim may wait for a release of pools, what one does where the main thread comes by at once, what one did that the policy
    /// does not know of yet, and what each trim was told of them.
    has_pools: bool,
    release: Option<Released>,
    released: Released,
    given_back: Vec<(u64, u64)>,
    /// What a trim takes, and what it leaves.
    cost: u64,
    floor: u64,
    /// What page faults have brought, where the kernel may fill what trims give back; how much is in huge pages; and what of each trim had come
    /// back so.
    faulted: Option<u64>,
    huge: u64,
    again: Vec<u64>,
    /// Whether memory is swapped out, or locked.
    swapped: bool,
    locked: bool,
}

impl Host {
    fn new(rules: Rules) -> Host {
        Host {
            policy: Policy { least: 40 * MB, left: 40 * MB, low: 40 * MB, ..Policy::default() },
            rules,
            next: Next { requests: 0, look: 0, time: 0, worth: true },
            now: SECOND,
            cpu: SECOND,
            works: false,
            active_at: 0,
            active: false,
            ended: false,
            somebody_waits: false,
            between_tasks: false,
            requests: 0,
            in_flight: 0,
            seen_in_flight: 0,
            asked: Asked::default(),
            rss: Some(40 * MB),
            looks: 0,
            trims: Vec::new(),
            collects: Collects::No,
            garbage: 0,
            pause: None,
            collected: 0,
            collection_cost: None,
            collections: 0,
            trims_with: Vec::new(),
            has_pools: false,
            release: None,
            released: Released::default(),
            given_back: Vec::new(),
            cost: MILLISECOND,
            floor: 40 * MB,
            faulted: None,
            huge: 0,
            again: Vec::new(),
            swapped: false,
            locked: false,
        }
    }

    /// One wait point; a trim is carried out. The policy is asked only where its own hints say that it has
    /// something to do, as at a real wait point.
    fn wait_point(&mut self) -> Decision {
        let seen_in_flight = core::mem::replace(&mut self.seen_in_flight, self.in_flight);
        if seen_in_flight != self.in_flight {
            (self.active, self.active_at) = (true, self.now);
        }
        let is_abandoned = seen_in_flight > self.in_flight;
        let Next { requests, look, time, .. } = self.next;
        let quiet = self.active && self.rules.idle != 0 && self.now >= self.active_at + self.rules.idle;
        let is_time = self.requests >= requests || self.now >= time || self.active && self.now >= look || quiet;
        if !is_time
            && !is_abandoned
            && self.asked == Asked::default()
            && self.collected == 0
            && self.released.took == 0
            && !self.ended
        {
            return Decision::Rest;
        }
        let decision = self.decide();
        match decision {
            Decision::Trim { ask: true, .. } if self.somebody_waits => {
                self.next = self.policy.somebody_waits(&self.rules, self.now);
            }
            Decision::Trim { trigger, .. } => {
                let before = self.rss;
                self.rss = before.map(|rss| rss.min(self.floor));
                self.trim(trigger, before);
                if let Decision::Ask { garbage, .. } = self.decide() {
                    self.come_by(garbage);
                }
            }
            Decision::Ask { garbage, .. } => self.come_by(garbage),
            Decision::Rest => {}
        }
        decision
    }

    /// The main thread comes by, if it does.
    fn come_by(&mut self, garbage: bool) {
        if let (true, Some(pause)) = (garbage, self.pause) {
            self.pass(pause);
            self.collected = pause;
            self.collections += 1;
            self.floor -= core::mem::take(&mut self.garbage);
        }
        if let Some(released) = self.release {
            self.pass(released.took);
            self.rss = self.rss.map(|rss| rss - released.bytes);
            self.released = Released { rss: self.rss.unwrap_or(0), ..released };
        }
    }

    fn decide(&mut self) -> Decision {
        let moment = self.moment();
        let (rss, looks) = (self.rss, &mut self.looks);
        let (decision, next) = self.policy.decide(&self.rules, moment, || {
            *looks += 1;
            rss
        });
        self.next = next;
        if self.policy.returns().asks() {
            self.policy.show_returns(Evidence { huge: self.huge, faulted: self.faulted.unwrap_or(u64::MAX) });
        }
        decision
    }

    /// Nanoseconds until the next decision.
    fn until_next(&self) -> u64 {
        self.next.time.saturating_sub(self.now)
    }

    /// Time passes, in which the process works or does not.
    fn pass(&mut self, nanoseconds: u64) {
        self.now += nanoseconds;
        self.cpu += if self.works { nanoseconds } else { 0 };
    }

    /// Nothing comes or goes for so long; the thread wakes when there is something to decide.
    fn rest(&mut self, nanoseconds: u64) {
        let end = self.now + nanoseconds;
        while self.now < end {
            let quiet = if self.active && self.rules.idle != 0 { self.active_at + self.rules.idle } else { u64::MAX };
            let until = self.next.time.min(quiet).clamp(self.now + MILLISECOND, end);
            self.pass(until - self.now);
            self.wait_point();
        }
    }

    fn moment(&mut self) -> Moment {
        let (asked, collected) = (core::mem::take(&mut self.asked), core::mem::take(&mut self.collected));
        self.active = false;
        Moment {
            now: self.now,
            cpu: self.cpu,
            requests: self.requests,
            active_at: self.active_at,
            in_flight: self.in_flight,
            ended: core::mem::take(&mut self.ended),
            between_tasks: self.between_tasks,
            asked,
            swapped: self.swapped,
            collects: self.collects,
            collected: Pause { took: collected, cost: self.collection_cost.take().unwrap_or(collected) },
            has_pools: self.has_pools,
            released: core::mem::take(&mut self.released),
        }
    }

    fn trim(&mut self, trigger: Trigger, before: Option<u64>) {
        self.trims.push((trigger, self.requests));
        self.trims_with.push(self.policy.pause() != 0);
        let pools = *self.policy.pools();
        self.given_back.push((pools.before(), pools.untold().0));
        let before = before.map(|rss| rss.max(pools.before()));
        (self.now, self.cpu) = (self.now + self.cost, self.cpu + self.cost);
        let again = self.policy.returns().again(before.unwrap_or(0).saturating_sub(self.rss.unwrap_or(0)));
        self.again.extend(Some(again).filter(|&again| again != 0));
        self.huge -= self.huge.min(again);
        let garbage = self.policy.may_hold_garbage(&self.rules, trigger, self.rss);
        let effect =
            Trimmed { took: self.cost, before, after: self.rss, locked: self.locked, faulted: self.faulted, garbage };
        self.policy.trimmed(&self.rules, self.requests, self.now, self.cpu, effect);
    }

    /// Answers `count` requests, with a wait point and a pause of `pause` nanoseconds after each.
    fn answer(&mut self, count: u64, pause: u64) {
        for _ in 0..count {
            self.requests += 1;
            (self.active, self.active_at) = (true, self.now);
            self.wait_point();
            (self.now, self.cpu) = (self.now + pause, self.cpu + pause);
        }
    }

    /// One look of the thread, which comes when it said it would.
    fn in_background(&mut self) -> (Decision, u64) {
        let moment = self.moment();
        let (decision, next) = self.policy.decide_in_background(&self.rules, moment);
        if let Decision::Trim { trigger, .. } = decision {
            self.trim(trigger, self.rss);
        }
        (decision, next.time)
    }

    fn triggers(&self) -> Vec<Trigger> {
        self.trims.iter().map(|&(trigger, _)| trigger).collect()
    }

    fn counts(&self) -> Vec<u64> {
        self.trims.iter().map(|&(_, requests)| requests).collect()
    }
}

fn every(interval: u64) -> Rules {
    Rules { interval, exact: true, defer: SECOND, ..Rules::default() }
}

fn on_growth(bytes: u64) -> Rules {
    Rules { growth: Growth { bytes, share: 0 }, defer: SECOND, ..Rules::default() }
}

fn on_quiet(idle: u64) -> Rules {
    Rules { idle, defer: SECOND, ..Rules::default() }
}

/// The defaults, with which a process begins that has never been trimmed.
fn by_default(start: u64) -> Host {
    let growth = Growth { bytes: 4 * MB, share: 5 * PERCENT };
    let rules = Rules { interval: 1024, growth, idle: SECOND, defer: SECOND, overhead: PERCENT, ..Rules::default() };
    let mut host = Host::new(rules);
    host.policy = Policy::default();
    host.policy.begin(start);
    (host.rss, host.floor) = (Some(start), start);
    host
}

impl Host {
    /// Bytes come or go on a connection, and nothing is answered.
    fn moves(&mut self) {
        (self.active, self.active_at) = (true, self.now);
        self.wait_point();
    }

    /// So much is live from now on.
    fn holds(&mut self, live: u64) {
        self.floor = live;
        self.rss = self.rss.map(|rss| rss.max(live));
    }
}
