//! Refusing limits before anything happens.
use std::path::Path;

use oci_spec::runtime::LinuxResources;

use super::convert::swap_alone;
use super::{MemoryLimits, set, sets_cpu, sets_io, sets_realtime, text};
use crate::cgroup::Cgroup;
use crate::create::read_controllers;
use crate::dir::Dir;
use crate::error::CgroupError;
use crate::layout::Layout;
use crate::naming::{Driver, Hierarchy};

/// What to do about a controller that v1 does not have.
const FIX_V1: &str = "mount its hierarchy below /sys/fs/cgroup, or drop the limit";
/// What to do about a controller that v2 does not have.
pub(crate) const FIX_V2: &str =
    "enable it in cgroup.subtree_control of the parents, or delegate it to this user, or drop the limit";
/// What to do about a kernel that does not count swap.
const FIX_SWAP: &str = "boot with swapaccount=1, or drop the limit";

/// Refuses resources that cannot be had.
pub(crate) fn check(cgroup: &Cgroup, resources: &LinuxResources) -> Result<(), CgroupError> {
    check_values(cgroup, resources)?;
    let needed = needed(resources, cgroup.layout == Layout::Unified);
    if cgroup.layout == Layout::Unified {
        check_unified_keys(resources)?;
        check_v2(cgroup, &needed)
    } else {
        cgroup.refuse_unified(resources)?;
        check_v1(cgroup, &needed)?;
        check_swap_accounting(cgroup, resources)
    }
}

/// A limit that is asked for, and the controller that it needs.
type Need = (String, String);

/// What the resources need.
fn needed(resources: &LinuxResources, v2: bool) -> Vec<Need> {
    let memory = MemoryLimits::of(resources);
    let cpu = resources.cpu().as_ref();
    let pids = resources.pids().as_ref().is_some_and(|pids| pids.limit() >= 0);
    let io = resources.block_io().as_ref().is_some_and(sets_io);
    let huge = resources
        .hugepage_limits()
        .as_ref()
        .is_some_and(|limits| !limits.is_empty());
    let rdma = resources.rdma().as_ref().is_some_and(|limits| !limits.is_empty());
    let on_v1 = !v2 && (memory.no_oom_killer || memory.swappiness.is_some());
    let network = resources.network().as_ref().filter(|_| !v2);
    let cpuset = cpu.is_some_and(|cpu| text(cpu.cpus()).is_some() || text(cpu.mems()).is_some());
    let cpu = cpu.is_some_and(|cpu| sets_cpu(cpu) || (!v2 && sets_realtime(cpu)));
    let table = [
        (pids, "linux.resources.pids", "pids"),
        (memory.any() || on_v1, "linux.resources.memory", "memory"),
        (cpu, "linux.resources.cpu", "cpu"),
        (cpuset, "linux.resources.cpu.cpus or mems", "cpuset"),
        (io, "linux.resources.blockIO", if v2 { "io" } else { "blkio" }),
        (huge, "linux.resources.hugepageLimits", "hugetlb"),
        (rdma, "linux.resources.rdma", "rdma"),
        (
            network.is_some_and(|net| set(net.class_id()).is_some()),
            "linux.resources.network.classID",
            "net_cls",
        ),
        (
            network.is_some_and(|net| net.priorities().as_ref().is_some_and(|list| !list.is_empty())),
            "linux.resources.network.priorities",
            "net_prio",
        ),
    ];
    table
        .iter()
        .filter(|(asked, _, _)| *asked)
        .map(|(_, field, controller)| ((*field).to_owned(), (*controller).to_owned()))
        .chain(
            resources
                .unified()
                .iter()
                .flatten()
                .filter_map(|(key, _)| unified_need(key)),
        )
        .collect()
}

/// The controller that a key of the unified map needs; the core files and the pressure files need none.
fn unified_need(key: &str) -> Option<Need> {
    let (controller, file) = key.split_once('.')?;
    let core = controller == "cgroup" || file == "pressure" || key == "cpu.stat";
    (!core).then(|| (format!("linux.resources.unified[{key:?}]"), controller.to_owned()))
}

/// Refuses keys that are no file names of a cgroup.
fn check_unified_keys(resources: &LinuxResources) -> Result<(), CgroupError> {
    for (key, value) in resources.unified().iter().flatten() {
        let why = if key.contains('/') {
            "must be a file name (no slashes)"
        } else if key.find('.').is_none_or(|dot| dot == 0) {
            "must be in the form CONTROLLER.PARAMETER"
        } else {
            continue;
        };
        let field = format!("linux.resources.unified[{key:?}]");
        return Err(CgroupError::BadLimit {
            field,
            value: value.clone(),
            why: why.to_owned(),
        });
    }
    Ok(())
}

/// Refuses limits of v1 controllers that are not mounted, or that a rootless caller may not use.
fn check_v1(cgroup: &Cgroup, needed: &[Need]) -> Result<(), CgroupError> {
    for (field, controller) in needed {
        let Some(hierarchy) = cgroup.hierarchies.iter().find(|found| found.has(controller)) else {
            let (field, controller) = (field.clone(), controller.clone());
            return Err(CgroupError::NoController {
                field,
                controller,
                fix: FIX_V1,
            });
        };
        if !hierarchy.ours || (cgroup.tolerates() && !may_make(hierarchy)?) {
            return Err(CgroupError::NotOurs {
                controller: controller.clone(),
            });
        }
    }
    Ok(())
}

