//! `cargo xtask fuzz`: random bytes for every parser of bytes that nexcage does not trust.

use std::fs;
use std::io::Write as _;
use std::path::Path;
use std::process::ExitCode;

use anyhow::{Context, Result, bail};

use crate::process::{is_installed, program};

/// Run the fuzz targets, each from its seeds and what earlier runs found.
#[derive(clap::Args)]
pub(crate) struct Args {
    /// How long each target runs.
    #[arg(long, default_value_t = 60)]
    seconds: u32,
    /// Only targets with this text in their name.
    #[arg(default_value = "")]
    text: String,
}

const FOLDER: &str = "conformance/fuzz";
const TARGET_DIR: &str = "target/fuzz";

pub(crate) fn run(args: &Args) -> Result<ExitCode> {
    if !is_installed("cargo-fuzz") {
        bail!("find cargo-fuzz: install it by `cargo install cargo-fuzz`");
    }
    let root = std::env::current_dir().context("find the project's folder")?;
    let targets: Vec<String> = targets()?
        .into_iter()
        .filter(|name| name.contains(&args.text))
        .collect();
    if targets.is_empty() {
        bail!("choose a fuzz target: none has {:?} in its name", args.text);
    }
    let mut failed = 0;
    for target in &targets {
        let is_ok = fuzz(&root, target, args.seconds)?;
        let word = if is_ok { "ok" } else { "FAILED" };
        writeln!(std::io::stdout(), "fuzz {target}, {} s ... {word}", args.seconds).context("print")?;
        failed += usize::from(!is_ok);
    }
    writeln!(std::io::stdout(), "{} passed, {failed} failed", targets.len() - failed).context("print")?;
    Ok(ExitCode::from(u8::from(failed > 0)))
}

/// One target a file.
fn targets() -> Result<Vec<String>> {
    let folder = Path::new(FOLDER).join("targets");
    let mut names = Vec::new();
    for entry in fs::read_dir(&folder).with_context(|| format!("read {folder:?}"))? {
        let path = entry.with_context(|| format!("read {folder:?}"))?.path();
        names.extend(path.file_stem().map(|stem| stem.to_string_lossy().into_owned()));
    }
    names.sort();
    Ok(names)
}

/// Returns whether nothing was found; what was found is told on standard error, with its input in `artifacts`.
fn fuzz(root: &Path, target: &str, seconds: u32) -> Result<bool> {
    let corpus = root.join(TARGET_DIR).join("corpus").join(target);
    fs::create_dir_all(&corpus).with_context(|| format!("make {corpus:?}"))?;
    let mut cargo = program("cargo");
    cargo.args(["fuzz", "run", "--fuzz-dir", FOLDER, target]);
    cargo.arg(&corpus).arg(root.join(FOLDER).join("seeds").join(target));
    cargo.args(["--", "-verbosity=0", "-print_final_stats=1"]);
    cargo.arg(format!("-max_total_time={seconds}"));
    // Instrumentation is an unstable option of the compiler that the project is built with anyway.
    cargo
        .env("RUSTC_BOOTSTRAP", "1")
        .env("CARGO_TARGET_DIR", root.join(TARGET_DIR));
    let status = cargo.status().context("start cargo fuzz")?;
    Ok(status.success())
}
