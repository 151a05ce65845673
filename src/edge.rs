//! What the host calls, and where our own thread begins: THE list of [`hooks`], made by the macro in [`interpose`], each one line over
//! an ordinary function. A connection is [`opened`], bytes are [`received`] and [`sent`], a descriptor is [`closed`], a call is made
//! by its [`numbers`]. The [`calls`] that wait go through [`wait`], those that block in accept or recv through [`blocking`] and [`watching`]. A thread that is [`starting`] plants. Who
//! restricts its own system calls is left alone: [`retire`].

pub mod blocking;
#[allow(unsafe_code)]
pub mod calls;
mod closed;
#[allow(unsafe_code)]
pub mod hooks;
#[allow(unsafe_code)]
mod interpose;
#[allow(unsafe_code)]
mod numbers;
/// See scripts/compare-programs.
#[cfg(all(feature = "often", target_arch = "x86_64"))]
#[allow(unsafe_code)]
mod often;
mod opened;
#[allow(unsafe_code)]
mod received;
mod retire;
#[allow(unsafe_code)]
mod sent;
#[allow(unsafe_code)]
pub mod starting;
pub mod thread;
pub mod wait;
mod watching;
