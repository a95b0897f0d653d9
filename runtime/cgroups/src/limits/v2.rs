//! Limits on v2.
use oci_spec::runtime::{LinuxBlockIo, LinuxCpu, LinuxResources};

use super::convert::{Swap, io_weight, swap_alone, weight_of_shares};
use super::{MemoryLimits, Part, pids_value, rdma_lines, set, sets_cpu, sets_io, text, throttles};
use crate::cgroup::Cgroup;
use crate::devices;
use crate::dir::{Dir, is_gone, is_refusal, write_once};
use crate::error::CgroupError;

/// Period of the cpu bandwidth where nobody has set one, in microseconds.
///
/// Kernel: cgroup-v2.rst, cpu.max.
const PERIOD: u64 = 100_000;

/// Writes one part of the resources.
pub(crate) fn write(cgroup: &Cgroup, resources: &LinuxResources, part: Part) -> Result<(), CgroupError> {
    if cgroup.threaded && sets_domain(resources) {
        return Err(CgroupError::Threaded {
            path: cgroup.path_of("").unwrap_or_default(),
        });
    }
    if let Some(pids) = resources.pids().filter(|_| part.pids) {
        write_pids(cgroup, &pids_value(pids.limit()))?;
    }
    if part.limits {
        write_memory(cgroup, MemoryLimits::of(resources))?;
        if let Some(io) = resources.block_io().as_ref().filter(|io| sets_io(io)) {
            write_io(&cgroup.limit_dir("io")?, io)?;
        }
        if let Some(cpu) = resources.cpu() {
            write_cpu(cgroup, cpu)?;
        }
    }
    if part.devices {
        devices::install_v2(cgroup, resources.devices().as_deref().unwrap_or_default())?;
    }
    if part.limits {
        super::write_hugepages(cgroup, resources, ".max")?;
        for line in rdma_lines(resources) {
            cgroup.limit_dir("rdma")?.write("rdma.max", &line)?;
        }
    }
    write_unified(cgroup, resources, part)
}

/// Whether limits are asked for that a threaded cgroup cannot have.
fn sets_domain(resources: &LinuxResources) -> bool {
    MemoryLimits::of(resources).any()
        || resources.block_io().as_ref().is_some_and(sets_io)
        || resources.cpu().as_ref().is_some_and(sets_cpu)
        || resources
            .hugepage_limits()
            .as_ref()
            .is_some_and(|limits| !limits.is_empty())
}

/// Writes the limit on processes. No limit needs no controller.
fn write_pids(cgroup: &Cgroup, value: &str) -> Result<(), CgroupError> {
    if value == "max" && !cgroup.find_dir("pids")?.is_some_and(|dir| dir.has("pids.max")) {
        return Ok(());
    }
    cgroup.limit_dir("pids")?.write("pids.max", value)
}

/// Writes memory, swap and reservation.
fn write_memory(cgroup: &Cgroup, memory: MemoryLimits) -> Result<(), CgroupError> {
    if memory.no_oom_killer || memory.swappiness.is_some() {
        tracing::debug!("swappiness and disableOOMKiller have no counterpart on cgroup v2");
    }
    if !memory.any() {
        return Ok(());
    }
    let dir = cgroup.limit_dir("memory")?;
    check_usage(&dir, memory)?;
    match swap_of(&dir, memory)? {
        Swap::Keep => {}
        Swap::Max => write_swap(&dir, "max")?,
        Swap::Bytes(bytes) => write_swap(&dir, &bytes.to_string())?,
    }
    for (file, value) in [("memory.max", memory.limit), ("memory.low", memory.reservation)] {
        match value {
            None => {}
            Some(-1) => dir.write(file, "max")?,
            Some(value) => dir.write(file, &value.to_string())?,
        }
    }
    Ok(())
}

/// The value for memory.swap.max. An update may give the sum alone: then the limit in force counts.
fn swap_of(dir: &Dir, memory: MemoryLimits) -> Result<Swap, CgroupError> {
    let swap = memory.swap.unwrap_or(0);
    let limit = match memory.limit {
        Some(limit) => limit,
        None if swap > 0 => match dir.read_number_if_there("memory.max")? {
            Some(limit) => i64::try_from(limit).unwrap_or(0),
            None => 0,
        },
        None => 0,
    };
    swap_alone(swap, limit).map_err(|why| CgroupError::BadLimit {
        field: "linux.resources.memory.swap".to_owned(),
        value: swap.to_string(),
        why: why.to_owned(),
    })
}

/// Writes memory.swap.max. A kernel without swap accounting needs neither "no limit" nor "no swap".
fn write_swap(dir: &Dir, value: &str) -> Result<(), CgroupError> {
    let file = "memory.swap.max";
    match dir.try_write(file, value) {
        Ok(()) => Ok(()),
        Err(error) if is_gone(&error) && matches!(value, "max" | "0") => Ok(()),
        Err(source) => Err(dir.write_error(file, value, source)),
    }
}

/// Refuses limits below what is in use, where `checkBeforeUpdate` asks for that.
pub(crate) fn check_usage(dir: &Dir, memory: MemoryLimits) -> Result<(), CgroupError> {
    if !memory.check {
        return Ok(());
    }
    let Ok(usage) = dir.read_number("memory.current") else {
        return Ok(());
    };
    for (what, limit) in [("memory+swap", memory.swap), ("memory", memory.limit)] {
        if let Some(limit) = limit.filter(|limit| u64::try_from(*limit).is_ok_and(|limit| limit <= usage)) {
            return Err(CgroupError::BelowUsage { what, limit, usage });
        }
    }
    Ok(())
}

