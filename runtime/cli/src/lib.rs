//! The command line of `nexcage`: arguments in, a command run, one report of a failure, an exit code out.
//!
//! Owns every text a client reads: flags, help, tables, JSON and error lines. It knows no kernel call and no backend.
#![forbid(unsafe_code)]

pub mod args;
pub mod commands;
mod context;
pub mod output;
pub mod report;
pub mod root;
pub mod version;

use std::ffi::OsString;
use std::process::ExitCode;

use args::{Globals, Parsed};

/// Parses the program's arguments, runs the command and turns the outcome into an exit code.
///
/// Returns what the command returned, or the code of the reported failure.
#[must_use]
pub fn main() -> ExitCode {
    let argv: Vec<_> = std::env::args_os().collect();
    if argv
        .get(1)
        .is_some_and(|first| first == nexcage_backend_libcontainer::RELAY_ARG)
    {
        let rest: Vec<_> = argv.iter().skip(2).map(|a| a.to_string_lossy().into_owned()).collect();
        return ExitCode::from(nexcage_backend_libcontainer::run_relay(&rest));
    }
    let (globals, parsed) = args::parse(std::env::args_os().skip(1));
    report::report_panics(&globals);
    let parsed = match parsed {
        Ok(parsed) => parsed,
        Err(usage) => return report::usage(&globals, &usage),
    };
    let cli = match parsed {
        Parsed::Run(cli) => *cli,
        Parsed::Print(text) => return report::text(&globals, &text),
        Parsed::Help => {
            let plugins = commands::extension::help_section(&globals);
            return report::text(&globals, &(args::program_help() + &plugins));
        }
        Parsed::Complete(words) => return report::text(&globals, &commands::complete::lines(&words)),
        Parsed::Extension { name, args } => return extension(&globals, &name, args.as_deref()),
    };
    if globals.debug
        && let Err(error) = report::debug::enable(&globals)
    {
        return report::failure(&globals, cli.command.name(), &error);
    }
    let name = cli.command.name();
    commands::run(cli).unwrap_or_else(|error| report::failure(&globals, name, &error))
}

fn extension(globals: &Globals, name: &str, args: Option<&[OsString]>) -> ExitCode {
    let run = match args {
        Some(args) => commands::extension::run(globals, name, args),
        None => commands::extension::help_of(globals, name),
    };
    match run {
        Ok(Some(code)) => code,
        Ok(None) => report::usage(globals, &args::unknown_command(name)),
        Err(error) => report::failure(globals, name, &error),
    }
}
