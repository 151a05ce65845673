//! Properties of the pure parts, for values that nobody would think of: no input makes them panic or overflow (a
//! debug build checks every sum), and each answer is that of a slower, plainer rule.
//!
//! `PROPTEST_CASES=1000000 cargo test --release --config profile.release.overflow-checks=true --lib properties`
//! searches longer than a test run has time for.

use core::ffi::c_int;
use core::mem::size_of;

use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::select;

use crate::decide::collection::{Collects, Pause};
use crate::decide::huge_pages::Evidence;
use crate::decide::policy::Policy;
use crate::decide::pools::Released;
use crate::decide::rules::{Asked, Decision, Growth, Moment, Rules, Trimmed};
use crate::decide::verdict::{Floors, Keeps, MOST, Point, Verdict, judge};
use crate::decide::{MILLISECOND, PERCENT, SECOND};
use crate::edge::calls;
use crate::edge::wait::Timeout;
use crate::options::{LIBRARY, Line, Options, TABLE, nearest};
use crate::own::descriptors;
use crate::pure::ancillary;
use crate::pure::connection::{Effect, Event, HEAD, State, is_interim, step};
use crate::pure::programs::program_matches;
use crate::pure::text::Text;
use crate::pure::usage::Info;

/// What a failing case was is in its message: no file is written beside the source.
fn config() -> ProptestConfig {
    ProptestConfig { failure_persistence: None, ..ProptestConfig::default() }
}

/// Numbers of all sizes, the extremes often: a uniform u64 is nearly always huge.
fn number() -> impl Strategy<Value = u64> {
    prop_oneof![
        select(vec![0, 1, 2, MILLISECOND, SECOND, i64::MAX as u64, i64::MAX as u64 + 1, u64::MAX - 1, u64::MAX]),
        (any::<u64>(), 0u32..64).prop_map(|(number, shift)| number >> shift),
    ]
}

// ---- options -------------------------------------------------------------------------------------------------------

/// Nearly a value: digits and units in any order, what `AUTOTRIM_PROGRAMS` takes, and any bytes at all.
fn value() -> impl Strategy<Value = Vec<u8>> {
    prop_oneof![
        "[0-9]{0,22}([.][0-9]{0,22})? ?(|K|k|MB|MiB|m|G|g|ms|us|s|h|d|%)(,[0-9]{0,22}[KMG%]?)?"
            .prop_map(String::into_bytes),
        "[-+ 0-9a-zA-Z.,%!*?=]{0,60}".prop_map(String::into_bytes),
        vec(any::<u8>(), 0..100),
    ]
}

fn invalid(options: &Options) -> Vec<usize> {
    (0..TABLE.len()).filter(|&index| options.invalid[index].is_some()).collect()
}

/// All that an option can change, comparable.
fn settings(options: &Options) -> impl PartialEq + core::fmt::Debug + use<> {
    let Options { rules, gc, signal, trim_threshold, pad, arenas, chosen, disabled, log, .. } = *options;
    (rules, gc, signal, trim_threshold, pad, arenas, chosen, disabled, log)
}

fn taken(name: &str, value: &[u8]) -> Options {
    let mut options = Options::new(b"gunicorn");
    options.take(&[name.as_bytes(), b"=", value].concat());
    options
}

/// `digits` × `factor`, if both the digits and the product are a u64.
fn product(digits: &str, factor: u64) -> Option<u64> {
    digits.parse::<u128>().ok()?.checked_mul(factor.into())?.try_into().ok()
}

