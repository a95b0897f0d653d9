//! Development tasks: gates, benchmarks, virtual machine.
#![forbid(unsafe_code)]
fn main() {}
