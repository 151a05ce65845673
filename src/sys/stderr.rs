//! Descriptor 2, written to while it is still the file that it was at start.

use super::errno::{errno, keeping_errno};
use super::files::{self, Identity, STDERR};
use super::{filter, signals, uncancelled};

/// Writes `line` to descriptor 2 in one call, if that is still the file `start` and takes it without
/// blocking (a full pipe would stop the host). Raises no SIGPIPE.
pub fn write(start: Identity, line: &[u8]) {
    keeping_errno(|| {
        if files::stderr_identity() != Some(start) {
            return;
        }
        if filter::is_restricted() {
            return write_by_other_calls(line);
        }
        signals::without(libc::SIGPIPE, &mut || {
            uncancelled::is_writable(STDERR) && uncancelled::write(STDERR, line) < 0 && errno() == libc::EPIPE
        });
    });
}

/// The same where nothing is to be called but what every program calls, and so not poll: a regular file takes a line at once,
/// and others are opened anew, so as not to block; where nobody reads from a pipe, or it is a socket, that fails.
fn write_by_other_calls(line: &[u8]) {
    let Some(status) = files::status(STDERR) else { return };
    if status.st_mode & libc::S_IFMT == libc::S_IFREG {
        uncancelled::write(STDERR, line);
        return;
    }
    let file =
        uncancelled::open(libc::AT_FDCWD, c"/proc/self/fd/2", libc::O_WRONLY | libc::O_NONBLOCK | libc::O_NOCTTY);
    if file >= 0 {
        uncancelled::write(file, line);
        uncancelled::close(file);
    }
}
