//! PURE: the descriptors in a received control message (`cmsg(3)`, `SCM_RIGHTS` in `unix(7)`).

use core::ffi::c_int;
use core::mem::size_of;

/// `struct cmsghdr` on Linux: a length of the machine's word size, then level and type.
const HEADER: usize = size_of::<usize>() + 2 * size_of::<c_int>();

/// Calls `found` with each descriptor that an `SCM_RIGHTS` message in `control` brings. Malformed or
/// truncated control data ends the walk; nothing outside `control` is read.
pub fn descriptors(mut control: &[u8], mut found: impl FnMut(c_int)) {
    while let Some((length, level, kind)) = header(control) {
        let Some(data) = control.get(HEADER..length) else { return };
        if level == libc::SOL_SOCKET && kind == libc::SCM_RIGHTS {
            for number in data.chunks_exact(size_of::<c_int>()) {
                if let Ok(bytes) = number.try_into() {
                    found(c_int::from_ne_bytes(bytes));
                }
            }
        }
        // CMSG_NXTHDR: the next header begins at the next word boundary.
        let Some(next) = length.checked_next_multiple_of(size_of::<usize>()) else { return };
        let Some(rest) = control.get(next..) else { return };
        control = rest;
    }
}

/// Length (header included), level and type of the message at the start of `control`.
fn header(control: &[u8]) -> Option<(usize, c_int, c_int)> {
    const WORD: usize = size_of::<usize>();
    const INT: usize = size_of::<c_int>();
    let length = usize::from_ne_bytes(control.get(..WORD)?.try_into().ok()?);
    let level = c_int::from_ne_bytes(control.get(WORD..WORD + INT)?.try_into().ok()?);
    let kind = c_int::from_ne_bytes(control.get(WORD + INT..HEADER)?.try_into().ok()?);
    Some((length, level, kind))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn message(level: c_int, kind: c_int, numbers: &[c_int]) -> Vec<u8> {
        let length = HEADER + size_of_val(numbers);
        let mut bytes = length.to_ne_bytes().to_vec();
        bytes.extend(level.to_ne_bytes());
        bytes.extend(kind.to_ne_bytes());
        numbers.iter().for_each(|number| bytes.extend(number.to_ne_bytes()));
        bytes.resize(length.next_multiple_of(size_of::<usize>()), 0);
        bytes
    }

    fn found(control: &[u8]) -> Vec<c_int> {
        let mut numbers = Vec::new();
        descriptors(control, |number| numbers.push(number));
        numbers
    }

    #[test]
    fn all_descriptors_of_all_messages_are_found() {
        let mut control = message(libc::SOL_SOCKET, libc::SCM_CREDENTIALS, &[1, 2, 3]);
        control.extend(message(libc::SOL_SOCKET, libc::SCM_RIGHTS, &[7, 8, 9]));
        control.extend(message(libc::SOL_SOCKET, libc::SCM_RIGHTS, &[11]));
        assert_eq!(found(&control), [7, 8, 9, 11]);
    }

    #[test]
    fn the_header_is_laid_out_as_libc_says() {
        assert_eq!(HEADER, size_of::<libc::cmsghdr>());
    }

    #[test]
    fn malformed_control_data_is_harmless() {
        let good = message(libc::SOL_SOCKET, libc::SCM_RIGHTS, &[7, 8]);
        for cut in 0..good.len() {
            assert!(found(&good[..cut]).len() <= 2);
        }
        for length in [0, 1, HEADER - 1, usize::MAX, usize::MAX - 7, 1 << 40] {
            let mut bad = good.clone();
            bad[..size_of::<usize>()].copy_from_slice(&length.to_ne_bytes());
            assert!(found(&bad).is_empty(), "length {length}");
        }
    }
}
