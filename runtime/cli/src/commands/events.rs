//! `events`.

use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Context as _, Result};
use clap::Parser;
use nexcage_runtime::Runtime;
use nexcage_runtime::events::{Waited, wait};
use serde_json::json;

use crate::args::Request;
use crate::{context, report};

/// Show out-of-memory events and statistics of a container, one JSON object a line.
#[derive(Debug, Parser)]
pub(crate) struct Args {
    /// Time between statistics
    #[arg(long, default_value = "5s", value_parser = humantime::parse_duration)]
    interval: Duration,
    /// Show statistics once
    #[arg(long)]
    stats: bool,
    /// The container
    id: String,
}

pub(crate) fn run(request: &Request, args: &Args) -> Result<ExitCode> {
    let failed = || context::failed_request(request, &args.id);
    let runtime = context::runtime(&request.globals)?;
    anyhow::ensure!(!args.interval.is_zero(), "interval must be above 0");
    if args.stats {
        return print_stats(&runtime, &args.id).with_context(failed);
    }
    follow(&runtime, args).with_context(failed)
}

fn print_stats(runtime: &Runtime, id: &str) -> Result<ExitCode> {
    let stats = runtime.stats(id)?;
    Ok(report::print_answer(&format!(
        "{}\n",
        json!({ "type": "stats", "id": id, "data": stats })
    )))
}

fn follow(runtime: &Runtime, args: &Args) -> Result<ExitCode> {
    let mut oom = runtime.watch_oom(&args.id)?;
    let init = runtime.snapshot(&args.id)?.record.init;
    loop {
        print_stats(runtime, &args.id)?;
        let next = std::time::Instant::now() + args.interval;
        loop {
            match wait(&mut oom, init, next)? {
                Waited::Ended => return Ok(ExitCode::SUCCESS),
                Waited::Killed => drop(report::print_answer(&format!(
                    "{}\n",
                    json!({ "type": "oom", "id": args.id })
                ))),
                Waited::Time => break,
            }
        }
    }
}
