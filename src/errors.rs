//! PURE: the system's error numbers in words, as strerror(3) has them, which allocates and asks the locale.

use libc::{
    EACCES, EAGAIN, EBADF, EBUSY, EDQUOT, EEXIST, EFBIG, EINTR, EINVAL, EIO, EISDIR, ELOOP, EMFILE, ENAMETOOLONG,
    ENFILE, ENODEV, ENOENT, ENOMEM, ENOSPC, ENOSYS, ENOTDIR, ENXIO, EOPNOTSUPP, EPERM, EROFS, ESTALE, ETXTBSY, EXDEV,
    c_int,
};

/// What an error number means; `None` for those that no file of ours can meet.
pub fn words(error: c_int) -> Option<&'static str> {
    Some(match error {
        EPERM => "Operation not permitted",
        ENOENT => "No such file or directory",
        EINTR => "Interrupted system call",
        EIO => "Input/output error",
        ENXIO => "No such device or address",
        EBADF => "Bad file descriptor",
        EAGAIN => "Resource temporarily unavailable",
        ENOMEM => "Cannot allocate memory",
        EACCES => "Permission denied",
        EBUSY => "Device or resource busy",
        EEXIST => "File exists",
        EXDEV => "Invalid cross-device link",
        ENODEV => "No such device",
        ENOTDIR => "Not a directory",
        EISDIR => "Is a directory",
        EINVAL => "Invalid argument",
        ENFILE => "Too many open files in system",
        EMFILE => "Too many open files",
        ETXTBSY => "Text file busy",
        EFBIG => "File too large",
        ENOSPC => "No space left on device",
        EROFS => "Read-only file system",
        ENAMETOOLONG => "File name too long",
        ENOSYS => "Function not implemented",
        ELOOP => "Too many levels of symbolic links",
        EOPNOTSUPP => "Operation not supported",
        ESTALE => "Stale file handle",
        EDQUOT => "Disk quota exceeded",
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_words_are_those_of_the_system() {
        let mut known = 0;
        for error in 0..200 {
            let Some(words) = words(error) else { continue };
            let system = std::io::Error::from_raw_os_error(error).to_string();
            assert_eq!(format!("{words} (os error {error})"), system);
            known += 1;
        }
        assert_eq!(known, 28);
    }
}
