//! `autotrim trim`: asks a process for a trim, and tells what it brought.

use std::process::ExitCode;
use std::time::{Duration, Instant};

use serde_json::json;

use crate::arguments::Trim;
use crate::block::{Counters, Unread};
use crate::decide::rules::Trigger;
use crate::failure::Failure;
use crate::reasons;
use crate::signal::Request;
use crate::status::why_unread;
use crate::target::Target;
use crate::{terminal, units};

/// Between two looks at the process's counters.
const PAUSE: Duration = Duration::from_millis(10);

/// Asks and waits.
pub fn trim(arguments: &Trim) -> Result<ExitCode, Failure> {
    let target = Target::open(arguments.pid)?;
    let request = Request::prepare(&target)?;
    let name = format!("process {} ({})", target.pid, target.name());
    let unread = |why: &Unread| Failure::not_done(format!("{name}: {}", why_unread(why)));
    let asked = |counters: &Counters| counters.trims[Trigger::Signal as usize];
    let before = match target.block().and_then(|block| block.counters(target.own_pid())) {
        Ok(counters) => asked(&counters),
        Err(Unread::NotBegun) => 0,
        Err(why) => return Err(unread(&why)),
    };
    request.send().map_err(|error| Failure::not_done(format!("{name}: {error}")))?;
    let start = Instant::now();
    let counters = loop {
        let counters = match target.block().and_then(|block| block.counters(target.own_pid())) {
            Ok(counters) if asked(&counters) > before => break counters,
            Ok(counters) => Some(counters),
            Err(Unread::NotBegun) => None,
            Err(why) => return Err(unread(&why)),
        };
        if start.elapsed() >= arguments.timeout {
            let waited = arguments.timeout.as_secs_f64();
            let why = why_not(counters.as_ref());
            return Err(Failure::not_done(format!("{name}: asked, and did not trim within {waited} s: {why}")));
        }
        std::thread::sleep(PAUSE);
    };
    let Some(last) = counters.ring.last() else { return Err(unread(&Unread::NoBlock)) };
    if arguments.json {
        terminal::json(&json!({ "pid": target.pid, "program": target.name(), "trim": last }));
    } else {
        let size = |bytes: Option<u64>| bytes.map_or("?".into(), units::bytes);
        let (before, after) = (size(last.before_bytes), size(last.after_bytes));
        let milliseconds = last.seconds * 1_000.0;
        terminal::say(&format!("{name}: anonymous RSS {before} → {after} in {milliseconds:.1} ms"));
    }
    Ok(ExitCode::SUCCESS)
}

/// Why it does not come: by what the library says of it, or else what may be.
fn why_not(counters: Option<&Counters>) -> String {
    let due = counters.and_then(|counters| counters.now.as_ref()?.due);
    let reason = due.and_then(|due| reasons::named(due.waits_for?)).map(reasons::words);
    match (reason, counters.map_or(0, |counters| counters.in_flight)) {
        (Some(reason), _) => reason.into(),
        (None, 1..) => "a request is in flight (AUTOTRIM_DEFER)".into(),
        (None, 0) => "it may be computing, or the signal be taken by a handler of its own".into(),
    }
}
