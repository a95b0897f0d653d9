//! Statistics of a container, in the JSON that `runc events` prints.
//!
//! Owns the shape; the files are read in `v1` and `v2`. Field names and their order are runc's, so they differ in style.
use std::collections::BTreeMap;

use serde::{Serialize, Serializer};

use crate::cgroup::Cgroup;
use crate::error::CgroupError;
use crate::layout::Layout;

mod v1;
mod v2;

/// The `data` of a `stats` event.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
pub struct Stats {
    /// Cpu time and throttling.
    pub cpu: Cpu,
    /// Cpus and memory nodes; v1 only.
    pub cpuset: CpuSet,
    /// Memory in use.
    pub memory: Memory,
    /// Processes.
    pub pids: Pids,
    /// Block io.
    pub blkio: Blkio,
    /// Huge pages by size, such as `2MB`.
    pub hugetlb: BTreeMap<String, Hugetlb>,
    /// Intel RDT; filled in by whoever manages it.
    pub intel_rdt: IntelRdt,
    /// Network interfaces; runc knows none of a container whose network somebody else has set up.
    pub network_interfaces: Option<Vec<serde_json::Value>>,
}

/// Nothing: this crate does not manage Intel RDT.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub struct IntelRdt {}

/// Cpu time and throttling.
#[expect(missing_docs, reason = "runc's field names")]
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
pub struct Cpu {
    pub usage: CpuUsage,
    pub throttling: Throttling,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub psi: Option<Psi>,
}

/// Cpu time in nanoseconds.
#[expect(missing_docs, reason = "runc's field names")]
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct CpuUsage {
    #[serde(skip_serializing_if = "is_zero")]
    pub total: u64,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub percpu: Vec<u64>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub percpu_kernel: Vec<u64>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub percpu_user: Vec<u64>,
    pub kernel: u64,
    pub user: u64,
}

/// How often a quota held the container back.
#[expect(missing_docs, reason = "runc's field names")]
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Throttling {
    #[serde(skip_serializing_if = "is_zero")]
    pub periods: u64,
    #[serde(skip_serializing_if = "is_zero")]
    pub throttled_periods: u64,
    #[serde(skip_serializing_if = "is_zero")]
    pub throttled_time: u64,
}

/// Pressure stall information of one resource; v2 only.
#[expect(missing_docs, reason = "runc's field names")]
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
pub struct Psi {
    pub some: PsiLine,
    pub full: PsiLine,
}

/// One line of a pressure file.
#[expect(missing_docs, reason = "runc's field names")]
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
pub struct PsiLine {
    #[serde(serialize_with = "short_float")]
    pub avg10: f64,
    #[serde(serialize_with = "short_float")]
    pub avg60: f64,
    #[serde(serialize_with = "short_float")]
    pub avg300: f64,
    pub total: u64,
}

/// The v1 cpuset.
#[expect(missing_docs, reason = "runc's field names")]
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct CpuSet {
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub cpus: Vec<u16>,
    pub cpu_exclusive: u64,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub mems: Vec<u16>,
    pub mem_hardwall: u64,
    pub mem_exclusive: u64,
    pub memory_migrate: u64,
    pub memory_spread_page: u64,
    pub memory_spread_slab: u64,
    pub memory_pressure: u64,
    pub sched_load_balance: u64,
    pub sched_relax_domain_level: i64,
}

/// Memory in use, in bytes.
#[expect(missing_docs, reason = "runc's field names")]
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
pub struct Memory {
    #[serde(skip_serializing_if = "is_zero")]
    pub cache: u64,
    pub usage: MemoryEntry,
    pub swap: MemoryEntry,
    pub kernel: MemoryEntry,
    #[serde(rename = "kernelTCP")]
    pub kernel_tcp: MemoryEntry,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub raw: BTreeMap<String, u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub psi: Option<Psi>,
}

