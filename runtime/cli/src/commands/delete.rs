//! `delete`.

use std::process::ExitCode;

use anyhow::{Context as _, Result};
use clap::Parser;
use nexcage_runtime::DeleteOptions;

use crate::args::Request;
use crate::context;

/// Delete a container that has stopped.
#[derive(Debug, Parser)]
pub(crate) struct Args {
    /// Kill a running container first; an unknown one is fine
    #[arg(long, short)]
    force: bool,
    /// The container
    id: String,
}

pub(crate) fn run(request: &Request, args: &Args) -> Result<ExitCode> {
    let options = DeleteOptions { force: args.force };
    let runtime = context::runtime(&request.globals)?;
    runtime
        .delete(&args.id, options)
        .with_context(|| context::failed_request(request, &args.id))?;
    Ok(ExitCode::SUCCESS)
}
