//! PURE: what people write for numbers, sizes, durations, shares and switches; and the same as the log writes it.
//!
//! Nothing is guessed: what could mean two things is refused. A value that is not zero never becomes zero, which means
//! something else.

use super::choices::{Arenas, Gc, HugePages, Level, Line, TrimThreshold};
use crate::decide::rules::Growth;
use crate::decide::{MILLISECOND, PERCENT, SECOND};
use crate::pure::pressure::{Path, Setting, path};
use crate::pure::text::{number, same};

/// As much of a path as the log shows.
pub const SHOWN_PATH: usize = 200;

/// The names of units, those of one size separated by blanks, and how large each is.
type Units = (&'static str, &'static [u64]);

/// Bytes. All units count in 1024s, as in PostgreSQL and nginx.
const SIZES: Units = (" B|K KB KiB|M MB MiB|G GB GiB", &[1, 1 << 10, 1 << 20, 1 << 30]);

/// Nanoseconds. A plain number is seconds; there are no months that `m` could mean.
const DURATIONS: Units = (
    " s sec|ms|us|ns|m min|h|d",
    &[SECOND, MILLISECOND, MILLISECOND / 1_000, 1, 60 * SECOND, 3_600 * SECOND, 24 * 3_600 * SECOND],
);

/// Shares: percent, with or without the sign.
const SHARES: Units = (" %", &[PERCENT]);

/// glibc's range of real-time signals for programs; the libc crate asks a function for them.
const REAL_TIME: core::ops::RangeInclusive<i32> = 34..=64;

/// On or off, in the words of most programs. Nothing at all is off, as for a shell.
pub fn switch(value: &[u8]) -> Option<bool> {
    match () {
        () if is_one_of(value, b"1 yes true on") => Some(true),
        () if value.is_empty() || is_one_of(value, b"0 no false off") => Some(false),
        () => None,
    }
}

/// Whether it is this word, in capitals or not.
fn is(value: &[u8], word: &str) -> bool {
    same(value, word.as_bytes())
}

/// Whether it is one of these words, which blanks separate.
fn is_one_of(value: &[u8], words: &[u8]) -> bool {
    words.split(|&byte| byte == b' ').any(|word| same(value, word))
}

/// What bars separate.
fn places(words: &'static str) -> impl Iterator<Item = &'static [u8]> {
    words.as_bytes().split(|&byte| byte == b'|')
}

/// The one of `all` at whose place one of the words is; bars separate the places.
fn named<T: Copy>(value: &[u8], words: &'static str, all: &[T]) -> Option<T> {
    places(words).zip(all).find(|(words, _)| is_one_of(value, words)).map(|(_, &one)| one)
}

/// What follows `prefix`, in capitals or not.
pub fn after<'a>(prefix: &str, text: &'a [u8]) -> Option<&'a [u8]> {
    let (start, rest) = text.split_at_checked(prefix.len())?;
    is(start, prefix).then_some(rest)
}

/// What `parse` makes of it; or 0, where it is a word for off.
fn or_off(value: &[u8], parse: impl FnOnce(&[u8]) -> Option<u64>) -> Option<u64> {
    if is_off(value) { Some(0) } else { parse(value) }
}

/// Nothing at all is no word for off here: it is more likely a variable of somebody's script that was not set.
fn is_off(value: &[u8]) -> bool {
    !value.is_empty() && switch(value) == Some(false)
}

/// A whole number.
pub fn count(value: &[u8]) -> Option<u64> {
    or_off(value, number)
}

/// Bytes.
pub fn size(value: &[u8]) -> Option<u64> {
    or_off(value, |value| in_units(value, SIZES))
}

/// Nanoseconds.
pub fn duration(value: &[u8]) -> Option<u64> {
    or_off(value, |value| in_units(value, DURATIONS))
}

/// A share in the units of [`PERCENT`].
pub fn share(value: &[u8]) -> Option<u64> {
    in_units(value, SHARES)
}

/// A size, a share or both: each once.
pub fn growth(value: &[u8]) -> Option<Growth> {
    if is_off(value) {
        return Some(Growth::default());
    }
    let (mut bytes, mut part_of_floor) = (None, None);
    for part in value.split(|&byte| byte == b',').map(<[u8]>::trim_ascii) {
        let (slot, number) = match part.ends_with(b"%") {
            true => (&mut part_of_floor, share(part)?),
            false => (&mut bytes, in_units(part, SIZES)?),
        };
        if slot.replace(number).is_some() {
            return None;
        }
    }
    Some(Growth { bytes: bytes.unwrap_or(0), share: part_of_floor.unwrap_or(0) })
}

