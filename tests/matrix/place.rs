//! Where a server under test lives: its own directory, free ports, the files it serves, a certificate.

use super::common::free_port;
use super::common::opened::{Opened, open_directory};
use std::fs::File;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};
use tempfile::TempDir;

/// What a server speaks on its port.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    /// HTTP/1.x without TLS, or the server's own protocol.
    Plain,
    /// TLS in the process, with `Place::certificate` and `Place::key`.
    Tls,
    /// HTTP/2 without TLS, by prior knowledge.
    Http2,
}

/// The bytes of /stream and /file.
pub const BIG: usize = 5 << 20;

/// What all starts of a server share: the answers of two runs can be equal only if the files are. Servers that change their
/// user read all of it, too.
pub struct Site {
    directory: TempDir,
    opened: Opened,
}

impl Site {
    /// `small` ("hello\n") and `file` (5 MiB), a certificate for localhost and its key, the library and tests/servers.
    pub fn new() -> Self {
        let directory = open_directory();
        let write = |name: &str, bytes: &[u8]| {
            let path = directory.path().join(name);
            std::fs::write(&path, bytes).expect("a file of the site");
            // Servers make ETag and Last-Modified of it.
            let time = SystemTime::UNIX_EPOCH + Duration::from_secs(1_700_000_000);
            File::options().write(true).open(&path).and_then(|file| file.set_modified(time)).expect("a file's time");
        };
        let big: Vec<u8> = (0..BIG).map(|at| (at % 251) as u8).collect();
        write("small", b"hello\n");
        write("file", &big);
        let made = rcgen::generate_simple_self_signed(["localhost".to_owned()]).expect("a certificate");
        write("certificate.pem", made.cert.pem().as_bytes());
        write("key.pem", made.signing_key.serialize_pem().as_bytes());
        write("certificate.der", made.cert.der());
        let opened = Opened::within(directory.path());
        Self { directory, opened }
    }

    pub fn path(&self) -> &Path {
        self.directory.path()
    }

    /// The library under test, where every user may read it.
    pub fn library(&self) -> PathBuf {
        self.opened.library.clone()
    }
}

/// What one start of a server has for itself.
pub struct Place {
    directory: TempDir,
    /// The files to serve: `small`, `file`.
    pub site: PathBuf,
    /// tests/servers, where every user may read it.
    pub servers: PathBuf,
    /// Where the clients connect, on 127.0.0.1.
    pub port: u16,
    /// A second port, for a program behind the first.
    pub backend: u16,
    pub mode: Mode,
}

impl Place {
    pub fn new(site: &Site, mode: Mode) -> Self {
        Self {
            directory: open_directory(),
            site: site.path().to_owned(),
            servers: site.opened.servers.clone(),
            port: free_port(),
            backend: free_port(),
            mode,
        }
    }

    /// The server's own directory, empty at each start, and its working directory.
    pub fn directory(&self) -> &Path {
        self.directory.path()
    }

    /// A path in the server's own directory.
    pub fn path(&self, name: &str) -> PathBuf {
        self.directory().join(name)
    }

    /// Writes a configuration file into the server's own directory; its path.
    pub fn write(&self, name: &str, text: impl AsRef<[u8]>) -> PathBuf {
        let path = self.path(name);
        std::fs::write(&path, text).expect("a file for the server");
        path
    }

    /// The certificate for localhost, PEM.
    pub fn certificate(&self) -> PathBuf {
        self.site.join("certificate.pem")
    }

    /// Its key, PEM.
    pub fn key(&self) -> PathBuf {
        self.site.join("key.pem")
    }

    pub fn is_tls(&self) -> bool {
        self.mode == Mode::Tls
    }
}