proptest! {
    #![proptest_config(config())]

    #[test]
    fn a_value_is_taken_or_changes_nothing_and_is_remembered(entry in 0..TABLE.len(), value in value()) {
        let options = taken(TABLE[entry].name, &value);
        prop_assert!(options.unknown.iter().all(Option::is_none));
        if !invalid(&options).is_empty() {
            prop_assert_eq!(invalid(&options), [entry]);
            prop_assert_eq!(settings(&options), settings(&Options::new(b"gunicorn")));
            let excerpt = options.invalid[entry].expect("remembered");
            prop_assert!(value.starts_with(excerpt.as_bytes()));
        }
    }

    #[test]
    fn any_environment_is_taken(assignments in vec(vec(any::<u8>(), 0..60), 0..20)) {
        let mut options = Options::new(b"gunicorn");
        for assignment in &assignments {
            options.take(assignment);
            options.take(&[b"AUTOTRIM_", assignment.as_slice()].concat());
        }
        options.is_active();
    }

    #[test]
    fn counts_are_decimal(value in "[0-9]{1,25}") {
        let options = taken("AUTOTRIM_INTERVAL", value.as_bytes());
        match product(&value, 1) {
            Some(count) => prop_assert_eq!(options.rules.interval, count),
            None => prop_assert!(!invalid(&options).is_empty()),
        }
    }

    #[test]
    fn sizes_and_durations_are_exact_or_refused(
        digits in "[0-9]{1,22}",
        (size, bytes) in select(vec![("", 1), ("K", 1 << 10), ("M", 1 << 20), ("G", 1 << 30)]),
        (unit, time) in select(vec![("ms", MILLISECOND), ("", SECOND), ("s", SECOND), ("m", 60 * SECOND)]),
    ) {
        let options = taken("AUTOTRIM_PAD", format!("{digits}{size}").as_bytes());
        match product(&digits, bytes) {
            Some(bytes) => prop_assert_eq!(options.pad, bytes),
            None => prop_assert!(!invalid(&options).is_empty()),
        }
        let options = taken("AUTOTRIM_IDLE", format!("{digits}{unit}").as_bytes());
        match product(&digits, time) {
            Some(time) => prop_assert_eq!(options.rules.idle, time),
            None => prop_assert!(!invalid(&options).is_empty()),
        }
    }

    /// Exact, and what is less than one byte or nanosecond cut off; never a zero that was none.
    #[test]
    fn fractions_are_cut_off_at_the_end(
        digits in "[0-9]{0,12}", fraction in "[0-9]{1,9}",
        (size, bytes) in select(vec![("K", 1u64 << 10), ("MB", 1 << 20), ("gib", 1 << 30)]),
        (unit, time) in select(vec![("us", 1_000), ("ms", MILLISECOND), ("", SECOND), ("h", 3600 * SECOND), ("D", 86_400 * SECOND)]),
    ) {
        let expected = |factor: u64| {
            let tenths = 10u128.pow(fraction.len() as u32);
            let amount = format!("0{digits}{fraction}").parse::<u128>().expect("digits");
            let product: u64 = (amount * u128::from(factor) / tenths).try_into().ok()?;
            (product != 0 || amount == 0).then_some(product)
        };
        let options = taken("AUTOTRIM_PAD", format!("{digits}.{fraction}{size}").as_bytes());
        match expected(bytes) {
            Some(bytes) => prop_assert_eq!((options.pad, invalid(&options)), (bytes, vec![])),
            None => prop_assert!(!invalid(&options).is_empty()),
        }
        let options = taken("AUTOTRIM_IDLE", format!("{digits}.{fraction}{unit}").as_bytes());
        match expected(time) {
            Some(time) => prop_assert_eq!((options.rules.idle, invalid(&options)), (time, vec![])),
            None => prop_assert!(!invalid(&options).is_empty()),
        }
    }

    /// What the log says of an option can be set, and means the same.
    #[test]
    fn what_the_line_tells_reads_back(assignments in vec((0..TABLE.len(), value()), 0..8)) {
        let told = |options: &Options| {
            let mut line = Line::new();
            options.tell(&mut line);
            String::from_utf8(line.as_bytes().to_vec()).expect("UTF-8")
        };
        let mut options = Options::new(b"gunicorn");
        for (entry, value) in assignments {
            options.take(&[TABLE[entry].name.as_bytes(), b"=", &value].concat());
        }
        let mut again = Options::new(b"gunicorn");
        // A path, which is told in quotes where it has a space.
        options.pressure = again.pressure;
        for field in told(&options).split(' ').filter(|field| !field.is_empty()) {
            let (name, value) = field.split_once('=').expect("a value");
            again.take(format!("AUTOTRIM_{}={value}", name.to_uppercase()).as_bytes());
        }
        prop_assert_eq!(invalid(&again), Vec::<usize>::new());
        prop_assert_eq!(told(&again), told(&options));
        // Whether it was asked for is no value.
        again.rules.exact = options.rules.exact;
        prop_assert_eq!((again.rules, again.pad, again.signal), (options.rules, options.pad, options.signal));
        prop_assert_eq!(again.trim_threshold, options.trim_threshold);
    }

    /// A reader from outside makes the same of what is in force as the library, and knows what is wrong.
    #[test]
    fn what_is_recorded_reads_back(
        assignments in vec((0..TABLE.len(), value()), 0..8), unknown in vec("[A-Z]{1,20}_X", 0..4)
    ) {
        let mut options = Options::new(b"gunicorn");
        for (entry, mut value) in assignments {
            // No environment has one in it.
            value.retain(|&byte| byte != 0);
            options.take(&[TABLE[entry].name.as_bytes(), b"=", &value].concat());
        }
        unknown.iter().for_each(|name| options.take(format!("AUTOTRIM_{name}=1").as_bytes()));
        let record = options.record();
        let parts: Vec<_> = record.as_bytes().split(|&byte| byte == 0).collect();
        let (in_force, wrong) = parts.split_at(parts.iter().position(|part| part.is_empty()).expect("the end"));
        // Whether a program is meant was found out by its name, and is recorded without.
        let mut again = Options::new(b"another");
        in_force.iter().for_each(|assignment| again.take(assignment));
        prop_assert_eq!(settings(&again), settings(&options));
        prop_assert_eq!((invalid(&again), again.metrics.as_bytes()), (vec![], options.metrics.as_bytes()));
        let names = wrong.iter().filter_map(|part| part.split(|&byte| byte == b'=').next().filter(|name| !name.is_empty()));
        let expected = invalid(&options).into_iter().map(|index| TABLE[index].name.to_owned());
        let expected = expected.chain(unknown.iter().map(|name| format!("AUTOTRIM_{name}")));
        prop_assert!(names.eq(expected.collect::<Vec<_>>().iter().map(String::as_bytes)), "{:?}", wrong);
    }

    #[test]
    fn a_name_is_near_or_not(name in "[ -~]{0,60}") {
        if let Some(nearest) = nearest(&[b"AUTOTRIM_", name.as_bytes()].concat()) {
            prop_assert!(nearest == LIBRARY || TABLE.iter().any(|entry| entry.name == nearest));
        }
    }

    #[test]
    fn a_glob_matches_what_the_plain_rule_matches(globs in vec("!?[ab*?]{1,8}", 1..4), name in "[ab]{0,10}") {
        let matches = |glob: &str| matches_plainly(glob.as_bytes(), name.as_bytes());
        // A lone `!` excludes nothing that has a name, and is refused.
        prop_assume!(!globs.iter().any(|glob| glob == "!"));
        let (out, into): (Vec<_>, Vec<_>) = globs.iter().map(String::as_str).partition(|glob| glob.starts_with('!'));
        let included = into.is_empty() || into.into_iter().any(matches);
        let chosen = included && !out.into_iter().any(|glob| matches(&glob[1..]));
        prop_assert_eq!(program_matches(name.as_bytes(), globs.join(",").as_bytes()), Some(chosen));
    }
}

