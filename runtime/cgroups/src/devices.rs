//! Device rules: the config's, then the devices that every container may use.

use oci_spec::runtime::{LinuxDeviceCgroup, LinuxDeviceType, LinuxResources};

use crate::cgroup::Cgroup;
use crate::error::Error;
use crate::hierarchy::Layout;
use crate::write;

/// What runc allows every container: making nodes, the standard devices, terminals and tun.
const DEFAULT: [&str; 11] = [
    "c *:* m",
    "b *:* m",
    "c 1:3 rwm",
    "c 1:5 rwm",
    "c 1:7 rwm",
    "c 1:8 rwm",
    "c 1:9 rwm",
    "c 5:0 rwm",
    "c 5:2 rwm",
    "c 10:200 rwm",
    "c 136:* rwm",
];

/// Installs the rules; everything that they do not allow is denied.
pub(crate) fn apply(cgroup: &Cgroup, resources: &LinuxResources) -> Result<(), Error> {
    match cgroup.layout {
        Layout::Unified => apply_v2(cgroup, resources),
        Layout::Legacy | Layout::Hybrid => apply_v1(cgroup, resources),
    }
}

fn apply_v1(cgroup: &Cgroup, resources: &LinuxResources) -> Result<(), Error> {
    let Some(path) = cgroup.path_of("devices") else {
        return Err(Error::NoController {
            limit: "/devices",
            controller: "devices",
        });
    };
    let (allow, deny) = (path.join("devices.allow"), path.join("devices.deny"));
    let rules = resources.devices().as_deref().unwrap_or_default();
    // Nothing before the last rule for all devices matters.
    let last = rules.iter().rposition(is_for_all);
    let allows_all = last
        .and_then(|index| rules.get(index))
        .is_some_and(LinuxDeviceCgroup::allow);
    write::write(if allows_all { &allow } else { &deny }, "a")?;
    for rule in rules.iter().skip(last.map_or(0, |index| index + 1)) {
        write::write(if rule.allow() { &allow } else { &deny }, &line(rule))?;
    }
    if allows_all {
        return Ok(());
    }
    DEFAULT.iter().try_for_each(|rule| write::write(&allow, rule))
}

fn is_for_all(rule: &LinuxDeviceCgroup) -> bool {
    let any_type = rule.typ().is_none_or(|t| t == LinuxDeviceType::A);
    any_type && rule.major().is_none_or(|m| m == -1) && rule.minor().is_none_or(|m| m == -1)
}

fn line(rule: &LinuxDeviceCgroup) -> String {
    let number = |n: Option<i64>| n.filter(|n| *n >= 0).map_or_else(|| "*".to_owned(), |n| n.to_string());
    let typ = match rule.typ() {
        None | Some(LinuxDeviceType::A) => "a",
        Some(LinuxDeviceType::B) => "b",
        Some(_) => "c",
    };
    let access = rule.access().as_deref().filter(|a| !a.is_empty()).unwrap_or("rwm");
    format!("{typ} {}:{} {access}", number(rule.major()), number(rule.minor()))
}

fn apply_v2(cgroup: &Cgroup, resources: &LinuxResources) -> Result<(), Error> {
    let Some(node) = cgroup.nodes.first() else {
        return Ok(());
    };
    libcgroups::v2::devices::Devices::apply_devices(&node.path, resources.devices())
        .map_err(|e| Error::Devices { reason: e.to_string() })
}

#[cfg(test)]
mod tests {
    use super::*;
    use oci_spec::runtime::LinuxDeviceCgroupBuilder;

    #[test]
    fn a_rule_is_written_with_wildcards() {
        let rule = LinuxDeviceCgroupBuilder::default()
            .allow(true)
            .typ(LinuxDeviceType::C)
            .major(10)
            .build()
            .unwrap();
        assert_eq!(line(&rule), "c 10:* rwm");
        let all = LinuxDeviceCgroupBuilder::default()
            .allow(false)
            .access("rwm")
            .build()
            .unwrap();
        assert!(is_for_all(&all));
        assert!(!is_for_all(&rule));
    }
}
