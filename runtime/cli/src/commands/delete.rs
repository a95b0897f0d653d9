//! `delete`.

use std::process::ExitCode;

use anyhow::Result;
use nexcage_runtime::DeleteOptions;

use crate::args::{DeleteArgs, Globals};
use crate::context;

pub(crate) fn run(globals: &Globals, args: &DeleteArgs) -> Result<ExitCode> {
    let options = DeleteOptions { force: args.force };
    let runtime = context::runtime(globals)?;
    runtime.delete(&args.id, options)?;
    Ok(ExitCode::SUCCESS)
}
