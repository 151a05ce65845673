//! The server matrix: every case on every server, plain and preloaded, with a client that knows the truth.
//!
//! `Server` describes how one is started, `Case` what its client does and how many requests that is; `run` holds the
//! one against the other and leaves a `Row` for docs/servers.md.
#![allow(dead_code)]

pub mod case;
pub mod http_cases;
pub mod leaving;
pub mod page;
pub mod place;
pub mod protocols;
pub mod python;
pub mod row;
pub mod run;
pub mod running;
pub mod server;
pub mod steady;
pub mod symbols;

use super::common;

#[path = "../common/fixture.rs"]
mod fixture;

#[allow(unused_imports)]
pub use case::{Case, Exactness, Outcome};
#[allow(unused_imports)]
pub use place::{Mode, Place};
#[allow(unused_imports)]
pub use run::run;
#[allow(unused_imports)]
pub use running::Running;
#[allow(unused_imports)]
pub use server::{Ready, Server};
