//! `list`.

use std::process::ExitCode;

use anyhow::Result;

use super::state::{passwd, shown};
use crate::args::{Format, Globals, ListArgs};
use crate::output::{self, list};
use crate::{context, report};

pub(crate) fn run(globals: &Globals, args: &ListArgs) -> Result<ExitCode> {
    let (containers, unreadable) = context::runtime(globals)?.list()?;
    for error in unreadable {
        report::warning(&nexcage_runtime::chain(&error));
    }
    let passwd = passwd();
    let rows: Vec<_> = containers
        .into_iter()
        .map(|container| shown(container, &passwd))
        .collect();
    let text = match (args.quiet, args.format) {
        (true, _) => list::ids(&rows),
        (false, Format::Json) => list::json(&rows)?,
        (false, Format::Table) => list::table(&rows),
    };
    output::print(&text)?;
    Ok(ExitCode::SUCCESS)
}
