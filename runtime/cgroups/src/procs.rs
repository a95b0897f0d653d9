//! The processes in a container's cgroups: listing and signalling.
use std::path::Path;

use crate::cgroup::Cgroup;
use crate::dir::{Dir, is_gone};
use crate::error::CgroupError;

impl Cgroup {
    /// Lists the processes of the container, those in its sub-cgroups included.
    ///
    /// Returns pids of the caller's pid namespace, sorted, each once; none when the cgroups are gone.
    ///
    /// # Errors
    ///
    /// [`CgroupError::NotConfigured`], [`CgroupError::Read`], [`CgroupError::Parse`].
    pub fn pids(&self) -> Result<Vec<i32>, CgroupError> {
        if !self.is_configured() {
            return Err(CgroupError::NotConfigured);
        }
        let Some(dir) = self.find_dir("devices")? else {
            return Ok(Vec::new());
        };
        match collect(&dir) {
            Err(CgroupError::Read { source, .. }) if is_gone(&source) => Ok(Vec::new()),
            other => other,
        }
    }

    /// Signals every process of the container.
    ///
    /// * `signal`: number; SIGKILL on v2 goes to the whole cgroup at once. Otherwise the container is frozen meanwhile,
    ///   so that no fork escapes, and thawed if it was not frozen before.
    ///
    /// # Errors
    ///
    /// [`CgroupError::NotConfigured`]. [`CgroupError::Signal`] for the first process that could not be signalled; the
    /// others have been tried too. A process that has gone is no error.
    ///
    /// Kernel: cgroup-v2.rst, cgroup.kill.
    pub fn signal_all(&self, signal: i32) -> Result<(), CgroupError> {
        if signal == libc::SIGKILL && self.kill_v2()? {
            return Ok(());
        }
        // Nobody is there to escape by a fork.
        if self.pids()?.is_empty() {
            return Ok(());
        }
        let was_frozen = self.is_frozen().unwrap_or(false);
        if let Err(error) = self.freeze() {
            tracing::debug!(%error, "container not frozen while it is signalled");
        }
        let sent = self.pids().and_then(|pids| send(&pids, signal));
        // A frozen v1 process does not even die.
        if !was_frozen || signal == libc::SIGKILL {
            let thawed = self.thaw();
            if self.exists() {
                thawed?;
            }
        }
        sent
    }

    /// Kills the whole v2 cgroup. Returns false where the kernel cannot (before 5.14, threaded cgroups).
    fn kill_v2(&self) -> Result<bool, CgroupError> {
        let Some(hierarchy) = self.main().filter(|hierarchy| hierarchy.is_v2()) else {
            return Ok(false);
        };
        let Some(dir) = Dir::find(hierarchy)? else {
            return Ok(true);
        };
        Ok(dir.try_write("cgroup.kill", "1").is_ok())
    }
}

/// Sends a signal to each process.
fn send(pids: &[i32], signal: i32) -> Result<(), CgroupError> {
    let mut first = Ok(());
    for pid in pids {
        match nexcage_sys::cgroupfs::kill(*pid, signal) {
            Ok(()) | Err(nix::errno::Errno::ESRCH) => {}
            Err(errno) if first.is_ok() => {
                first = Err(CgroupError::Signal {
                    pid: *pid,
                    signal,
                    source: errno.into(),
                });
            }
            Err(_) => {}
        }
    }
    first
}

/// Lists the processes of a cgroup and of all below it.
pub(crate) fn collect(dir: &Dir) -> Result<Vec<i32>, CgroupError> {
    let mut pids = dir.pids()?;
    collect_children(dir, &mut pids)?;
    pids.sort_unstable();
    pids.dedup();
    Ok(pids)
}

/// Adds the processes of the child cgroups; one that goes away meanwhile is passed over.
fn collect_children(dir: &Dir, pids: &mut Vec<i32>) -> Result<(), CgroupError> {
    let names = dir.children().map_err(|source| CgroupError::Read {
        path: dir.path().to_owned(),
        source,
    })?;
    for name in names {
        let child = match dir.sub(Path::new(&name)) {
            Ok(child) => child,
            Err(error) if is_gone(&error) => continue,
            Err(source) => {
                return Err(CgroupError::Open {
                    path: dir.path().join(&name),
                    source,
                });
            }
        };
        match child.pids() {
            Ok(more) => pids.extend(more),
            Err(CgroupError::Read { source, .. }) if is_gone(&source) => continue,
            Err(error) => return Err(error),
        }
        collect_children(&child, pids)?;
    }
    Ok(())
}
