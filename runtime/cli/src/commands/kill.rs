//! `kill`.

use std::process::ExitCode;

use anyhow::{Context as _, Result};
use clap::Parser;
use nexcage_backend::Target;
use nexcage_sys::signals::Signal;

use crate::args::Request;
use crate::context;

/// Send a signal to the init process of a container.
#[derive(Debug, Parser)]
pub(crate) struct Args {
    /// Send it to every process of the container
    #[arg(long, short)]
    all: bool,
    /// The container
    id: String,
    /// Name, with or without SIG, or number
    #[arg(default_value = "SIGTERM")]
    signal: String,
}

pub(crate) fn run(request: &Request, args: &Args) -> Result<ExitCode> {
    let failed = || context::failed_request(request, &args.id);
    let signal: Signal = args.signal.parse().with_context(failed)?;
    let target = if args.all { Target::All } else { Target::Init };
    context::runtime(&request.globals)?
        .kill(&args.id, signal, target)
        .with_context(failed)?;
    Ok(ExitCode::SUCCESS)
}
