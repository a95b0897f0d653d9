//! The `nexcage` program: arguments, composition, error report, exit code.
#![forbid(unsafe_code)]

mod args;
mod commands;
mod context;
mod debug_log;
mod report;
mod root;

use std::ffi::OsString;
use std::process::ExitCode;

use crate::args::{Globals, Request};

fn main() -> ExitCode {
    let args: Vec<OsString> = std::env::args_os().collect();
    if args
        .get(1)
        .is_some_and(|a| a == nexcage_backend_libcontainer::RELAY_ARG)
    {
        let rest: Vec<String> = args.iter().skip(2).map(|a| a.to_string_lossy().into_owned()).collect();
        return ExitCode::from(nexcage_backend_libcontainer::run_relay(&rest));
    }
    let request = match args::parse(&args) {
        Ok(request) => request,
        Err(refused) => return refused.print(),
    };
    match run(&request, &args) {
        Ok(code) => code,
        Err(error) => report::failure(&request, &error),
    }
}

fn run(request: &Request, args: &[OsString]) -> anyhow::Result<ExitCode> {
    let Globals { debug, .. } = &request.globals;
    if *debug {
        debug_log::install();
    }
    commands::run(request, args)
}
