//! What is known of one process, as the table and the JSON show it.

use std::collections::BTreeMap;
use std::path::Path;
use std::time::Duration;

use serde::Serialize;

use super::gain::{gain, growth};
use super::why_not;
use crate::allocator;
use crate::block::{Age, Counters, Due, Next, TRIGGERS, Trim, Unread};
use crate::in_force::{InForce, State};
use crate::metrics::Metrics;
use crate::pure::layers::LAYERS;
use crate::status::why_unread;
use crate::target::Target;

/// One process. What is `None` is not known.
#[derive(Serialize)]
pub struct Report {
    /// Its id, as this command sees it.
    pub pid: i32,
    /// Its name.
    pub program: String,
    /// Whose malloc it uses.
    pub allocator: Option<String>,
    /// The library's file, in the process's own mount namespace.
    pub library: Option<String>,
    /// Whether that file has been replaced or removed since.
    pub library_replaced: bool,
    /// Whether the library tells less than this command knows, or more.
    pub library_is: Option<Age>,
    /// What is in force, as the library tells.
    pub in_force: Option<InForce>,
    /// Where the counters come from: `memory` or `metrics`; `None` = there are none.
    pub source: Option<&'static str>,
    /// Resident memory now.
    pub resident_bytes: Option<u64>,
    /// Of it anonymous: what trims can change.
    pub anonymous_bytes: Option<u64>,
    /// The least anonymous RSS that is known: that a trim has left, or before the first request.
    pub floor_bytes: Option<u64>,
    /// Anonymous RSS now over the floor.
    pub growth_bytes: Option<i64>,
    /// Anonymous RSS that the next growth is measured from.
    pub growth_from_bytes: Option<u64>,
    /// What was live in malloc and CPython's pools, right after the last trim that asked.
    pub live_bytes: Option<u64>,
    /// What was free there then, and held by what is in use beside it.
    pub free_bytes: Option<u64>,
    /// What could be gained at most: that, and what has come since the last trim.
    pub gain_bytes: Option<u64>,
    /// This process's share of what it has in memory.
    pub pss_bytes: Option<u64>,
    /// Requests answered.
    pub requests: Option<u64>,
    /// Connections with a request that is not answered.
    pub in_flight: Option<u64>,
    /// Trims done.
    pub trims: Option<u64>,
    /// The same by what asked for them.
    pub trims_by_trigger: BTreeMap<String, u64>,
    /// What was given back, all together.
    pub reclaimed_bytes: Option<u64>,
    /// The same by what held it: `malloc`, `tops`, `pools`; empty where the library does not tell.
    pub reclaimed_by_layer: BTreeMap<String, u64>,
    /// Time spent on each of these.
    pub seconds_by_layer: BTreeMap<String, f64>,
    /// How many arenas of glibc's malloc a trim reaches to their tops.
    pub arenas: Option<u64>,
    /// Time spent in trims.
    pub trim_seconds: Option<f64>,
    /// The longest trim.
    pub longest_trim_seconds: Option<f64>,
    /// Time in trims, of the time since the process started.
    pub trim_share: Option<f64>,
    /// Due trims that waited because a request was in flight.
    pub deferred: Option<u64>,
    /// Due trims that waited because the overhead budget was spent.
    pub skipped_overhead: Option<u64>,
    /// Looks at RSS that found too little growth for a trim.
    pub skipped_no_growth: Option<u64>,
    /// How often each reason kept a trim from being made, or had something given up; those that never did are left out.
    pub skipped: BTreeMap<String, u64>,
    /// Why no trim is made at this moment, in a few words; `None` = none is wanted.
    pub why_not: Option<String>,
    /// The trim that is due.
    pub due: Option<Due>,
    /// When there is something to decide again.
    pub next: Option<Next>,
    /// How long ago it was decided last whether to trim.
    pub decided_ago_seconds: Option<f64>,
    /// How long ago a thread came by that was about to wait, while something might be looked at.
    pub passed_ago_seconds: Option<f64>,
    /// Garbage collections before trims.
    pub collections: Option<u64>,
    /// Time spent in them.
    pub collection_seconds: Option<f64>,
    /// How long ago the last one was.
    pub last_collection_ago_seconds: Option<f64>,
    /// What it and its trim gave back.
    pub last_collection_bytes: Option<u64>,
    /// `stable`, `retention`, `leak`, `fragmented`, `growth` or `unknown`; `None` without counters.
    pub verdict: Option<String>,
    /// How fast live memory climbs, for `leak`.
    pub leak_bytes_per_request: Option<u64>,
    /// Over how many requests, for `leak`.
    pub leak_requests: Option<u64>,
    /// How much is free but held, for `fragmented`; by how much memory outside malloc has grown, for `growth`.
    pub verdict_bytes: Option<u64>,
    /// Why something is missing.
    pub note: Option<String>,
    /// The last trims, the oldest first.
    pub recent_trims: Vec<Trim>,
}

