//! Resources as properties of a unit, as runc translates them.
use oci_spec::runtime::{LinuxCpu, LinuxResources};
use zvariant::Value;

use crate::devices::{self, emulator};
use crate::error::CgroupError;
use crate::layout::Layout;
use crate::limits::convert::{Swap, swap_alone, weight_of_shares};
use crate::limits::{MemoryLimits, Part, set, text};

/// Name and value of a property.
pub(super) type Property = (String, Value<'static>);

/// What systemd takes for "no limit".
const INFINITY: u64 = u64::MAX;
/// Microseconds of a second.
const SECOND: i64 = 1_000_000;
/// Period where none is given, in microseconds.
const PERIOD: u64 = 100_000;
/// One percent of a second: systemd counts in those.
const PERCENT: i64 = 10_000;

/// Since when systemd knows CPUQuotaPeriodUSec; AllowedCPUs; and CPUWeight=0 for idle.
const KNOWS_PERIOD: u32 = 242;
const KNOWS_CPUSET: u32 = 244;
const KNOWS_IDLE: u32 = 252;

/// The properties for one part of the resources.
///
/// * `version`: systemd's; what it is too old for is written to the cgroup's files alone.
pub(super) fn of_resources(
    resources: &LinuxResources,
    part: Part,
    layout: Layout,
    version: u32,
) -> Result<Vec<Property>, CgroupError> {
    let v2 = layout == Layout::Unified;
    let mut list = Vec::new();
    if part.devices {
        list.extend(device_properties(resources)?);
    }
    if part.limits {
        memory_properties(&mut list, MemoryLimits::of(resources), v2)?;
        if let Some(cpu) = resources.cpu() {
            cpu_properties(&mut list, cpu, v2, version)?;
        }
        let weight = resources
            .block_io()
            .as_ref()
            .and_then(|io| set(io.weight()))
            .filter(|_| !v2);
        push(
            &mut list,
            "BlockIOWeight",
            weight.map(|weight| Value::from(u64::from(weight))),
        );
    }
    if let Some(pids) = resources.pids().filter(|_| part.pids) {
        let tasks = if pids.limit() < 0 {
            INFINITY
        } else {
            u64::try_from(pids.limit()).unwrap_or(INFINITY).max(1)
        };
        push(&mut list, "TasksMax", Some(Value::from(tasks)));
    }
    let mut unified: Vec<_> = resources
        .unified()
        .iter()
        .flatten()
        .filter(|(key, _)| part.takes(key))
        .collect();
    unified.sort();
    for (key, value) in unified {
        unified_property(&mut list, key, value.trim(), resources, version)?;
    }
    Ok(list)
}

/// Adds a property that has a value.
fn push(list: &mut Vec<Property>, name: &str, value: Option<Value<'static>>) {
    if let Some(value) = value {
        list.push((name.to_owned(), value));
    }
}

/// A limit as systemd takes it: -1 is "no limit".
fn bytes(value: i64) -> Value<'static> {
    Value::from(u64::try_from(value).unwrap_or(INFINITY))
}

/// Memory, reservation and swap.
fn memory_properties(list: &mut Vec<Property>, memory: MemoryLimits, v2: bool) -> Result<(), CgroupError> {
    push(
        list,
        if v2 { "MemoryMax" } else { "MemoryLimit" },
        memory.limit.map(bytes),
    );
    if !v2 {
        return Ok(());
    }
    push(list, "MemoryLow", memory.reservation.map(bytes));
    // An update with the sum alone is settled in the cgroup's files, where the limit in force can be read.
    let swap = match (memory.swap.unwrap_or(0), memory.limit) {
        (swap, None) if swap > 0 => Ok(Swap::Keep),
        (swap, limit) => swap_alone(swap, limit.unwrap_or(0)),
    };
    let swap = swap.map_err(|why| CgroupError::BadLimit {
        field: "linux.resources.memory.swap".to_owned(),
        value: memory.swap.unwrap_or(0).to_string(),
        why: why.to_owned(),
    })?;
    match swap {
        Swap::Keep => {}
        Swap::Max => push(list, "MemorySwapMax", Some(Value::from(INFINITY))),
        Swap::Bytes(value) => push(list, "MemorySwapMax", Some(bytes(value))),
    }
    Ok(())
}

