//! The systemd driver: a container's cgroup as a transient unit.
//!
//! Owns what is asked of systemd and when; how a message travels is in `bus`.
use std::path::{Path, PathBuf};

use oci_spec::runtime::LinuxResources;
use zvariant::Value;

use crate::cgroup::Cgroup;
use crate::error::CgroupError;
use crate::layout::Layout;
use crate::limits::Part;
use crate::naming::{Driver, Unit};

mod annotation;
mod bus;
mod properties;

use bus::{Bus, Owner};
use properties::Property;

/// Name that systemd answers to when a unit is already there.
const UNIT_EXISTS: &str = "org.freedesktop.systemd1.UnitExists";

/// Refuses the driver on a machine that systemd did not boot.
///
/// Spec: sd_booted(3).
pub(crate) fn check_booted() -> Result<(), CgroupError> {
    match std::fs::symlink_metadata("/run/systemd/system") {
        Ok(meta) if meta.is_dir() => Ok(()),
        _ => Err(CgroupError::NoSystemd),
    }
}

/// The cgroup of the calling user's systemd.
pub(crate) fn read_user_cgroup() -> Result<PathBuf, CgroupError> {
    Ok(PathBuf::from(
        Bus::connect(Owner::User)?.manager_property("ControlGroup")?,
    ))
}

/// Lets systemd move a process into a unit, or below it.
pub(crate) fn attach(unit: &Unit, rootless: bool, sub: &Path, pid: i32) -> Result<(), CgroupError> {
    let sub = Path::new("/").join(sub);
    let pids = vec![u32::try_from(pid).unwrap_or_default()];
    let mut bus = Bus::connect(Owner::of(rootless))?;
    bus.call(
        "AttachProcessesToUnit",
        "ssau",
        &(unit.name.as_str(), sub.to_string_lossy().as_ref(), pids),
    )
    .map_err(|error| error.about(&unit.name))
    .map(drop)
}

/// Stops a unit and waits until systemd has removed it.
pub(crate) fn stop(unit: &Unit, rootless: bool) -> Result<(), CgroupError> {
    let mut bus = Bus::connect(Owner::of(rootless))?;
    match bus.run_job("StopUnit", "ss", &(unit.name.as_str(), "replace")) {
        Ok(result) if result == "done" => {}
        Ok(result) => tracing::warn!(unit = unit.name, result, "unit not stopped cleanly"),
        // A unit without processes may have gone by itself.
        Err(error) => tracing::debug!(unit = unit.name, %error, "unit not stopped"),
    }
    reset_failed(&mut bus, unit);
    Ok(())
}

/// Lets systemd forget a unit that has failed.
fn reset_failed(bus: &mut Bus, unit: &Unit) {
    if let Err(error) = bus.call("ResetFailedUnit", "s", &(unit.name.as_str(),)) {
        tracing::debug!(unit = unit.name, %error, "unit not reset");
    }
}

/// Sets the unit's properties for one part of the resources.
pub(crate) fn set(cgroup: &Cgroup, resources: &LinuxResources, part: Part) -> Result<(), CgroupError> {
    let Some(unit) = &cgroup.unit else { return Ok(()) };
    if cgroup.layout == Layout::Unified
        && part.limits
        && let Some(dir) = cgroup.find_dir("memory")?
    {
        crate::limits::check_usage(&dir, resources)?;
    }
    let mut bus = Bus::connect(Owner::of(cgroup.rootless))?;
    let version = version_number(&bus.manager_property("Version")?);
    let list = properties::of_resources(resources, part, cgroup.layout, version)?;
    if list.is_empty() {
        return Ok(());
    }
    let body = (unit.name.as_str(), true, list);
    bus.call("SetUnitProperties", "sba(sv)", &body)
        .map_err(|error| error.about(&unit.name))
        .map(drop)
}

/// The quota that systemd makes of a quota: whole percents, rounded up.
pub(crate) use properties::round_quota;

