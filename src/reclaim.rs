//! What is done for it: [`trim`] is the one place that releases memory, measured before and after; [`python`] has CPython do its part
//! first, which is to collect [`garbage`], if asked to, and to have its free [`pools`] released; [`node`] has Node collect its own, [`ruby`] Ruby, [`java`] Java, and
//! [`runtimes`] knows which of them a process has; [`live`] asks what is in use after a trim, and [`duty`] has malloc set up for all that where a process serves, and only there. [`huge_pages`]
//! sees to it that what was given back stays away.

pub mod duty;
pub mod garbage;
pub mod huge_pages;
pub mod java;
pub mod live;
pub mod node;
pub mod pools;
pub mod python;
pub mod ruby;
pub mod runtimes;
pub mod state;
pub mod trim;
