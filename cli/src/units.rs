//! Numbers as people read them.

/// Bytes in units of 1024, three digits or so: `41.5M`.
pub fn bytes(bytes: u64) -> String {
    let mut value = bytes as f64;
    for unit in ["", "K", "M", "G"] {
        if value < 1023.95 {
            return if unit.is_empty() { format!("{bytes}") } else { format!("{value:.1}{unit}") };
        }
        value /= 1024.0;
    }
    format!("{value:.1}T")
}

/// The same with a sign.
pub fn difference(bytes_now: u64, bytes_then: u64) -> String {
    let sign = if bytes_now >= bytes_then { '+' } else { '-' };
    format!("{sign}{}", bytes(bytes_now.abs_diff(bytes_then)))
}

/// A count with its thousands set apart: `10,001`.
pub fn count(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::new();
    for (index, digit) in digits.char_indices() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// What came from outside, without what could drive a terminal, or have a text read in another order than it is written.
pub fn printable(text: &str) -> String {
    text.chars().map(|character| if is_harmless(character) { character } else { '?' }).collect()
}

/// No control character, and none that ends a line or turns a text round (Unicode's Bidi_Control).
pub fn is_harmless(character: char) -> bool {
    let turns =
        matches!(character, '\u{61c}' | '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}');
    let ends_line = matches!(character, '\u{2028}' | '\u{2029}');
    !character.is_control() && !turns && !ends_line
}

/// A time as people say it: `12s`, `3m`, `2h`, `5d`.
pub fn seconds(seconds: f64) -> String {
    let whole = seconds.max(0.0) as u64;
    match whole {
        0..120 => format!("{whole}s"),
        120..7_200 => format!("{}m", whole / 60),
        7_200..172_800 => format!("{}h", whole / 3_600),
        _ => format!("{}d", whole / 86_400),
    }
}
