//! Merging an update into the resources that a container has.
use oci_spec::runtime::{
    LinuxBlockIo, LinuxCpu, LinuxMemory, LinuxResources, LinuxThrottleDevice, LinuxWeightDevice,
    LinuxWeightDeviceBuilder,
};

use super::set;

/// Merges an update into a container's resources, as `runc update` does.
///
/// * `stored`: the resources in force.
/// * `update`: what changes; zero and absent mean leave alone. Devices are not taken.
///
/// Returns the resources to hand to [`crate::Cgroup::update`] and to store. As with runc, cpus, memory nodes, burst,
/// idle, the limit on processes and the unified map are those of the update alone: what it leaves out is not written
/// again. Of quota and period, one given alone leaves the other as stored.
pub fn merge(stored: &LinuxResources, update: &LinuxResources) -> LinuxResources {
    let mut merged = stored.clone();
    merged.set_memory(merge_memory(stored.memory().as_ref(), update.memory().as_ref()));
    merged.set_cpu(Some(merge_cpu(stored.cpu().as_ref(), update.cpu().as_ref())));
    merged.set_block_io(merge_io(stored.block_io().as_ref(), update.block_io().as_ref()));
    merged.set_pids(*update.pids());
    merged.set_unified(update.unified().clone());
    merged
}

/// Memory: each value that is given wins.
fn merge_memory(stored: Option<&LinuxMemory>, update: Option<&LinuxMemory>) -> Option<LinuxMemory> {
    let mut memory = stored.copied().unwrap_or_default();
    let Some(update) = update else { return stored.copied() };
    // "No memory limit" without a word on swap means no limit on both.
    let unlimited = update.limit() == Some(-1) && update.swap().is_none();
    memory.set_limit(update.limit().or(memory.limit()));
    memory.set_swap(if unlimited {
        None
    } else {
        update.swap().or(memory.swap())
    });
    memory.set_reservation(update.reservation().or(memory.reservation()));
    memory.set_check_before_update(update.check_before_update().or(memory.check_before_update()));
    Some(memory)
}

/// CPU: shares and real-time values stay unless given; quota and period stay if only one of them is given.
fn merge_cpu(stored: Option<&LinuxCpu>, update: Option<&LinuxCpu>) -> LinuxCpu {
    let old = stored.cloned().unwrap_or_default();
    let new = update.cloned().unwrap_or_default();
    let mut cpu = new.clone();
    // A stored weight together with idle is refused by the kernel.
    let shares = if new.idle().is_some() {
        new.shares()
    } else {
        new.shares().or(old.shares())
    };
    cpu.set_shares(shares);
    match (set(new.quota()), set(new.period())) {
        (Some(_), None) => cpu.set_period(old.period()),
        (None, Some(_)) => cpu.set_quota(old.quota()),
        _ => &mut cpu,
    };
    cpu.set_realtime_period(new.realtime_period().or(old.realtime_period()));
    cpu.set_realtime_runtime(new.realtime_runtime().or(old.realtime_runtime()));
    cpu
}

/// Block io: weights that are given win; devices are replaced by number or added.
fn merge_io(stored: Option<&LinuxBlockIo>, update: Option<&LinuxBlockIo>) -> Option<LinuxBlockIo> {
    let Some(update) = update else { return stored.cloned() };
    let mut io = stored.cloned().unwrap_or_default();
    io.set_weight(update.weight().or(io.weight()));
    io.set_leaf_weight(update.leaf_weight().or(io.leaf_weight()));
    io.set_weight_device(merge_weights(
        io.weight_device().as_deref(),
        update.weight_device().as_deref(),
    ));
    let lists = [
        merge_throttles(io.throttle_read_bps_device(), update.throttle_read_bps_device()),
        merge_throttles(io.throttle_write_bps_device(), update.throttle_write_bps_device()),
        merge_throttles(io.throttle_read_iops_device(), update.throttle_read_iops_device()),
        merge_throttles(io.throttle_write_iops_device(), update.throttle_write_iops_device()),
    ];
    let [read_bps, write_bps, read_iops, write_iops] = lists;
    io.set_throttle_read_bps_device(read_bps);
    io.set_throttle_write_bps_device(write_bps);
    io.set_throttle_read_iops_device(read_iops);
    io.set_throttle_write_iops_device(write_iops);
    Some(io)
}

/// Replaces the weights of known devices and adds the others.
fn merge_weights(
    stored: Option<&[LinuxWeightDevice]>,
    update: Option<&[LinuxWeightDevice]>,
) -> Option<Vec<LinuxWeightDevice>> {
    let mut devices = stored.unwrap_or_default().to_vec();
    for new in update.unwrap_or_default() {
        let same = |old: &&mut LinuxWeightDevice| old.major() == new.major() && old.minor() == new.minor();
        match devices.iter_mut().rev().find(same) {
            Some(old) => *old = merge_weight(old, new),
            None => devices.push(*new),
        }
    }
    (!devices.is_empty()).then_some(devices)
}

/// One device's weights: each that is given wins.
fn merge_weight(old: &LinuxWeightDevice, new: &LinuxWeightDevice) -> LinuxWeightDevice {
    let mut builder = LinuxWeightDeviceBuilder::default()
        .major(old.major())
        .minor(old.minor());
    if let Some(weight) = new.weight().or(old.weight()) {
        builder = builder.weight(weight);
    }
    if let Some(weight) = new.leaf_weight().or(old.leaf_weight()) {
        builder = builder.leaf_weight(weight);
    }
    // Both numbers are set, so the builder has nothing to object to.
    builder.build().unwrap_or(*new)
}

/// Replaces the rates of known devices and adds the others.
fn merge_throttles(
    stored: &Option<Vec<LinuxThrottleDevice>>,
    update: &Option<Vec<LinuxThrottleDevice>>,
) -> Option<Vec<LinuxThrottleDevice>> {
    let mut devices = stored.clone().unwrap_or_default();
    for new in update.iter().flatten() {
        let same = |old: &&mut LinuxThrottleDevice| old.major() == new.major() && old.minor() == new.minor();
        match devices.iter_mut().rev().find(same) {
            Some(old) => *old = *new,
            None => devices.push(*new),
        }
    }
    (!devices.is_empty()).then_some(devices)
}
