//! `start`.

use std::process::ExitCode;

use anyhow::Result;

use crate::args::{Globals, IdArgs};
use crate::context;

pub(crate) fn run(globals: &Globals, args: &IdArgs) -> Result<ExitCode> {
    let runtime = context::runtime(globals)?;
    context::start(&runtime, &args.id)?;
    Ok(ExitCode::SUCCESS)
}
