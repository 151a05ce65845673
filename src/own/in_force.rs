//! What is in force in this program, for a reader from outside: the options as they were read, whose malloc it is, which interpreters
//! there are. The environment tells less: programs write over it (setproctitle, PostgreSQL).

use core::sync::atomic::{AtomicU8, AtomicU32, Ordering::Relaxed, Ordering::Release};

use crate::options::Options;
use crate::pure::layout::{Handler, InForce, OPTIONS, State};
use crate::sys::optional::{Optional, optional};

/// Beside the counters ([`super::stats`]), which begin with a process's first connection.
pub static IN_FORCE: InForce = InForce {
    state: AtomicU32::new(State::Unknown as u32),
    handler: AtomicU32::new(Handler::Unasked as u32),
    runtimes: AtomicU32::new(0),
    arenas: AtomicU32::new(0),
    version: [const { AtomicU8::new(0) }; 16],
    allocator: [const { AtomicU8::new(0) }; 48],
    options: [const { AtomicU8::new(0) }; OPTIONS],
};

/// For the constructor: what the environment asks for.
pub fn begin(options: &Options) {
    let &Optional { python, node, ruby, java, java_launcher, .. } = optional();
    // The launcher loads Java itself later.
    let java = if java.is_null() { java_launcher } else { java };
    let bits = [python, node, ruby, java].into_iter().zip(0..).map(|(symbol, bit)| u32::from(!symbol.is_null()) << bit);
    IN_FORCE.runtimes.store(bits.sum(), Relaxed);
    write(&IN_FORCE.version, env!("CARGO_PKG_VERSION").as_bytes());
    write(&IN_FORCE.options, options.record().as_bytes());
}

/// For the constructor: whose malloc it is, or why its memory cannot be released.
pub fn allocator(name: &[u8], arenas: u32) {
    write(&IN_FORCE.allocator, name);
    IN_FORCE.arenas.store(arenas, Relaxed);
}

/// Whether the library acts. What was told before is complete.
pub fn set(state: State) {
    IN_FORCE.state.store(state as u32, Release);
}

/// Whose the signal's handler is.
pub fn handler(whose: Handler) {
    IN_FORCE.handler.store(whose as u32, Relaxed);
}

/// Whether the signal's handler, which was ours, still is.
pub fn handler_is_ours(ours: bool) {
    if IN_FORCE.handler.load(Relaxed) != Handler::Taken as u32 {
        handler(if ours { Handler::Ours } else { Handler::Replaced });
    }
}

/// As much as there is room for; the rest stays zeros.
fn write(place: &[AtomicU8], text: &[u8]) {
    place.iter().zip(text).for_each(|(place, &byte)| place.store(byte, Relaxed));
}