/// A signal that means nothing by itself, so that it may mean this; 0 = off. With `SIG` in front or without.
pub fn signal(value: &[u8]) -> Option<i32> {
    if switch(value) == Some(false) {
        return Some(0);
    }
    let name = after("SIG", value).unwrap_or(value);
    let named = match (after("RTMIN", name), after("RTMAX", name)) {
        (Some(offset), _) => Some(34u64.saturating_add(offset_by(offset, b'+')?)),
        (_, Some(offset)) => 64u64.checked_sub(offset_by(offset, b'-')?),
        _ if is(name, "USR1") => Some(libc::SIGUSR1 as u64),
        _ if is(name, "USR2") => Some(libc::SIGUSR2 as u64),
        _ => number(value),
    };
    let signal = i32::try_from(named?).ok()?;
    (REAL_TIME.contains(&signal) || [libc::SIGUSR1, libc::SIGUSR2].contains(&signal)).then_some(signal)
}

/// What follows RTMIN or RTMAX: nothing, or a sign and a number.
fn offset_by(text: &[u8], sign: u8) -> Option<u64> {
    match text {
        [] => Some(0),
        [first, digits @ ..] if *first == sign => number(digits),
        _ => None,
    }
}

/// `AUTOTRIM_PRESSURE`.
pub fn pressure(value: &[u8]) -> Option<Setting> {
    match switch(value) {
        Some(true) => Some(Setting::Auto),
        Some(false) => Some(Setting::Off),
        None if is(value, "auto") => Some(Setting::Auto),
        None => Setting::parse(value),
    }
}

/// `AUTOTRIM_GC`: a switch, or names separated by commas.
pub fn gc(value: &[u8]) -> Option<Gc> {
    if let Some(auto) = automatic(value) {
        return Some(Gc { auto, ..Gc::default() });
    }
    let mut gc = Gc::default();
    for name in value.split(|&byte| byte == b',') {
        let name = name.trim_ascii();
        let names = [
            ("auto", &mut gc.auto),
            ("python", &mut gc.python),
            ("node", &mut gc.node),
            ("ruby", &mut gc.ruby),
            ("java", &mut gc.java),
        ];
        let (_, meant) = names.into_iter().find(|(word, _)| is(name, word))?;
        *meant = true;
    }
    Some(gc)
}

/// `AUTOTRIM_POOLS`.
pub fn automatic(value: &[u8]) -> Option<bool> {
    if is(value, "auto") { Some(true) } else { switch(value) }
}

/// See [`automatic`].
pub fn write_automatic(line: &mut Line, on: bool) {
    line.text(if on { "auto" } else { "off" });
}

/// `AUTOTRIM_HUGE_PAGES`.
pub fn huge_pages(value: &[u8]) -> Option<HugePages> {
    named(value, "auto|keep", &[HugePages::Auto, HugePages::Keep])
}

/// See [`huge_pages`].
pub fn write_huge_pages(line: &mut Line, choice: HugePages) {
    line.text(match choice {
        HugePages::Auto => "auto",
        HugePages::Keep => "keep",
    });
}

/// `AUTOTRIM_TRIM_THRESHOLD`.
pub fn trim_threshold(value: &[u8]) -> Option<TrimThreshold> {
    if is(value, "auto") { Some(TrimThreshold::Auto) } else { size(value).map(TrimThreshold::At) }
}

/// `AUTOTRIM_ARENAS`.
pub fn arenas(value: &[u8]) -> Option<Arenas> {
    if is(value, "auto") {
        return Some(Arenas::Auto);
    }
    Some(Arenas::AtMost(i32::try_from(count(value)?).ok()?))
}

/// Absolute: the program may change its directory. Without a slash at its end, which would make a symbolic link of a
/// directory.
pub fn directory(value: &[u8]) -> Option<Path> {
    if switch(value) == Some(false) {
        return Some(Path::new());
    }
    let end = value.iter().rposition(|&byte| byte != b'/').map_or(0, |last| last.saturating_add(1));
    path(value.get(..end)?).map(|mut path| *path.byte(0))
}

/// `AUTOTRIM_LOG`.
pub fn level(value: &[u8]) -> Option<Level> {
    if is_off(value) {
        return Some(Level::Off);
    }
    named(value, "error|warn warning|info|debug", &[Level::Error, Level::Warn, Level::Info, Level::Debug])
}

/// A number with one of these units behind it, blanks between them or not.
fn in_units(value: &[u8], (names, factors): Units) -> Option<u64> {
    let length = value.iter().take_while(|byte| byte.is_ascii_digit() || **byte == b'.').count();
    let (amount, unit) = value.split_at_checked(length)?;
    let unit = unit.trim_ascii_start();
    times(amount, named(unit, names, factors)?)
}