/// Weight, bandwidth, cpus and memory nodes.
fn cpu_properties(list: &mut Vec<Property>, cpu: &LinuxCpu, v2: bool, version: u32) -> Result<(), CgroupError> {
    let shares = set(cpu.shares());
    let idle = v2 && cpu.idle() == Some(1) && version >= KNOWS_IDLE;
    if idle {
        push(list, "CPUWeight", Some(Value::from(0_u64)));
    } else if v2 {
        push(
            list,
            "CPUWeight",
            shares.map(|shares| Value::from(weight_of_shares(shares))),
        );
    } else {
        push(list, "CPUShares", shares.map(Value::from));
    }
    quota_properties(list, cpu.quota().unwrap_or(0), cpu.period().unwrap_or(0), version);
    for (name, field, value) in [
        ("AllowedCPUs", "cpus", text(cpu.cpus())),
        ("AllowedMemoryNodes", "mems", text(cpu.mems())),
    ] {
        if let Some(value) = value {
            push_cpuset(list, name, &format!("linux.resources.cpu.{field}"), value, version)?;
        }
    }
    Ok(())
}

/// Quota and period; 0 is unset.
fn quota_properties(list: &mut Vec<Property>, quota: i64, period: u64, version: u32) {
    if period != 0 && version >= KNOWS_PERIOD {
        push(list, "CPUQuotaPeriodUSec", Some(Value::from(period)));
    }
    if quota == 0 && period == 0 {
        return;
    }
    let value = if quota > 0 {
        u64::try_from(per_second(quota, period)).unwrap_or(INFINITY)
    } else {
        INFINITY
    };
    push(list, "CPUQuotaPerSecUSec", Some(Value::from(value)));
}

/// Microseconds of cpu time a second, in whole percents, rounded up.
fn per_second(quota: i64, period: u64) -> i64 {
    let period = i64::try_from(if period == 0 { PERIOD } else { period }).unwrap_or(i64::MAX);
    let exact = quota.saturating_mul(SECOND) / period;
    exact.saturating_add(PERCENT - 1) / PERCENT * PERCENT
}

/// The quota that systemd makes of a quota, so that the cgroup's file says the same.
pub(crate) fn round_quota(quota: i64, period: u64) -> i64 {
    if quota <= 0 {
        return quota;
    }
    let length = i64::try_from(if period == 0 { PERIOD } else { period }).unwrap_or(i64::MAX);
    let exact = quota.saturating_mul(SECOND) / length;
    if exact % PERCENT == 0 {
        quota
    } else {
        per_second(quota, period).saturating_mul(length) / SECOND
    }
}

/// Adds a list of cpus or nodes, if systemd is new enough.
fn push_cpuset(
    list: &mut Vec<Property>,
    name: &str,
    field: &str,
    value: &str,
    version: u32,
) -> Result<(), CgroupError> {
    let bits = range_bits(value).ok_or_else(|| CgroupError::BadLimit {
        field: field.to_owned(),
        value: value.to_owned(),
        why: "must be a list such as 0-3,7".to_owned(),
    })?;
    if version >= KNOWS_CPUSET {
        push(list, name, Some(Value::from(bits)));
    }
    Ok(())
}

/// A list such as `0-3,7` as a bit mask, lowest byte first. `None`: malformed or empty.
pub(super) fn range_bits(list: &str) -> Option<Vec<u8>> {
    let mut bits: Vec<u8> = Vec::new();
    for part in list.split(',').map(str::trim).filter(|part| !part.is_empty()) {
        let (from, to) = part.split_once('-').unwrap_or((part, part));
        let (from, to): (u16, u16) = (from.trim().parse().ok()?, to.trim().parse().ok()?);
        if from > to {
            return None;
        }
        for bit in from..=to {
            let byte = usize::from(bit / 8);
            if bits.len() <= byte {
                bits.resize(byte + 1, 0);
            }
            if let Some(byte) = bits.get_mut(byte) {
                *byte |= 1 << (bit % 8);
            }
        }
    }
    (!bits.is_empty()).then_some(bits)
}