/// The definition of a glob, in exponential time.
fn matches_plainly(glob: &[u8], name: &[u8]) -> bool {
    match (glob, name) {
        ([], []) => true,
        ([b'*', rest @ ..], _) => (0..=name.len()).any(|swallowed| matches_plainly(rest, &name[swallowed..])),
        ([g, glob @ ..], [n, name @ ..]) => (*g == b'?' || g == n) && matches_plainly(glob, name),
        _ => false,
    }
}

// ---- connection ----------------------------------------------------------------------------------------------------

/// A status line, mostly HTTP/1.x 10x, of which a byte may be wrong and the end may be missing.
fn head() -> impl Strategy<Value = Vec<u8>> {
    let line = "HTTP/1\\.[01] (10[0-3]|1[0-9]1|[0-9]{3})( [A-Z]{0,6})?";
    let wrong = proptest::option::of((0..HEAD, any::<u8>()));
    let nearly = (line, wrong, prop_oneof![3 => Just(20), 1 => 0..=20usize]).prop_map(|(line, wrong, length)| {
        let mut bytes = line.into_bytes();
        if let Some((at, byte)) = wrong {
            bytes[at] = byte;
        }
        bytes.truncate(length);
        bytes
    });
    prop_oneof![5 => nearly, 1 => vec(any::<u8>(), 0..20)]
}

