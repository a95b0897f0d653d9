//! Limits on version 1 hierarchies, written as runc writes them: absent and zero values are left alone.

use std::path::Path;

use oci_spec::runtime::{LinuxBlockIo, LinuxCpu, LinuxMemory, LinuxResources, LinuxThrottleDevice};

use crate::cgroup::{Cgroup, Stage};
use crate::error::Error;
use crate::write;

/// Checks that each limit has its controller, and a value that can be.
pub(crate) fn check(cgroup: &Cgroup, resources: &LinuxResources) -> Result<(), Error> {
    if resources.unified().as_ref().is_some_and(|u| !u.is_empty()) {
        return Err(Error::UnifiedOnV1);
    }
    let memory = resources.memory().as_ref();
    let needs = [
        ("/memory", "memory", memory.is_some_and(has_memory)),
        ("/cpu", "cpu", resources.cpu().as_ref().is_some_and(has_cpu)),
        ("/cpu/cpus", "cpuset", resources.cpu().as_ref().is_some_and(has_cpuset)),
        (
            "/pids",
            "pids",
            resources.pids().as_ref().is_some_and(|p| p.limit() > 0),
        ),
        (
            "/hugepageLimits",
            "hugetlb",
            resources.hugepage_limits().as_ref().is_some_and(|h| !h.is_empty()),
        ),
    ];
    for (limit, controller, wanted) in needs {
        if wanted && cgroup.path_of(controller).is_none() {
            return Err(Error::NoController { limit, controller });
        }
    }
    memory.map_or(Ok(()), check_swap)
}

/// A swap limit counts memory too, so it cannot be the smaller one.
pub(crate) fn check_swap(memory: &LinuxMemory) -> Result<(), Error> {
    let (limit, swap) = (memory.limit().unwrap_or(0), memory.swap().unwrap_or(0));
    if swap > 0 && (limit == -1 || limit > swap) {
        let reason = format!("swap {swap} is below limit {limit}: it counts memory and swap together");
        return Err(Error::Value {
            pointer: "/memory/swap",
            reason,
        });
    }
    Ok(())
}

fn has_memory(memory: &LinuxMemory) -> bool {
    [memory.limit(), memory.swap(), memory.reservation()]
        .iter()
        .any(|v| v.is_some_and(|v| v > 0))
}

fn has_cpu(cpu: &LinuxCpu) -> bool {
    cpu.shares().is_some_and(|v| v > 0) || cpu.quota().is_some_and(|v| v > 0) || cpu.period().is_some_and(|v| v > 0)
}

fn has_cpuset(cpu: &LinuxCpu) -> bool {
    [cpu.cpus(), cpu.mems()]
        .iter()
        .any(|v| v.as_ref().is_some_and(|v| !v.is_empty()))
}

/// Writes the limits of a stage.
pub(crate) fn apply(cgroup: &Cgroup, resources: &LinuxResources, stage: Stage) -> Result<(), Error> {
    if stage == Stage::AfterInit {
        return match (resources.pids(), cgroup.path_of("pids")) {
            (Some(pids), Some(path)) => write::write(&path.join("pids.max"), &pids_max(pids.limit())),
            _ => Ok(()),
        };
    }
    let of = |controller| cgroup.path_of(controller);
    if let (Some(memory), Some(path)) = (resources.memory(), of("memory")) {
        apply_memory(path, memory)?;
    }
    if let (Some(cpu), Some(path)) = (resources.cpu(), of("cpu")) {
        apply_cpu(path, cpu)?;
    }
    if let (Some(cpu), Some(path)) = (resources.cpu(), of("cpuset")) {
        apply_cpuset(path, cpu)?;
    }
    if let (Some(io), Some(path)) = (resources.block_io(), of("blkio")) {
        apply_io(path, io)?;
    }
    apply_rest(cgroup, resources)
}

/// 0 cannot be written where systemd reads it: the least is 1, which init itself takes.
pub(crate) fn pids_max(limit: i64) -> String {
    match limit {
        0 => "1".to_owned(),
        limit if limit > 0 => limit.to_string(),
        _ => "max".to_owned(),
    }
}

