//! The unit tests of what is pure in the command, which is a program and has no tests of its own.
#![allow(dead_code)]

#[path = "../src/heaps.rs"]
mod heaps;