fn event() -> impl Strategy<Value = Event> {
    select(vec![
        Event::Opened,
        Event::Brought,
        Event::Received,
        Event::Sent,
        Event::Forgotten,
        Event::Forked,
        Event::Aged,
    ])
}

proptest! {
    #![proptest_config(config())]

    #[test]
    fn interim_is_a_1xx_but_101(head in head()) {
        let informational = head.len() >= HEAD
            && head.starts_with(b"HTTP/1.")
            && &head[8..10] == b" 1"
            && &head[9..12] != b"101";
        prop_assert_eq!(is_interim(&head), informational);
        prop_assert_eq!(is_interim(&head[..head.len().min(HEAD)]), informational);
    }

    #[test]
    fn in_flight_is_what_is_pending(bytes in any::<u8>(), events in vec(event(), 0..40)) {
        let mut state = State::from_byte(bytes);
        let (mut in_flight, mut answered) = (i64::from(state.is_pending()), 0);
        let mut lingering = i64::from(state == State::Lingering);
        let begun = events.iter().filter(|&&event| event == Event::Received).count();
        for event in events {
            let (next, effect) = step(state, event);
            match effect {
                Effect::None => {}
                Effect::Began => in_flight += 1,
                Effect::Answered => (in_flight, answered) = (in_flight - 1, answered + 1),
                Effect::AnsweredForParent => answered += 1,
                Effect::Abandoned => in_flight -= 1,
                Effect::Lingers => lingering += 1,
                Effect::AnsweredLate => (in_flight, lingering, answered) = (in_flight - 1, lingering - 1, answered + 1),
                Effect::AbandonedLate => (in_flight, lingering) = (in_flight - 1, lingering - 1),
            }
            if event == Event::Forked {
                // The child's own count begins at zero.
                (in_flight, lingering) = (0, 0);
            }
            state = next;
            prop_assert_eq!((in_flight, lingering), (i64::from(state.is_pending()), i64::from(state == State::Lingering)));
            prop_assert_eq!(State::from_byte(state as u8), state);
        }
        // One more where the first state was already pending.
        prop_assert!(answered <= begun + 1);
    }

    #[test]
    fn a_number_outside_the_table_is_not_followed(
        descriptor in prop_oneof![c_int::MIN..0, 1 << 20..=c_int::MAX], event in event(),
    ) {
        prop_assert_eq!(descriptors::apply(descriptor, event), Effect::None);
        prop_assert!(!descriptors::is_followed(descriptor));
    }
}

// ---- ancillary -----------------------------------------------------------------------------------------------------

/// One control message: a length (true where `None`), level, type, data.
type Message = (Option<u64>, c_int, c_int, Vec<u8>);

fn message() -> impl Strategy<Value = Message> {
    let length = prop_oneof![4 => Just(None), 1 => prop_oneof![number(), 0..64u64].prop_map(Some)];
    let level = select(vec![libc::SOL_SOCKET, libc::SOL_SOCKET, libc::IPPROTO_IP, -1]);
    let kind = select(vec![libc::SCM_RIGHTS, libc::SCM_RIGHTS, libc::SCM_CREDENTIALS, 0]);
    (length, level, kind, vec(any::<u8>(), 0..24))
}

fn control(messages: &[Message]) -> Vec<u8> {
    let mut bytes = Vec::new();
    for (length, level, kind, data) in messages {
        let length = length.map_or(size_of::<libc::cmsghdr>() + data.len(), |length| length as usize);
        bytes.extend(length.to_ne_bytes());
        bytes.extend(level.to_ne_bytes());
        bytes.extend(kind.to_ne_bytes());
        bytes.extend(data);
        bytes.resize(bytes.len().next_multiple_of(size_of::<usize>()), 0);
    }
    bytes
}

fn found(control: &[u8]) -> Vec<c_int> {
    let mut numbers = Vec::new();
    ancillary::descriptors(control, |number| numbers.push(number));
    numbers
}

