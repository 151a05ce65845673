//! Connections that a process has accepted, as the kernel knows them.

use std::collections::{BTreeSet, HashMap};

use procfs::net::{TcpState, UnixState};
use procfs::process::FDTarget;

use crate::target::Target;
use crate::units;

/// Stream sockets of one process.
#[derive(Default)]
pub struct Sockets {
    /// Where it listens: `port 80`, or the path of a Unix socket.
    pub listening: BTreeSet<String>,
    /// Descriptors of connections that came there.
    pub accepted: BTreeSet<i32>,
}

/// What a socket does.
#[derive(PartialEq, Eq)]
enum State {
    Listens,
    IsConnected,
}

impl Sockets {
    /// Of `target`; `None` where its descriptors cannot be read.
    pub fn of(target: &Target) -> Option<Sockets> {
        let descriptors: HashMap<u64, i32> = target
            .process
            .fd()
            .ok()?
            .filter_map(Result::ok)
            .filter_map(|info| match info.target {
                FDTarget::Socket(inode) => Some((inode, info.fd)),
                _ => None,
            })
            .collect();
        let own: Vec<(i32, State, String)> = tcp(target)
            .chain(unix(target))
            .filter_map(|(inode, state, place)| Some((*descriptors.get(&inode)?, state, place)))
            .collect();
        let of = |state: State| own.iter().filter(move |socket| socket.1 == state);
        let listening: BTreeSet<String> = of(State::Listens).map(|(.., place)| place.clone()).collect();
        // What accept returns has the name of its listener.
        let came = of(State::IsConnected).filter(|(.., place)| listening.contains(place));
        let accepted = came.map(|(descriptor, ..)| *descriptor).collect();
        Some(Sockets { listening, accepted })
    }
}

/// Inode, state and local name of each socket in the network namespace of `target`.
fn tcp(target: &Target) -> impl Iterator<Item = (u64, State, String)> {
    let entries = [target.process.tcp(), target.process.tcp6()].into_iter().filter_map(Result::ok).flatten();
    entries.filter_map(|entry| {
        let state = match entry.state {
            TcpState::Listen => State::Listens,
            TcpState::Established => State::IsConnected,
            _ => return None,
        };
        Some((entry.inode, state, format!("port {}", entry.local_address.port())))
    })
}

/// The same of Unix sockets; those without a name were accepted by nobody.
fn unix(target: &Target) -> impl Iterator<Item = (u64, State, String)> {
    let text = target.read("net/unix").unwrap_or_default();
    let sockets = text.split(|&byte| byte == b'\n').skip(1).filter_map(unix_socket);
    sockets.collect::<Vec<_>>().into_iter()
}

/// A line of `/proc/net/unix`. Anybody may have a socket whose name is any bytes, or two lines: it is no reason to see no other.
fn unix_socket(line: &[u8]) -> Option<(u64, State, String)> {
    let line = String::from_utf8_lossy(line);
    let mut words = line.split_ascii_whitespace().skip(4);
    let mut next = || words.next();
    let (kind, state, inode, path) = (next()?, next()?, next()?, next()?);
    let state = match UnixState::from_u8(u8::from_str_radix(state, 16).ok()?)? {
        // One with a name and no peer: it listens, or soon will.
        UnixState::UNCONNECTED => State::Listens,
        UnixState::CONNECTED => State::IsConnected,
        _ => return None,
    };
    let is_stream = i32::from_str_radix(kind, 16).ok()? == libc::SOCK_STREAM;
    Some((inode.parse().ok()?, state, units::printable(path))).filter(|_| is_stream)
}
