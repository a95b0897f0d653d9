//! Flags of `update`.

use std::path::{Path, PathBuf};

use oci_spec::runtime::{LinuxBlockIo, LinuxCpu, LinuxMemory, LinuxPids, LinuxResources};

use super::units::parse_bytes;

/// Where new limits come from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Resources<'a> {
    /// The command line.
    Flags,
    /// JSON on standard input.
    Stdin,
    /// A JSON file.
    File(&'a Path),
}

/// Flags of `update`.
#[derive(Clone, Debug, clap::Args)]
pub struct UpdateArgs {
    /// read the limits from a JSON file, or from stdin if "-"
    #[arg(short, long, value_name = "FILE")]
    pub resources: Option<PathBuf>,
    /// block I/O weight, 10 to 1000
    #[arg(long, value_name = "N")]
    pub blkio_weight: Option<u16>,
    /// CFS period in microseconds; 0 is the system's default
    #[arg(long, value_name = "US")]
    pub cpu_period: Option<u64>,
    /// CFS time in a period, in microseconds; -1 is unlimited
    #[arg(long, value_name = "US")]
    pub cpu_quota: Option<i64>,
    /// CFS time that may be saved up for a burst, in microseconds
    #[arg(long, value_name = "US")]
    pub cpu_burst: Option<u64>,
    /// CPU shares, relative to other containers
    #[arg(long, value_name = "N")]
    pub cpu_share: Option<u64>,
    /// real-time period in microseconds; 0 is the system's default
    #[arg(long, value_name = "US")]
    pub cpu_rt_period: Option<u64>,
    /// real-time time in a period, in microseconds
    #[arg(long, value_name = "US")]
    pub cpu_rt_runtime: Option<i64>,
    /// 1 runs the container only when nothing else wants the CPU (SCHED_IDLE), 0 is normal
    #[arg(long, value_name = "0|1")]
    pub cpu_idle: Option<i64>,
    /// CPUs to use, as in 0-3,5
    #[arg(long, value_name = "LIST")]
    pub cpuset_cpus: Option<String>,
    /// memory nodes to use
    #[arg(long, value_name = "LIST")]
    pub cpuset_mems: Option<String>,
    /// obsolete, has no effect
    #[arg(long, hide = true, value_parser = parse_bytes)]
    pub kernel_memory: Option<i64>,
    /// obsolete, has no effect
    #[arg(long, hide = true, value_parser = parse_bytes)]
    pub kernel_memory_tcp: Option<i64>,
    /// memory limit
    #[arg(long, value_name = "SIZE", value_parser = parse_bytes)]
    pub memory: Option<i64>,
    /// memory the container keeps when memory is short
    #[arg(long, value_name = "SIZE", value_parser = parse_bytes)]
    pub memory_reservation: Option<i64>,
    /// limit of memory and swap together
    #[arg(long, value_name = "SIZE", value_parser = parse_bytes)]
    pub memory_swap: Option<i64>,
    /// number of processes; -1 is unlimited
    #[arg(long, value_name = "N")]
    pub pids_limit: Option<i64>,
    /// Intel RDT/CAT L3 cache schema
    #[arg(long, value_name = "SCHEMA")]
    pub l3_cache_schema: Option<String>,
    /// Intel RDT/MBA memory bandwidth schema
    #[arg(long, value_name = "SCHEMA")]
    pub mem_bw_schema: Option<String>,
    /// id of the container
    #[arg(value_name = "container-id")]
    pub id: String,
}

impl UpdateArgs {
    /// Says where the new limits come from.
    #[must_use]
    pub fn source(&self) -> Resources<'_> {
        match self.resources.as_deref() {
            None => Resources::Flags,
            Some(path) if path == Path::new("-") => Resources::Stdin,
            Some(path) => Resources::File(path),
        }
    }

    /// Returns the limits given on the command line; what was not given is `None`.
    ///
    /// The obsolete kernel memory flags are read for their form and then dropped.
    #[must_use]
    pub fn limits(&self) -> LinuxResources {
        let mut memory = LinuxMemory::default();
        memory
            .set_limit(self.memory)
            .set_reservation(self.memory_reservation)
            .set_swap(self.memory_swap);
        let mut block_io = LinuxBlockIo::default();
        block_io.set_weight(self.blkio_weight);
        let mut pids = LinuxPids::default();
        let mut resources = LinuxResources::default();
        resources
            .set_memory(Some(memory))
            .set_cpu(Some(self.cpu()))
            .set_block_io(Some(block_io))
            .set_devices(None);
        if let Some(limit) = self.pids_limit {
            pids.set_limit(limit);
            resources.set_pids(Some(pids));
        }
        resources
    }

    fn cpu(&self) -> LinuxCpu {
        let mut cpu = LinuxCpu::default();
        cpu.set_shares(self.cpu_share)
            .set_quota(self.cpu_quota)
            .set_period(self.cpu_period)
            .set_burst(self.cpu_burst)
            .set_realtime_runtime(self.cpu_rt_runtime)
            .set_realtime_period(self.cpu_rt_period)
            .set_cpus(self.cpuset_cpus.clone())
            .set_mems(self.cpuset_mems.clone())
            .set_idle(self.cpu_idle);
        cpu
    }
}