/// CMSG_FIRSTHDR and CMSG_NXTHDR as cmsg(3) describes them, in numbers that cannot overflow.
fn found_plainly(control: &[u8]) -> Vec<c_int> {
    const WORD: usize = size_of::<usize>();
    let int = |at: usize| c_int::from_ne_bytes(control[at..at + 4].try_into().expect("four bytes"));
    let (mut numbers, mut at) = (Vec::new(), 0u128);
    let end = control.len() as u128;
    while at + size_of::<libc::cmsghdr>() as u128 <= end {
        let start = at as usize;
        let length = u128::from(usize::from_ne_bytes(control[start..start + WORD].try_into().expect("a word")) as u64);
        if length < size_of::<libc::cmsghdr>() as u128 || at + length > end {
            break;
        }
        if int(start + WORD) == libc::SOL_SOCKET && int(start + WORD + 4) == libc::SCM_RIGHTS {
            let data = start + size_of::<libc::cmsghdr>()..start + length as usize;
            numbers.extend(data.step_by(4).filter(|at| at + 4 <= start + length as usize).map(int));
        }
        at += length.next_multiple_of(WORD as u128);
    }
    numbers
}

proptest! {
    #![proptest_config(config())]

    #[test]
    fn control_data_is_walked_as_cmsg_says(
        messages in vec(message(), 0..6), cut in 0..200usize, noise in vec(any::<u8>(), 0..100),
    ) {
        for mut bytes in [control(&messages), noise] {
            prop_assert_eq!(found(&bytes), found_plainly(&bytes));
            bytes.truncate(cut);
            prop_assert_eq!(found(&bytes), found_plainly(&bytes));
        }
    }
}

// ---- policy --------------------------------------------------------------------------------------------------------

fn rules() -> impl Strategy<Value = Rules> {
    let growth = (number(), number()).prop_map(|(bytes, share)| Growth { bytes, share });
    (number(), number(), growth, number(), number(), number(), prop_oneof![0..=100 * PERCENT, number()]).prop_map(
        |(interval, jitter, growth, idle, period, defer, overhead)| {
            // A new option need not be named here.
            #[allow(clippy::needless_update)]
            Rules { interval, jitter, growth, idle, period, defer, overhead, ..Rules::default() }
        },
    )
}

/// From a thousandth of a percent to all of the time, small ones often.
fn overhead() -> impl Strategy<Value = u64> {
    prop_oneof![10..=PERCENT, PERCENT..=100 * PERCENT]
}

/// This share of a time.
fn part(time: u64, share: u64) -> u64 {
    (u128::from(time) * u128::from(share) / u128::from(100 * PERCENT)) as u64
}

/// A wait point: time, requests, in flight, RSS, what a trim would take, and what a collection took.
type Visit = (u64, u64, u64, Option<u64>, u64, u64);

fn visit() -> impl Strategy<Value = Visit> {
    let mostly_none = || prop_oneof![Just(0), number()];
    (number(), number(), mostly_none(), proptest::option::of(number()), number(), mostly_none())
}