/// One kind of memory.
#[expect(missing_docs, reason = "runc's field names")]
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub struct MemoryEntry {
    pub limit: u64,
    #[serde(skip_serializing_if = "is_zero")]
    pub usage: u64,
    #[serde(skip_serializing_if = "is_zero")]
    pub max: u64,
    pub failcnt: u64,
}

/// Processes.
#[expect(missing_docs, reason = "runc's field names")]
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub struct Pids {
    #[serde(skip_serializing_if = "is_zero")]
    pub current: u64,
    #[serde(skip_serializing_if = "is_zero")]
    pub limit: u64,
}

/// Block io by device.
#[expect(missing_docs, reason = "runc's field names")]
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Blkio {
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub io_service_bytes_recursive: Vec<BlkioEntry>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub io_serviced_recursive: Vec<BlkioEntry>,
    #[serde(rename = "ioQueueRecursive", skip_serializing_if = "Vec::is_empty")]
    pub io_queued_recursive: Vec<BlkioEntry>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub io_service_time_recursive: Vec<BlkioEntry>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub io_wait_time_recursive: Vec<BlkioEntry>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub io_merged_recursive: Vec<BlkioEntry>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub io_time_recursive: Vec<BlkioEntry>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub sectors_recursive: Vec<BlkioEntry>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub psi: Option<Psi>,
}

/// One counter of one device.
#[expect(missing_docs, reason = "runc's field names")]
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct BlkioEntry {
    #[serde(skip_serializing_if = "is_zero")]
    pub major: u64,
    #[serde(skip_serializing_if = "is_zero")]
    pub minor: u64,
    #[serde(skip_serializing_if = "String::is_empty")]
    pub op: String,
    #[serde(skip_serializing_if = "is_zero")]
    pub value: u64,
}

/// Huge pages of one size.
#[expect(missing_docs, reason = "runc's field names")]
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub struct Hugetlb {
    #[serde(skip_serializing_if = "is_zero")]
    pub usage: u64,
    #[serde(skip_serializing_if = "is_zero")]
    pub max: u64,
    pub failcnt: u64,
}

/// Whether a number is left out.
#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde passes references")]
fn is_zero(number: &u64) -> bool {
    *number == 0
}

/// Writes 0.0 as 0, as Go does.
#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde passes references")]
fn short_float<S: Serializer>(number: &f64, serializer: S) -> Result<S::Ok, S::Error> {
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "a whole percentage from 0 to 100"
    )]
    if number.fract() == 0.0 && (0.0..=100.0).contains(number) {
        serializer.serialize_u64(*number as u64)
    } else {
        serializer.serialize_f64(*number)
    }
}

impl Cgroup {
    /// Reads the container's statistics.
    ///
    /// Returns what there is: a controller without a hierarchy, or a file that this kernel does not have, leaves zeros.
    ///
    /// # Errors
    ///
    /// [`CgroupError::Open`], [`CgroupError::Read`], [`CgroupError::Parse`].
    pub fn stats(&self) -> Result<Stats, CgroupError> {
        match self.layout {
            Layout::Unified => v2::read(self),
            Layout::Legacy | Layout::Hybrid => v1::read(self),
        }
    }
}

/// Sizes of huge pages of this machine in the spelling of the controller's files.
fn hugepage_sizes() -> Vec<String> {
    let Ok(listing) = std::fs::read_dir("/sys/kernel/mm/hugepages") else {
        return Vec::new();
    };
    let mut sizes: Vec<u64> = listing
        .flatten()
        .filter_map(|entry| {
            let name = entry.file_name().into_string().ok()?;
            name.strip_prefix("hugepages-")?.strip_suffix("kB")?.parse().ok()
        })
        .collect();
    sizes.sort_unstable();
    sizes.into_iter().map(size_name).collect()
}

/// A size in kilobytes as the kernel names it.
fn size_name(kilobytes: u64) -> String {
    match kilobytes {
        large if large >= 1 << 20 => format!("{}GB", large >> 20),
        middle if middle >= 1 << 10 => format!("{}MB", middle >> 10),
        small => format!("{small}KB"),
    }
}

#[cfg(test)]
mod tests;
