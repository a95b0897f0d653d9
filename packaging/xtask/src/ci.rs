//! `cargo xtask ci`: every gate that needs no container, in the order in which they fail fastest.

use std::io::Write as _;
use std::process::ExitCode;

use anyhow::{Context as _, Result};

use crate::{header, process, tidy};

/// Run the gates: format, lints, documentation, structure, licences.
#[derive(clap::Args)]
pub(crate) struct Args {}

/// One gate: what it is, and cargo's arguments.
const GATES: [(&str, &[&str]); 4] = [
    ("format", &["fmt", "--all", "--check"]),
    (
        "lints",
        &[
            "clippy",
            "--workspace",
            "--all-targets",
            "--quiet",
            "--",
            "-D",
            "warnings",
        ],
    ),
    (
        "lints of the plugin host",
        &[
            "clippy",
            "-p",
            "nexcage-plugin-host",
            "--features",
            "program",
            "--all-targets",
            "--quiet",
            "--",
            "-D",
            "warnings",
        ],
    ),
    (
        "licences and sources",
        &["deny", "check", "licenses", "sources", "bans"],
    ),
];

pub(crate) fn run(_args: &Args) -> Result<ExitCode> {
    let mut failed = false;
    for (name, args) in GATES {
        if args.first() == Some(&"deny") && !process::is_installed("cargo-deny") {
            say(&format!("NOT RUN: {name}: install cargo-deny"))?;
            continue;
        }
        failed |= !gate(name, args, &[])?;
    }
    failed |= !gate(
        "documentation",
        &["doc", "--workspace", "--no-deps", "--quiet"],
        &[("RUSTDOCFLAGS", "-D warnings")],
    )?;
    let structure = tidy::run(&tidy::Args {})? == ExitCode::SUCCESS;
    say(&format!("{}: structure", verdict(structure)))?;
    let current = header::run(&header::Args { check: true })? == ExitCode::SUCCESS;
    say(&format!("{}: C header", verdict(current)))?;
    Ok(if failed || !structure || !current {
        ExitCode::FAILURE
    } else {
        ExitCode::SUCCESS
    })
}

fn gate(name: &str, args: &[&str], env: &[(&str, &str)]) -> Result<bool> {
    let passed = process::program("cargo")
        .args(args)
        .envs(env.iter().copied())
        .status()
        .with_context(|| format!("run cargo for {name}"))?
        .success();
    say(&format!("{}: {name}", verdict(passed)))?;
    Ok(passed)
}

const fn verdict(passed: bool) -> &'static str {
    if passed { "ok" } else { "FAILED" }
}

fn say(line: &str) -> Result<()> {
    writeln!(std::io::stdout(), "{line}").context("print")
}
