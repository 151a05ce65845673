//! How many CPUs may run this process at once: its affinity, and the quota of its cgroup and of those above it.
//!
//! From files alone, for the constructor: a program under a filter of system calls opens and reads files when it is loaded, but
//! need not ask for its affinity.

use core::ffi::CStr;

use super::{files, filter};
use crate::pure::text::{Text, number};

/// `None` where it cannot be known.
pub fn available() -> Option<u32> {
    // 8,192 CPUs, the most that a kernel is built for, are 2.3 KB of it.
    let mut buffer = [0u8; 4096];
    let allowed = allowed(files::read_at_once(c"/proc/self/status", &mut buffer)?)?;
    let quota = files::read_at_once(c"/proc/self/cgroup", &mut buffer).and_then(quota);
    Some(quota.map_or(allowed, |quota| allowed.min(quota)))
}

/// What `/proc/self/status` says.
pub fn allowed(status: &[u8]) -> Option<u32> {
    let digits = filter::field(status, b"Cpus_allowed:")?;
    let ones = |byte: &u8| char::from(*byte).to_digit(16).map_or(0, u32::count_ones);
    Some(digits.iter().map(ones).sum()).filter(|&cpus| cpus > 0)
}

/// Where a cgroup's quota stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Version {
    V1,
    V2,
}

/// The cgroup whose quota counts, from `/proc/self/cgroup` (cgroups(7)): version 1's where that has the controller.
fn own_cgroup(text: &[u8]) -> Option<(Version, &[u8])> {
    let cgroup = |version, is_it: &dyn Fn(&[u8]) -> bool| {
        text.split(|&byte| byte == b'\n').find_map(|line| {
            let mut fields = line.splitn(3, |&byte| byte == b':').skip(1);
            let (controllers, path) = (fields.next()?, fields.next()?);
            is_it(controllers).then_some((version, path))
        })
    };
    cgroup(Version::V1, &|controllers| controllers.split(|&byte| byte == b',').any(|name| name == b"cpu"))
        .or_else(|| cgroup(Version::V2, &|controllers| controllers.is_empty()))
}

/// The least quota on the way up. In a container without a cgroup namespace the path is that of the host, and what is mounted as
/// the root is the container's own: files that do not exist say nothing.
fn quota(text: &[u8]) -> Option<u32> {
    let (version, mut path) = own_cgroup(text)?;
    path = path.strip_suffix(b"/").unwrap_or(path);
    let mut least = None;
    loop {
        if let Some(cpus) = quota_of(version, path) {
            least = Some(least.map_or(cpus, |least: u32| least.min(cpus)));
        }
        let Some(end) = path.iter().rposition(|&byte| byte == b'/') else { return least };
        path = path.get(..end)?;
    }
}

fn quota_of(version: Version, path: &[u8]) -> Option<u32> {
    let (mut first, mut second) = ([0u8; 64], [0u8; 64]);
    match version {
        Version::V2 => cpus_v2(read("/sys/fs/cgroup", path, "/cpu.max", &mut first)?),
        Version::V1 => cpus(
            number(read("/sys/fs/cgroup/cpu", path, "/cpu.cfs_quota_us", &mut first)?.trim_ascii())?,
            number(read("/sys/fs/cgroup/cpu", path, "/cpu.cfs_period_us", &mut second)?.trim_ascii())?,
        ),
    }
}

fn read<'a>(root: &str, path: &[u8], name: &str, buffer: &'a mut [u8]) -> Option<&'a [u8]> {
    let mut file = Text::<512>::new();
    file.text(root).bytes(path).text(name).byte(0);
    files::read_at_once(CStr::from_bytes_with_nul(file.as_bytes()).ok()?, buffer)
}

/// `max 100000`, or microseconds in each period.
fn cpus_v2(text: &[u8]) -> Option<u32> {
    let mut numbers = text.trim_ascii().split(|&byte| byte == b' ').map(number);
    cpus(numbers.next()??, numbers.next()??)
}

/// As many as a quota of 1.5 lets run: 2.
fn cpus(quota: u64, period: u64) -> Option<u32> {
    u32::try_from(quota.checked_add(period.checked_sub(1)?)?.checked_div(period)?).ok().filter(|&cpus| cpus > 0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_affinity_is_counted() {
        assert_eq!(allowed(b"Name:\tx\nCpus_allowed:\t3\nCpus_allowed_list:\t0-1\n"), Some(2));
        assert_eq!(allowed(b"Cpus_allowed:\tff,ffffffff,00000001\n"), Some(41));
        assert_eq!(allowed(b"Cpus_allowed:\t0\n"), None);
        assert_eq!(allowed(b"Name:\tx\n"), None);
    }

    #[test]
    fn the_cgroup_is_that_of_the_cpu_controller() {
        let hybrid = b"4:memory:/a\n2:cpuacct,cpu:/b/c\n1:cpuset:/d\n0::/e\n";
        assert_eq!(own_cgroup(hybrid), Some((Version::V1, &b"/b/c"[..])));
        assert_eq!(
            own_cgroup(b"0::/system.slice/a:b.service\n"),
            Some((Version::V2, &b"/system.slice/a:b.service"[..]))
        );
        assert_eq!(own_cgroup(b"1:cpuset:/d\n"), None);
    }

    #[test]
    fn a_quota_is_rounded_up() {
        assert_eq!(cpus_v2(b"max 100000\n"), None);
        assert_eq!(cpus_v2(b"100000 100000\n"), Some(1));
        assert_eq!(cpus_v2(b"150000 100000\n"), Some(2));
        assert_eq!(cpus_v2(b"5000 100000\n"), Some(1));
        for strange in [&b""[..], b"1", b"1 0", b"0 100000", b"18446744073709551615 2"] {
            assert_eq!(cpus_v2(strange), None, "{strange:?}");
        }
    }

    #[test]
    fn this_machine_lets_some_run() {
        let cpus = available().expect("a number") as usize;
        assert!((1..=std::thread::available_parallelism().expect("a number").get()).contains(&cpus), "{cpus}");
    }
}