proptest! {
    #![proptest_config(config())]

    #[test]
    fn no_moment_is_too_strange(rules in rules(), floor in number(), visits in vec(visit(), 0..40)) {
        let mut policy = Policy::default();
        policy.begin(floor);
        for (now, requests, in_flight, rss, took, collected) in visits {
            let now = now.max(1);
            let asked = Asked { pressure: took & 1 != 0, signal: took & 2 != 0 };
            let swapped = took & 8 != 0;
            let collects = [Collects::No, Collects::InQuiet, Collects::Always, Collects::BeforeQuiet][took as usize / 4 % 4];
            let (has_pools, released) = (took & 256 != 0, Released { took: collected / 3, bytes: took / 5, rss: collected });
            let (active_at, ended, between_tasks) = (took / 2, took & 32 != 0, took & 64 != 0);
            let moment = Moment { now, cpu: took, requests, active_at, in_flight, ended, between_tasks, asked, swapped, collects, collected: Pause { took: collected, cost: took }, has_pools, released };
            // One of three looks is the thread's.
            let (decision, next) = match took % 3 {
                0 => policy.decide_in_background(&rules, moment),
                _ => policy.decide(&rules, moment, || rss),
            };
            if policy.returns().asks() {
                policy.show_returns(Evidence { huge: collected, faulted: took });
            }
            match decision {
                Decision::Trim { ask: true, .. } if took & 128 != 0 && took % 3 != 0 => {
                    let next = policy.somebody_waits(&rules, now);
                    prop_assert!(next.time > now || now == u64::MAX, "somebody is asked at once again");
                }
                Decision::Trim { .. } => {
                    policy.trimmed(&rules, requests, now.saturating_add(took), took, Trimmed { took, before: rss, after: rss.map(|rss| rss / 2), locked: took & 16 != 0, faulted: rss.filter(|_| took & 1024 != 0), garbage: took & 512 != 0 });
                }
                Decision::Ask { .. } | Decision::Rest => prop_assert!(next.time > now || now == u64::MAX, "what is not to be done now is not to be decided now"),
            }
        }
    }

    #[test]
    fn a_limit_is_above_its_floor(bytes in number(), share in number(), floor in number()) {
        let limit = Growth { bytes, share }.limit(floor);
        prop_assert!(limit >= floor);
        prop_assert!(limit - floor >= bytes.min(u64::MAX - floor));
    }

    #[test]
    fn trims_by_count_are_as_far_apart_as_asked(
        interval in 1..5_000u64, jitter in 0..100u64, answers in vec(0..3_000u64, 1..60),
    ) {
        let rules = Rules { interval, exact: true, jitter, ..Rules::default() };
        let (mut policy, mut requests, mut now, mut last) = (Policy::default(), 0, SECOND, 0);
        for answered in answers {
            requests += answered;
            now += MILLISECOND;
            match policy.decide(&rules, Moment { now, requests, ..Moment::default() }, || None).0 {
                Decision::Trim { .. } => {
                    prop_assert!(requests - last >= interval);
                    policy.trimmed(&rules, requests, now, 0, Trimmed { took: MILLISECOND, ..Trimmed::default() });
                    last = requests;
                }
                _ => prop_assert!(requests - last < interval + jitter),
            }
        }
    }

    #[test]
    fn trims_stay_within_their_share_of_the_clock(
        overhead in overhead(), visits in vec((0..2 * SECOND, 0..SECOND), 1..60),
    ) {
        // A trim is due at every visit.
        let rules = Rules { interval: 1, exact: true, overhead, ..Rules::default() };
        let (mut policy, start, mut spent) = (Policy::default(), SECOND, 0u64);
        let mut now = start;
        for (requests, (passed, took)) in (1..).zip(visits) {
            now += passed;
            if let Decision::Trim { .. } = policy.decide(&rules, Moment { now, requests, ..Moment::default() }, || None).0 {
                // What the one before it left was within the burst and the share.
                let allowed = 100 * MILLISECOND + part(now - start, overhead);
                prop_assert!(spent <= allowed + MILLISECOND, "{spent} ns of {allowed}");
                now += took;
                spent += took;
                policy.trimmed(&rules, requests, now, 0, Trimmed { took, ..Trimmed::default() });
            }
        }
    }

    #[test]
    fn collections_and_trims_stay_within_their_share_of_the_clock(
        overhead in overhead(),
        visits in vec((0..2 * SECOND, 0..SECOND, proptest::option::of(1_000..SECOND)), 1..60),
    ) {
        // A trim is due at every visit; the main thread comes by at once, later, or never.
        let rules = Rules { interval: 1, exact: true, overhead, ..Rules::default() };
        let (mut policy, start, mut spent, mut collected) = (Policy::default(), SECOND, 0u64, 0);
        let mut now = start;
        for (requests, (passed, took, pause)) in (1..).zip(visits) {
            now += passed;
            let paid = collected != 0;
            spent += collected;
            let moment = Moment { now, requests, collects: Collects::Always, collected: Pause { took: collected, cost: collected }, ..Moment::default() };
            collected = 0;
            let (decision, next) = policy.decide(&rules, moment, || None);
            // What a collection has freed is given back at once; all else begins within the burst and the share.
            let allowed = 100 * MILLISECOND + part(now - start, overhead);
            match decision {
                Decision::Trim { .. } => {
                    prop_assert!(paid || spent <= allowed + MILLISECOND, "{spent} ns of {allowed}");
                    now += took;
                    spent += took;
                    policy.trimmed(&rules, requests, now, 0, Trimmed { took, ..Trimmed::default() });
                }
                Decision::Ask { .. } => {
                    prop_assert!(!paid, "another collection for the same trim");
                    prop_assert!(spent <= allowed + MILLISECOND, "{spent} ns of {allowed}");
                    now += pause.unwrap_or(next.time - now);
                    collected = pause.unwrap_or(0);
                }
                _ => prop_assert!(!paid, "nothing is due after a collection"),
            }
        }
    }

    #[test]
    fn what_is_in_flight_is_waited_for(
        // Of quarter seconds, so that a visit may come just when the time is over.
        defer in (0..12u64).prop_map(|quarters| quarters * SECOND / 4),
        visits in vec(((0..4u64).prop_map(|quarters| quarters * SECOND / 4), 0..3u64), 1..60),
    ) {
        let rules = Rules { interval: 1, exact: true, defer, ..Rules::default() };
        let (mut policy, mut now, mut due) = (Policy::default(), SECOND, None);
        for (requests, (passed, in_flight)) in (1..).zip(visits) {
            now += passed;
            let since = *due.get_or_insert(now);
            let (decision, _) = policy.decide(&rules, Moment { now, requests, in_flight, ..Moment::default() }, || None);
            let trims = matches!(decision, Decision::Trim { .. });
            prop_assert_eq!(trims, in_flight == 0 || now - since >= defer);
            if trims {
                policy.trimmed(&rules, requests, now, 0, Trimmed { took: MILLISECOND, ..Trimmed::default() });
                due = None;
            }
        }
    }
}

