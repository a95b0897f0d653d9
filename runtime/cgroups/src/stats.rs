//! Usage counters, in the words of runc's `events`.

use std::collections::BTreeMap;
use std::path::Path;

use serde::Serialize;

use crate::cgroup::Cgroup;
use crate::error::Error;
use crate::hierarchy::Layout;
use crate::write;

/// A container's counters: the `data` of a `stats` event.
#[derive(Debug, Clone, Default, Serialize)]
pub struct Stats {
    /// Processor time, in nanoseconds.
    pub cpu: Cpu,
    /// The cpuset.
    pub cpuset: Cpuset,
    /// Memory, in bytes.
    pub memory: Memory,
    /// Processes.
    pub pids: Pids,
    /// Block devices.
    pub blkio: Blkio,
    /// Huge pages by size.
    pub hugetlb: BTreeMap<String, Hugetlb>,
    /// Cache allocation; nothing here.
    pub intel_rdt: BTreeMap<String, String>,
    /// Network interfaces; the container's namespace has them.
    pub network_interfaces: Option<Vec<String>>,
}

/// Processor counters.
#[derive(Debug, Clone, Default, Serialize)]
pub struct Cpu {
    /// Time used.
    pub usage: CpuUsage,
    /// Time denied.
    pub throttling: Throttling,
    /// Pressure, on v2.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub psi: Option<Psi>,
}

/// Time used.
#[derive(Debug, Clone, Default, Serialize)]
pub struct CpuUsage {
    /// All of it.
    #[serde(skip_serializing_if = "is_zero")]
    pub total: u64,
    /// By processor.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub percpu: Vec<u64>,
    /// In the kernel, by processor.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub percpu_kernel: Vec<u64>,
    /// In user mode, by processor.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub percpu_user: Vec<u64>,
    /// In the kernel.
    pub kernel: u64,
    /// In user mode.
    pub user: u64,
}

/// Time denied by the quota.
#[derive(Debug, Clone, Default, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Throttling {
    /// Periods that began.
    #[serde(skip_serializing_if = "is_zero")]
    pub periods: u64,
    /// Periods in which it was throttled.
    #[serde(skip_serializing_if = "is_zero")]
    pub throttled_periods: u64,
    /// Nanoseconds throttled.
    #[serde(skip_serializing_if = "is_zero")]
    pub throttled_time: u64,
}

/// The cpuset controller's files.
#[derive(Debug, Clone, Default, Serialize)]
pub struct Cpuset {
    /// Processors.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub cpus: Vec<u16>,
    /// `cpuset.cpu_exclusive`.
    pub cpu_exclusive: u64,
    /// Memory nodes.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub mems: Vec<u16>,
    /// `cpuset.mem_hardwall`.
    pub mem_hardwall: u64,
    /// `cpuset.mem_exclusive`.
    pub mem_exclusive: u64,
    /// `cpuset.memory_migrate`.
    pub memory_migrate: u64,
    /// `cpuset.memory_spread_page`.
    pub memory_spread_page: u64,
    /// `cpuset.memory_spread_slab`.
    pub memory_spread_slab: u64,
    /// `cpuset.memory_pressure`.
    pub memory_pressure: u64,
    /// `cpuset.sched_load_balance`.
    pub sched_load_balance: u64,
    /// `cpuset.sched_relax_domain_level`.
    pub sched_relax_domain_level: i64,
}

/// Memory counters.
#[derive(Debug, Clone, Default, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Memory {
    /// Page cache.
    #[serde(skip_serializing_if = "is_zero")]
    pub cache: u64,
    /// Memory.
    pub usage: Entry,
    /// Memory and swap on v1, swap on v2.
    pub swap: Entry,
    /// Kernel memory.
    pub kernel: Entry,
    /// Kernel TCP buffers.
    #[serde(rename = "kernelTCP")]
    pub kernel_tcp: Entry,
    /// `memory.stat`.
    pub raw: BTreeMap<String, u64>,
    /// Pressure, on v2.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub psi: Option<Psi>,
}