fn apply_memory(path: &Path, memory: &LinuxMemory) -> Result<(), Error> {
    let (limit, mut swap) = (memory.limit().unwrap_or(0), memory.swap().unwrap_or(0));
    if limit == -1 && swap == 0 {
        swap = -1;
    }
    let swap_file = path.join("memory.memsw.limit_in_bytes");
    if !swap_file.exists() {
        swap = 0;
    }
    let set_limit = || put(&path.join("memory.limit_in_bytes"), limit);
    let set_swap = || put(&swap_file, swap);
    // The kernel keeps memory <= memory and swap at every moment: which goes first depends on the present limit.
    let present = write::read_number(&path.join("memory.limit_in_bytes"))?;
    if swap == -1 || (swap > 0 && present < u64::try_from(swap).unwrap_or(u64::MAX)) {
        set_swap().and_then(|()| set_limit())?;
    } else {
        set_limit().and_then(|()| set_swap())?;
    }
    put(
        &path.join("memory.soft_limit_in_bytes"),
        memory.reservation().unwrap_or(0),
    )?;
    if memory.kernel().unwrap_or(0) > 0 || memory.kernel_tcp().unwrap_or(0) > 0 {
        tracing::warn!("kernel memory limits are obsolete and ignored");
    }
    if let Some(swappiness) = memory.swappiness() {
        write::write(&path.join("memory.swappiness"), &swappiness.to_string())?;
    }
    if memory.disable_oom_killer() == Some(true) {
        write::write(&path.join("memory.oom_control"), "1")?;
    }
    Ok(())
}

/// Writes a value unless it is 0, which means to leave the file alone.
fn put(path: &Path, value: i64) -> Result<(), Error> {
    if value == 0 {
        Ok(())
    } else {
        write::write(path, &value.to_string())
    }
}

fn put_unsigned(path: &Path, value: Option<u64>) -> Result<(), Error> {
    value
        .filter(|v| *v != 0)
        .map_or(Ok(()), |v| write::write(path, &v.to_string()))
}

fn apply_cpu(path: &Path, cpu: &LinuxCpu) -> Result<(), Error> {
    put_unsigned(&path.join("cpu.shares"), cpu.shares())?;
    let period = path.join("cpu.cfs_period_us");
    let quota = path.join("cpu.cfs_quota_us");
    // The kernel refuses a period that the present quota does not fit: the quota goes first then.
    if let Err(error) = put_unsigned(&period, cpu.period()) {
        if cpu.quota().unwrap_or(0) == 0 {
            return Err(error);
        }
        put(&quota, cpu.quota().unwrap_or(0))?;
        put_unsigned(&period, cpu.period())?;
    }
    put(&quota, cpu.quota().unwrap_or(0))?;
    put_unsigned(&path.join("cpu.cfs_burst_us"), cpu.burst())?;
    put_unsigned(&path.join("cpu.rt_period_us"), cpu.realtime_period())?;
    put(&path.join("cpu.rt_runtime_us"), cpu.realtime_runtime().unwrap_or(0))?;
    cpu.idle()
        .map_or(Ok(()), |idle| write::write(&path.join("cpu.idle"), &idle.to_string()))
}

pub(crate) fn apply_cpuset(path: &Path, cpu: &LinuxCpu) -> Result<(), Error> {
    for (file, value) in [("cpuset.cpus", cpu.cpus()), ("cpuset.mems", cpu.mems())] {
        if let Some(value) = value.as_ref().filter(|v| !v.is_empty()) {
            write::write(&path.join(file), value)?;
        }
    }
    Ok(())
}

/// A new cpuset is empty, and takes no process before it has what its parent has.
pub(crate) fn inherit_cpuset(parent: &Path, path: &Path) -> Result<(), Error> {
    for file in ["cpuset.cpus", "cpuset.mems"] {
        let own = path.join(file);
        if write::read(&own)?.is_empty() {
            write::write(&own, &write::read(&parent.join(file))?)?;
        }
    }
    Ok(())
}

