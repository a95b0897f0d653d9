//! Real clients against OCI runtimes: `nexcage-clients --runtime nexcage=PATH --runtime runc`.
#![forbid(unsafe_code)]

use std::fs::OpenOptions;
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Context, bail};
use clap::{Parser, Subcommand};
use nexcage_conformance::clients::client::{CLIENTS, Client, find_program};
use nexcage_conformance::clients::{Job, Request, Runtime, run_clients, run_stage};
use nexcage_conformance::cri::{Verb, run_verb};

/// Runs podman, buildah, containerd (ctr and CRI) and docker with OCI runtimes, in sandboxes, and compares the results.
///
/// Succeeds if the first runtime passes all that runc passes.
#[derive(Debug, Parser)]
#[command(name = "nexcage-clients")]
struct Args {
    /// Clients to run; all by default
    #[arg(long = "client", value_delimiter = ',', value_name = "NAME")]
    clients: Vec<String>,
    /// Runtimes, the one under test first; $NEXCAGE as nexcage, then runc and crun by default
    #[arg(long = "runtime", value_name = "NAME[=PATH]")]
    runtimes: Vec<String>,
    /// Only cases whose id contains this
    #[arg(long, default_value = "", value_name = "TEXT")]
    filter: String,
    /// Sandboxes at a time
    #[arg(long, default_value_t = 4)]
    jobs: usize,
    /// Print the cases and stop
    #[arg(long)]
    list: bool,
    /// Write every result to this file, too
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
    #[arg(long, hide = true, requires = "job")]
    stage: Option<String>,
    #[arg(long, hide = true)]
    job: Option<String>,
    #[command(subcommand)]
    tool: Option<Tool>,
}

/// What the cases use besides the clients of the machine.
#[derive(Debug, Subcommand)]
enum Tool {
    /// Ask a CRI server, as crictl does
    Cri {
        /// The server's unix socket
        #[arg(long, value_name = "PATH")]
        socket: PathBuf,
        #[command(subcommand)]
        verb: Verb,
    },
}

fn main() -> ExitCode {
    match run(&Args::parse()) {
        Ok(code) => ExitCode::from(code),
        Err(error) => {
            drop(writeln!(io::stderr(), "nexcage-clients: {error:#}"));
            ExitCode::from(2)
        }
    }
}

fn run(args: &Args) -> anyhow::Result<u8> {
    if let (Some(stage), Some(job)) = (&args.stage, &args.job) {
        let job: Job = serde_json::from_str(job).context("read job")?;
        return Ok(run_stage(stage, &job)?);
    }
    if let Some(Tool::Cri { socket, verb }) = &args.tool {
        return Ok(run_verb(verb, socket, &mut io::stdout(), &mut io::stderr())?);
    }
    let clients = select_clients(&args.clients)?;
    if args.list {
        return list(&clients, &args.filter);
    }
    let request = Request {
        clients,
        runtimes: select_runtimes(&args.runtimes)?,
        filter: args.filter.clone(),
        jobs: args.jobs,
    };
    let report = run_clients(&request, &mut io::stderr())?;
    if report.records.is_empty() {
        bail!("no case contains {:?}", args.filter);
    }
    if let Some(path) = &args.json {
        write_json(path, &report).with_context(|| format!("write {path:?}"))?;
    }
    io::stdout().write_all(report.to_text().as_bytes())?;
    Ok(u8::from(report.totals().failed > 0))
}

fn write_json(path: &Path, report: &impl serde::Serialize) -> anyhow::Result<()> {
    let file = OpenOptions::new().write(true).create(true).truncate(true).open(path)?;
    Ok(serde_json::to_writer_pretty(file, report)?)
}

fn list(clients: &[&Client], filter: &str) -> anyhow::Result<u8> {
    let mut out = io::stdout().lock();
    for client in clients {
        for case in client.matching(filter) {
            writeln!(out, "{} {}", client.name, case.id)?;
        }
    }
    Ok(0)
}

fn select_clients(names: &[String]) -> anyhow::Result<Vec<&'static Client>> {
    if names.is_empty() {
        return Ok(CLIENTS.iter().collect());
    }
    let known = || CLIENTS.iter().map(|client| client.name).collect::<Vec<_>>().join(", ");
    names
        .iter()
        .map(|name| Client::named(name).with_context(|| format!("unknown client {name:?} (know {})", known())))
        .collect()
}

fn select_runtimes(named: &[String]) -> anyhow::Result<Vec<Runtime>> {
    if !named.is_empty() {
        return named.iter().map(|text| parse_runtime(text)).collect();
    }
    let path = std::env::var("NEXCAGE").context("name the runtime under test: --runtime NAME=PATH or NEXCAGE=PATH")?;
    let mut runtimes = vec![parse_runtime(&format!("nexcage={path}"))?];
    for name in ["runc", "crun"] {
        runtimes.extend(find_program(name).map(|path| Runtime {
            name: name.to_owned(),
            path,
        }));
    }
    Ok(runtimes)
}

fn parse_runtime(text: &str) -> anyhow::Result<Runtime> {
    let (name, path) = match text.split_once('=') {
        Some((name, path)) => (name, PathBuf::from(path)),
        None => (
            text,
            find_program(text).with_context(|| format!("no program {text:?} on the search path"))?,
        ),
    };
    if name.is_empty()
        || !name
            .bytes()
            .all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'_')
    {
        bail!("runtime name {name:?} may hold only letters, digits, - and _");
    }
    let path = path.canonicalize().with_context(|| format!("find runtime {path:?}"))?;
    Ok(Runtime {
        name: name.to_owned(),
        path,
    })
}
