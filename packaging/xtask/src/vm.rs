//! `cargo xtask vm`: runs one command in a guest with systemd and cgroup v2, whatever this machine has.

mod guest;
mod host;
mod job;
mod mirror;
mod stream;
mod tree;

use std::ffi::OsString;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};

use guest::{Failure, Setup, run_guest};

/// Exit code when the guest, not the command, failed.
pub(crate) const BROKEN: u8 = 125;
/// Exit code when the command was not done in time.
const TIMEOUT: u8 = 124;

const DETAILS: &str = "\
The guest is a Debian 12 with systemd, a pure cgroup v2 (controllers cpu, io, memory and pids), podman, crun and runc, in \
User-Mode Linux: no virtualisation is needed, and one CPU is all it has. The command runs as root in the project directory, \
with no standard input and a cgroup of its own; its output is shown live, and its exit status is that of this command \
(128+n after signal n).

In the guest:
  /mnt/project   the project's checkout, read-only
  /mnt/share     the directory of --share, read-only unless --writable
  as-dev CMD...  runs a command as user dev (uid 1000, 65536 subordinate ids) in a delegated scope of its user manager
All else that is written is gone at the end. Of this machine the guest sees these directories, /usr (read-only) and no network.

The root file system is made once, in target/vm, by debootstrap from the archive that apt is configured for. Several guests \
can run at once.

Packages needed: user-mode-linux, debootstrap. Exit codes of this command's own: 124 the time was over, 125 the guest broke.

Examples:
  cargo xtask vm -- stat -fc %T /sys/fs/cgroup
  cargo xtask vm -- as-dev podman info
  cargo xtask vm --plain -- sh -c 'cat /proc/self/cgroup'";

/// Run a command in a guest with systemd and cgroup v2
#[derive(clap::Args)]
#[command(after_long_help = DETAILS)]
pub(crate) struct Args {
    /// Boot systemd (the default): the command is a service
    #[arg(long, conflicts_with = "plain")]
    systemd: bool,
    /// Boot no systemd: the command runs right after the file systems are mounted
    #[arg(long)]
    plain: bool,
    /// Make the root file system of the guest anew
    #[arg(long)]
    rebuild: bool,
    /// Archive to make it from, instead of the one in apt's sources
    #[arg(long, value_name = "URL")]
    mirror: Option<String>,
    /// Directory of this machine shown as /mnt/share [default: the target directory]
    #[arg(long, value_name = "DIR")]
    share: Option<PathBuf>,
    /// Let the guest write to --share
    #[arg(long, requires = "share")]
    writable: bool,
    /// Memory of the guest
    #[arg(long = "mem", value_name = "SIZE", default_value = "1024M", value_parser = parse_memory)]
    memory: String,
    /// Seconds from the start of the guest to the end of the command
    #[arg(long, value_name = "SECONDS", default_value_t = 300)]
    timeout: u64,
    /// Say how long the boot took
    #[arg(long)]
    verbose: bool,
    /// Command and arguments
    #[arg(last = true, required = true, value_name = "CMD")]
    command: Vec<OsString>,
}

/// Runs the command of `args` in a guest and returns its exit status.
///
/// # Errors
///
/// The guest could not be made or booted, or broke before the command ended.
pub(crate) fn run(args: &Args) -> Result<ExitCode> {
    host::check_host()?;
    let project = find_project()?;
    let target = std::env::var_os("CARGO_TARGET_DIR").map_or_else(|| project.join("target"), PathBuf::from);
    let cache = absolute(&target)?.join("vm");
    let tree = tree::open_tree(&cache, args.mirror.as_deref(), args.rebuild)?;
    let share = absolute(args.share.as_deref().unwrap_or(&target))?;
    let modules = Path::new(host::MODULES);
    let base = host::find_base(&[&tree.path, &project, &share, modules])?;
    let setup = Setup {
        base: &base,
        tree: &tree.path,
        modules,
        project: &project,
        share: &share,
        share_writable: args.writable,
        memory: &args.memory,
        systemd: !args.plain,
        script: &job::write_script(&args.command),
    };
    match run_guest(&setup, Duration::from_secs(args.timeout)) {
        Ok(outcome) => {
            if args.verbose {
                let seconds = outcome.boot.as_secs_f32();
                writeln!(std::io::stderr(), "vm: booted in {seconds:.2} s").context("write to standard error")?;
            }
            Ok(ExitCode::from(outcome.status))
        }
        Err(Failure::Timeout(error)) => {
            writeln!(std::io::stderr(), "xtask: vm: {error:#}").context("write to standard error")?;
            Ok(ExitCode::from(TIMEOUT))
        }
        Err(Failure::Broken(error)) => Err(error.context("vm")),
    }
}

/// Finds the checkout that this program was started from by cargo, or built from.
fn find_project() -> Result<PathBuf> {
    let package =
        std::env::var_os("CARGO_MANIFEST_DIR").map_or_else(|| env!("CARGO_MANIFEST_DIR").into(), PathBuf::from);
    absolute(&package.join("../.."))
}

/// Resolves a directory; it must exist.
fn absolute(dir: &Path) -> Result<PathBuf> {
    let path = dir.canonicalize().with_context(|| format!("find directory {dir:?}"))?;
    ensure!(path.is_dir(), "find directory {dir:?}: it is no directory");
    Ok(path)
}

/// Checks a size as User-Mode Linux takes it: digits and a unit. Less than 256 MiB does not hold a systemd.
fn parse_memory(text: &str) -> Result<String> {
    let number = text
        .strip_suffix(['M', 'm', 'G', 'g'])
        .context("read the size: write it like 1024M or 2G")?;
    let count: u64 = number.parse().with_context(|| format!("read the number {number:?}"))?;
    let mebibytes = if text.ends_with(['G', 'g']) {
        count.saturating_mul(1024)
    } else {
        count
    };
    if !(256..=1024 * 1024).contains(&mebibytes) {
        bail!("use {text}: between 256M and 1024G is possible");
    }
    Ok(text.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn memory_needs_a_unit_and_a_sensible_number() {
        for good in ["256M", "1024m", "2G"] {
            assert_eq!(parse_memory(good).unwrap(), good);
        }
        for bad in ["", "M", "1024", "16M", "-1G", "1 G", "18446744073709551615G"] {
            assert!(parse_memory(bad).is_err(), "{bad:?}");
        }
    }
}
