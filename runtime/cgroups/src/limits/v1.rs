//! Limits on v1.
use std::io;

use oci_spec::runtime::{LinuxBlockIo, LinuxCpu, LinuxResources};

use super::{MemoryLimits, Part, pids_value, rdma_lines, set, sets_cpu, sets_io, sets_realtime, text, throttles};
use crate::cgroup::Cgroup;
use crate::devices;
use crate::dir::Dir;
use crate::error::CgroupError;

/// Writes one part of the resources.
pub(crate) fn write(cgroup: &Cgroup, resources: &LinuxResources, part: Part) -> Result<(), CgroupError> {
    if part.limits
        && let Some(cpu) = resources.cpu()
    {
        write_cpuset(cgroup, cpu)?;
    }
    if part.devices {
        devices::install_v1(cgroup, resources.devices().as_deref().unwrap_or_default())?;
    }
    if part.limits {
        write_memory(cgroup, MemoryLimits::of(resources))?;
        if let Some(cpu) = resources.cpu() {
            write_cpu(cgroup, cpu)?;
        }
    }
    if let Some(pids) = resources.pids().filter(|_| part.pids) {
        let value = pids_value(pids.limit());
        match cgroup.hierarchy("pids") {
            None if value == "max" => {}
            _ => cgroup.limit_dir("pids")?.write("pids.max", &value)?,
        }
    }
    if part.limits {
        write_rest(cgroup, resources)
    } else {
        Ok(())
    }
}

/// Writes the limits of the less common controllers.
fn write_rest(cgroup: &Cgroup, resources: &LinuxResources) -> Result<(), CgroupError> {
    if let Some(io) = resources.block_io().as_ref().filter(|io| sets_io(io)) {
        write_blkio(&cgroup.limit_dir("blkio")?, io)?;
    }
    super::write_hugepages(cgroup, resources, ".limit_in_bytes")?;
    if let Some(network) = resources.network() {
        if let Some(class) = set(network.class_id()) {
            cgroup
                .limit_dir("net_cls")?
                .write("net_cls.classid", &class.to_string())?;
        }
        for priority in network.priorities().iter().flatten() {
            let value = format!("{} {}", priority.name(), priority.priority());
            cgroup.limit_dir("net_prio")?.write("net_prio.ifpriomap", &value)?;
        }
    }
    for line in rdma_lines(resources) {
        cgroup.limit_dir("rdma")?.write("rdma.max", &line)?;
    }
    Ok(())
}

/// Writes cpus and memory nodes.
fn write_cpuset(cgroup: &Cgroup, cpu: &LinuxCpu) -> Result<(), CgroupError> {
    let (cpus, mems) = (text(cpu.cpus()), text(cpu.mems()));
    if cpus.is_none() && mems.is_none() {
        return Ok(());
    }
    let dir = cgroup.limit_dir("cpuset")?;
    let prefix = if dir.has("cpuset.cpus") { "cpuset." } else { "" };
    for (file, value) in [("cpus", cpus), ("mems", mems)] {
        if let Some(value) = value {
            dir.write(&format!("{prefix}{file}"), value)?;
        }
    }
    Ok(())
}

/// Writes memory limits in an order that the kernel accepts: the sum never falls below the memory limit.
fn write_memory(cgroup: &Cgroup, memory: MemoryLimits) -> Result<(), CgroupError> {
    let MemoryLimits {
        limit,
        mut swap,
        reservation,
        swappiness,
        no_oom_killer,
        ..
    } = memory;
    if !memory.any() && !no_oom_killer && swappiness.is_none() {
        return Ok(());
    }
    let dir = cgroup.limit_dir("memory")?;
    if limit == Some(-1) && swap.is_none() && dir.has(SUM) {
        swap = Some(-1);
    }
    let sum_first = match (limit, swap) {
        (Some(_), Some(-1)) => true,
        (Some(_), Some(swap)) => dir.read_number(LIMIT)? < u64::try_from(swap).unwrap_or(0),
        _ => false,
    };
    if sum_first {
        write_if(&dir, SUM, swap)?;
    }
    write_memory_limit(&dir, limit)?;
    if !sum_first {
        write_if(&dir, SUM, swap)?;
    }
    write_if(&dir, "memory.soft_limit_in_bytes", reservation)?;
    if no_oom_killer {
        dir.write("memory.oom_control", "1")?;
    }
    write_if(&dir, "memory.swappiness", swappiness)
}

/// Memory alone.
const LIMIT: &str = "memory.limit_in_bytes";
/// Memory and swap together.
const SUM: &str = "memory.memsw.limit_in_bytes";

