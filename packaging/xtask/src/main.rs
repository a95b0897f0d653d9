//! Development tasks of nexcage, run as `cargo xtask TASK`.
//!
//! One file a task; this one only reads the command line and hands over.
#![forbid(unsafe_code)]

mod bench;
mod ci;
mod examples;
mod fuzz;
mod header;
mod host;
mod process;
mod tidy;
mod vm;

use std::io::Write;
use std::process::ExitCode;

use clap::Parser;

/// Development tasks of nexcage.
#[derive(Parser)]
#[command(name = "cargo xtask", bin_name = "cargo xtask")]
enum Task {
    Bench(bench::Args),
    Ci(ci::Args),
    Examples(examples::Args),
    Fuzz(fuzz::Args),
    Header(header::Args),
    Host(host::Args),
    Tidy(tidy::Args),
    Vm(vm::Args),
}

fn main() -> ExitCode {
    let result = match Task::parse() {
        Task::Bench(args) => bench::run(&args),
        Task::Ci(args) => ci::run(&args),
        Task::Examples(args) => examples::run(&args),
        Task::Fuzz(args) => fuzz::run(&args),
        Task::Header(args) => header::run(&args),
        Task::Host(args) => host::run(&args),
        Task::Tidy(args) => tidy::run(&args),
        Task::Vm(args) => vm::run(&args),
    };
    result.unwrap_or_else(|error| {
        // Nobody is left to tell when standard error is closed; the exit code still says it.
        let _ignored = writeln!(std::io::stderr(), "xtask: {error:#}");
        ExitCode::from(vm::BROKEN)
    })
}
