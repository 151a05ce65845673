//! The unit tests of what reads other processes' files without trusting them, which is pure; the command is a program and has no tests
//! of its own.
#![allow(dead_code)]

#[path = "../src/elf.rs"]
mod elf;
#[path = "../src/program/env.rs"]
mod env;
#[path = "../src/glibc.rs"]
mod glibc;
#[path = "../src/maps.rs"]
mod maps;
#[path = "../src/root.rs"]
mod root;
#[path = "../src/program/script.rs"]
mod script;
#[path = "../src/units.rs"]
mod units;
#[path = "../src/variables.rs"]
mod variables;
