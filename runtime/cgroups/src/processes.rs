//! The processes of a cgroup.

use std::fs;
use std::io;
use std::path::Path;

use nexcage_sys::pidfd::PidFd;
use nexcage_sys::signals::Signal;

use crate::cgroup::{Cgroup, children};
use crate::error::Error;
use crate::hierarchy::Layout;
use crate::write;

/// Rounds of signalling: processes may fork while they are signalled.
const ROUNDS: usize = 100;

impl Cgroup {
    /// Ids of the processes in the cgroup and below it, sorted.
    ///
    /// # Errors
    ///
    /// [`Error::Read`]. A cgroup that is gone has no processes.
    pub fn pids(&self) -> Result<Vec<i32>, Error> {
        let mut pids = Vec::new();
        if let Some(path) = self.process_path() {
            collect(path, &mut pids)?;
        }
        pids.sort_unstable();
        pids.dedup();
        Ok(pids)
    }

    /// Sends a signal to every process in the cgroup and below it.
    ///
    /// # Errors
    ///
    /// [`Error::Signal`], [`Error::Read`].
    pub fn signal_all(&self, signal: Signal) -> Result<(), Error> {
        if signal != Signal::KILL {
            return signal_each(&self.pids()?, signal);
        }
        if self.layout == Layout::Unified
            && let Some(path) = self.process_path()
            && write::try_write(&path.join("cgroup.kill"), "1").is_ok()
        {
            return Ok(());
        }
        for _ in 0..ROUNDS {
            let pids = self.pids()?;
            if pids.is_empty() {
                break;
            }
            signal_each(&pids, signal)?;
            // A frozen v1 cgroup keeps even SIGKILL waiting.
            if self.is_frozen().unwrap_or(false) {
                self.thaw()?;
            }
            if self.pids()?.iter().all(|pid| pids.contains(pid)) {
                break;
            }
        }
        Ok(())
    }

    fn process_path(&self) -> Option<&Path> {
        ["pids", "freezer", "memory", "devices", "cpu"]
            .iter()
            .find_map(|c| self.path_of(c))
            .filter(|p| p.is_dir())
    }
}

fn collect(path: &Path, pids: &mut Vec<i32>) -> Result<(), Error> {
    let file = path.join("cgroup.procs");
    match fs::read_to_string(&file) {
        Ok(text) => pids.extend(text.lines().filter_map(|line| line.parse::<i32>().ok())),
        Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(()),
        Err(source) => return Err(Error::Read { path: file, source }),
    }
    children(path).iter().try_for_each(|child| collect(child, pids))
}

fn signal_each(pids: &[i32], signal: Signal) -> Result<(), Error> {
    for pid in pids {
        match PidFd::open(*pid).and_then(|fd| fd.send_signal(signal)) {
            Err(source)
                if source.kind() != io::ErrorKind::NotFound && source.raw_os_error() != Some(nix::libc::ESRCH) =>
            {
                return Err(Error::Signal { pid: *pid, source });
            }
            _ => {}
        }
    }
    Ok(())
}
