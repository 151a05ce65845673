//! PURE: functions of their arguments alone. What the outside world promises, without asking it: the states of a
//! [`connection`], what a control message brings ([`ancillary`]), how service managers tell of memory [`pressure`], where the block
//! of counters has its fields ([`layout`]), which [`layers`] gave memory back, what stands in CPython's [`pools`], which file is mapped where ([`mappings`]),
//! which mappings are [`heaps`] of glibc's, which [`programs`] are meant, what malloc tells of its [`usage`], the system's [`errors`]
//! in words, and [`text`] without an allocator.

// By path, because the command includes this file by its path.
#[path = "pure/ancillary.rs"]
pub mod ancillary;
#[path = "pure/connection.rs"]
pub mod connection;
#[path = "pure/errors.rs"]
pub mod errors;
#[path = "pure/heaps.rs"]
pub mod heaps;
#[path = "pure/layers.rs"]
pub mod layers;
#[path = "pure/layout.rs"]
pub mod layout;
#[path = "pure/mappings.rs"]
pub mod mappings;
#[path = "pure/pools.rs"]
pub mod pools;
#[path = "pure/pressure.rs"]
pub mod pressure;
#[path = "pure/programs.rs"]
pub mod programs;
#[path = "pure/text.rs"]
pub mod text;
#[path = "pure/usage.rs"]
pub mod usage;
