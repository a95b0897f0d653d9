//! `cargo xtask bench`: nexcage beside runc and crun, in one run, as ratios.

mod crowd;
mod fixture;
mod footprint;
mod plugins;
mod speed;
mod status;
mod table;
mod trace;

use std::fs;
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Context, Result, bail};

use crate::process::program;
use fixture::{Bench, Runtime, block_signals};
use table::{Report, remark};

/// Compare nexcage with runc and crun. Build it first: cargo build --release -p nexcage
#[derive(clap::Args)]
pub(crate) struct Args {
    /// Rounds of each measurement; the median counts. At most 10 beside other containers, 5 of memory and system calls
    #[arg(long, default_value_t = 30, value_parser = clap::value_parser!(u16).range(1..))]
    rounds: u16,
    /// Pause before each isolated start, in milliseconds: long enough for the kernel's grace periods to end
    #[arg(long, default_value_t = 60)]
    pause: u64,
    /// Measure only these parts
    #[arg(long, value_enum, value_delimiter = ',', value_name = "PART,...")]
    only: Vec<Part>,
    /// How many containers are present, for the part `crowd`
    #[arg(long, value_delimiter = ',', value_name = "N,...", default_value = "1,10,100,500", value_parser = clap::value_parser!(u16).range(1..=5000))]
    containers: Vec<u16>,
    /// Print one JSON document instead of tables
    #[arg(long)]
    json: bool,
    /// The nexcage to measure [default: the release build]
    #[arg(long)]
    nexcage: Option<PathBuf>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
enum Part {
    /// How long calls take
    Speed,
    /// How long calls take beside other containers
    Crowd,
    /// Peak memory of a run, and what a running container leaves
    Memory,
    /// How many system calls a call makes
    Syscalls,
    /// What plugins cost; only when it is asked for, alone. Build first: cargo xtask host --release, cargo xtask examples
    Plugins,
}

impl Args {
    fn wants(&self, part: Part) -> bool {
        self.only.is_empty() || self.only.contains(&part)
    }
}

pub(crate) fn run(args: &Args) -> Result<ExitCode> {
    if args.only == [Part::Plugins] {
        plugins::measure(args.rounds.into(), Duration::from_millis(args.pause), args.json)?;
        return Ok(ExitCode::SUCCESS);
    }
    block_signals()?;
    hide_hybrid()?;
    let bench = Bench::create(find_runtimes(args)?)?;
    let outcome = bench.prepare().and_then(|()| measure(args, &bench));
    match (outcome, bench.remove()) {
        (Err(error), Err(also)) => Err(error.context(format!("clean up: {also:#}"))),
        (Err(error), Ok(())) | (Ok(()), Err(error)) => Err(error),
        (Ok(()), Ok(())) => Ok(ExitCode::SUCCESS),
    }
}

fn measure(args: &Args, bench: &Bench) -> Result<()> {
    let names = bench.runtimes.iter().map(|runtime| runtime.name).collect();
    let mut report = Report::new(names, args.json);
    let rounds = usize::from(args.rounds);
    if args.wants(Part::Speed) {
        speed::measure(bench, rounds, Duration::from_millis(args.pause), &mut report)?;
    }
    if args.wants(Part::Memory) {
        footprint::measure_memory(bench, rounds, &mut report)?;
    }
    if args.wants(Part::Syscalls) {
        footprint::measure_calls(bench, rounds, &mut report)?;
    }
    if args.wants(Part::Crowd) {
        let sizes: Vec<usize> = args.containers.iter().map(|size| usize::from(*size)).collect();
        crowd::measure(bench, rounds, &sizes, &mut report)?;
    }
    report.finish()
}

fn find_runtimes(args: &Args) -> Result<Vec<Runtime>> {
    let nexcage = match &args.nexcage {
        Some(path) => fs::canonicalize(path).with_context(|| format!("find {path:?}"))?,
        None => release_build()?,
    };
    let mut runtimes = vec![Runtime {
        name: "nexcage",
        program: nexcage,
    }];
    for (name, path) in [("runc", "/usr/sbin/runc"), ("crun", "/usr/bin/crun")] {
        if Path::new(path).exists() {
            runtimes.push(Runtime {
                name,
                program: PathBuf::from(path),
            });
        } else {
            remark(&format!("{name} is not installed: left out"))?;
        }
    }
    Ok(runtimes)
}

fn release_build() -> Result<PathBuf> {
    for path in [
        "target/x86_64-unknown-linux-gnu/release/nexcage",
        "target/aarch64-unknown-linux-gnu/release/nexcage",
    ] {
        if Path::new(path).exists() {
            return fs::canonicalize(path).context("resolve the release build");
        }
    }
    bail!("no release build: cargo build --release -p nexcage")
}

/// crun of Debian 12 refuses a node with both cgroup versions: this program executes itself in a mount namespace of its
/// own with the version 2 half elsewhere, for every runtime alike.
fn hide_hybrid() -> Result<()> {
    const HALF: &str = "/sys/fs/cgroup/unified";
    const PLACE: &str = "/run/nexcage-bench-cgroup2";
    let mounts = fs::read_to_string("/proc/self/mountinfo").context("read the mount table")?;
    if !mounts.contains(HALF) {
        return Ok(());
    }
    remark("measured with the cgroup v2 half of this hybrid node in another place: crun refuses it in its own")?;
    let script = format!("mount --make-rprivate / && mkdir -p {PLACE} && mount --move {HALF} {PLACE} && exec \"$@\"");
    let error = program("unshare")
        .args(["-m", "sh", "-c", &script, "sh"])
        .args(std::env::args_os())
        .exec();
    Err(error).context("enter a mount namespace")
}
