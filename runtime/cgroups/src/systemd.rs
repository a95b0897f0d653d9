//! Transient units, through libcgroups' own D-Bus client.

use std::path::{Path, PathBuf};
use std::time::Duration;

use libcgroups::common::{CgroupManager, ControllerOpt};
use libcgroups::systemd::manager::Manager;
use nix::unistd::Pid;
use oci_spec::runtime::LinuxResources;

use crate::cgroup::Cgroup;
use crate::error::Error;
use crate::naming::Unit;

/// How long systemd may take to move a process.
const PLACED: Duration = Duration::from_secs(10);

/// Cgroup of the systemd instance that makes the unit: the system's, or the user's own.
pub(crate) fn manager_root(own: &Path, rootless: bool) -> PathBuf {
    if !rootless {
        return PathBuf::new();
    }
    let mut root = PathBuf::new();
    for component in own.components() {
        root.push(component);
        if component.as_os_str().to_string_lossy().starts_with("user@") {
            return root;
        }
    }
    PathBuf::new()
}

fn manager(cgroup: &Cgroup, unit: &Unit, action: &'static str) -> Result<Manager, Error> {
    let path = PathBuf::from(format!("{}:{}:{}", unit.slice, unit.prefix, unit.name));
    let mount = cgroup.nodes.first().map(|n| n.mount.clone()).unwrap_or_default();
    Manager::new(mount, path, unit.name.clone(), !cgroup.rootless, PLACED).map_err(|e| Error::Systemd {
        action,
        unit: unit.unit(),
        reason: e.to_string(),
    })
}

/// Starts the scope around a process.
pub(crate) fn place(cgroup: &Cgroup, pid: i32) -> Result<(), Error> {
    let Some(unit) = &cgroup.unit else { return Ok(()) };
    for name in cgroup.properties.keys() {
        tracing::warn!(property = %name, "org.systemd.property annotation ignored");
    }
    let action = "start unit";
    manager(cgroup, unit, action)?
        .add_task(Pid::from_raw(pid))
        .map_err(|e| Error::Systemd {
            action,
            unit: unit.unit(),
            reason: e.to_string(),
        })
}

/// Tells systemd of the limits, so that it does not write its own over them.
pub(crate) fn set_limits(cgroup: &Cgroup, resources: &LinuxResources) -> Result<(), Error> {
    let Some(unit) = &cgroup.unit else { return Ok(()) };
    let action = "set properties of";
    let options = ControllerOpt {
        resources,
        disable_oom_killer: false,
        oom_score_adj: None,
        freezer_state: None,
    };
    manager(cgroup, unit, action)?
        .apply(&options)
        .map_err(|e| Error::Systemd {
            action,
            unit: unit.unit(),
            reason: e.to_string(),
        })
}

/// Stops the scope. A unit that is gone, or a systemd that does not answer, leaves the directory, which is removed next.
pub(crate) fn stop(cgroup: &Cgroup) {
    let Some(unit) = &cgroup.unit else { return };
    let stopped = manager(cgroup, unit, "stop unit").and_then(|m| {
        m.remove().map_err(|e| Error::Systemd {
            action: "stop unit",
            unit: unit.unit(),
            reason: e.to_string(),
        })
    });
    if let Err(error) = stopped {
        tracing::debug!(%error, "unit not stopped");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_users_units_lie_below_its_manager() {
        let own = Path::new("user.slice/user-1000.slice/user@1000.service/app.slice/x.scope");
        assert_eq!(
            manager_root(own, true),
            Path::new("user.slice/user-1000.slice/user@1000.service")
        );
        assert_eq!(manager_root(own, false), Path::new(""));
    }
}