/// The leading number of a systemd version such as `252.39-1~deb12u1` or `v245`.
fn version_number(text: &str) -> u32 {
    let digits = text.trim_start_matches(['"', 'v']);
    let end = digits
        .find(|letter: char| !letter.is_ascii_digit())
        .unwrap_or(digits.len());
    digits.get(..end).and_then(|digits| digits.parse().ok()).unwrap_or(0)
}

/// What a unit is started with.
fn start_properties(unit: &Unit, layout: Layout, pid: u32) -> Result<Vec<Property>, CgroupError> {
    let io = if layout == Layout::Unified {
        "IOAccounting"
    } else {
        "BlockIOAccounting"
    };
    let property = |name: &str, value: Value<'static>| (name.to_owned(), value);
    let mut list = vec![property(
        "Description",
        Value::from(format!("nexcage container {}", unit.container)),
    )];
    if unit.name.ends_with(".slice") {
        list.push(property("Wants", Value::from(vec![unit.slice.clone()])));
    } else {
        list.push(property("Slice", Value::from(unit.slice.clone())));
        list.push(property("Delegate", Value::from(true)));
    }
    list.push(property("PIDs", Value::from(vec![pid])));
    for accounting in ["MemoryAccounting", "CPUAccounting", io, "TasksAccounting"] {
        list.push(property(accounting, Value::from(true)));
    }
    list.push(property("DefaultDependencies", Value::from(false)));
    for (name, value) in &unit.properties {
        list.push(annotation::property(name, value)?);
    }
    Ok(list)
}

impl Cgroup {
    /// Whether the cgroup is made by [`Cgroup::place`] instead of [`Cgroup::create`].
    pub fn needs_place(&self) -> bool {
        self.driver == Driver::Systemd
    }

    /// Lets systemd make the container's cgroup with a process in it.
    ///
    /// * `pid`: the process that becomes init's parent, in the caller's pid namespace.
    ///
    /// Afterwards the hierarchies that systemd does not know are made too (on v1 that process must still join them) and
    /// the controllers are handed down. Does nothing for the cgroupfs driver. Limits come after it.
    ///
    /// # Errors
    ///
    /// * [`CgroupError::BusConnect`], [`CgroupError::Bus`], [`CgroupError::Unit`]: systemd.
    /// * [`CgroupError::Annotation`]: an `org.systemd.property.*` value that cannot be parsed.
    /// * the errors of [`Cgroup::create`]. The unit has been stopped again.
    ///
    /// Spec: org.freedesktop.systemd1(5), StartTransientUnit.
    pub fn place(&mut self, pid: i32) -> Result<(), CgroupError> {
        let Some(unit) = self.unit.clone() else { return Ok(()) };
        let list = start_properties(&unit, self.layout, u32::try_from(pid).unwrap_or_default())?;
        start(&unit, self.rootless, &list)?;
        let made = self.create_dirs();
        if made.is_err()
            && let Err(error) = stop(&unit, self.rootless)
        {
            tracing::warn!(unit = unit.name, %error, "unit left behind");
        }
        made.map(drop)
    }
}

/// Starts a unit; one that is left over from a failed container is reset and tried once more.
fn start(unit: &Unit, rootless: bool, list: &[Property]) -> Result<(), CgroupError> {
    let mut bus = Bus::connect(Owner::of(rootless))?;
    let none: Vec<(String, Vec<Property>)> = Vec::new();
    let body = (unit.name.as_str(), "replace", list, none);
    let signature = "ssa(sv)a(sa(sv))";
    let result = match bus.run_job("StartTransientUnit", signature, &body) {
        Err(error) if error.is(UNIT_EXISTS) => {
            reset_failed(&mut bus, unit);
            bus.run_job("StartTransientUnit", signature, &body)
        }
        other => other,
    };
    match result {
        Ok(result) if result == "done" => Ok(()),
        Ok(result) => {
            reset_failed(&mut bus, unit);
            let (unit, text) = (unit.name.clone(), "the job did not succeed".to_owned());
            Err(CgroupError::Unit {
                member: "StartTransientUnit",
                unit,
                name: result,
                text,
            })
        }
        Err(error) => Err(error.about(&unit.name)),
    }
}

#[cfg(test)]
mod tests;
