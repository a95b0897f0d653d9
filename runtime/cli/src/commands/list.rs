//! `list`.

use std::io::Write;
use std::process::ExitCode;

use anyhow::Result;
use clap::Parser;
use nexcage_runtime::Snapshot;
use tabwriter::TabWriter;

use super::state::Shown;
use crate::args::Request;
use crate::{context, report};

/// List containers.
#[derive(Debug, Parser)]
pub(crate) struct Args {
    /// table or json
    #[arg(long, short, default_value = "table", value_parser = ["table", "json"])]
    format: String,
    /// Show ids only
    #[arg(long, short)]
    quiet: bool,
}

pub(crate) fn run(request: &Request, args: &Args) -> Result<ExitCode> {
    let (containers, unreadable) = context::runtime(&request.globals)?.list()?;
    for error in unreadable {
        report::print_warning(&nexcage_runtime::chain(&error));
    }
    let text = if args.quiet {
        containers.iter().map(|c| format!("{}\n", c.record.id)).collect()
    } else if args.format == "json" {
        json(containers)?
    } else {
        table(&containers)?
    };
    Ok(report::print_answer(&text))
}

fn json(containers: Vec<Snapshot>) -> Result<String> {
    if containers.is_empty() {
        return Ok("null\n".to_owned());
    }
    let shown: Vec<Shown> = containers.into_iter().map(Shown::from).collect();
    Ok(format!("{}\n", serde_json::to_string(&shown)?))
}

fn table(containers: &[Snapshot]) -> Result<String> {
    let mut out = TabWriter::new(Vec::new()).minwidth(9).padding(3);
    writeln!(out, "ID\tPID\tSTATUS\tBUNDLE\tCREATED\tOWNER")?;
    for container in containers {
        let record = &container.record;
        let (bundle, owner) = (record.bundle.display(), owner_name(record.owner));
        let (id, pid, status) = (&record.id, container.pid(), container.status.as_str());
        writeln!(out, "{id}\t{pid}\t{status}\t{bundle}\t{}\t{owner}", record.created)?;
    }
    Ok(String::from_utf8(
        out.into_inner().map_err(|e| anyhow::anyhow!("{e}"))?,
    )?)
}

/// The user's name in the passwd file; `#UID` without one.
pub(crate) fn owner_name(uid: u32) -> String {
    let passwd = std::fs::read_to_string("/etc/passwd").unwrap_or_default();
    let named = passwd.lines().find_map(|line| {
        let mut fields = line.split(':');
        let name = fields.next()?;
        (fields.nth(1)?.parse() == Ok(uid)).then(|| name.to_owned())
    });
    named.unwrap_or_else(|| format!("#{uid}"))
}