/// A decimal number of `factor`s, whatever is beyond a whole one cut off.
fn times(amount: &[u8], factor: u64) -> Option<u64> {
    let point = amount.iter().position(|&byte| byte == b'.');
    let Some((whole, [_, fraction @ ..])) = point.and_then(|point| amount.split_at_checked(point)) else {
        return number(amount)?.checked_mul(factor);
    };
    // There is no part of a byte. A second point is no digit.
    if factor == 1 || fraction.is_empty() || !fraction.iter().all(u8::is_ascii_digit) {
        return None;
    }
    let whole = if whole.is_empty() { 0 } else { number(whole)? };
    // From the last digit to the first, so that any number of them fits: what each step cuts off is less than one.
    let part = fraction
        .iter()
        .rev()
        .fold(0u64, |part, digit| u64::from(digit.wrapping_sub(b'0')).saturating_mul(factor).saturating_add(part) / 10);
    let product = whole.checked_mul(factor)?.checked_add(part)?;
    (product != 0 || fraction.iter().all(|&digit| digit == b'0')).then_some(product)
}

// ---- as the log writes it, in the same syntax ----------------------------------------------------------------------

/// Writes a number.
pub fn write_count(text: &mut Line, number: u64) {
    text.number(number);
}

/// Writes bytes in the largest unit that leaves no rest.
pub fn write_size(text: &mut Line, bytes: u64) {
    write_in_units(text, bytes, ("G|M|K|", &[1 << 30, 1 << 20, 1 << 10, 1]));
}

/// Writes a duration; units above the second would make it harder to compare.
pub fn write_duration(text: &mut Line, time: u64) {
    write_in_units(text, time, ("s|ms|us|ns", &[SECOND, MILLISECOND, MILLISECOND / 1_000, 1]));
}

/// Writes a share in percent, without the sign.
pub fn write_share(text: &mut Line, share: u64) {
    text.number(share / PERCENT);
    let mut rest = share % PERCENT;
    if rest != 0 {
        text.byte(b'.');
    }
    while rest != 0 {
        rest *= 10;
        text.number(rest / PERCENT);
        rest %= PERCENT;
    }
}

/// Writes both, or the one that is there.
pub fn write_growth(text: &mut Line, growth: Growth) {
    if growth.bytes != 0 || growth.share == 0 {
        write_size(text, growth.bytes);
    }
    if growth.bytes != 0 && growth.share != 0 {
        text.byte(b',');
    }
    if growth.share != 0 {
        write_share(text, growth.share);
        text.byte(b'%');
    }
}

fn write_in_units(text: &mut Line, number: u64, (names, factors): Units) {
    // checked: the compiler cannot see that no unit is 0, and would keep a panic.
    let divides = |(_, unit): &(&[u8], &u64)| number.checked_rem(**unit) == Some(0);
    match places(names).zip(factors).find(divides) {
        Some((name, &unit)) if number != 0 => text.number(number.checked_div(unit).unwrap_or(0)).bytes(name),
        _ => text.number(number),
    };
}

/// Writes what tells of pressure.
pub fn write_pressure(text: &mut Line, setting: &Setting) {
    match setting {
        Setting::Off => text.text("off"),
        Setting::Auto => text.text("auto"),
        Setting::At(path) => text.bytes(path.as_bytes()),
    };
}

/// Has a path that begins `at` this byte stand in quotes, as much of it as the log shows.
#[inline(never)]
pub fn quote_path(text: &mut Line, at: usize) {
    let mut path = Path::new();
    path.bytes(text.as_bytes().get(at..).unwrap_or_default()).truncate(SHOWN_PATH);
    text.truncate(at);
    text.quoted(path.as_bytes());
}

/// Writes `M_ARENA_MAX`.
pub fn write_arenas(text: &mut Line, arenas: Arenas) {
    match arenas {
        Arenas::Auto => text.text("auto"),
        Arenas::AtMost(number) => text.number(number.unsigned_abs().into()),
    };
}

/// Writes globs that choose every program, or none.
pub fn write_chosen(text: &mut Line, chosen: bool) {
    text.text(if chosen { "*" } else { "!*" });
}

/// Writes how much is logged.
pub fn write_level(text: &mut Line, level: Level) {
    text.text(match level {
        Level::Off => "off",
        Level::Error => "error",
        Level::Warn => "warn",
        Level::Info => "info",
        Level::Debug => "debug",
    });
}

/// Writes a directory, which ends with a zero byte; nothing where there is none.
pub fn write_directory(text: &mut Line, directory: &Path) {
    text.bytes(directory.as_bytes().strip_suffix(b"\0").unwrap_or_default());
}

/// Writes a switch.
pub fn write_switch(text: &mut Line, on: bool) {
    text.text(if on { "1" } else { "0" });
}

/// Writes a signal's number.
pub fn write_signal(text: &mut Line, signal: i32) {
    match signal {
        0 => text.text("off"),
        signal => text.number(signal.unsigned_abs().into()),
    };
}

/// Writes `M_TRIM_THRESHOLD`.
pub fn write_threshold(text: &mut Line, threshold: TrimThreshold) {
    if let TrimThreshold::At(bytes) = threshold {
        write_size(text, bytes);
    } else {
        text.text("auto");
    }
}
