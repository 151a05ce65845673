//! A line of text in a fixed buffer: no allocation, no `core::fmt`, no way to panic. What does not fit is cut. And the
//! way back: numbers from text.

/// Up to `N` bytes of text.
#[derive(Clone, Copy)]
pub struct Text<const N: usize> {
    bytes: [u8; N],
    length: usize,
}

impl<const N: usize> Text<N> {
    /// No text.
    pub const fn new() -> Self {
        Text { bytes: [0; N], length: 0 }
    }

    /// The text so far.
    pub fn as_bytes(&self) -> &[u8] {
        self.bytes.get(..self.length).unwrap_or_default()
    }

    /// Takes back what was appended after so many bytes.
    pub fn truncate(&mut self, length: usize) {
        self.length = self.length.min(length);
    }

    /// Begins anew.
    pub fn clear(&mut self) {
        self.length = 0;
    }

    /// How many bytes fit yet.
    pub fn room(&self) -> usize {
        N.saturating_sub(self.length)
    }

    /// Appends one byte.
    pub fn byte(&mut self, byte: u8) -> &mut Self {
        self.bytes(&[byte])
    }

    /// Appends bytes as they are.
    #[inline(never)]
    pub fn bytes(&mut self, bytes: &[u8]) -> &mut Self {
        self.length += append(self.bytes.get_mut(self.length..).unwrap_or_default(), bytes);
        self
    }

    /// Appends a string as it is.
    pub fn text(&mut self, text: &str) -> &mut Self {
        self.bytes(text.as_bytes())
    }

    /// Appends a number in decimal.
    pub fn number(&mut self, number: u64) -> &mut Self {
        self.bytes(decimal(number, &mut [0; 20]))
    }

    /// Appends a logfmt value that came from outside: quoted, with quotes and backslashes escaped, and every
    /// byte that is not printable ASCII replaced by `?`, so that it can neither end the line nor drive a terminal.
    pub fn quoted(&mut self, value: &[u8]) -> &mut Self {
        self.byte(b'"');
        for &byte in value {
            match byte {
                b'"' | b'\\' => self.byte(b'\\').byte(byte),
                b' '..=b'~' => self.byte(byte),
                _ => self.byte(b'?'),
            };
        }
        self.byte(b'"')
    }
}

/// A number's digits: once in the library, whatever the length of the text.
#[inline(never)]
fn decimal(mut number: u64, digits: &mut [u8; 20]) -> &[u8] {
    let mut count = 0;
    for digit in digits.iter_mut().rev() {
        *digit = b'0' + (number % 10) as u8;
        number /= 10;
        count += 1;
        if number == 0 {
            break;
        }
    }
    digits.get(digits.len() - count..).unwrap_or_default()
}

/// Copies what fits; how much that is. Out of line, and the same for all lengths: it is called very often.
#[inline(never)]
fn append(room: &mut [u8], bytes: &[u8]) -> usize {
    room.iter_mut().zip(bytes).map(|(slot, &byte)| *slot = byte).count()
}

/// Whether both are the same, in capitals or not. Out of line: it is asked often, and never in a hurry.
#[inline(never)]
pub fn same(left: &[u8], right: &[u8]) -> bool {
    left.len() == right.len() && left.iter().zip(right).all(|(left, right)| left.eq_ignore_ascii_case(right))
}

/// A whole number in decimal, and nothing else.
pub fn number(text: &[u8]) -> Option<u64> {
    number_of(text, 10)
}

/// A whole number in the base of 2 to 16, and nothing else.
pub fn number_of(text: &[u8], base: u8) -> Option<u64> {
    if text.is_empty() {
        return None;
    }
    text.iter().try_fold(0u64, |number, &byte| {
        let digit = match byte {
            b'0'..=b'9' => byte.wrapping_sub(b'0'),
            b'a'..=b'f' => byte.wrapping_sub(b'a').wrapping_add(10),
            _ => return None,
        };
        number.checked_mul(base.into())?.checked_add(u64::from(Some(digit).filter(|&digit| digit < base)?))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn written<const N: usize>(write: impl FnOnce(&mut Text<N>)) -> String {
        let mut text = Text::new();
        write(&mut text);
        String::from_utf8(text.as_bytes().to_vec()).expect("UTF-8")
    }

    #[test]
    fn numbers_are_written_in_decimal() {
        for number in [0, 7, 10, 1024, u64::MAX] {
            assert_eq!(
                written::<32>(|text| {
                    text.number(number);
                }),
                number.to_string()
            );
        }
    }

    #[test]
    fn what_does_not_fit_is_cut() {
        assert_eq!(
            written::<4>(|text| {
                text.text("abc").number(12345);
            }),
            "abc1"
        );
    }

    #[test]
    fn a_quoted_value_cannot_break_out_of_its_line() {
        assert_eq!(
            written::<32>(|text| {
                text.quoted(b"a\"b\\c\n\x1b[\xff");
            }),
            r#""a\"b\\c??[?""#
        );
    }
}