/// Writes the memory limit; says how much is in use when the kernel cannot get below it.
fn write_memory_limit(dir: &Dir, limit: Option<i64>) -> Result<(), CgroupError> {
    let Some(limit) = limit else { return Ok(()) };
    match dir.try_write(LIMIT, &limit.to_string()) {
        Ok(()) => Ok(()),
        Err(error) if error.raw_os_error() == Some(libc::EBUSY) => Err(CgroupError::MemoryBusy {
            limit,
            usage: dir.read_number("memory.usage_in_bytes")?,
            peak: dir.read_number("memory.max_usage_in_bytes")?,
        }),
        Err(source) => Err(dir.write_error(LIMIT, &limit.to_string(), source)),
    }
}

/// Writes a number that is set.
fn write_if<T: ToString>(dir: &Dir, file: &str, value: Option<T>) -> Result<(), CgroupError> {
    value.map_or(Ok(()), |value| dir.write(file, &value.to_string()))
}

/// Writes shares, bandwidth, idle and real-time limits.
fn write_cpu(cgroup: &Cgroup, cpu: &LinuxCpu) -> Result<(), CgroupError> {
    if !sets_cpu(cpu) && !sets_realtime(cpu) {
        return Ok(());
    }
    let dir = cgroup.limit_dir("cpu")?;
    if let Some(shares) = set(cpu.shares()) {
        dir.write("cpu.shares", &shares.to_string())?;
        let allowed = dir.read_number("cpu.shares")?;
        if shares != allowed {
            let bound = if shares > allowed { "maximum" } else { "minimum" };
            return Err(CgroupError::SharesClamped { bound, allowed });
        }
    }
    write_bandwidth(&dir, cpu)?;
    write_if(&dir, "cpu.idle", cpu.idle())?;
    write_realtime(&dir, cpu)
}

/// Writes period, burst and quota. The kernel checks them against each other, so what it refuses before the quota is
/// tried again after it.
fn write_bandwidth(dir: &Dir, cpu: &LinuxCpu) -> Result<(), CgroupError> {
    let quota = set(cpu.quota());
    let burst = cpu.burst().filter(|_| dir.has("cpu.cfs_burst_us"));
    let mut later = Vec::new();
    for (file, value) in [("cpu.cfs_period_us", set(cpu.period())), ("cpu.cfs_burst_us", burst)] {
        let Some(value) = value.map(|value| value.to_string()) else {
            continue;
        };
        match dir.try_write(file, &value) {
            Ok(()) => {}
            Err(error) if is_invalid(&error) && quota.is_some() => later.push((file, value)),
            Err(source) => return Err(dir.write_error(file, &value, source)),
        }
    }
    write_if(dir, "cpu.cfs_quota_us", quota)?;
    later.iter().try_for_each(|(file, value)| dir.write(file, value))
}

/// Writes real-time period and runtime, which depend on each other likewise.
fn write_realtime(dir: &Dir, cpu: &LinuxCpu) -> Result<(), CgroupError> {
    let runtime = set(cpu.realtime_runtime());
    let mut later = None;
    if let Some(period) = set(cpu.realtime_period()).map(|period| period.to_string()) {
        match dir.try_write("cpu.rt_period_us", &period) {
            Ok(()) => {}
            Err(error) if is_invalid(&error) && runtime.is_some() => later = Some(period),
            Err(source) => return Err(dir.write_error("cpu.rt_period_us", &period, source)),
        }
    }
    write_if(dir, "cpu.rt_runtime_us", runtime)?;
    write_if(dir, "cpu.rt_period_us", later)
}

/// Whether the kernel calls a value invalid.
fn is_invalid(error: &io::Error) -> bool {
    error.raw_os_error() == Some(libc::EINVAL)
}

/// Writes weights and throttles.
fn write_blkio(dir: &Dir, io: &LinuxBlockIo) -> Result<(), CgroupError> {
    let weight = if dir.has("blkio.weight") {
        "blkio.weight"
    } else {
        "blkio.bfq.weight"
    };
    write_if(dir, weight, set(io.weight()))?;
    write_if(dir, "blkio.leaf_weight", set(io.leaf_weight()))?;
    for device in io.weight_device().iter().flatten() {
        let line = |value: u16| format!("{}:{} {value}", device.major(), device.minor());
        write_if(dir, &format!("{weight}_device"), set(device.weight()).map(line))?;
        write_if(dir, "blkio.leaf_weight_device", set(device.leaf_weight()).map(line))?;
    }
    for (file, _, devices) in throttles(io) {
        for device in devices {
            dir.write(
                file,
                &format!("{}:{} {}", device.major(), device.minor(), device.rate()),
            )?;
        }
    }
    Ok(())
}
