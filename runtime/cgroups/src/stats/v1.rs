//! Reading statistics on v1.
use std::collections::BTreeMap;

use super::{Blkio, BlkioEntry, CpuSet, Hugetlb, MemoryEntry, Stats, hugepage_sizes};
use crate::cgroup::Cgroup;
use crate::dir::{Dir, find_value, parse_number};
use crate::error::CgroupError;

/// Nanoseconds of one tick of cpuacct.stat; the kernel counts a hundred a second on every architecture.
const TICK: u64 = 10_000_000;

/// Reads one controller.
type Reader = fn(&Dir, &mut Stats) -> Result<(), CgroupError>;

/// Reads all controllers.
pub(super) fn read(cgroup: &Cgroup) -> Result<Stats, CgroupError> {
    let mut stats = Stats::default();
    let readers: [(&str, Reader); 7] = [
        ("cpuset", read_cpuset),
        ("memory", read_memory),
        ("cpu", read_cpu),
        ("cpuacct", read_cpuacct),
        ("pids", read_pids),
        ("blkio", read_blkio),
        ("hugetlb", read_hugetlb),
    ];
    for (controller, read) in readers {
        if let Some(dir) = cgroup.find_dir(controller)? {
            read(&dir, &mut stats)?;
        }
    }
    Ok(stats)
}

/// Parses the `KEY VALUE` lines of a file that may be missing.
pub(super) fn read_flat(dir: &Dir, file: &str) -> Result<BTreeMap<String, u64>, CgroupError> {
    let text = dir.read_if_there(file)?.unwrap_or_default();
    text.lines()
        .map(|line| {
            let (key, value) = line.split_once(' ').ok_or_else(|| dir.parse_error(file, line))?;
            let value = parse_number(value).ok_or_else(|| dir.parse_error(file, line))?;
            Ok((key.to_owned(), value))
        })
        .collect()
}

fn read_cpuset(dir: &Dir, stats: &mut Stats) -> Result<(), CgroupError> {
    let prefix = if dir.has("cpuset.cpus") { "cpuset." } else { "" };
    let list = |name: &str| read_list(dir, &format!("{prefix}{name}"));
    let number = |name: &str| -> Result<u64, CgroupError> {
        Ok(dir.read_number_if_there(&format!("{prefix}{name}"))?.unwrap_or(0))
    };
    let level = format!("{prefix}sched_relax_domain_level");
    let level = dir
        .read_if_there(&level)?
        .and_then(|text| text.trim().parse().ok())
        .unwrap_or(0);
    stats.cpuset = CpuSet {
        cpus: list("cpus")?,
        cpu_exclusive: number("cpu_exclusive")?,
        mems: list("mems")?,
        mem_hardwall: number("mem_hardwall")?,
        mem_exclusive: number("mem_exclusive")?,
        memory_migrate: number("memory_migrate")?,
        memory_spread_page: number("memory_spread_page")?,
        memory_spread_slab: number("memory_spread_slab")?,
        memory_pressure: number("memory_pressure")?,
        sched_load_balance: number("sched_load_balance")?,
        sched_relax_domain_level: level,
    };
    Ok(())
}

/// Reads a list such as `0-3,7`.
fn read_list(dir: &Dir, file: &str) -> Result<Vec<u16>, CgroupError> {
    let text = dir.read_if_there(file)?.unwrap_or_default();
    parse_list(text.trim()).ok_or_else(|| dir.parse_error(file, &text))
}

/// Parses a list such as `0-3,7`.
pub(super) fn parse_list(text: &str) -> Option<Vec<u16>> {
    let mut numbers = Vec::new();
    for part in text.split(',').filter(|part| !part.is_empty()) {
        let (from, to) = part.split_once('-').unwrap_or((part, part));
        let (from, to): (u16, u16) = (from.parse().ok()?, to.parse().ok()?);
        numbers.extend((from <= to).then_some(from..=to)?);
    }
    Some(numbers)
}

fn read_memory(dir: &Dir, stats: &mut Stats) -> Result<(), CgroupError> {
    stats.memory.raw = read_flat(dir, "memory.stat")?;
    stats.memory.cache = stats.memory.raw.get("cache").copied().unwrap_or(0);
    stats.memory.usage = read_entry(dir, "memory")?;
    stats.memory.swap = read_entry(dir, "memory.memsw")?;
    stats.memory.kernel = read_entry(dir, "memory.kmem")?;
    stats.memory.kernel_tcp = read_entry(dir, "memory.kmem.tcp")?;
    Ok(())
}

/// Reads one kind of memory; nothing where the kernel does not count it.
fn read_entry(dir: &Dir, name: &str) -> Result<MemoryEntry, CgroupError> {
    let number = |file: &str| dir.read_number_if_there(&format!("{name}.{file}"));
    let Some(usage) = number("usage_in_bytes")? else {
        return Ok(MemoryEntry::default());
    };
    Ok(MemoryEntry {
        limit: number("limit_in_bytes")?.unwrap_or(0),
        usage,
        max: number("max_usage_in_bytes")?.unwrap_or(0),
        failcnt: number("failcnt")?.unwrap_or(0),
    })
}

fn read_cpu(dir: &Dir, stats: &mut Stats) -> Result<(), CgroupError> {
    let counters = read_flat(dir, "cpu.stat")?;
    let counter = |name: &str| counters.get(name).copied().unwrap_or(0);
    stats.cpu.throttling.periods = counter("nr_periods");
    stats.cpu.throttling.throttled_periods = counter("nr_throttled");
    stats.cpu.throttling.throttled_time = counter("throttled_time");
    Ok(())
}