/// Refuses limits of v2 controllers that the container's cgroup will not get.
fn check_v2(cgroup: &Cgroup, needed: &[Need]) -> Result<(), CgroupError> {
    let Some(hierarchy) = cgroup.hierarchies.first().filter(|_| !needed.is_empty()) else {
        return Ok(());
    };
    let cgroupfs = cgroup.driver == Driver::Cgroupfs;
    if !hierarchy.ours || (cgroupfs && cgroup.tolerates() && !may_make(hierarchy)?) {
        return Err(CgroupError::NotDelegated { path: hierarchy.full() });
    }
    // Root hands controllers down from the top; others get what has been handed to them.
    let top = if cgroup.rootless {
        nearest(hierarchy)?
    } else {
        Dir::open_mount(&hierarchy.mount)?
    };
    let available = read_controllers(&top)?;
    match needed.iter().find(|(_, controller)| !available.contains(controller)) {
        None => Ok(()),
        Some((field, controller)) => {
            let (field, controller) = (field.clone(), controller.clone());
            Err(CgroupError::NoController {
                field,
                controller,
                fix: FIX_V2,
            })
        }
    }
}

/// The innermost cgroup on the way to the container's that is there.
fn nearest(hierarchy: &Hierarchy) -> Result<Dir, CgroupError> {
    let mount = Dir::open_mount(&hierarchy.mount)?;
    let found = hierarchy.path.ancestors().find_map(|path: &Path| mount.sub(path).ok());
    Ok(found.unwrap_or(mount))
}

/// Whether the caller may make the container's cgroup, or use it if it is there.
fn may_make(hierarchy: &Hierarchy) -> Result<bool, CgroupError> {
    Ok(nearest(hierarchy)?.may_write("."))
}

/// Refuses values that no kernel takes.
fn check_values(cgroup: &Cgroup, resources: &LinuxResources) -> Result<(), CgroupError> {
    let memory = MemoryLimits::of(resources);
    let signed = [
        ("limit", memory.limit),
        ("swap", memory.swap),
        ("reservation", memory.reservation),
    ];
    for (field, value) in signed {
        if let Some(value) = value.filter(|value| *value < -1) {
            return bad(
                &format!("memory.{field}"),
                value.to_string(),
                "must be -1 (no limit) or above",
            );
        }
    }
    if let (Some(swap), Some(limit)) = (memory.swap, memory.limit)
        && let Err(why) = swap_alone(swap, limit)
    {
        return bad("memory.swap", swap.to_string(), why);
    }
    if let Some(value) = memory
        .swappiness
        .filter(|value| *value > 100 && cgroup.layout != Layout::Unified)
    {
        return bad("memory.swappiness", value.to_string(), "valid range is 0-100");
    }
    check_block_io(resources)?;
    check_hugepages(resources)
}

/// The error for a value of the resources.
fn bad<T>(field: &str, value: String, why: &str) -> Result<T, CgroupError> {
    Err(CgroupError::BadLimit {
        field: format!("linux.resources.{field}"),
        value,
        why: why.to_owned(),
    })
}

/// Refuses weights out of their range.
fn check_block_io(resources: &LinuxResources) -> Result<(), CgroupError> {
    let Some(io) = resources.block_io() else { return Ok(()) };
    let single = io
        .weight_device()
        .iter()
        .flatten()
        .flat_map(|device| [device.weight(), device.leaf_weight()]);
    let mut weights = [io.weight(), io.leaf_weight()]
        .into_iter()
        .chain(single)
        .filter_map(set);
    match weights.find(|weight| !(10..=1000).contains(weight)) {
        Some(value) => bad("blockIO weight", value.to_string(), "valid range is 10-1000"),
        None => Ok(()),
    }
}

/// Refuses huge page limits that name no file or are negative.
fn check_hugepages(resources: &LinuxResources) -> Result<(), CgroupError> {
    for limit in resources.hugepage_limits().iter().flatten() {
        if limit.page_size().is_empty() || !limit.page_size().bytes().all(|byte| byte.is_ascii_alphanumeric()) {
            return bad(
                "hugepageLimits.pageSize",
                limit.page_size().clone(),
                "must be a size such as 2MB",
            );
        }
        if limit.limit() < 0 {
            return bad(
                "hugepageLimits.limit",
                limit.limit().to_string(),
                "must not be negative",
            );
        }
    }
    Ok(())
}

/// Refuses swap limits where the kernel does not count swap.
fn check_swap_accounting(cgroup: &Cgroup, resources: &LinuxResources) -> Result<(), CgroupError> {
    let wanted = MemoryLimits::of(resources).swap.is_some();
    let Some(hierarchy) = cgroup.hierarchy("memory").filter(|_| wanted) else {
        return Ok(());
    };
    if Dir::open_mount(&hierarchy.mount)?.has("memory.memsw.limit_in_bytes") {
        return Ok(());
    }
    Err(CgroupError::NoController {
        field: "linux.resources.memory.swap".to_owned(),
        controller: "swap accounting".to_owned(),
        fix: FIX_SWAP,
    })
}
