//! A process's share of the memory that it has with others: PSS.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use crate::target::Target;

/// The kernel walks through all of a process's pages for it, and the process may have to wait meanwhile: so that takes no more than this
/// part of the time.
const SHARE_OF_TIME: u32 = 100;

/// What is known of each process, and until when that is believed.
#[derive(Default)]
pub struct Shares(HashMap<i32, (Option<u64>, Instant)>);

impl Shares {
    /// PSS in bytes; nothing where it may not be read.
    pub fn of(&mut self, target: &Target) -> Option<u64> {
        let began = Instant::now();
        if let Some((bytes, until)) = self.0.get(&target.pid)
            && began < *until
        {
            return *bytes;
        }
        let bytes = read(target);
        let took = began.elapsed();
        self.0.insert(target.pid, (bytes, began + took.saturating_mul(SHARE_OF_TIME).min(Duration::from_secs(3600))));
        bytes
    }
}

fn read(target: &Target) -> Option<u64> {
    let rollup = target.process.smaps_rollup().ok()?;
    rollup.memory_map_rollup.into_iter().next()?.extension.map.get("Pss").copied()
}
