//! Limits on the version 2 hierarchy, converted from the version 1 units of the config as runc converts them.

use std::path::Path;

use oci_spec::runtime::{LinuxBlockIo, LinuxCpu, LinuxMemory, LinuxResources};

use crate::cgroup::{Cgroup, Stage};
use crate::error::Error;
use crate::limits_v1::{apply_cpuset, apply_rdma, check_swap, pids_max};
use crate::write;

/// Checks that each limit has its controller, and a value that can be.
pub(crate) fn check(cgroup: &Cgroup, resources: &LinuxResources) -> Result<(), Error> {
    let Some(node) = cgroup.nodes.first() else {
        return Ok(());
    };
    let available = write::read(&node.mount.join("cgroup.controllers"))?;
    let has = |controller: &str| available.split_whitespace().any(|c| c == controller);
    let positive = |v: Option<i64>| v.is_some_and(|v| v > 0);
    let memory = resources.memory().as_ref();
    let cpu = resources.cpu().as_ref();
    let needs = [
        (
            "/memory",
            "memory",
            memory.is_some_and(|m| positive(m.limit()) || positive(m.swap())),
        ),
        (
            "/cpu",
            "cpu",
            cpu.is_some_and(|c| c.shares().is_some_and(|s| s > 0) || positive(c.quota())),
        ),
        (
            "/cpu/cpus",
            "cpuset",
            cpu.is_some_and(|c| c.cpus().as_ref().is_some_and(|v| !v.is_empty())),
        ),
        (
            "/pids",
            "pids",
            resources.pids().as_ref().is_some_and(|p| p.limit() > 0),
        ),
    ];
    for (limit, controller, wanted) in needs {
        if wanted && !has(controller) {
            return Err(Error::NoController { limit, controller });
        }
    }
    for key in resources.unified().iter().flat_map(|u| u.keys()) {
        if key.contains('/') || !key.contains('.') {
            let reason = format!("{key:?} is not the name of a cgroup file");
            return Err(Error::Value {
                pointer: "/unified",
                reason,
            });
        }
    }
    memory.map_or(Ok(()), check_swap)
}

/// Lets cgroups below `parent` use every controller that it has. What the kernel refuses stays off; a limit that needs
/// it fails by name.
pub(crate) fn enable_controllers(parent: &Path) {
    let list = |file: &str| write::read(&parent.join(file)).unwrap_or_default();
    let (available, enabled) = (list("cgroup.controllers"), list("cgroup.subtree_control"));
    let missing: Vec<String> = available
        .split_whitespace()
        .filter(|c| !enabled.split_whitespace().any(|e| e == *c))
        .map(|c| format!("+{c}"))
        .collect();
    let control = parent.join("cgroup.subtree_control");
    if missing.is_empty() || write::try_write(&control, &missing.join(" ")).is_ok() {
        return;
    }
    for controller in missing {
        if let Err(error) = write::try_write(&control, &controller) {
            tracing::debug!(%controller, %error, "controller not enabled");
        }
    }
}

/// Writes the limits of a stage.
pub(crate) fn apply(cgroup: &Cgroup, resources: &LinuxResources, stage: Stage) -> Result<(), Error> {
    let Some(node) = cgroup.nodes.first() else {
        return Ok(());
    };
    let path = node.path.as_path();
    if stage == Stage::AfterInit {
        return resources
            .pids()
            .as_ref()
            .map_or(Ok(()), |p| write::write(&path.join("pids.max"), &pids_max(p.limit())));
    }
    if let Some(memory) = resources.memory() {
        apply_memory(path, memory)?;
    }
    if let Some(cpu) = resources.cpu() {
        apply_cpu(path, cpu)?;
        apply_cpuset(path, cpu)?;
    }
    if let Some(io) = resources.block_io() {
        apply_io(path, io)?;
    }
    for limit in resources.hugepage_limits().iter().flatten() {
        write::write(
            &path.join(format!("hugetlb.{}.max", limit.page_size())),
            &limit.limit().to_string(),
        )?;
    }
    apply_rdma(path, resources)?;
    for (file, value) in resources.unified().iter().flatten() {
        write::write(&path.join(file), value)?;
    }
    Ok(())
}