fn read_cpuacct(dir: &Dir, stats: &mut Stats) -> Result<(), CgroupError> {
    let usage = &mut stats.cpu.usage;
    let text = dir.read_if_there("cpuacct.stat")?.unwrap_or_default();
    usage.user = find_value(&text, "user").unwrap_or(0).saturating_mul(TICK);
    usage.kernel = find_value(&text, "system").unwrap_or(0).saturating_mul(TICK);
    usage.total = dir.read_number_if_there("cpuacct.usage")?.unwrap_or(0);
    let file = "cpuacct.usage_percpu";
    let text = dir.read_if_there(file)?.unwrap_or_default();
    let numbers = text.split_whitespace().map(str::parse).collect::<Result<_, _>>();
    usage.percpu = numbers.map_err(|_bad| dir.parse_error(file, &text))?;
    let file = "cpuacct.usage_all";
    let text = dir.read_if_there(file)?.unwrap_or_default();
    // The first line names the columns: cpu, user, system.
    for line in text.lines().skip(1) {
        let mut fields = line.split_whitespace().skip(1).map(str::parse);
        let (Some(Ok(user)), Some(Ok(kernel))) = (fields.next(), fields.next()) else {
            return Err(dir.parse_error(file, line));
        };
        usage.percpu_user.push(user);
        usage.percpu_kernel.push(kernel);
    }
    Ok(())
}

/// Reads the number of processes and their limit; no limit is shown as 0.
pub(super) fn read_pids(dir: &Dir, stats: &mut Stats) -> Result<(), CgroupError> {
    stats.pids.current = dir.read_number_if_there("pids.current")?.unwrap_or(0);
    let limit = dir.read_number_if_there("pids.max")?.unwrap_or(0);
    stats.pids.limit = if limit == u64::MAX { 0 } else { limit };
    Ok(())
}

/// Where a counter of block io is kept.
type Slot = fn(&mut Blkio) -> &mut Vec<BlkioEntry>;

/// A counter's file name and its place.
type Counter = (&'static str, Slot);

/// The counters of a scheduler, in runc's order.
const COUNTERS: [Counter; 8] = [
    ("sectors_recursive", |io| &mut io.sectors_recursive),
    ("io_service_time_recursive", |io| &mut io.io_service_time_recursive),
    ("io_wait_time_recursive", |io| &mut io.io_wait_time_recursive),
    ("io_merged_recursive", |io| &mut io.io_merged_recursive),
    ("io_queued_recursive", |io| &mut io.io_queued_recursive),
    ("time_recursive", |io| &mut io.io_time_recursive),
    ("io_serviced_recursive", |io| &mut io.io_serviced_recursive),
    ("io_service_bytes_recursive", |io| &mut io.io_service_bytes_recursive),
];

/// Reads block io from the first set of files that says something: BFQ with and without debugging, CFQ, throttling.
fn read_blkio(dir: &Dir, stats: &mut Stats) -> Result<(), CgroupError> {
    let last = |count: usize| COUNTERS.get(COUNTERS.len() - count..).unwrap_or_default();
    let sets: [(&str, &[Counter], &str); 5] = [
        ("blkio.bfq.", last(8), ""),
        ("blkio.bfq.", last(2), ""),
        ("blkio.", last(8), ""),
        ("blkio.throttle.", last(2), ""),
        ("blkio.throttle.", last(2), "_recursive"),
    ];
    for (prefix, counters, cut) in sets {
        let mut found = false;
        for (index, (name, slot)) in counters.iter().enumerate() {
            let file = format!("{prefix}{}", name.strip_suffix(cut).unwrap_or(name));
            let entries = read_entries(dir, &file)?;
            found |= !entries.is_empty();
            if index == 0 && !found {
                break;
            }
            *slot(&mut stats.blkio) = entries;
        }
        if found {
            return Ok(());
        }
    }
    Ok(())
}

/// Reads the `MAJOR:MINOR [OP] VALUE` lines of a file that may be missing.
fn read_entries(dir: &Dir, file: &str) -> Result<Vec<BlkioEntry>, CgroupError> {
    let text = dir.read_if_there(file)?.unwrap_or_default();
    let mut entries = Vec::new();
    for line in text.lines() {
        let fields: Vec<&str> = line.split([' ', ':']).filter(|field| !field.is_empty()).collect();
        let (major, minor, op, value) = match fields.as_slice() {
            ["Total", _] => continue,
            [major, minor, value] => (major, minor, "", value),
            [major, minor, op, value] => (major, minor, *op, value),
            _ => return Err(dir.parse_error(file, line)),
        };
        let number = |text: &str| text.parse().map_err(|_bad| dir.parse_error(file, line));
        entries.push(BlkioEntry {
            major: number(major)?,
            minor: number(minor)?,
            op: op.to_owned(),
            value: number(value)?,
        });
    }
    Ok(entries)
}

fn read_hugetlb(dir: &Dir, stats: &mut Stats) -> Result<(), CgroupError> {
    for size in hugepage_sizes() {
        let number = |prefix: &str, file: &str| dir.read_number_if_there(&format!("hugetlb.{size}{prefix}.{file}"));
        let prefix = if dir.has(&format!("hugetlb.{size}.rsvd.usage_in_bytes")) {
            ".rsvd"
        } else {
            ""
        };
        let Some(usage) = number(prefix, "usage_in_bytes")? else {
            continue;
        };
        let max = number(prefix, "max_usage_in_bytes")?.unwrap_or(0);
        let failcnt = number(prefix, "failcnt")?.unwrap_or(0);
        stats.hugetlb.insert(size, Hugetlb { usage, max, failcnt });
    }
    Ok(())
}
