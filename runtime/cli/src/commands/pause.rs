//! `pause` and `resume`.

use std::process::ExitCode;

use anyhow::Result;

use crate::args::{Globals, IdArgs};
use crate::context;

pub(crate) fn pause(globals: &Globals, args: &IdArgs) -> Result<ExitCode> {
    context::runtime(globals)?.pause(&args.id)?;
    Ok(ExitCode::SUCCESS)
}

pub(crate) fn resume(globals: &Globals, args: &IdArgs) -> Result<ExitCode> {
    context::runtime(globals)?.resume(&args.id)?;
    Ok(ExitCode::SUCCESS)
}
