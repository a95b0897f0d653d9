//! Removing a container's cgroups, those that the container made below them included.
use std::io;
use std::path::Path;
use std::time::{Duration, Instant};

use crate::cgroup::Cgroup;
use crate::dir::{Dir, is_gone};
use crate::error::CgroupError;
use crate::naming::Hierarchy;
use crate::systemd;

/// How long a cgroup may stay busy with processes that are about to vanish.
const LIMIT: Duration = Duration::from_secs(2);

impl Cgroup {
    /// Removes the container's cgroups in every hierarchy; parents stay, as with runc.
    ///
    /// The container's processes must have been killed; those that still vanish are waited for, for two seconds. A frozen
    /// container is thawed first, because its processes cannot die. Removing again is no error. For the systemd driver
    /// the unit is stopped first.
    ///
    /// # Errors
    ///
    /// [`CgroupError::Remove`] for the first cgroup that stayed; the others have been removed.
    pub fn remove(&self) -> Result<(), CgroupError> {
        if let Err(error) = self.thaw() {
            tracing::debug!(%error, "cgroup not thawed before it is removed");
        }
        let mut first = match &self.unit {
            Some(unit) if self.is_anywhere() => systemd::stop(unit, self.rootless),
            _ => Ok(()),
        };
        let deadline = Instant::now() + LIMIT;
        for hierarchy in self.ours() {
            first = first.and(remove_hierarchy(hierarchy, deadline));
        }
        first
    }

    /// Whether any of the cgroups is there.
    fn is_anywhere(&self) -> bool {
        self.ours()
            .any(|hierarchy| Dir::find(hierarchy).is_ok_and(|dir| dir.is_some()))
    }
}

/// Removes a container's cgroup in one hierarchy.
fn remove_hierarchy(hierarchy: &Hierarchy, deadline: Instant) -> Result<(), CgroupError> {
    // The top of a hierarchy is nobody's to remove.
    if hierarchy.path.as_os_str().is_empty() {
        return Ok(());
    }
    let mount = match Dir::open_mount(&hierarchy.mount) {
        Err(CgroupError::OpenMount { source, .. }) if is_gone(&source) => return Ok(()),
        other => other?,
    };
    remove_tree(&mount, &hierarchy.path, deadline).map_err(|source| CgroupError::Remove {
        path: hierarchy.full(),
        source,
    })
}

/// Removes a cgroup below an open one; its children first where it has any.
fn remove_tree(parent: &Dir, path: &Path, deadline: Instant) -> io::Result<()> {
    let mut pause = Duration::from_millis(1);
    loop {
        // Nearly always there is nothing below, and this is all.
        let Err(busy) = parent.remove(path) else { return Ok(()) };
        if let Err(error) = remove_children(parent, path, deadline) {
            return if is_gone(&error) { Ok(()) } else { Err(error) };
        }
        match parent.remove(path) {
            Ok(()) => return Ok(()),
            Err(error) if error.raw_os_error() != Some(libc::EBUSY) => return Err(error),
            Err(_) if Instant::now() >= deadline => return Err(busy),
            Err(_) => std::thread::sleep(pause),
        }
        pause = (pause * 2).min(Duration::from_millis(50));
    }
}

/// Removes all cgroups below one.
fn remove_children(parent: &Dir, path: &Path, deadline: Instant) -> io::Result<()> {
    let dir = parent.sub(path)?;
    for name in dir.children()? {
        remove_tree(&dir, &name, deadline)?;
    }
    Ok(())
}
