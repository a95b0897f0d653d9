//! The `nexcage` program.
#![forbid(unsafe_code)]
fn main() {}
