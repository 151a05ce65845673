//! Files as another process finds them. What is there may have been put there to harm whoever looks: a link that leads out of a
//! container, a FIFO that never has a writer, a device, a file without end. So no path is followed that leaves the process's root
//! directory, nothing is opened before it is known to be a regular file, and little of it is read.

use std::fs::{File, Metadata};
use std::io::{self, Read};
use std::os::fd::{AsRawFd, OwnedFd};
use std::path::{Component, Path};

use nix::errno::Errno;
use nix::fcntl::{OFlag, OpenHow, ResolveFlag, openat, openat2};
use nix::sys::stat::Mode;
use nix::sys::statfs::{
    CGROUP_SUPER_MAGIC, CGROUP2_SUPER_MAGIC, DEBUGFS_MAGIC, FsType, PROC_SUPER_MAGIC, SYSFS_MAGIC, TRACEFS_MAGIC,
    fstatfs,
};

/// So much of a file is read: a list of preloads and a file of metrics have a few kilobytes.
pub const MOST: u64 = 64 << 10;

/// File systems in which reading a regular file may wait, or do something.
const ALIVE: [FsType; 6] =
    [PROC_SUPER_MAGIC, SYSFS_MAGIC, DEBUGFS_MAGIC, TRACEFS_MAGIC, CGROUP_SUPER_MAGIC, CGROUP2_SUPER_MAGIC];

/// The root directory of a process.
pub struct Root(OwnedFd);

impl Root {
    /// That of process `pid`.
    pub fn of(pid: i32) -> io::Result<Root> {
        let path = format!("/proc/{pid}/root");
        let flags = OFlag::O_PATH | OFlag::O_DIRECTORY | OFlag::O_CLOEXEC;
        Ok(Root(nix::fcntl::open(path.as_str(), flags, Mode::empty())?))
    }

    /// What is said of a file: links are followed as the process would, within its root.
    pub fn metadata(&self, path: &Path) -> io::Result<Metadata> {
        self.find(path)?.metadata()
    }

    /// Opens a regular file.
    pub fn open(&self, path: &Path) -> io::Result<File> {
        regular(self.find(path)?)
    }

    /// The beginning of a regular file, which for what is read here is all of it.
    pub fn read(&self, path: &Path) -> io::Result<Vec<u8>> {
        beginning(self.open(path)?)
    }

    /// A handle that opens nothing yet.
    fn find(&self, path: &Path) -> io::Result<File> {
        let how = OpenHow::new()
            .flags(OFlag::O_PATH | OFlag::O_CLOEXEC)
            .resolve(ResolveFlag::RESOLVE_IN_ROOT | ResolveFlag::RESOLVE_NO_MAGICLINKS);
        match openat2(&self.0, path, how) {
            // Before Linux 5.6, and under a seccomp filter that does not know it.
            Err(Errno::ENOSYS | Errno::EPERM) => self.walk(path),
            found => Ok(found?.into()),
        }
    }

    /// The same where the kernel does not help: a link, wherever it leads, is the end.
    fn walk(&self, path: &Path) -> io::Result<File> {
        let flags = OFlag::O_PATH | OFlag::O_NOFOLLOW | OFlag::O_CLOEXEC;
        let mut at = self.0.try_clone()?;
        for part in path.components() {
            let name = match part {
                Component::Normal(name) => name,
                Component::RootDir | Component::CurDir => continue,
                Component::ParentDir | Component::Prefix(_) => return Err(Errno::ELOOP.into()),
            };
            at = openat(&at, name, flags, Mode::empty())?;
        }
        let found = File::from(at);
        if found.metadata()?.is_symlink() { Err(Errno::ELOOP.into()) } else { Ok(found) }
    }
}

/// Opens a file that may be anything, such as one that another process has mapped or may put there: only a regular one.
pub fn open(path: &Path) -> io::Result<File> {
    regular(nix::fcntl::open(path, OFlag::O_PATH | OFlag::O_CLOEXEC, Mode::empty())?.into())
}

/// The same of a path at whose end a link is none.
pub fn open_no_link(path: &Path) -> io::Result<File> {
    regular(nix::fcntl::open(path, OFlag::O_PATH | OFlag::O_NOFOLLOW | OFlag::O_CLOEXEC, Mode::empty())?.into())
}

/// As much of a file as is read of one.
pub fn beginning(file: File) -> io::Result<Vec<u8>> {
    let mut content = Vec::new();
    // What is alive often has no size, and may have no end.
    let size = file.metadata()?.len();
    file.take(size.min(MOST)).read_to_end(&mut content)?;
    Ok(content)
}

/// Opens what a handle stands for. To open a device can be enough to change something, and to open a FIFO waits.
fn regular(handle: File) -> io::Result<File> {
    let is_regular = handle.metadata()?.is_file();
    if !is_regular || ALIVE.contains(&fstatfs(&handle)?.filesystem_type()) {
        return Err(io::Error::new(io::ErrorKind::InvalidInput, "not a regular file"));
    }
    File::open(format!("/proc/self/fd/{}", handle.as_raw_fd()))
}