// ---- text and timeouts ---------------------------------------------------------------------------------------------

proptest! {
    #![proptest_config(config())]

    #[test]
    fn a_number_reads_back(number in number()) {
        let (mut whole, mut cut, expected) = (Text::<20>::new(), Text::<7>::new(), number.to_string());
        prop_assert_eq!(whole.number(number).as_bytes(), expected.as_bytes());
        prop_assert_eq!(cut.number(number).as_bytes(), &expected.as_bytes()[..expected.len().min(7)]);
    }

    #[test]
    fn a_quoted_value_is_one_word_of_printable_text(value in vec(any::<u8>(), 0..80)) {
        let mut text = Text::<200>::new();
        let quoted = text.quoted(&value).as_bytes();
        prop_assert!(quoted.iter().all(|byte| (b' '..=b'~').contains(byte)));
        let mut inner = quoted.strip_prefix(b"\"").and_then(|rest| rest.strip_suffix(b"\"")).expect("quotes").iter();
        let mut unquoted = Vec::new();
        while let Some(&byte) = inner.next() {
            prop_assert_ne!(byte, b'"');
            unquoted.push(if byte == b'\\' { *inner.next().expect("what was escaped") } else { byte });
        }
        let printable = |byte: &u8| if (b' '..=b'~').contains(byte) { *byte } else { b'?' };
        prop_assert_eq!(unquoted, value.iter().map(printable).collect::<Vec<_>>());
    }

    #[test]
    fn a_timeout_is_exact_or_the_longest_there_is(
        tv_sec: i64,
        tv_nsec in prop_oneof![0..1_000_000_000i64, 999_999_999..=1_000_000_000i64, any::<i64>()],
        short: c_int,
    ) {
        let time = libc::timespec { tv_sec, tv_nsec };
        let valid = tv_sec >= 0 && (0..1_000_000_000).contains(&tv_nsec);
        let exact = i128::from(tv_sec) * 1_000_000_000 + i128::from(tv_nsec);
        let expected = valid.then(|| Timeout::After(u64::try_from(exact).unwrap_or(u64::MAX)));
        prop_assert_eq!(calls::seconds(&time), expected);
        let milliseconds = u64::try_from(short).map_or(Timeout::Never, |short| Timeout::After(short * MILLISECOND));
        prop_assert_eq!(calls::milliseconds(short), Some(milliseconds));
    }

    #[test]
    fn an_array_fits_where_all_its_entries_do(count in number(), room in number()) {
        let needed = u128::from(count) * size_of::<libc::pollfd>() as u128;
        let fits = calls::fitting(count, room as usize, Some(Timeout::Never)).is_some();
        prop_assert_eq!(fits, needed <= u128::from(room));
    }
}

// ---- verdict -------------------------------------------------------------------------------------------------------

fn keeps() -> impl Strategy<Value = Keeps> {
    prop_oneof![Just(Keeps::Malloc), Just(Keeps::Garbage), Just(Keeps::Heap)]
}

