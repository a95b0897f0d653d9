//! Where a container's cgroups will be.
use std::path::{Path, PathBuf};

use crate::cgroup::Cgroup;
use crate::error::CgroupError;
use crate::layout::{Layout, Mounts, Own};
use crate::naming::{self, Driver, Naming};
use crate::systemd;

impl Cgroup {
    /// Decides where a container's cgroups are, as runc does.
    ///
    /// * `naming`: the container's id, its cgroupsPath and the driver.
    ///
    /// Returns the record; nothing has been made. Reads /proc/self/mountinfo and /proc/self/cgroup once each; for the
    /// systemd driver of a rootless caller it also asks the user's systemd for its cgroup.
    ///
    /// # Errors
    ///
    /// * [`CgroupError::ReadProc`], [`CgroupError::NoMounts`], [`CgroupError::NoDevices`]: this machine.
    /// * [`CgroupError::CgroupsPath`], [`CgroupError::Slice`], [`CgroupError::Annotation`]: the spec.
    /// * [`CgroupError::NoSystemd`]: the systemd driver without systemd.
    ///
    /// Spec: [config-linux, Cgroups Path](https://github.com/opencontainers/runtime-spec/blob/v1.3.0/config-linux.md#cgroups-path).
    pub fn plan(naming: &Naming<'_>) -> Result<Self, CgroupError> {
        let mounts = Mounts::read()?;
        match naming.driver {
            Driver::Cgroupfs => Self::plan_on(naming, &mounts, &Own::read()?, Path::new("")),
            Driver::Systemd => {
                systemd::check_booted()?;
                let manager = if naming.rootless {
                    systemd::read_user_cgroup()?
                } else {
                    PathBuf::new()
                };
                Self::plan_on(naming, &mounts, &Own::parse(b""), &manager)
            }
        }
    }

    /// The pure half of [`Cgroup::plan`].
    pub(crate) fn plan_on(
        naming: &Naming<'_>,
        mounts: &Mounts,
        own: &Own,
        manager: &Path,
    ) -> Result<Self, CgroupError> {
        if mounts.layout != Layout::Unified
            && !mounts
                .v1
                .iter()
                .any(|mount| mount.controllers.iter().any(|name| name == "devices"))
        {
            return Err(CgroupError::NoDevices);
        }
        let unit = match naming.driver {
            Driver::Cgroupfs => None,
            Driver::Systemd => Some(naming::unit(naming)?),
        };
        let hierarchies = match &unit {
            None => naming::cgroupfs(naming, mounts, own),
            Some(unit) => naming::systemd(unit, mounts, manager)?,
        };
        Ok(Self {
            layout: mounts.layout,
            driver: naming.driver,
            rootless: naming.rootless,
            explicit: naming.given().is_some(),
            threaded: false,
            hierarchies,
            unit,
        })
    }
}