fn apply_io(path: &Path, io: &LinuxBlockIo) -> Result<(), Error> {
    let first = |names: &[&str]| names.iter().map(|n| path.join(n)).find(|p| p.exists());
    if let Some(weight) = io.weight().filter(|w| *w != 0)
        && let Some(file) = first(&["blkio.bfq.weight", "blkio.weight"])
    {
        write::write(&file, &weight.to_string())?;
    }
    if let Some(weight) = io.leaf_weight().filter(|w| *w != 0)
        && let Some(file) = first(&["blkio.leaf_weight"])
    {
        write::write(&file, &weight.to_string())?;
    }
    for device in io.weight_device().iter().flatten() {
        if let (Some(weight), Some(file)) = (
            device.weight(),
            first(&["blkio.bfq.weight_device", "blkio.weight_device"]),
        ) {
            write::write(&file, &format!("{}:{} {weight}", device.major(), device.minor()))?;
        }
    }
    let throttle = [
        ("blkio.throttle.read_bps_device", io.throttle_read_bps_device()),
        ("blkio.throttle.write_bps_device", io.throttle_write_bps_device()),
        ("blkio.throttle.read_iops_device", io.throttle_read_iops_device()),
        ("blkio.throttle.write_iops_device", io.throttle_write_iops_device()),
    ];
    for (file, devices) in throttle {
        for device in devices.iter().flatten() {
            write::write(&path.join(file), &throttle_line(device))?;
        }
    }
    Ok(())
}

fn throttle_line(device: &LinuxThrottleDevice) -> String {
    format!("{}:{} {}", device.major(), device.minor(), device.rate())
}

fn apply_rest(cgroup: &Cgroup, resources: &LinuxResources) -> Result<(), Error> {
    for limit in resources.hugepage_limits().iter().flatten() {
        let Some(path) = cgroup.path_of("hugetlb") else {
            continue;
        };
        let size = limit.page_size();
        write::write(
            &path.join(format!("hugetlb.{size}.limit_in_bytes")),
            &limit.limit().to_string(),
        )?;
        let reserved = path.join(format!("hugetlb.{size}.rsvd.limit_in_bytes"));
        if reserved.exists() {
            write::write(&reserved, &limit.limit().to_string())?;
        }
    }
    let network = resources.network().as_ref();
    if let (Some(id), Some(path)) = (network.and_then(|n| n.class_id()), cgroup.path_of("net_cls")) {
        write::write(&path.join("net_cls.classid"), &id.to_string())?;
    }
    if let Some(path) = cgroup.path_of("net_prio") {
        for priority in network.and_then(|n| n.priorities().as_ref()).into_iter().flatten() {
            let line = format!("{} {}", priority.name(), priority.priority());
            write::write(&path.join("net_prio.ifpriomap"), &line)?;
        }
    }
    cgroup
        .path_of("rdma")
        .map_or(Ok(()), |path| apply_rdma(path, resources))
}

pub(crate) fn apply_rdma(path: &Path, resources: &LinuxResources) -> Result<(), Error> {
    for (device, limit) in resources.rdma().iter().flatten() {
        let value = |v: Option<u32>| v.map_or_else(|| "max".to_owned(), |v| v.to_string());
        let line = format!(
            "{device} hca_handle={} hca_object={}",
            value(limit.hca_handles()),
            value(limit.hca_objects())
        );
        write::write(&path.join("rdma.max"), &line)?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use oci_spec::runtime::LinuxMemoryBuilder;

    #[test]
    fn a_process_limit_of_zero_leaves_room_for_init() {
        assert_eq!([pids_max(0), pids_max(7), pids_max(-1)], ["1", "7", "max"]);
    }

    #[test]
    fn swap_below_memory_is_refused_with_both_values() {
        let memory = LinuxMemoryBuilder::default()
            .limit(200_i64)
            .swap(100_i64)
            .build()
            .unwrap();
        let text = check_swap(&memory).unwrap_err().to_string();
        assert!(
            text.starts_with("/linux/resources/memory/swap: swap 100 is below limit 200"),
            "{text}"
        );
    }
}