/// One kind of memory.
#[derive(Debug, Clone, Default, Serialize)]
pub struct Entry {
    /// Limit.
    pub limit: u64,
    /// In use.
    #[serde(skip_serializing_if = "is_zero")]
    pub usage: u64,
    /// Most that was in use.
    #[serde(skip_serializing_if = "is_zero")]
    pub max: u64,
    /// Times the limit was hit.
    pub failcnt: u64,
}

/// Process counters.
#[derive(Debug, Clone, Default, Serialize)]
pub struct Pids {
    /// Now.
    #[serde(skip_serializing_if = "is_zero")]
    pub current: u64,
    /// Limit; left out when there is none.
    #[serde(skip_serializing_if = "is_zero")]
    pub limit: u64,
}

/// Block device counters.
#[derive(Debug, Clone, Default, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Blkio {
    /// Bytes by device and direction.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub io_service_bytes_recursive: Vec<BlkioEntry>,
    /// Operations by device and direction.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub io_serviced_recursive: Vec<BlkioEntry>,
}

/// One device and direction.
#[derive(Debug, Clone, Default, Serialize)]
pub struct BlkioEntry {
    /// Major number.
    pub major: u64,
    /// Minor number.
    pub minor: u64,
    /// `Read`, `Write` and so on.
    pub op: String,
    /// The counter.
    pub value: u64,
}

/// Huge page counters.
#[derive(Debug, Clone, Default, Serialize)]
pub struct Hugetlb {
    /// Bytes in use.
    #[serde(skip_serializing_if = "is_zero")]
    pub usage: u64,
    /// Most that was in use.
    #[serde(skip_serializing_if = "is_zero")]
    pub max: u64,
    /// Times the limit was hit.
    pub failcnt: u64,
}

/// Pressure stall information.
#[derive(Debug, Clone, Default, Serialize)]
pub struct Psi {
    /// Some tasks waited.
    pub some: PsiLine,
    /// All tasks waited.
    pub full: PsiLine,
}

/// One line of it.
#[derive(Debug, Clone, Default, Serialize)]
pub struct PsiLine {
    /// Share of the last 10 s, in percent.
    pub avg10: f64,
    /// Share of the last 60 s.
    pub avg60: f64,
    /// Share of the last 300 s.
    pub avg300: f64,
    /// Microseconds in all.
    pub total: u64,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde calls it by reference")]
fn is_zero(value: &u64) -> bool {
    *value == 0
}

impl Cgroup {
    /// Reads every counter that the node has.
    ///
    /// # Errors
    ///
    /// [`Error::Read`].
    pub fn stats(&self) -> Result<Stats, Error> {
        match (self.layout, self.nodes.first()) {
            (Layout::Unified, Some(node)) => read_v2(&node.path),
            _ => self.read_v1(),
        }
    }