fn point() -> impl Strategy<Value = Point> {
    let sizes = (number(), number(), number(), number());
    (number(), sizes, any::<bool>()).prop_map(|(requests, (before, after, live, held), collected)| Point {
        requests,
        before,
        after,
        live,
        held,
        collected,
    })
}

/// Trims in the order in which they happened, with any RSS.
fn trims() -> impl Strategy<Value = Vec<Point>> {
    vec(point(), 0..200).prop_map(|mut points| {
        points.sort_by_key(|point| point.requests);
        points
    })
}

proptest! {
    #![proptest_config(config())]

    #[test]
    fn any_numbers_are_judged(points in vec(point(), 0..70), keeps in keeps()) {
        judge(&points, keeps);
    }

    #[test]
    fn floors_are_few_and_in_order(points in trims(), keeps in keeps()) {
        let mut floors = Floors::new();
        for &point in &points {
            floors.add(point);
            floors.verdict(keeps);
            floors.suspect(keeps);
        }
        let kept = floors.points();
        prop_assert!(kept.len() <= MOST && kept.windows(2).all(|pair| pair[0].requests <= pair[1].requests));
        prop_assert!(kept.iter().all(|point| point.requests.min(point.before).min(point.after) > 0));
    }

    /// Whatever the noise, and whatever RSS does: live memory that never rises above where it was is no leak.
    #[test]
    fn what_is_live_and_falls_is_never_a_leak(points in trims(), keeps in prop_oneof![Just(Keeps::Malloc), Just(Keeps::Garbage)]) {
        let mut falling = points;
        let mut lowest = u64::MAX;
        for point in &mut falling {
            lowest = lowest.min(point.live);
            point.live = lowest;
        }
        prop_assert_eq!(judge(&falling, keeps).leak(), None);
    }

    /// Nor is anything that nobody has collected, where somebody can.
    #[test]
    fn without_a_collection_garbage_is_never_a_leak(points in trims(), keeps in prop_oneof![Just(Keeps::Garbage), Just(Keeps::Heap)]) {
        let points: Vec<_> = points.into_iter().map(|point| Point { collected: false, ..point }).collect();
        prop_assert_eq!(judge(&points, keeps).leak(), None);
    }

    /// A steady climb with a little noise is named, and with about the right figure.
    #[test]
    fn a_steady_climb_is_a_leak(
        floor in 1u64 << 20..1 << 30, rate in 1_000u64..1 << 20, step in 1_024u64..4_096, noise in vec(0u64..64 << 10, 64),
        keeps in keeps(),
    ) {
        let climb = rate * step * 64;
        prop_assume!(climb >= floor / 4 && climb >= 64 << 20);
        let mut floors = Floors::new();
        for (n, noise) in (1..).zip(noise) {
            let after = floor + n * step * rate + noise;
            let collected = n % 16 == 0;
            floors.add(Point { requests: n * step, before: after, after, live: after, held: 0, collected });
        }
        let Verdict::Leak { bytes_per_request, .. } = floors.verdict(keeps) else {
            return Err(TestCaseError::fail("no leak"));
        };
        prop_assert!(bytes_per_request.abs_diff(rate) <= rate / 8, "{bytes_per_request} and {rate}");
    }
}

// ---- what malloc tells ---------------------------------------------------------------------------------------------

proptest! {
    #![proptest_config(config())]

    #[test]
    fn usage_is_no_more_than_what_is_told(numbers in proptest::array::uniform4(0usize..1 << 48), page in 4_096u64..=65_536) {
        let [uordblks, hblkhd, fordblks, ordblks] = numbers;
        let usage = Info::<usize> { uordblks, hblkhd, fordblks, ordblks, ..Info::default() }.usage(page);
        prop_assert_eq!(usage.live, (uordblks + hblkhd) as u64);
        prop_assert!(usage.held <= fordblks as u64);
    }

    /// Where it moves by less than 2 GiB at a time, what has wrapped is found again.
    #[test]
    fn what_has_wrapped_is_followed(moves in vec(-(1i64 << 31) + 1..1 << 31, 1..60)) {
        let (mut live, mut last) = (0u64, 0u64);
        for step in moves {
            live = live.saturating_add_signed(step);
            let told = Info::<i32> { uordblks: live as u32 as i32, ..Info::default() };
            last = told.usage(4_096, last, u64::MAX).live;
            prop_assert_eq!(last, live);
        }
    }
}
