//! `events`.

use std::process::ExitCode;
use std::time::Instant;

use anyhow::Result;
use nexcage_cgroups::OomEvent;
use nexcage_runtime::Runtime;

use crate::args::{EventsArgs, Globals};
use crate::context;
use crate::output;

pub(crate) fn run(globals: &Globals, args: &EventsArgs) -> Result<ExitCode> {
    let runtime = context::runtime(globals)?;
    anyhow::ensure!(!args.interval.is_zero(), "interval must be above 0");
    if args.stats {
        return print_stats(&runtime, &args.id);
    }
    follow(&runtime, args)
}

fn print_stats(runtime: &Runtime, id: &str) -> Result<ExitCode> {
    let stats = runtime.stats(id)?;
    output::print(&output::events::stats(id, &stats)?)?;
    Ok(ExitCode::SUCCESS)
}

/// As runc's, the first statistics come after the first interval.
fn follow(runtime: &Runtime, args: &EventsArgs) -> Result<ExitCode> {
    let mut oom = runtime.watch_oom(&args.id)?;
    loop {
        let next = Instant::now() + args.interval;
        loop {
            match oom.wait(Some(next.saturating_duration_since(Instant::now())))? {
                OomEvent::Gone => return Ok(ExitCode::SUCCESS),
                OomEvent::Oom => output::print(&output::events::oom(&args.id)?)?,
                OomEvent::Timeout => break,
            }
        }
        print_stats(runtime, &args.id)?;
    }
}
