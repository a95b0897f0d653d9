//! Programs that the tasks start. Owns the one place of this crate that names `Command::new`.

use std::ffi::OsStr;
use std::path::Path;
use std::process::{Command, Stdio};

use anyhow::{Context, Result, bail};

/// Prepares a program with no standard input.
#[expect(
    clippy::disallowed_methods,
    reason = "a development tool: its programs may inherit the caller's environment"
)]
pub(crate) fn program(name: impl AsRef<OsStr>) -> Command {
    let mut command = Command::new(name);
    command.stdin(Stdio::null());
    command
}

/// Runs a program to its end and returns what it printed on standard output.
///
/// # Errors
///
/// The program is missing, prints something else than UTF-8, or fails: then with what it said on standard error.
pub(crate) fn read_output(command: &mut Command) -> Result<String> {
    let output = command
        .output()
        .with_context(|| format!("start {:?}", command.get_program()))?;
    if !output.status.success() {
        let said = String::from_utf8_lossy(&output.stderr);
        bail!("run {command:?}: {}: {}", output.status, said.trim());
    }
    String::from_utf8(output.stdout).with_context(|| format!("read the output of {command:?}"))
}

/// Tells whether a program of this name is in one of the directories of `PATH` or of the administrator.
pub(crate) fn is_installed(name: &str) -> bool {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let sbin = ["/usr/sbin", "/sbin"].map(|dir| Path::new(dir).to_path_buf());
    std::env::split_paths(&path)
        .chain(sbin)
        .any(|dir| dir.join(name).is_file())
}
