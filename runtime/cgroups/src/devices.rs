//! Device rules: what a container may read, write and make, on v1 by the devices controller and on v2 by a BPF program.
//!
//! A security boundary: rules that cannot be installed are errors.
use oci_spec::runtime::LinuxDeviceCgroup;

use crate::cgroup::Cgroup;
use crate::error::CgroupError;

pub(crate) mod emulator;
mod filter;

use emulator::{Emulator, Rule};

/// The rules that runc puts behind those of the user: mknod of anything, the usual character devices, terminals, and the
/// tun device, which old clients rely on.
const DEFAULT: &[&str] = &[
    "c *:* m",
    "b *:* m",
    "c 1:3 rwm",
    "c 1:8 rwm",
    "c 1:7 rwm",
    "c 5:0 rwm",
    "c 1:5 rwm",
    "c 1:9 rwm",
    "c 136:* rwm",
    "c 5:2 rwm",
    "c 10:200 rwm",
];

/// Refuses rules that cannot be had.
///
/// # Errors
///
/// [`CgroupError::DeviceRule`].
pub(crate) fn check(rules: &[LinuxDeviceCgroup]) -> Result<(), CgroupError> {
    target(rules).map(drop)
}

/// What the user's rules and the default ones come to.
pub(crate) fn target(rules: &[LinuxDeviceCgroup]) -> Result<Emulator, CgroupError> {
    let mut emulator = Emulator::deny_all();
    for rule in rules {
        let parsed = Rule::from_oci(rule)?;
        emulator.apply(rule.allow(), parsed)?;
    }
    for line in DEFAULT {
        emulator.apply(true, Rule::parse(line)?)?;
    }
    Ok(emulator)
}

/// Whether this process is in a user namespace that is not the machine's own, where neither controller takes rules.
fn in_user_namespace() -> bool {
    let Ok(map) = std::fs::read_to_string("/proc/self/uid_map") else {
        return false;
    };
    let mut fields = map.split_whitespace();
    (fields.next(), fields.next(), fields.next()) != (Some("0"), Some("0"), Some("4294967295"))
}

/// Installs the rules on v1 with as few writes as possible, and makes sure that they are in force.
pub(crate) fn install_v1(cgroup: &Cgroup, rules: &[LinuxDeviceCgroup]) -> Result<(), CgroupError> {
    let Some(hierarchy) = cgroup.hierarchy("devices") else {
        // Nobody but a rootless caller gets here without a devices cgroup; such a caller owns no device.
        return if cgroup.rootless {
            Ok(())
        } else {
            Err(CgroupError::NotOurs {
                controller: "devices".to_owned(),
            })
        };
    };
    let target = target(rules)?;
    if in_user_namespace() {
        return Ok(());
    }
    let dir = crate::dir::Dir::open(hierarchy)?;
    let written = write_v1(&dir, &target);
    match written {
        Err(error) if cgroup.rootless => {
            tracing::debug!(%error, "device rules not installed for a rootless container");
            Ok(())
        }
        other => other,
    }
}

/// Writes what leads from the rules in force to those asked for.
fn write_v1(dir: &crate::dir::Dir, target: &Emulator) -> Result<(), CgroupError> {
    let load = || Emulator::parse_list(&dir.read("devices.list")?);
    let files = [("devices.deny", false), ("devices.allow", true)];
    let [deny, allow] = files.map(|(file, _)| {
        let open = dir.open_file(file, libc::O_WRONLY);
        open.map_err(|source| CgroupError::Open {
            path: dir.path().join(file),
            source,
        })
    });
    let (deny, allow) = (deny?, allow?);
    for (allowed, rule) in load()?.transition(target) {
        let (file, name) = if allowed {
            (&allow, "devices.allow")
        } else {
            (&deny, "devices.deny")
        };
        let line = rule.to_string();
        crate::dir::write_once(file, &line).map_err(|source| dir.write_error(name, &line, source))?;
    }
    if load()?.answers_like(target) {
        Ok(())
    } else {
        Err(CgroupError::DevicesDiffer {
            path: dir.path().to_owned(),
        })
    }
}

/// Installs the rules on v2.
pub(crate) fn install_v2(cgroup: &Cgroup, rules: &[LinuxDeviceCgroup]) -> Result<(), CgroupError> {
    let target = target(rules)?;
    // There bpf(2) is refused, and the devices that matter cannot be made or opened anyway.
    if in_user_namespace() {
        return Ok(());
    }
    let Some(hierarchy) = cgroup.main() else {
        return if cgroup.rootless {
            Ok(())
        } else {
            Err(CgroupError::NotOurs {
                controller: "devices".to_owned(),
            })
        };
    };
    match filter::install(&hierarchy.full(), &target) {
        Err(error) if cgroup.rootless => {
            tracing::debug!(%error, "device filter not installed for a rootless container");
            Ok(())
        }
        other => other,
    }
}
