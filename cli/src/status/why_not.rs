//! Why no trim is made at this moment, in as many words as a column has room for.

use crate::in_force::State;
use crate::reasons;
use crate::status::{Report, gain};
use crate::target::Target;
use crate::units;

/// Seconds after which a wait of any thread is overdue.
const LONG_AGO: f64 = 10.0;

/// `None` where none is wanted, as far as is known.
pub fn of(report: &Report, target: &Target) -> Option<String> {
    let not_acting = match report.in_force.as_ref()?.state {
        State::Active => None,
        State::LeftAlone => Some("left alone"),
        State::Secure => Some("secure mode"),
        State::NoAllocator => Some("unknown malloc"),
        State::Retired => Some("filter"),
    };
    if let Some(why) = not_acting {
        return Some(why.into());
    }
    // In quiet nobody looks where nothing is planned.
    let is_expected = report.due.is_some()
        || report.in_flight > Some(0)
        || report.next.is_some_and(|next| next.in_seconds == Some(0.0));
    let is_long_ago = is_expected && report.passed_ago_seconds.is_some_and(|ago| ago > LONG_AGO);
    let no_wait = || report.passed_ago_seconds.map(|ago| format!("no wait for {}", units::seconds(ago)));
    if let Some(due) = report.due {
        let reason = due.waits_for.and_then(reasons::named).map(|reason| reasons::short(reason).to_owned());
        return if is_long_ago { no_wait() } else { reason };
    }
    let rule = target.options()?.rules.growth;
    let has_grown = rule.is_on() && report.anonymous_bytes? > rule.limit(report.growth_from_bytes?);
    let last = report.recent_trims.last();
    let brought_much =
        last.is_some_and(|trim| gain::brought_much(trim.before_bytes, trim.after_bytes, |after| rule.limit(after)));
    match (has_grown, is_long_ago) {
        (false, _) => None,
        (true, true) => no_wait(),
        (true, false) if brought_much => None,
        (true, false) => report.skipped.contains_key("nothing_to_gain").then(|| "nothing to gain".into()),
    }
}