#[cfg(test)]
mod tests {
    use std::io::Write;
    use std::os::unix::fs::symlink;
    use std::path::PathBuf;

    use proptest::collection::vec;
    use proptest::prelude::*;
    use proptest::sample::select;

    use super::*;

    #[test]
    fn a_walk_without_the_kernels_help_follows_no_link() {
        let directory = tempfile::tempdir().expect("a directory");
        let root = directory.path();
        std::fs::create_dir(root.join("etc")).expect("a directory");
        std::fs::write(root.join("etc/file"), "content").expect("a file");
        symlink("file", root.join("etc/link")).expect("a link");
        symlink("/etc", root.join("up")).expect("a link");
        let root = Root(File::open(root).expect("the directory").into());
        let read = |path: &str| regular(root.walk(Path::new(path))?).and_then(beginning);
        assert_eq!(read("/etc/file").expect("its content"), b"content");
        assert_eq!(read("etc/./file").expect("its content"), b"content");
        for path in ["/etc/link", "/up/passwd", "/up", "/etc/../etc/file", "/etc/none", "/etc", "/"] {
            assert!(read(path).is_err(), "{path}");
        }
    }

    #[test]
    fn what_is_alive_or_no_file_is_not_opened() {
        for path in
            ["/proc/self/status", "/proc/kmsg", "/sys/kernel/mm/transparent_hugepage/enabled", "/dev/null", "/etc"]
        {
            assert!(open(Path::new(path)).is_err(), "{path}");
        }
        assert!(open_no_link(Path::new("/proc/self/exe")).is_err());
        assert!(open(Path::new("/proc/self/exe")).is_ok());
    }

    /// What a name in a directory may be.
    #[derive(Clone, Debug)]
    enum Entry {
        File(usize),
        Directory,
        Fifo,
        Link(PathBuf),
    }

    /// Paths from a few names: up, down, absolute and not, out of the root and back.
    fn path() -> impl Strategy<Value = PathBuf> {
        vec(select(vec!["a", "b", "c", "..", ".", "/", "OUTSIDE", "proc/self/root/etc"]), 1..7)
            .prop_map(|parts| parts.iter().collect())
    }

    fn entry() -> impl Strategy<Value = Entry> {
        let size = select(vec![0, 1, 10, MOST as usize, MOST as usize + 1, 1 << 20]);
        prop_oneof![size.prop_map(Entry::File), Just(Entry::Directory), Just(Entry::Fifo), path().prop_map(Entry::Link)]
    }

    /// Puts an entry where that is possible, without following anything itself.
    fn put(root: &Path, at: &Path, entry: &Entry) {
        let is_plain = at.components().all(|part| matches!(part, Component::Normal(_)));
        let above: Vec<&Path> = at.ancestors().skip(1).collect();
        let is_real = |part: &&Path| root.join(part).symlink_metadata().is_ok_and(|found| found.is_dir());
        let place = root.join(at);
        if !is_plain || !above.iter().all(is_real) {
            return;
        }
        let _ = match entry {
            // Only where there is nothing yet, not even a link.
            Entry::File(size) => File::create_new(&place).and_then(|mut file| file.write_all(&vec![b'i'; *size])),
            Entry::Directory => std::fs::create_dir(&place),
            Entry::Fifo => nix::unistd::mkfifo(&place, Mode::S_IRWXU).map_err(io::Error::from),
            Entry::Link(to) => symlink(to, &place),
        };
    }

    proptest! {
        #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

        /// Whatever a container has: nothing waits, nothing from outside is read, and of what is inside only the beginning.
        #[test]
        fn no_root_leads_out_of_it(entries in vec((path(), entry()), 0..12), asked in vec(path(), 1..4)) {
            let directory = tempfile::tempdir().expect("a directory");
            let (outside, inside) = (directory.path().join("outside"), directory.path().join("root"));
            std::fs::write(&outside, "outside").and_then(|()| std::fs::create_dir(&inside)).expect("a directory");
            let absolute = |path: &Path| path.iter().map(|part| if part == "OUTSIDE" { outside.as_os_str() } else { part }).collect::<PathBuf>();
            for (at, entry) in &entries {
                let entry = if let Entry::Link(to) = entry { Entry::Link(absolute(to)) } else { entry.clone() };
                // Two levels have what there is to find.
                put(&inside, at, &Entry::Directory);
                put(&inside, &at.join("a"), &entry);
                put(&inside, &Path::new("c").join(at.file_name().unwrap_or_default()), &entry);
            }
            let root = Root(File::open(&inside).expect("the directory").into());
            for path in asked.iter().map(|path| absolute(path)).chain(entries.iter().map(|(at, _)| at.join("a"))) {
                for found in [root.read(&path), root.walk(&path).and_then(regular).and_then(beginning)].into_iter().flatten() {
                    prop_assert!(found.len() as u64 <= MOST && found.iter().all(|&byte| byte == b'i'), "{path:?}");
                }
                if let Ok(metadata) = root.metadata(&path) {
                    prop_assert!(metadata.len() != "outside".len() as u64 || !metadata.is_file(), "{path:?}");
                }
            }
        }
    }
}
