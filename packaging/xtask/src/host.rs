//! `cargo xtask host`: builds the plugin host beside the program that starts it.
//!
//! It opens shared objects, so it is linked dynamically, unlike everything else: it needs flags and a folder of its own.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};

use anyhow::{Context as _, Result, bail};

use crate::process;

/// Where dynamic programs are built.
const TARGET: &str = "target/dynamic";

/// Build the plugin host and put it beside nexcage.
#[derive(clap::Args)]
pub(crate) struct Args {
    /// Build it as it is shipped.
    #[arg(long)]
    release: bool,
}

pub(crate) fn run(args: &Args) -> Result<ExitCode> {
    let mut cargo = dynamic();
    cargo.args(["build", "--quiet", "-p", "nexcage-plugin-host", "--features", "program"]);
    let profile = if args.release {
        cargo.arg("--release");
        "release"
    } else {
        "debug"
    };
    if !cargo.status().context("run cargo")?.success() {
        bail!("build nexcage-plugin-host");
    }
    let built = output(Path::new(TARGET), profile)?;
    let folder = output(Path::new("target"), profile)?;
    fs::create_dir_all(&folder).with_context(|| format!("make {folder:?}"))?;
    let (from, to) = (built.join("nexcage-plugin-host"), folder.join("nexcage-plugin-host"));
    // Not over the old one: a host that runs could not be written to.
    let staged = folder.join(".nexcage-plugin-host");
    fs::copy(&from, &staged).with_context(|| format!("copy {from:?}"))?;
    fs::rename(&staged, &to).with_context(|| format!("replace {to:?}"))?;
    Ok(ExitCode::SUCCESS)
}

/// cargo, for what is linked dynamically.
pub(crate) fn dynamic() -> Command {
    let mut cargo = process::program("cargo");
    cargo
        .env("CARGO_TARGET_DIR", TARGET)
        .env("RUSTFLAGS", "-C target-feature=-crt-static");
    cargo
}

/// The folder in which cargo puts programs of this machine's target.
pub(crate) fn output(target: &Path, profile: &str) -> Result<PathBuf> {
    let version = process::read_output(process::program("rustc").arg("-vV"))?;
    let host = version.lines().find_map(|line| line.strip_prefix("host: "));
    Ok(target.join(host.context("find the target of rustc")?).join(profile))
}
