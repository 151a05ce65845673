//! Random histories, and values that nobody would think of.

use super::*;

#[test]
fn extreme_values_overflow_nothing() {
    let extremes = [0, 1, u64::MAX / 2, u64::MAX - 1, u64::MAX];
    for interval in extremes {
        for other in extremes {
            // A new option need not be named here.
            #[allow(clippy::needless_update)]
            let rules = Rules {
                interval,
                exact: other > 1,
                jitter: other,
                growth: Growth { bytes: other, share: interval },
                idle: other,
                period: interval,
                defer: interval,
                overhead: other,
                ..Rules::default()
            };
            let mut policy = Policy::default();
            for now in [1, SECOND, u64::MAX - 1, u64::MAX, 5] {
                for requests in extremes {
                    let asked = Asked { pressure: other > 1, signal: other > 2 };
                    let (in_flight, collected, swapped) = (other, interval, interval > 1);
                    let collects = [Collects::Always, Collects::InQuiet, Collects::BeforeQuiet, Collects::No]
                        [requests as usize % 4];
                    let moment = Moment {
                        now,
                        cpu: other,
                        requests,
                        active_at: interval,
                        in_flight,
                        ended: other > 1,
                        between_tasks: interval > 1,
                        asked,
                        swapped,
                        collects,
                        collected: Pause { took: collected, cost: other },
                        has_pools: other > 1,
                        released: Released { took: interval, bytes: other, rss: interval },
                    };
                    policy.decide(&rules, moment, || Some(interval));
                    policy.show_returns(Evidence { huge: other, faulted: interval });
                    policy.decide_in_background(&rules, moment);
                    policy.trimmed(
                        &rules,
                        requests,
                        now,
                        requests,
                        Trimmed {
                            took: other,
                            before: Some(other),
                            after: Some(interval),
                            locked: other > 1,
                            faulted: Some(interval),
                            garbage: other > 1,
                        },
                    );
                    policy.somebody_waits(&rules, now);
                }
            }
        }
    }
}

use proptest::collection::vec;
use proptest::prelude::*;

/// A stretch of a process's life: what is live in it, what it leaves free, answers at so many a second, then quiet with or without
/// work, of so many seconds.
type Stretch = (u64, u64, u64, bool, u64);

fn stretch() -> impl Strategy<Value = Stretch> {
    (0..300u64, prop_oneof![Just(0), 0..300u64], 1..40u64, any::<bool>(), prop_oneof![0..5u64, 0..100u64])
}

impl Host {
    fn live_through(&mut self, (live, free, answers, works, quiet): Stretch) {
        self.floor = (11 + live) * MB;
        self.rss = Some((11 + live + free) * MB).max(self.rss);
        self.answer(answers, SECOND / 20);
        self.works = works;
        self.rest(quiet * SECOND);
        self.works = false;
    }

    /// Whether it holds what may be worth a trim, as far as is known.
    fn holds_too_much(&self) -> bool {
        self.rss.is_some_and(|rss| rss >= WATCHED.limit(self.policy.least)) && !self.policy.patience.is_over()
    }
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, cases: 64, ..ProptestConfig::default() })]

    #[test]
    fn what_is_free_is_given_back_in_quiet(stretches in vec(stretch(), 1..12)) {
        let mut host = by_default(11 * MB);
        for stretch in stretches {
            host.live_through(stretch);
        }
        // A little work ends, and nothing more comes.
        host.answer(1, MILLISECOND);
        host.works = true;
        host.rest(SECOND);
        host.works = false;
        host.rest(310 * SECOND);
        prop_assert!(!host.holds_too_much() || host.rss == Some(host.floor), "{:?} of {}: {:?}", host.rss, host.floor, host.policy);
    }

    #[test]
    fn without_gain_trims_are_few(
        live in 20..500u64, stretches in vec((1..100u64, any::<bool>(), 0..100u64), 1..30), cost in 1..50u64,
    ) {
        let mut host = by_default(11 * MB);
        host.cost = cost * MILLISECOND;
        let start = host.now;
        for (answers, works, quiet) in stretches {
            host.live_through((live, 0, answers, works, quiet));
        }
        let seconds = (host.now - start) / SECOND;
        // The first, at which nothing is known, as many as patience makes, and one in five minutes.
        let most = 13 + seconds / 300;
        prop_assert!(host.trims.len() as u64 <= most, "{} trims in {seconds} s: {:?}", host.trims.len(), host.triggers());
    }

    #[test]
    fn whatever_happens_trims_stay_within_the_budget(stretches in vec(stretch(), 1..30), cost in 1..200u64) {
        let mut host = by_default(11 * MB);
        host.cost = cost * MILLISECOND;
        let start = host.now;
        for stretch in stretches {
            host.live_through(stretch);
            let spent = host.trims.len() as u64 * host.cost;
            // The last one may have taken more than the bucket holds.
            let allowed = (host.now - start) / 100 + BURST + host.cost + MILLISECOND;
            prop_assert!(spent <= allowed, "{spent} of {allowed}");
        }
    }
}
