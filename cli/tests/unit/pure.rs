//! Of the library's own, what these modules use.

#[path = "../../../src/pure/pools.rs"]
pub mod pools;