/// Writes cpu limits, then cpus and memory nodes.
fn write_cpu(cgroup: &Cgroup, cpu: &LinuxCpu) -> Result<(), CgroupError> {
    if sets_cpu(cpu) {
        let dir = cgroup.limit_dir("cpu")?;
        if let Some(idle) = cpu.idle() {
            dir.write("cpu.idle", &idle.to_string())?;
        }
        if let Some(shares) = set(cpu.shares()) {
            dir.write("cpu.weight", &weight_of_shares(shares).to_string())?;
        }
        write_bandwidth(&dir, cpu)?;
    }
    for (file, value) in [("cpuset.cpus", text(cpu.cpus())), ("cpuset.mems", text(cpu.mems()))] {
        if let Some(value) = value {
            cgroup.limit_dir("cpuset")?.write(file, value)?;
        }
    }
    Ok(())
}

/// Writes burst, quota and period. The kernel checks the burst against the quota, so it is tried again after it.
fn write_bandwidth(dir: &Dir, cpu: &LinuxCpu) -> Result<(), CgroupError> {
    let (quota, period) = (set(cpu.quota()), set(cpu.period()));
    let sets_max = quota.is_some() || period.is_some();
    let mut later = None;
    if let Some(burst) = cpu.burst().map(|burst| burst.to_string()) {
        match dir.try_write("cpu.max.burst", &burst) {
            Ok(()) => {}
            Err(error) if error.raw_os_error() == Some(libc::EINVAL) && quota.is_some() => later = Some(burst),
            Err(source) => return Err(dir.write_error("cpu.max.burst", &burst, source)),
        }
    }
    if sets_max {
        dir.write(
            "cpu.max",
            &max_line(&dir.try_read("cpu.max").unwrap_or_default(), quota, period),
        )?;
    }
    later.map_or(Ok(()), |burst| dir.write("cpu.max.burst", &burst))
}

/// The line for cpu.max: what is not given stays.
///
/// * `now`: text of the file.
pub(crate) fn max_line(now: &str, quota: Option<i64>, period: Option<u64>) -> String {
    let mut fields = now.split_whitespace();
    let old_quota = fields.next().unwrap_or("max");
    let old_period = fields.next().and_then(|text| text.parse().ok()).unwrap_or(PERIOD);
    let quota = match quota {
        None => old_quota.to_owned(),
        Some(quota) if quota < 0 => "max".to_owned(),
        Some(quota) => quota.to_string(),
    };
    format!("{quota} {}", period.unwrap_or(old_period))
}

/// Writes io weights, through BFQ where the kernel has it, and throttles.
fn write_io(dir: &Dir, io: &LinuxBlockIo) -> Result<(), CgroupError> {
    let bfq = "io.bfq.weight";
    let has_bfq = dir.has(bfq);
    if let Some(weight) = set(io.weight()) {
        if has_bfq {
            dir.write(bfq, &weight.to_string())?;
        } else {
            dir.write("io.weight", &io_weight(weight).to_string())?;
        }
    }
    let devices = io.weight_device().as_deref().unwrap_or_default();
    // A kernel before 5.4 shows nothing but one number there, and takes no device.
    let takes_devices = has_bfq && !devices.is_empty() && dir.read(bfq)?.trim().parse::<u64>().is_err();
    if !devices.is_empty() && !takes_devices {
        tracing::warn!("block io weights of single devices are ignored: the kernel has no BFQ weights for devices");
    }
    for device in devices.iter().filter(|_| takes_devices) {
        if let Some(weight) = set(device.weight()) {
            dir.write(bfq, &format!("{}:{} {weight}\n", device.major(), device.minor()))?;
        }
    }
    for (_, key, devices) in throttles(io) {
        for device in devices {
            // v1 lifts a throttle by 0, v2 by its own word.
            let rate = if device.rate() == 0 {
                "max".to_owned()
            } else {
                device.rate().to_string()
            };
            dir.write("io.max", &format!("{}:{} {key}={rate}", device.major(), device.minor()))?;
        }
    }
    Ok(())
}

/// Writes the unified map, in a stable order; each line of a value by itself, as flat-keyed files want it.
fn write_unified(cgroup: &Cgroup, resources: &LinuxResources, part: Part) -> Result<(), CgroupError> {
    let Some(map) = resources.unified() else { return Ok(()) };
    let mut entries: Vec<_> = map.iter().filter(|(key, _)| part.takes(key)).collect();
    entries.sort();
    if entries.is_empty() {
        return Ok(());
    }
    let controller = |key: &str| key.split('.').next().unwrap_or(key).to_owned();
    for (key, value) in entries {
        let dir = cgroup.limit_dir(&controller(key))?;
        let written = dir
            .open_file(key, libc::O_WRONLY)
            .and_then(|file| value.split_inclusive('\n').try_for_each(|line| write_once(&file, line)));
        match written {
            Ok(()) => {}
            Err(error) if is_gone(&error) || is_refusal(&error) => {
                let available = dir.try_read("cgroup.controllers").unwrap_or_default();
                let name = controller(key);
                if name != "cgroup" && !available.split_whitespace().any(|known| known == name) {
                    let field = format!("linux.resources.unified[{key:?}]");
                    return Err(CgroupError::NoController {
                        field,
                        controller: name,
                        fix: super::check::FIX_V2,
                    });
                }
                return Err(dir.write_error(key, value, error));
            }
            Err(source) => return Err(dir.write_error(key, value, source)),
        }
    }
    Ok(())
}
