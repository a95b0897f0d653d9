//! `ps`.

use std::ffi::OsString;
use std::process::ExitCode;

use anyhow::{Context as _, Result};
use nexcage_sys::command;

use crate::args::{Format, Globals, PsArgs};
use crate::context;
use crate::output::{self, ps};

pub(crate) fn run(globals: &Globals, args: &PsArgs) -> Result<ExitCode> {
    let pids = context::runtime(globals)?.processes(&args.id)?;
    let text = match args.format {
        Format::Json => ps::json(&pids),
        Format::Table => {
            let default = [OsString::from("-ef")];
            let options = if args.ps_options.is_empty() {
                &default
            } else {
                args.ps_options.as_slice()
            };
            ps::table(&command::output("ps", options).context("run the ps program")?, &pids)?
        }
    };
    output::print(&text)?;
    Ok(ExitCode::SUCCESS)
}
