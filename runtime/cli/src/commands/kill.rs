//! `kill`.

use std::process::ExitCode;

use anyhow::{Context as _, Result};
use nexcage_backend::Target;
use nexcage_sys::signals::Signal;

use crate::args::{Globals, KillArgs};
use crate::context;

pub(crate) fn run(globals: &Globals, args: &KillArgs) -> Result<ExitCode> {
    let number = args.signal.0;
    let signal = Signal::from_raw(number).with_context(|| format!("no signal has the number {number}"))?;
    let target = if args.all { Target::All } else { Target::Init };
    context::runtime(globals)?.kill(&args.id, signal, target)?;
    Ok(ExitCode::SUCCESS)
}
