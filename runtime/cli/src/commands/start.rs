//! `start`.

use std::process::ExitCode;

use anyhow::{Context as _, Result};
use clap::Parser;

use crate::args::Request;
use crate::context;

/// Run the program of a created container.
#[derive(Debug, Parser)]
pub(crate) struct Args {
    /// The container
    id: String,
}

pub(crate) fn run(request: &Request, args: &Args) -> Result<ExitCode> {
    let runtime = context::runtime(&request.globals)?;
    runtime
        .start(&args.id)
        .with_context(|| context::failed_request(request, &args.id))?;
    Ok(ExitCode::SUCCESS)
}
