//! This process: what is fixed at start ([`runtime`], and [`in_force`] for who looks from outside), and its page ([`process`]), which holds what the rooms keep of it: counters
//! ([`stats`]), reasons to look ([`hints`]), who watches ([`waits`]), and the structs of the rooms above, of whose work it knows
//! nothing. [`descriptors`] is the table of connections, which a forked child inherits.

pub mod descriptors;
pub mod hints;
pub mod in_force;
pub mod process;
pub mod runtime;
pub mod stats;
pub mod waits;
