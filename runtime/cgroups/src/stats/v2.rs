//! Reading statistics on v2, in the terms of v1, as runc does.
use super::v1::{read_flat, read_pids};
use super::{BlkioEntry, Hugetlb, MemoryEntry, Psi, PsiLine, Stats, hugepage_sizes};
use crate::cgroup::Cgroup;
use crate::dir::{Dir, find_value, parse_number};
use crate::error::CgroupError;

/// Reads all controllers.
pub(super) fn read(cgroup: &Cgroup) -> Result<Stats, CgroupError> {
    let mut stats = Stats::default();
    let Some(hierarchy) = cgroup.main() else {
        return Ok(stats);
    };
    let dir = Dir::open(hierarchy)?;
    read_processes(&dir, &mut stats)?;
    read_memory(&dir, &mut stats)?;
    stats.memory.psi = read_pressure(&dir, "memory.pressure")?;
    read_io(&dir, &mut stats)?;
    stats.blkio.psi = read_pressure(&dir, "io.pressure")?;
    read_cpu(&dir, &mut stats)?;
    stats.cpu.psi = read_pressure(&dir, "cpu.pressure")?;
    read_hugetlb(&dir, &mut stats)?;
    Ok(stats)
}

/// Counts processes; without the controller, those that are listed.
fn read_processes(dir: &Dir, stats: &mut Stats) -> Result<(), CgroupError> {
    if dir.has("pids.current") {
        return read_pids(dir, stats);
    }
    stats.pids.current = u64::try_from(dir.pids()?.len()).unwrap_or(u64::MAX);
    Ok(())
}

/// Reads memory. v1 counts memory and swap together, so the sum is made here.
fn read_memory(dir: &Dir, stats: &mut Stats) -> Result<(), CgroupError> {
    let memory = &mut stats.memory;
    memory.raw = read_flat(dir, "memory.stat")?;
    if memory.raw.is_empty() {
        return Ok(());
    }
    memory.cache = memory.raw.get("file").copied().unwrap_or(0);
    memory.usage = read_entry(dir, "memory")?;
    memory.swap = read_entry(dir, "memory.swap")?;
    memory.swap.usage = memory.swap.usage.saturating_add(memory.usage.usage);
    if memory.swap.limit != u64::MAX {
        memory.swap.limit = memory.swap.limit.saturating_add(memory.usage.limit);
    }
    memory.swap.max = 0;
    Ok(())
}

/// Reads one kind of memory; nothing where the kernel does not count it.
fn read_entry(dir: &Dir, name: &str) -> Result<MemoryEntry, CgroupError> {
    let number = |file: &str| dir.read_number_if_there(&format!("{name}.{file}"));
    let Some(usage) = number("current")? else {
        return Ok(MemoryEntry::default());
    };
    Ok(MemoryEntry {
        limit: number("max")?.unwrap_or(0),
        usage,
        max: number("peak")?.unwrap_or(0),
        failcnt: 0,
    })
}

/// Reads cpu time; v2 counts microseconds, v1 nanoseconds.
fn read_cpu(dir: &Dir, stats: &mut Stats) -> Result<(), CgroupError> {
    let counters = read_flat(dir, "cpu.stat")?;
    let counter = |name: &str| counters.get(name).copied().unwrap_or(0);
    let nanoseconds = |name: &str| counter(name).saturating_mul(1000);
    stats.cpu.usage.total = nanoseconds("usage_usec");
    stats.cpu.usage.user = nanoseconds("user_usec");
    stats.cpu.usage.kernel = nanoseconds("system_usec");
    stats.cpu.throttling.periods = counter("nr_periods");
    stats.cpu.throttling.throttled_periods = counter("nr_throttled");
    stats.cpu.throttling.throttled_time = nanoseconds("throttled_usec");
    Ok(())
}

/// Reads io.stat: `MAJOR:MINOR KEY=VALUE...` lines.
fn read_io(dir: &Dir, stats: &mut Stats) -> Result<(), CgroupError> {
    let file = "io.stat";
    let text = dir.read_if_there(file)?.unwrap_or_default();
    for line in text.lines() {
        let mut fields = line.split_whitespace();
        let Some((major, minor)) = fields.next().and_then(|device| device.split_once(':')) else {
            continue;
        };
        let number = |text: &str| text.parse::<u64>().map_err(|_bad| dir.parse_error(file, line));
        let (major, minor) = (number(major)?, number(minor)?);
        for (key, value) in fields.filter_map(|field| field.split_once('=')) {
            let (list, op) = match key {
                "rbytes" => (&mut stats.blkio.io_service_bytes_recursive, "Read"),
                "wbytes" => (&mut stats.blkio.io_service_bytes_recursive, "Write"),
                "rios" => (&mut stats.blkio.io_serviced_recursive, "Read"),
                "wios" => (&mut stats.blkio.io_serviced_recursive, "Write"),
                _ => continue,
            };
            list.push(BlkioEntry {
                major,
                minor,
                op: op.to_owned(),
                value: number(value)?,
            });
        }
    }
    Ok(())
}

/// Reads a pressure file. `None`: the kernel does not count it, or not for this cgroup.
fn read_pressure(dir: &Dir, file: &str) -> Result<Option<Psi>, CgroupError> {
    let text = match dir.try_read(file) {
        Ok(text) => text,
        Err(error)
            if matches!(
                error.raw_os_error(),
                Some(libc::ENOENT | libc::ENODEV | libc::EOPNOTSUPP)
            ) =>
        {
            return Ok(None);
        }
        Err(source) => {
            return Err(CgroupError::Read {
                path: dir.path().join(file),
                source,
            });
        }
    };
    parse_pressure(&text)
        .map(Some)
        .ok_or_else(|| dir.parse_error(file, &text))
}

/// Parses a pressure file: `some avg10=0.00 avg60=0.00 avg300=0.00 total=0`, and the same for `full`.
pub(super) fn parse_pressure(text: &str) -> Option<Psi> {
    let mut psi = Psi::default();
    for line in text.lines() {
        let mut fields = line.split_whitespace();
        let entry: &mut PsiLine = match fields.next() {
            Some("some") => &mut psi.some,
            Some("full") => &mut psi.full,
            _ => continue,
        };
        for field in fields {
            match field.split_once('=')? {
                ("avg10", value) => entry.avg10 = value.parse().ok()?,
                ("avg60", value) => entry.avg60 = value.parse().ok()?,
                ("avg300", value) => entry.avg300 = value.parse().ok()?,
                ("total", value) => entry.total = parse_number(value)?,
                _ => {}
            }
        }
    }
    Some(psi)
}

/// Reads huge pages.
fn read_hugetlb(dir: &Dir, stats: &mut Stats) -> Result<(), CgroupError> {
    for size in hugepage_sizes() {
        let reserved = dir.read_number_if_there(&format!("hugetlb.{size}.rsvd.current"))?;
        let usage = match reserved {
            Some(usage) => Some(usage),
            None => dir.read_number_if_there(&format!("hugetlb.{size}.current"))?,
        };
        let Some(usage) = usage else { continue };
        let events = dir
            .read_if_there(&format!("hugetlb.{size}.events"))?
            .unwrap_or_default();
        let failcnt = find_value(&events, "max").unwrap_or(0);
        stats.hugetlb.insert(size, Hugetlb { usage, max: 0, failcnt });
    }
    Ok(())
}