/// A key of the unified map, where systemd has a property for it; the others go to the cgroup's files alone.
fn unified_property(
    list: &mut Vec<Property>,
    key: &str,
    value: &str,
    resources: &LinuxResources,
    version: u32,
) -> Result<(), CgroupError> {
    let bad = |why: &str| CgroupError::BadLimit {
        field: format!("linux.resources.unified[{key:?}]"),
        value: value.to_owned(),
        why: why.to_owned(),
    };
    let number = |text: &str| match text {
        "max" => Ok(INFINITY),
        text => text.parse::<u64>().map_err(|_bad| bad("must be a number or max")),
    };
    let idle = resources
        .unified()
        .iter()
        .flatten()
        .any(|(key, value)| key == "cpu.idle" && value.trim() == "1");
    let idle = idle && version >= KNOWS_IDLE;
    let name = match key {
        "cpu.idle" if idle => {
            return {
                push(list, "CPUWeight", Some(Value::from(0_u64)));
                Ok(())
            };
        }
        "cpu.weight" if idle => {
            tracing::warn!("cpu.weight is ignored by systemd: cpu.idle is set too");
            return Ok(());
        }
        "cpu.max" => {
            let mut fields = value.split_whitespace();
            let quota = match fields.next() {
                Some("max") => 0,
                Some(text) => text.parse().map_err(|_bad| bad("must be QUOTA PERIOD"))?,
                None => return Err(bad("must be QUOTA PERIOD")),
            };
            let period = fields.next().map_or(Ok(PERIOD), |text| {
                text.parse().map_err(|_bad| bad("must be QUOTA PERIOD"))
            })?;
            quota_properties(list, quota, period, version);
            return Ok(());
        }
        "cpuset.cpus" => return push_cpuset(list, "AllowedCPUs", key, value, version),
        "cpuset.mems" => return push_cpuset(list, "AllowedMemoryNodes", key, value, version),
        "cpu.weight" => "CPUWeight",
        "memory.high" => "MemoryHigh",
        "memory.low" => "MemoryLow",
        "memory.min" => "MemoryMin",
        "memory.max" => "MemoryMax",
        "memory.swap.max" => "MemorySwapMax",
        "pids.max" => {
            return {
                push(list, "TasksMax", Some(Value::from(number(value)?.max(1))));
                Ok(())
            };
        }
        _ => return Ok(()),
    };
    push(list, name, Some(Value::from(number(value)?)));
    Ok(())
}

/// Device rules for systemd, so that it does not undo ours; what it cannot express is left to our own filter.
fn device_properties(resources: &LinuxResources) -> Result<Vec<Property>, CgroupError> {
    let target = devices::target(resources.devices().as_deref().unwrap_or_default())?;
    let entries: Vec<(String, String)> = if target.allows_by_default() {
        Vec::new()
    } else {
        target.exceptions().filter_map(device_entry).collect()
    };
    let policy = if target.allows_all() { "auto" } else { "strict" };
    let none: Vec<(String, String)> = Vec::new();
    let mut list = vec![
        ("DeviceAllow".to_owned(), Value::from(none)),
        ("DevicePolicy".to_owned(), Value::from(policy.to_owned())),
    ];
    if !entries.is_empty() {
        list.push(("DeviceAllow".to_owned(), Value::from(entries)));
    }
    Ok(list)
}

/// One DeviceAllow entry: path and access.
fn device_entry(rule: emulator::Rule) -> Option<(String, String)> {
    let emulator::Rule::Some(devices, access) = rule else {
        return None;
    };
    let kind = if devices.kind == emulator::Kind::Block {
        "block"
    } else {
        "char"
    };
    let path = match (devices.major, devices.minor) {
        (None, None) => format!("{kind}-*"),
        (None, Some(_)) => return None,
        (Some(major), None) => format!("{kind}-{major}"),
        (Some(major), Some(minor)) => format!("/dev/{kind}/{major}:{minor}"),
    };
    Some((path, access.to_string()))
}

#[cfg(test)]
mod tests;
