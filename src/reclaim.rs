//! What is done for it: [`trim`] is the one place that releases memory, measured before and after; [`garbage`] has CPython's
//! collected first, if asked to; [`duty`] has malloc set up for all that where a process serves, and only there.

pub mod duty;
pub mod garbage;
pub mod state;
pub mod trim;