impl Report {
    /// Whether nothing is missing that could be there.
    pub fn is_known(&self) -> bool {
        self.source.is_some() || self.note.is_none()
    }

    /// What the memory of `target` tells, or else what it wrote.
    pub fn of(target: &Target, metrics: Option<&Path>) -> Report {
        let block = target.block();
        let mut report = match block.as_ref().map_err(|why| *why).and_then(|block| block.counters(target.own_pid())) {
            Ok(counters) => Report::empty(target).with_counters(target, &counters),
            Err(Unread::NotBegun) => Report::empty(target),
            Err(why) => Report::of_metrics(target, metrics)
                .unwrap_or_else(|| Report { note: Some(why_unread(&why)), ..Report::empty(target) }),
        };
        if let Ok(block) = block {
            report.library_is = Some(block.age());
            report.in_force = block.in_force();
        }
        if let Some(in_force) = report.in_force.as_ref().filter(|in_force| in_force.state == State::Active) {
            report.allocator = Some(in_force.allocator.clone());
        }
        report.why_not = why_not::of(&report, target);
        report
    }

    /// What `target` wrote.
    pub fn of_metrics(target: &Target, directory: Option<&Path>) -> Option<Report> {
        let metrics = Metrics::of(target, directory)?;
        let report = Report::empty(target);
        // 0 = unknown, or none.
        let count = |name: &str| metrics.count(&format!("autotrim_{name}")).filter(|&count| count > 0);
        let floor = count("floor_bytes");
        let seconds = metrics.sum("autotrim_trim_seconds_total");
        let skipped = metrics.by_label("autotrim_skipped_total", "reason");
        Some(Report {
            source: Some("metrics"),
            allocator: metrics.label("autotrim_info", "allocator").or(report.allocator),
            floor_bytes: floor,
            growth_bytes: growth(report.anonymous_bytes, floor),
            gain_bytes: gain(report.anonymous_bytes, floor, None),
            requests: metrics.count("autotrim_requests_total"),
            in_flight: metrics.count("autotrim_in_flight"),
            trims: metrics.count("autotrim_trims_total"),
            trims_by_trigger: metrics.by_label("autotrim_trims_total", "trigger"),
            reclaimed_bytes: metrics.count("autotrim_reclaimed_bytes_total"),
            reclaimed_by_layer: metrics.by_label("autotrim_reclaimed_bytes_total", "layer"),
            trim_seconds: seconds,
            trim_share: seconds.and_then(|seconds| share(seconds, target)),
            longest_trim_seconds: metrics.sum("autotrim_trim_max_seconds"),
            deferred: metrics.count("autotrim_deferred_total"),
            skipped_overhead: skipped.get("overhead").copied(),
            skipped_no_growth: skipped.get("no_growth").copied(),
            skipped: skipped.into_iter().filter(|(_, count)| *count > 0).collect(),
            verdict: metrics.label("autotrim_verdict", "verdict"),
            leak_bytes_per_request: count("leak_bytes_per_request"),
            verdict_bytes: count("fragmented_bytes").or_else(|| count("outside_growth_bytes")),
            live_bytes: count("live_bytes"),
            free_bytes: count("live_bytes").and_then(|_| metrics.count("autotrim_free_held_bytes")),
            ..report
        })
    }

