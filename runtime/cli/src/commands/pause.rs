//! `pause` and `resume`.

use std::process::ExitCode;

use anyhow::{Context as _, Result};
use clap::Parser;

use crate::args::Request;
use crate::context;

/// Suspend or resume the processes of a container.
#[derive(Debug, Parser)]
pub(crate) struct Args {
    /// The container
    id: String,
}

pub(crate) fn pause(request: &Request, args: &Args) -> Result<ExitCode> {
    context::runtime(&request.globals)?
        .pause(&args.id)
        .with_context(|| context::failed_request(request, &args.id))?;
    Ok(ExitCode::SUCCESS)
}

pub(crate) fn resume(request: &Request, args: &Args) -> Result<ExitCode> {
    context::runtime(&request.globals)?
        .resume(&args.id)
        .with_context(|| context::failed_request(request, &args.id))?;
    Ok(ExitCode::SUCCESS)
}