fn apply_memory(path: &Path, memory: &LinuxMemory) -> Result<(), Error> {
    let (limit, mut swap) = (memory.limit().unwrap_or(0), memory.swap().unwrap_or(0));
    if limit == -1 && swap == 0 {
        swap = -1;
    }
    if memory.check_before_update() == Some(true) && limit > 0 {
        let used = write::read_number(&path.join("memory.current"))?;
        if used > u64::try_from(limit).unwrap_or(u64::MAX) {
            let reason = format!("the container uses {used} bytes, more than the new limit {limit}");
            return Err(Error::Value {
                pointer: "/memory/limit",
                reason,
            });
        }
    }
    if let Some(value) = swap_max(limit, swap) {
        match write::write(&path.join("memory.swap.max"), &value) {
            // A kernel without swap accounting limits nothing, and nothing was to be limited.
            Err(Error::Write { source, .. })
                if source.kind() == std::io::ErrorKind::NotFound && (value == "max" || value == "0") => {}
            other => other?,
        }
    }
    if limit != 0 {
        write::write(&path.join("memory.max"), &max_or(limit))?;
    }
    match memory.reservation() {
        None | Some(0) => Ok(()),
        Some(low) => write::write(&path.join("memory.low"), &max_or(low)),
    }
}

fn max_or(value: i64) -> String {
    if value < 0 { "max".to_owned() } else { value.to_string() }
}

/// On v2 the swap limit is swap alone.
fn swap_max(limit: i64, swap: i64) -> Option<String> {
    match swap {
        0 => None,
        swap if swap < 0 => Some("max".to_owned()),
        swap if limit > 0 => Some((swap - limit).to_string()),
        swap => Some(swap.to_string()),
    }
}

fn apply_cpu(path: &Path, cpu: &LinuxCpu) -> Result<(), Error> {
    if let Some(idle) = cpu.idle() {
        write::write(&path.join("cpu.idle"), &idle.to_string())?;
    }
    if let Some(shares) = cpu.shares().filter(|s| *s != 0) {
        write::write(&path.join("cpu.weight"), &cpu_weight(shares).to_string())?;
    }
    let (quota, period) = (cpu.quota().unwrap_or(0), cpu.period().unwrap_or(0));
    if quota != 0 || period != 0 {
        let quota = if quota > 0 { quota.to_string() } else { "max".to_owned() };
        let period = if period == 0 { 100_000 } else { period };
        write::write(&path.join("cpu.max"), &format!("{quota} {period}"))?;
    }
    match cpu.burst() {
        None | Some(0) => Ok(()),
        Some(burst) => write::write(&path.join("cpu.max.burst"), &burst.to_string()),
    }
}

/// Shares 2 to 262144 to weight 1 to 10000, on the curve that maps the default 1024 to the default 100.
pub(crate) fn cpu_weight(shares: u64) -> u64 {
    match shares {
        0 => 0,
        1 | 2 => 1,
        262_144.. => 10_000,
        shares => {
            #[expect(clippy::cast_precision_loss, reason = "below 2^18, exact in a double")]
            let l = (shares as f64).log2();
            let exponent = (l * l + 125.0 * l) / 612.0 - 7.0 / 34.0;
            #[expect(
                clippy::cast_possible_truncation,
                clippy::cast_sign_loss,
                reason = "between 1 and 10000"
            )]
            let weight = 10_f64.powf(exponent).ceil() as u64;
            weight
        }
    }
}

fn apply_io(path: &Path, io: &LinuxBlockIo) -> Result<(), Error> {
    if let Some(weight) = io.weight().filter(|w| *w != 0) {
        let bfq = path.join("io.bfq.weight");
        if bfq.exists() {
            write::write(&bfq, &weight.to_string())?;
        } else {
            write::write(&path.join("io.weight"), &format!("default {}", io_weight(weight)))?;
        }
    }
    let limits = [
        ("rbps", io.throttle_read_bps_device()),
        ("wbps", io.throttle_write_bps_device()),
        ("riops", io.throttle_read_iops_device()),
        ("wiops", io.throttle_write_iops_device()),
    ];
    for (name, devices) in limits {
        for device in devices.iter().flatten() {
            let line = format!("{}:{} {name}={}", device.major(), device.minor(), device.rate());
            write::write(&path.join("io.max"), &line)?;
        }
    }
    Ok(())
}

/// Weight 10 to 1000 to weight 1 to 10000.
fn io_weight(weight: u16) -> u64 {
    1 + (u64::from(weight.max(10)) - 10) * 9999 / 990
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shares_become_the_weight_that_keeps_the_defaults() {
        assert_eq!([cpu_weight(2), cpu_weight(1024), cpu_weight(262_144)], [1, 100, 10_000]);
        assert!(cpu_weight(512) < 100 && cpu_weight(2048) > 100);
    }

    #[test]
    fn io_weight_spans_the_range() {
        assert_eq!([io_weight(10), io_weight(1000)], [1, 10_000]);
    }

    #[test]
    fn swap_is_what_is_beyond_memory() {
        assert_eq!(swap_max(100, 300).as_deref(), Some("200"));
        assert_eq!(swap_max(100, -1).as_deref(), Some("max"));
        assert_eq!(swap_max(100, 0), None);
    }
}
