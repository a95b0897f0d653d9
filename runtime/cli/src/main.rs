//! The `nexcage` program.
#![forbid(unsafe_code)]

use std::process::ExitCode;

fn main() -> ExitCode {
    nexcage_cli::main()
}