    fn empty(target: &Target) -> Report {
        let bytes = |kilobytes: Option<u64>| kilobytes.map(|kilobytes| kilobytes * 1024);
        let library = target.library();
        Report {
            pid: target.pid,
            program: target.name(),
            allocator: allocator::name(target),
            library: library.map(|file| file.path.display().to_string()),
            library_replaced: library.is_some_and(|file| file.deleted),
            library_is: None,
            in_force: None,
            source: None,
            resident_bytes: bytes(target.status.vmrss),
            anonymous_bytes: bytes(target.status.rssanon),
            floor_bytes: None,
            growth_bytes: None,
            growth_from_bytes: None,
            live_bytes: None,
            free_bytes: None,
            gain_bytes: None,
            pss_bytes: None,
            requests: None,
            in_flight: None,
            trims: None,
            trims_by_trigger: BTreeMap::new(),
            reclaimed_bytes: None,
            reclaimed_by_layer: BTreeMap::new(),
            seconds_by_layer: BTreeMap::new(),
            arenas: None,
            trim_seconds: None,
            longest_trim_seconds: None,
            trim_share: None,
            deferred: None,
            skipped_overhead: None,
            skipped_no_growth: None,
            skipped: BTreeMap::new(),
            why_not: None,
            due: None,
            next: None,
            decided_ago_seconds: None,
            passed_ago_seconds: None,
            collections: None,
            collection_seconds: None,
            last_collection_ago_seconds: None,
            last_collection_bytes: None,
            verdict: None,
            leak_bytes_per_request: None,
            leak_requests: None,
            verdict_bytes: None,
            note: None,
            recent_trims: Vec::new(),
        }
    }

    fn with_counters(self, target: &Target, counters: &Counters) -> Report {
        let seconds = counters.trim_time.as_secs_f64();
        let layers = counters.layers.into_iter().flat_map(|bytes| LAYERS.map(str::to_owned).into_iter().zip(bytes));
        let now = counters.now.as_ref();
        let times = now.into_iter().flat_map(|now| LAYERS.map(str::to_owned).into_iter().zip(now.layers_time));
        let skipped = now.into_iter().flat_map(|now| now.skipped.iter().filter(|(_, count)| *count > 0));
        let ago = |time: Option<Duration>| time.map(|time| time.as_secs_f64());
        // What a process that serves began with. One that serves nobody is taken to need more than that.
        let began_with = now.and_then(|now| now.growth_from).filter(|_| counters.requests > 0);
        let floor = counters.floor.or(began_with);
        let left = counters.ring.last().and_then(|trim| trim.after_bytes).or(floor);
        let names = TRIGGERS.iter().map(|trigger| trigger.name().to_owned());
        Report {
            source: Some("memory"),
            floor_bytes: floor,
            growth_bytes: growth(self.anonymous_bytes, floor),
            growth_from_bytes: now.and_then(|now| now.growth_from),
            live_bytes: counters.live,
            free_bytes: counters.free,
            gain_bytes: gain(self.anonymous_bytes, left, counters.free),
            requests: Some(counters.requests),
            in_flight: Some(counters.in_flight),
            trims: Some(counters.trims.iter().fold(0, |sum, trims| sum.saturating_add(*trims))),
            trims_by_trigger: names.zip(counters.trims).collect(),
            reclaimed_bytes: Some(counters.reclaimed),
            reclaimed_by_layer: layers.collect(),
            seconds_by_layer: times.map(|(layer, time)| (layer, time.as_secs_f64())).collect(),
            arenas: counters.arenas,
            trim_seconds: Some(seconds),
            longest_trim_seconds: Some(counters.longest_trim.as_secs_f64()),
            trim_share: share(seconds, target),
            deferred: Some(counters.deferred),
            skipped_overhead: Some(counters.skipped_overhead),
            skipped_no_growth: Some(counters.skipped_no_growth),
            skipped: skipped.map(|(reason, count)| (reason.name().to_owned(), *count)).collect(),
            due: now.and_then(|now| now.due),
            next: now.map(|now| now.next),
            decided_ago_seconds: ago(now.and_then(|now| now.decided_ago)),
            passed_ago_seconds: ago(now.and_then(|now| now.passed_ago)),
            collections: Some(counters.collections),
            collection_seconds: Some(counters.collection_time.as_secs_f64()),
            last_collection_ago_seconds: counters.last_collection.map(|(ago, _)| ago.as_secs_f64()),
            last_collection_bytes: counters.last_collection.map(|(_, bytes)| bytes),
            verdict: Some(counters.verdict.to_owned()),
            leak_bytes_per_request: counters.leak.map(|(rate, _)| rate),
            leak_requests: counters.leak.map(|(_, requests)| requests),
            verdict_bytes: counters.verdict_bytes,
            recent_trims: counters.ring.clone(),
            ..self
        }
    }
}

/// `seconds`, of the time since the process started.
fn share(seconds: f64, target: &Target) -> Option<f64> {
    target.age().map(|age| seconds / age.as_secs_f64())
}
