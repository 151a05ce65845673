//! Another process's memory, read as any observer can (process_vm_readv(2)): the process notices nothing.

use std::io::IoSliceMut;

use nix::errno::Errno;
use nix::sys::uio::{RemoteIoVec, process_vm_readv};
use nix::unistd::Pid;

use crate::elf::Source;

/// What is mapped at an address of a process.
pub struct Image {
    /// The process.
    pub pid: i32,
    /// The address.
    pub base: u64,
}

impl Source for Image {
    fn read_some(&self, at: u64, bytes: &mut [u8]) -> Result<usize, Errno> {
        read_part(self.pid, self.base.wrapping_add(at), bytes)
    }

    fn base(&self) -> Option<u64> {
        Some(self.base)
    }
}

/// Fills `bytes` from `address` on in process `pid`.
pub fn read_into(pid: i32, address: u64, bytes: &mut [u8]) -> Result<(), Errno> {
    let length = bytes.len();
    if read_part(pid, address, bytes)? == length { Ok(()) } else { Err(Errno::EFAULT) }
}

/// The same as far as there is memory; returns how far.
fn read_part(pid: i32, address: u64, bytes: &mut [u8]) -> Result<usize, Errno> {
    let remote = RemoteIoVec { base: address as usize, len: bytes.len() };
    process_vm_readv(Pid::from_raw(pid), &mut [IoSliceMut::new(bytes)], &[remote])
}

/// `length` bytes from `address` on in process `pid`.
pub fn read(pid: i32, address: u64, length: usize) -> Result<Vec<u8>, Errno> {
    let mut bytes = vec![0; length];
    read_into(pid, address, &mut bytes)?;
    Ok(bytes)
}

/// A number of the machine's own byte order at `address`.
pub fn read_u64(pid: i32, address: u64) -> Result<u64, Errno> {
    let mut bytes = [0; 8];
    read_into(pid, address, &mut bytes)?;
    Ok(u64::from_ne_bytes(bytes))
}

/// The C string at `address`, up to `longest` bytes of it.
pub fn read_string(pid: i32, address: u64, longest: usize) -> Result<Vec<u8>, Errno> {
    /// A divisor of the page size: what follows the string's own page need not be mapped.
    const STEP: u64 = 64;
    let (mut string, mut at) = (Vec::new(), address);
    while string.len() < longest {
        let part = read(pid, at, (STEP - at % STEP) as usize)?;
        let end = part.iter().position(|&byte| byte == 0);
        string.extend(&part[..end.unwrap_or(part.len())]);
        if end.is_some() {
            break;
        }
        at = at.saturating_add(part.len() as u64);
    }
    string.truncate(longest);
    Ok(string)
}
