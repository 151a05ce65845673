//! PURE: which version a glibc is of, found by a few bytes of its file: it can be of any size, and be none.

use object::elf::{EM_AARCH64, EM_X86_64};

use crate::elf::{Elf, Source};

/// glibc's version, by the code of the function that returns its text.
pub fn version(file: &Elf<impl Source>) -> Option<String> {
    /// `2.36`, or `2.36.9000` of a version to be.
    const LONGEST: usize = 16;
    let at = file.symbol("gnu_get_libc_version").ok()??;
    let text = file.string_at(returned(file.architecture.machine, at, file.bytes(at)?)?, LONGEST)?;
    let is_version = text.iter().all(|byte| byte.is_ascii_digit() || *byte == b'.') && text.contains(&b'.');
    is_version.then(|| String::from_utf8_lossy(&text).into_owned())
}

/// The address that a function at `at`, which does nothing else, returns, from its code.
fn returned(machine: u16, at: u64, code: [u8; 16]) -> Option<u64> {
    match machine {
        EM_X86_64 => {
            // endbr64, if it is there; lea rax, [rip + distance].
            let (code, skipped) = code.strip_prefix(b"\xf3\x0f\x1e\xfa").map_or((&code[..], 0), |rest| (rest, 4));
            let distance = i32::from_le_bytes(*code.strip_prefix(b"\x48\x8d\x05")?.first_chunk()?);
            at.checked_add(skipped + 7)?.checked_add_signed(distance.into())
        }
        EM_AARCH64 => {
            // bti c, if it is there; adrp x0, page; add x0, x0, offset.
            let words: [u32; 4] = std::array::from_fn(|word| u32::from_le_bytes(code.as_chunks().0[word]));
            let first = usize::from(words[0] == 0xd503_245f);
            let (page, offset) = (words[first], words[first + 1]);
            let is_known = page & 0x9f00_001f == 0x9000_0000 && offset & 0xffc0_03ff == 0x9100_0000;
            // 21 bits with a sign, of pages.
            let pages = ((page >> 5 & 0x7_ffff) << 2 | page >> 29 & 3) << 11;
            let distance = i64::from(pages as i32 >> 11) * 4096;
            let page = (at.wrapping_add(4 * first as u64) & !4095).checked_add_signed(distance)?;
            is_known.then_some(page)?.checked_add(u64::from(offset >> 10 & 0xfff))
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A function's code, and what is behind it.
    fn code(words: &[u8]) -> [u8; 16] {
        let mut code = [0x90; 16];
        code[..words.len()].copy_from_slice(words);
        code
    }

    #[test]
    fn what_a_function_returns_is_read_from_its_code() {
        let lea = b"\x48\x8d\x05\x33\x14\x17\x00\xc3";
        assert_eq!(returned(EM_X86_64, 0x27400, code(lea)), Some(0x19883a));
        let checked = [b"\xf3\x0f\x1e\xfa".as_slice(), lea].concat();
        assert_eq!(returned(EM_X86_64, 0x27400, code(&checked)), Some(0x19883e));
        let back = code(b"\x48\x8d\x05\xf9\xff\xff\xff\xc3");
        assert_eq!(returned(EM_X86_64, 0x27400, back), Some(0x27400));
        assert_eq!(returned(EM_X86_64, 1, code(b"\x48\x8d\x05\x00\x00\x00\x80")), None);
        assert_eq!(returned(EM_X86_64, u64::MAX, code(lea)), None);
        // adrp x0, 0x14a000 - 0x28000 pages on; add x0, x0, #0x6e8.
        let words = |words: &[u32]| code(&words.iter().flat_map(|word| word.to_le_bytes()).collect::<Vec<_>>());
        let adrp = |pages: i32| 0x9000_0000 | (pages as u32 & 3) << 29 | (pages as u32 >> 2 & 0x7_ffff) << 5;
        let add = 0x9100_0000 | 0x6e8 << 10;
        assert_eq!(returned(EM_AARCH64, 0x28014, words(&[adrp(0x122), add])), Some(0x14a6e8));
        assert_eq!(returned(EM_AARCH64, 0x28014, words(&[0xd503_245f, adrp(-3), add])), Some(0x256e8));
        assert_eq!(returned(EM_AARCH64, 0x28014, words(&[add, adrp(1)])), None);
        assert_eq!(returned(0, 0x27400, code(lea)), None);
    }
}
