//! Resource limits: checking them before anything happens, and writing them.
//!
//! Owns what is a limit and what is left out at which moment; the files are in `v1` and `v2`.
use oci_spec::runtime::{LinuxBlockIo, LinuxCpu, LinuxResources, LinuxThrottleDevice};

use crate::cgroup::Cgroup;
use crate::devices;
use crate::dir::Dir;
use crate::error::CgroupError;
use crate::layout::Layout;

mod check;
pub(crate) mod convert;
mod merge;
mod v1;
mod v2;

pub use merge::merge;

/// When limits are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stage {
    /// Before init is started: everything but the limit on processes.
    BeforeInit,
    /// Init and what helped to start it are there: the limit on processes, so that even a limit of 1 lets it start.
    AfterInit,
}

/// What of the resources is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Part {
    /// Everything but devices and pids.
    pub(crate) limits: bool,
    pub(crate) devices: bool,
    pub(crate) pids: bool,
}

impl Part {
    /// What belongs to a stage.
    pub(crate) fn of(stage: Stage) -> Self {
        let before = stage == Stage::BeforeInit;
        Self {
            limits: before,
            devices: before,
            pids: !before,
        }
    }

    /// Whether a key of the unified map belongs to it.
    pub(crate) fn takes(self, key: &str) -> bool {
        if key.starts_with("pids.") {
            self.pids
        } else {
            self.limits
        }
    }
}

impl Cgroup {
    /// Refuses resources that cannot be had here, before any effect.
    ///
    /// # Errors
    ///
    /// * [`CgroupError::UnifiedOnV1`]: `unified` needs v2.
    /// * [`CgroupError::NoController`]: names the controller and what to do.
    /// * [`CgroupError::BadLimit`], [`CgroupError::DeviceRule`]: a value out of its range.
    /// * [`CgroupError::NotDelegated`]: limits for a rootless caller that may not make a cgroup.
    pub fn check(&self, resources: &LinuxResources) -> Result<(), CgroupError> {
        self.check_limits(resources)?;
        devices::check(resources.devices().as_deref().unwrap_or_default())
    }

    /// The half of [`Cgroup::check`] that holds for an update too, which leaves devices alone.
    pub(crate) fn check_limits(&self, resources: &LinuxResources) -> Result<(), CgroupError> {
        check::check(self, resources)
    }

    /// Writes one part of the resources to the cgroup's files.
    pub(crate) fn write_files(&self, resources: &LinuxResources, part: Part) -> Result<(), CgroupError> {
        match self.layout {
            Layout::Unified => v2::write(self, resources, part),
            Layout::Legacy | Layout::Hybrid => v1::write(self, resources, part),
        }
    }

    /// Refuses the v2-only map on v1.
    pub(crate) fn refuse_unified(&self, resources: &LinuxResources) -> Result<(), CgroupError> {
        match resources.unified() {
            Some(map) if !map.is_empty() => Err(CgroupError::UnifiedOnV1),
            _ => Ok(()),
        }
    }

    /// Opens the cgroup that takes a controller's limits.
    fn limit_dir(&self, controller: &str) -> Result<Dir, CgroupError> {
        let hierarchy = self
            .hierarchy(controller)
            .ok_or_else(|| match self.hierarchies.first() {
                Some(first) if self.layout == Layout::Unified => CgroupError::NotDelegated { path: first.full() },
                _ => CgroupError::NotOurs {
                    controller: controller.to_owned(),
                },
            })?;
        Dir::open(hierarchy)
    }
}

/// Refuses limits below what is in use, where `checkBeforeUpdate` asks for that.
pub(crate) fn check_usage(dir: &Dir, resources: &LinuxResources) -> Result<(), CgroupError> {
    v2::check_usage(dir, MemoryLimits::of(resources))
}

/// A value that is there and not zero.
pub(crate) fn set<T: Copy + Default + PartialEq>(value: Option<T>) -> Option<T> {
    value.filter(|value| *value != T::default())
}

/// A text that is there and not empty.
pub(crate) fn text(value: &Option<String>) -> Option<&str> {
    value.as_deref().filter(|text| !text.is_empty())
}

/// The limit on processes as the kernel takes it: systemd knows no 0, so 0 becomes 1 with both drivers, as with runc.
pub(crate) fn pids_value(limit: i64) -> String {
    match limit {
        0 => "1".to_owned(),
        limit if limit < 0 => "max".to_owned(),
        limit => limit.to_string(),
    }
}