    fn read_v1(&self) -> Result<Stats, Error> {
        let mut stats = Stats::default();
        if let Some(path) = self.path_of("cpuacct") {
            stats.cpu.usage = usage_v1(path)?;
        }
        if let Some(path) = self.path_of("cpu") {
            let text = write::read(&path.join("cpu.stat"))?;
            stats.cpu.throttling = throttling(&text, "throttled_time", 1);
        }
        if let Some(path) = self.path_of("cpuset") {
            stats.cpuset = cpuset(path)?;
        }
        if let Some(path) = self.path_of("memory") {
            stats.memory = memory_v1(path)?;
        }
        if let Some(path) = self.path_of("pids") {
            stats.pids = pids(path)?;
        }
        if let Some(path) = self.path_of("blkio") {
            stats.blkio.io_service_bytes_recursive = blkio_v1(&path.join("blkio.throttle.io_service_bytes_recursive"));
            stats.blkio.io_serviced_recursive = blkio_v1(&path.join("blkio.throttle.io_serviced_recursive"));
        }
        Ok(stats)
    }
}

fn numbers(text: &str) -> Vec<u64> {
    text.split_whitespace().filter_map(|n| n.parse().ok()).collect()
}

fn usage_v1(path: &Path) -> Result<CpuUsage, Error> {
    let mut usage = CpuUsage {
        total: write::number_or_zero(&path.join("cpuacct.usage")),
        percpu: numbers(&write::read(&path.join("cpuacct.usage_percpu"))?),
        ..CpuUsage::default()
    };
    for line in write::read(&path.join("cpuacct.usage_all"))
        .unwrap_or_default()
        .lines()
        .skip(1)
    {
        if let [_, user, system] = numbers(line).as_slice() {
            usage.percpu_user.push(*user);
            usage.percpu_kernel.push(*system);
        }
    }
    let text = write::read(&path.join("cpuacct.stat"))?;
    // In clock ticks of 10 ms, as the kernel shows them to every program.
    let nanoseconds = |key| write::keyed(&text, key).unwrap_or(0) * 10_000_000;
    usage.kernel = nanoseconds("system");
    usage.user = nanoseconds("user");
    Ok(usage)
}

fn throttling(text: &str, time: &str, unit: u64) -> Throttling {
    let value = |key| write::keyed(text, key).unwrap_or(0);
    Throttling {
        periods: value("nr_periods"),
        throttled_periods: value("nr_throttled"),
        throttled_time: value(time) * unit,
    }
}

fn cpuset(path: &Path) -> Result<Cpuset, Error> {
    let number = |file: &str| write::number_or_zero(&path.join(file));
    Ok(Cpuset {
        cpus: ranges(&write::read(&path.join("cpuset.cpus"))?),
        cpu_exclusive: number("cpuset.cpu_exclusive"),
        mems: ranges(&write::read(&path.join("cpuset.mems"))?),
        mem_hardwall: number("cpuset.mem_hardwall"),
        mem_exclusive: number("cpuset.mem_exclusive"),
        memory_migrate: number("cpuset.memory_migrate"),
        memory_spread_page: number("cpuset.memory_spread_page"),
        memory_spread_slab: number("cpuset.memory_spread_slab"),
        memory_pressure: number("cpuset.memory_pressure"),
        sched_load_balance: number("cpuset.sched_load_balance"),
        sched_relax_domain_level: write::read(&path.join("cpuset.sched_relax_domain_level"))?
            .parse()
            .unwrap_or(-1),
    })
}

/// `0-2,5` to 0, 1, 2, 5.
fn ranges(text: &str) -> Vec<u16> {
    let parts = text.split(',').filter_map(|part| {
        let (first, last) = part.split_once('-').unwrap_or((part, part));
        Some(first.trim().parse::<u16>().ok()?..=last.trim().parse::<u16>().ok()?)
    });
    parts.flatten().collect()
}

fn raw(text: &str) -> BTreeMap<String, u64> {
    text.lines()
        .filter_map(|l| l.split_once(' '))
        .filter_map(|(k, v)| Some((k.to_owned(), v.parse().ok()?)))
        .collect()
}

fn memory_v1(path: &Path) -> Result<Memory, Error> {
    let entry = |name: &str| {
        let number = |what: &str| write::number_or_zero(&path.join(format!("{name}.{what}")));
        Entry {
            limit: number("limit_in_bytes"),
            usage: number("usage_in_bytes"),
            max: number("max_usage_in_bytes"),
            failcnt: number("failcnt"),
        }
    };
    let raw = raw(&write::read(&path.join("memory.stat"))?);
    Ok(Memory {
        cache: raw.get("cache").copied().unwrap_or(0),
        usage: entry("memory"),
        swap: entry("memory.memsw"),
        kernel: entry("memory.kmem"),
        kernel_tcp: entry("memory.kmem.tcp"),
        raw,
        psi: None,
    })
}

fn pids(path: &Path) -> Result<Pids, Error> {
    let limit = write::read_number(&path.join("pids.max"))?;
    Ok(Pids {
        current: write::read_number(&path.join("pids.current"))?,
        limit: if limit == u64::MAX { 0 } else { limit },
    })
}

fn blkio_v1(path: &Path) -> Vec<BlkioEntry> {
    let text = write::read(path).unwrap_or_default();
    let entries = text.lines().filter_map(|line| {
        let mut fields = line.split_whitespace();
        let (major, minor) = fields.next()?.split_once(':')?;
        let op = fields.next()?.to_owned();
        let value = fields.next()?.parse().ok()?;
        Some(BlkioEntry {
            major: major.parse().ok()?,
            minor: minor.parse().ok()?,
            op,
            value,
        })
    });
    entries.collect()
}

fn read_v2(path: &Path) -> Result<Stats, Error> {
    let mut stats = Stats::default();
    let cpu = write::read(&path.join("cpu.stat"))?;
    let microseconds = |key| write::keyed(&cpu, key).unwrap_or(0) * 1000;
    stats.cpu.usage.total = microseconds("usage_usec");
    stats.cpu.usage.kernel = microseconds("system_usec");
    stats.cpu.usage.user = microseconds("user_usec");
    stats.cpu.throttling = throttling(&cpu, "throttled_usec", 1000);
    stats.cpu.psi = psi(&path.join("cpu.pressure"));
    if path.join("memory.stat").exists() {
        stats.memory = memory_v2(path)?;
    }
    if path.join("pids.current").exists() {
        stats.pids = pids(path)?;
    }
    io_v2(
        &write::read(&path.join("io.stat")).unwrap_or_default(),
        &mut stats.blkio,
    );
    Ok(stats)
}

fn memory_v2(path: &Path) -> Result<Memory, Error> {
    let raw = raw(&write::read(&path.join("memory.stat"))?);
    let events = write::read(&path.join("memory.events")).unwrap_or_default();
    let entry = |name: &str| Entry {
        limit: write::read_number(&path.join(format!("{name}.max"))).unwrap_or(0),
        usage: write::number_or_zero(&path.join(format!("{name}.current"))),
        max: write::number_or_zero(&path.join(format!("{name}.peak"))),
        failcnt: 0,
    };
    let (mut usage, mut swap) = (entry("memory"), entry("memory.swap"));
    usage.failcnt = write::keyed(&events, "max").unwrap_or(0);
    // As on v1, the client expects swap to count memory too.
    swap.usage = swap.usage.saturating_add(usage.usage);
    swap.limit = swap.limit.saturating_add(usage.limit);
    Ok(Memory {
        cache: raw.get("file").copied().unwrap_or(0),
        usage,
        swap,
        psi: psi(&path.join("memory.pressure")),
        raw,
        ..Memory::default()
    })
}

fn io_v2(text: &str, blkio: &mut Blkio) {
    for line in text.lines() {
        let mut fields = line.split_whitespace();
        let Some((major, minor)) = fields.next().and_then(|d| d.split_once(':')) else {
            continue;
        };
        let (Ok(major), Ok(minor)) = (major.parse(), minor.parse()) else {
            continue;
        };
        for field in fields {
            let Some((key, value)) = field.split_once('=') else {
                continue;
            };
            let entry = |op: &str| BlkioEntry {
                major,
                minor,
                op: op.to_owned(),
                value: value.parse().unwrap_or(0),
            };
            match key {
                "rbytes" => blkio.io_service_bytes_recursive.push(entry("Read")),
                "wbytes" => blkio.io_service_bytes_recursive.push(entry("Write")),
                "rios" => blkio.io_serviced_recursive.push(entry("Read")),
                "wios" => blkio.io_serviced_recursive.push(entry("Write")),
                _ => {}
            }
        }
    }
}

fn psi(path: &Path) -> Option<Psi> {
    let text = write::read(path).ok()?;
    let line = |name: &str| {
        let line = text.lines().find_map(|l| l.strip_prefix(name)).unwrap_or_default();
        let value = |key: &str| {
            line.split_whitespace()
                .find_map(|f| f.strip_prefix(key)?.strip_prefix('='))
        };
        let share = |key| value(key).and_then(|v| v.parse().ok()).unwrap_or(0.0);
        PsiLine {
            avg10: share("avg10"),
            avg60: share("avg60"),
            avg300: share("avg300"),
            total: value("total").and_then(|v| v.parse().ok()).unwrap_or(0),
        }
    };
    Some(Psi {
        some: line("some "),
        full: line("full "),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges_are_expanded() {
        assert_eq!(ranges("0-2,5"), [0, 1, 2, 5]);
        assert!(ranges("").is_empty());
    }

    #[test]
    fn io_lines_become_entries() {
        let mut blkio = Blkio::default();
        io_v2("8:0 rbytes=10 wbytes=20 rios=1 wios=2 dbytes=0 dios=0", &mut blkio);
        assert_eq!(blkio.io_service_bytes_recursive.len(), 2);
        assert_eq!(blkio.io_serviced_recursive.iter().map(|e| e.value).sum::<u64>(), 3);
    }
}
