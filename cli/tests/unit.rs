//! The unit tests of what is pure in the command, which is a program and has no tests of its own; and records of real programs.
#![allow(dead_code)]

#[path = "unit/pure.rs"]
mod pure;

// Pure but for registers.
#[allow(unused_imports)]
#[path = "../../src/sys/handler/frame.rs"]
mod frame;

#[path = "../src/composition.rs"]
mod composition;
#[path = "../src/debugger.rs"]
mod debugger;
#[path = "../src/elf.rs"]
mod elf;
#[path = "../src/status/gain.rs"]
mod gain;
#[path = "../src/heaps.rs"]
mod heaps;
#[path = "../src/memory.rs"]
mod memory;
#[path = "../src/pages.rs"]
mod pages;
#[path = "../src/smaps.rs"]
mod smaps;
#[path = "../src/texts.rs"]
mod texts;
#[path = "../src/waits.rs"]
mod waits;

#[path = "unit/records.rs"]
mod records;
