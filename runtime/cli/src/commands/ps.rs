//! `ps`.

use std::ffi::OsString;
use std::process::ExitCode;

use anyhow::{Context as _, Result, bail};
use clap::Parser;
use nexcage_sys::command;

use crate::args::Request;
use crate::{context, report};

/// Show the processes of a container.
#[derive(Debug, Parser)]
pub(crate) struct Args {
    /// table or json
    #[arg(long, short, default_value = "table", value_parser = ["table", "json"])]
    format: String,
    /// The container
    id: String,
    /// Options for the ps program [default: -ef]
    #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
    options: Vec<OsString>,
}

pub(crate) fn run(request: &Request, args: &Args) -> Result<ExitCode> {
    let failed = || context::failed_request(request, &args.id);
    let pids = context::runtime(&request.globals)?
        .processes(&args.id)
        .with_context(failed)?;
    if args.format == "json" {
        return Ok(report::print_answer(&format!("{}\n", serde_json::to_string(&pids)?)));
    }
    let options = if args.options.is_empty() {
        vec![OsString::from("-ef")]
    } else {
        args.options.clone()
    };
    let table = command::output("ps", &options).with_context(failed)?;
    Ok(report::print_answer(&select(&table, &pids).with_context(failed)?))
}

/// The heading and the lines of the processes.
fn select(table: &str, pids: &[i32]) -> Result<String> {
    let mut lines = table.lines();
    let heading = lines.next().unwrap_or_default();
    let Some(column) = heading.split_whitespace().position(|name| name == "PID") else {
        bail!("ps shows no PID column: use options with which it does");
    };
    let mut out = format!("{heading}\n");
    for line in lines {
        let pid = line.split_whitespace().nth(column).and_then(|field| field.parse().ok());
        if pid.is_some_and(|pid: i32| pids.contains(&pid)) {
            out.push_str(line);
            out.push('\n');
        }
    }
    Ok(out)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_chosen_by_the_pid_column() {
        let table = "UID PID CMD\nroot 7 a\nroot 17 b\n";
        assert_eq!(select(table, &[7]).unwrap(), "UID PID CMD\nroot 7 a\n");
        assert!(select("UID CMD\n", &[7]).is_err());
    }
}
