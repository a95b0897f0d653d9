//! Where a line of a case runs, what it did, and how long it is waited for.

use std::io;
use std::os::unix::process::ExitStatusExt;
use std::path::PathBuf;
use std::process::{Child, ExitStatus};
use std::thread;
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, killpg};
use nix::unistd::Pid;

/// Where the lines of a case run.
#[derive(Debug)]
pub(super) struct Place<'a> {
    /// The client's name, for the exit codes in which clients differ.
    pub(super) client: &'a str,
    /// `$C`.
    pub(super) name: String,
    /// `$D`.
    pub(super) dir: PathBuf,
    /// Where the output of a step is kept until it is judged.
    pub(super) io: PathBuf,
}

/// What a line did.
#[derive(Debug)]
pub(super) struct Done {
    /// The exit code, 128 + n for signal n, or nothing when the time limit ended it.
    pub(super) code: Option<i32>,
    /// Standard output; on a terminal everything.
    pub(super) stdout: String,
    /// Standard error; on a terminal nothing.
    pub(super) stderr: String,
    /// What was awaited on the terminal and did not come.
    pub(super) unseen: Option<String>,
}

/// Waits for the child; past the limit ends its process group and returns nothing.
pub(super) fn wait_until(child: &mut Child, limit: Duration) -> io::Result<Option<ExitStatus>> {
    let deadline = Instant::now() + limit;
    loop {
        if let Some(status) = child.try_wait()? {
            return Ok(Some(status));
        }
        if Instant::now() >= deadline {
            let group = i32::try_from(child.id()).map_err(io::Error::other)?;
            killpg(Pid::from_raw(group), Signal::SIGKILL)?;
            child.wait()?;
            return Ok(None);
        }
        thread::sleep(Duration::from_millis(4));
    }
}

/// The exit code as a shell would say it.
pub(super) fn exit_code(status: ExitStatus) -> i32 {
    status.code().or_else(|| status.signal().map(|n| 128 + n)).unwrap_or(-1)
}
