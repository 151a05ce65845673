//! PURE: what tells of memory pressure, in text. systemd's protocol (<https://systemd.io/PRESSURE>), the kernel's PSI files
//! (Documentation/accounting/psi.rst) and `/proc/PID/cgroup` (cgroups(7)).

use crate::pure::text::{Text, number};

/// An absolute path. A container's cgroup can have a long one.
pub type Path = Text<320>;
/// What is written to a path right after it was opened.
pub type Payload = Text<128>;

/// `AUTOTRIM_PRESSURE`. There is one value, and nothing to allocate a box with.
#[derive(Clone, Copy)]
#[allow(clippy::large_enum_variant)]
pub enum Setting {
    /// Nothing is watched.
    Off,
    /// What the service manager says, else the best that the kernel has.
    Auto,
    /// This path.
    At(Path),
}

/// `MEMORY_PRESSURE_WATCH`. As above.
#[derive(Clone, Copy)]
#[allow(clippy::large_enum_variant)]
pub enum Watch {
    /// The service manager says nothing.
    Unset,
    /// It says that nothing is to be watched.
    Off,
    /// It says what cannot be followed.
    Broken,
    /// This path.
    At(Path),
}

/// What the kernel is asked to tell: 200 ms in which some task stalled, within 2 s, as systemd asks by default. Shorter
/// windows are for the privileged. The kernel's parser wants the zero byte at the end.
pub const DEFAULT_PAYLOAD: &[u8] = b"some 200000 2000000\0";

/// The path, if it is absolute and normalised (no empty, `.` or `..` component) and not too long.
pub fn path(value: &[u8]) -> Option<Path> {
    // At least 1: a window of nothing would panic, for all that the compiler sees.
    let has = |part: &[u8]| value.windows(part.len().max(1)).any(|window| window == part);
    let ends_in = |end: &[u8]| value.ends_with(end);
    let strange = [&b"//"[..], b"/./", b"/../", b"\0"].into_iter().any(has);
    let unfinished = [&b"/"[..], b"/.", b"/.."].into_iter().any(ends_in);
    (value.starts_with(b"/") && value.len() < 300 && !strange && !unfinished).then(|| *Path::new().bytes(value))
}

impl Setting {
    /// Parses `AUTOTRIM_PRESSURE`.
    pub fn parse(value: &[u8]) -> Option<Setting> {
        Some(match value {
            b"off" => Setting::Off,
            b"auto" => Setting::Auto,
            _ => Setting::At(path(value)?),
        })
    }
}

impl Watch {
    /// Parses `MEMORY_PRESSURE_WATCH`.
    pub fn parse(value: &[u8]) -> Watch {
        match value {
            b"" | b"/dev/null" => Watch::Off,
            _ => path(value).map_or(Watch::Broken, Watch::At),
        }
    }
}

/// Decodes `MEMORY_PRESSURE_WRITE` (RFC 4648, Base64); `None` where it is no such text, or longer than any trigger.
pub fn payload(value: &[u8]) -> Option<Payload> {
    let text = value.strip_suffix(b"==").or(value.strip_suffix(b"=")).unwrap_or(value);
    if !value.len().is_multiple_of(4) || text.len() / 4 * 3 > 120 {
        return None;
    }
    let mut decoded = Payload::new();
    let (mut bits, mut count) = (0u32, 0u32);
    for &byte in text {
        let digit = match byte {
            b'A'..=b'Z' => byte - b'A',
            b'a'..=b'z' => byte - b'a' + 26,
            b'0'..=b'9' => byte - b'0' + 52,
            b'+' => 62,
            b'/' => 63,
            _ => return None,
        };
        bits = bits << 6 | u32::from(digit);
        count += 6;
        if count >= 8 {
            count -= 8;
            decoded.byte((bits >> count) as u8);
        }
    }
    Some(decoded)
}

/// This process's cgroup in the unified hierarchy, from `/proc/self/cgroup`: the line that starts with `0::`.
pub fn own_cgroup(text: &[u8]) -> Option<&[u8]> {
    let line = text.split(|&byte| byte == b'\n').find_map(|line| line.strip_prefix(b"0::"))?;
    Some(line.strip_suffix(b"/").unwrap_or(line))
}

/// Microseconds in which some task has stalled so far, from a PSI file, which starts with `some avg10=0.00 … total=123`.
pub fn some_total(text: &[u8]) -> Option<u64> {
    let line = text.strip_prefix(b"some ")?.split(|&byte| byte == b'\n').next()?;
    number(line.rsplit(|&byte| byte == b'=').next()?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_payload_of_systemds_own_test_is_decoded() {
        assert_eq!(payload(b"aGVsbG8K").expect("Base64").as_bytes(), b"hello\n");
    }

    /// What `MemoryPressureWatch=` sets: a trigger with its zero byte.
    #[test]
    fn a_trigger_keeps_its_zero_byte() {
        assert_eq!(payload(b"c29tZSAyMDAwMDAgMjAwMDAwMAA=").expect("Base64").as_bytes(), DEFAULT_PAYLOAD);
        assert_eq!(payload(b"AAECA/8=").expect("Base64").as_bytes(), [0, 1, 2, 3, 255]);
        assert_eq!(payload(b"").expect("nothing").as_bytes(), b"");
    }

    #[test]
    fn what_is_no_base64_is_refused() {
        for value in [&b"a"[..], b"aGVsbG8", b"aGVs bG8", b"aGVs\nbG8", b"====", b"aGVsb===", b"aGVs-_8K", &[b'A'; 400]]
        {
            assert!(payload(value).is_none(), "{value:?}");
        }
    }

    #[test]
    fn a_path_must_be_absolute_and_normalised() {
        for good in ["/a", "/sys/fs/cgroup/a.slice/b.service/memory.pressure", "/..a/b.", "/proc/pressure/memory"] {
            assert_eq!(path(good.as_bytes()).expect("a path").as_bytes(), good.as_bytes());
        }
        for bad in ["", "a", "./a", "/", "//a", "/a//b", "/a/", "/a/./b", "/a/../b", "/..", "/a\0b"] {
            assert!(path(bad.as_bytes()).is_none(), "{bad}");
        }
        assert!(path(&[b"/".as_slice(), &[b'a'; 400]].concat()).is_none());
    }

    #[test]
    fn the_service_manager_can_say_no() {
        assert!(matches!(Watch::parse(b""), Watch::Off));
        assert!(matches!(Watch::parse(b"/dev/null"), Watch::Off));
        assert!(matches!(Watch::parse(b"run/fifo"), Watch::Broken));
        assert!(matches!(Watch::parse(b"/run/fifo"), Watch::At(_)));
    }

    #[test]
    fn the_own_cgroup_is_the_unified_one() {
        assert_eq!(own_cgroup(b"0::/user.slice/a.scope\n"), Some(&b"/user.slice/a.scope"[..]));
        assert_eq!(own_cgroup(b"9:name=systemd:/\n4:memory:/a\n0::/\n"), Some(&b""[..]));
        assert_eq!(own_cgroup(b"4:memory:/a\n"), None);
    }

    #[test]
    fn the_total_is_that_of_some() {
        let text =
            b"some avg10=0.00 avg60=1.22 avg300=0.30 total=68245\nfull avg10=0.00 avg60=0.00 avg300=0.00 total=9\n";
        assert_eq!(some_total(text), Some(68245));
        for strange in [&b""[..], b"full total=9\n", b"some avg10=0.00\n", b"some total=x\n", b"some total=\n"] {
            assert_eq!(some_total(strange), None);
        }
    }
}
