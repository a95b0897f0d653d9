//! Checks of an OCI runtime that need cgroup v2 and systemd: made to run in the guest of `cargo xtask vm`.
//!
//! `guest-checks RUNTIME [TEXT]` runs every case, or those with TEXT in their name, with the cgroupfs and the systemd driver as root, then, as user dev in a
//! delegated scope, with the systemd driver of that user's manager. A case red on runc is a wrong case.
#![forbid(unsafe_code)]

mod bundle;
mod cases;
mod container;
mod driver;
mod events;
mod podman;

use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Context, Result, bail};

use cases::{CASES, Case};
use container::command;
use driver::Driver;

/// Written by the rootless half for the rootful one that started it.
const ROOTLESS: &str = "--as-dev";

fn main() -> ExitCode {
    match run() {
        Ok(0) => ExitCode::SUCCESS,
        Ok(_) => ExitCode::FAILURE,
        Err(error) => {
            say(&format!("guest-checks: {error:#}"));
            ExitCode::from(2)
        }
    }
}

/// Returns how many cases failed.
fn run() -> Result<usize> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    check_machine()?;
    match arguments.iter().map(String::as_str).collect::<Vec<_>>().as_slice() {
        [ROOTLESS, runtime, text] => Ok(run_cases(Path::new(runtime), &[Driver::UserSystemd], text).1),
        [runtime] => run_all(runtime, ""),
        [runtime, text] => run_all(runtime, text),
        _ => bail!("read the arguments: usage: guest-checks RUNTIME [TEXT]"),
    }
}

fn run_all(runtime: &str, text: &str) -> Result<usize> {
    let runtime = find_runtime(runtime)?;
    let (passed, failed) = run_cases(&runtime, &[Driver::Cgroupfs, Driver::Systemd], text);
    let rootless = chosen(Driver::UserSystemd, text).count();
    let rootless_failed = run_as_dev(&runtime, text)?;
    if passed + failed + rootless == 0 {
        bail!("find a case with {text:?} in its name");
    }
    let failed = failed + rootless_failed;
    say(&format!(
        "{} passed, {failed} failed",
        passed + rootless - rootless_failed
    ));
    Ok(failed)
}

/// The cases for a driver with a text in their name.
fn chosen(driver: Driver, text: &str) -> impl Iterator<Item = &'static Case> {
    let all = CASES.iter().filter(move |case| case.runs_with(driver));
    all.filter(move |case| case.is_named(text))
}

/// The cases must not pass for want of what they check.
fn check_machine() -> Result<()> {
    let controllers = std::fs::read_to_string("/sys/fs/cgroup/cgroup.controllers")
        .context("find cgroup v2 at /sys/fs/cgroup: run this with `cargo xtask vm`")?;
    for needed in ["cpu", "memory", "pids"] {
        if !controllers.split_whitespace().any(|controller| controller == needed) {
            bail!("find controller {needed:?} among {controllers:?}");
        }
    }
    command("systemctl", &["--version"])
        .context("find systemd: run this without --plain")
        .map(|_| ())
}

fn find_runtime(name: &str) -> Result<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let found = if name.contains('/') {
        Path::new(name).canonicalize().ok()
    } else {
        std::env::split_paths(&path)
            .map(|dir| dir.join(name))
            .find(|file| file.is_file())
    };
    found.with_context(|| format!("find runtime {name:?}"))
}

fn run_cases(runtime: &Path, drivers: &[Driver], text: &str) -> (usize, usize) {
    let (mut passed, mut failed) = (0, 0);
    for driver in drivers {
        for case in chosen(*driver, text) {
            match run_case(case, runtime, *driver) {
                Ok(()) => passed += 1,
                Err(()) => failed += 1,
            }
        }
    }
    (passed, failed)
}

fn run_case(case: &Case, runtime: &Path, driver: Driver) -> Result<(), ()> {
    let name = case.name.replace('_', " ");
    match (case.run)(runtime, driver) {
        Ok(()) => {
            say(&format!("ok    {driver}: {name}"));
            Ok(())
        }
        Err(error) => {
            say(&format!("FAIL  {driver}: {name}: {error:#}"));
            Err(())
        }
    }
}

/// Runs the rootless half, which says its own lines, and returns how many cases failed there.
fn run_as_dev(runtime: &Path, chosen_by: &str) -> Result<usize> {
    let program = std::env::current_exe().context("find this program")?;
    let arguments = [
        program.as_os_str(),
        ROOTLESS.as_ref(),
        runtime.as_os_str(),
        chosen_by.as_ref(),
    ];
    let output = container::output("as-dev", &arguments).context("run the rootless cases")?;
    let text = String::from_utf8_lossy(&output.stdout);
    say(text.trim_end());
    let failed = text.lines().filter(|line| line.starts_with("FAIL")).count();
    let ran = text.lines().filter(|line| line.starts_with("ok")).count() + failed;
    let expected = chosen(Driver::UserSystemd, chosen_by).count();
    if ran != expected {
        let stderr = String::from_utf8_lossy(&output.stderr);
        bail!(
            "run the rootless cases: {ran} of {expected} ran ({}): {}",
            output.status,
            stderr.trim()
        );
    }
    Ok(failed)
}

fn say(line: &str) {
    // With standard output closed the exit code still tells.
    let _ignored = writeln!(std::io::stdout(), "{}", line.trim_end());
}