/// Memory limits with zeros taken out.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct MemoryLimits {
    pub(crate) limit: Option<i64>,
    pub(crate) swap: Option<i64>,
    pub(crate) reservation: Option<i64>,
    pub(crate) swappiness: Option<u64>,
    pub(crate) no_oom_killer: bool,
    pub(crate) check: bool,
}

impl MemoryLimits {
    /// Reads them from the resources.
    pub(crate) fn of(resources: &LinuxResources) -> Self {
        let Some(memory) = resources.memory() else {
            return Self::default();
        };
        if set(memory.kernel()).is_some() || set(memory.kernel_tcp()).is_some() {
            tracing::warn!("kernel memory limits are ignored: the kernel no longer has them");
        }
        Self {
            limit: set(memory.limit()),
            swap: set(memory.swap()),
            reservation: set(memory.reservation()),
            swappiness: memory.swappiness(),
            no_oom_killer: memory.disable_oom_killer() == Some(true),
            check: memory.check_before_update() == Some(true),
        }
    }

    /// Whether v2 has something to write for them.
    pub(crate) fn any(&self) -> bool {
        self.limit.is_some() || self.swap.is_some() || self.reservation.is_some()
    }
}

/// Whether the cpu controller has something to write.
pub(crate) fn sets_cpu(cpu: &LinuxCpu) -> bool {
    set(cpu.shares()).is_some()
        || set(cpu.quota()).is_some()
        || set(cpu.period()).is_some()
        || cpu.burst().is_some()
        || cpu.idle().is_some()
}

/// Whether real-time limits are asked for; v1 only.
pub(crate) fn sets_realtime(cpu: &LinuxCpu) -> bool {
    set(cpu.realtime_runtime()).is_some() || set(cpu.realtime_period()).is_some()
}

/// The four kinds of throttle, each with its v1 file and its v2 key.
pub(crate) fn throttles(io: &LinuxBlockIo) -> [(&'static str, &'static str, &[LinuxThrottleDevice]); 4] {
    [
        (
            "blkio.throttle.read_bps_device",
            "rbps",
            io.throttle_read_bps_device().as_deref().unwrap_or_default(),
        ),
        (
            "blkio.throttle.write_bps_device",
            "wbps",
            io.throttle_write_bps_device().as_deref().unwrap_or_default(),
        ),
        (
            "blkio.throttle.read_iops_device",
            "riops",
            io.throttle_read_iops_device().as_deref().unwrap_or_default(),
        ),
        (
            "blkio.throttle.write_iops_device",
            "wiops",
            io.throttle_write_iops_device().as_deref().unwrap_or_default(),
        ),
    ]
}

/// Whether the block io controller has something to write.
pub(crate) fn sets_io(io: &LinuxBlockIo) -> bool {
    set(io.weight()).is_some()
        || set(io.leaf_weight()).is_some()
        || io.weight_device().as_ref().is_some_and(|devices| !devices.is_empty())
        || throttles(io).iter().any(|(_, _, devices)| !devices.is_empty())
}

/// The lines for rdma.max, in a stable order.
pub(crate) fn rdma_lines(resources: &LinuxResources) -> Vec<String> {
    let mut lines: Vec<String> = resources
        .rdma()
        .iter()
        .flatten()
        .map(|(device, limits)| {
            let mut line = device.clone();
            if let Some(handles) = limits.hca_handles() {
                line.push_str(&format!(" hca_handle={handles}"));
            }
            if let Some(objects) = limits.hca_objects() {
                line.push_str(&format!(" hca_object={objects}"));
            }
            line
        })
        .collect();
    lines.sort();
    lines
}

/// Writes the huge page limits; the reservation file is newer than the other, so it may be missing.
///
/// * `suffix`: what the file's name ends with, `.limit_in_bytes` on v1 and `.max` on v2.
pub(crate) fn write_hugepages(cgroup: &Cgroup, resources: &LinuxResources, suffix: &str) -> Result<(), CgroupError> {
    let limits = resources.hugepage_limits().as_deref().unwrap_or_default();
    if limits.is_empty() {
        return Ok(());
    }
    let dir = cgroup.limit_dir("hugetlb")?;
    for limit in limits {
        let value = limit.limit().to_string();
        dir.write(&format!("hugetlb.{}{suffix}", limit.page_size()), &value)?;
        let reserved = format!("hugetlb.{}.rsvd{suffix}", limit.page_size());
        if dir.has(&reserved) {
            dir.write(&reserved, &value)?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests;
