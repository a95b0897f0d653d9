//! `update`.

use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::{Context as _, Result, bail};
use clap::Parser;
use oci_spec::runtime::{LinuxBlockIo, LinuxCpu, LinuxMemory, LinuxPids, LinuxResources};
use parse_size::Config;

use crate::args::Request;
use crate::{context, report};

/// Change the resource limits of a container; what is not named stays.
#[derive(Debug, Parser)]
pub(crate) struct Args {
    /// File with resources as JSON, - for standard input; other flags are ignored then
    #[arg(long, short)]
    resources: Option<PathBuf>,
    /// Relative share of block IO, 10 to 1000
    #[arg(long)]
    blkio_weight: Option<u16>,
    /// Period of the processor quota, in microseconds
    #[arg(long)]
    cpu_period: Option<u64>,
    /// Processor time a period, in microseconds; -1 for no limit
    #[arg(long, allow_negative_numbers = true)]
    cpu_quota: Option<i64>,
    /// Quota that may be saved up, in microseconds
    #[arg(long)]
    cpu_burst: Option<u64>,
    /// Period of real-time scheduling, in microseconds
    #[arg(long)]
    cpu_rt_period: Option<u64>,
    /// Real-time scheduling a period, in microseconds
    #[arg(long, allow_negative_numbers = true)]
    cpu_rt_runtime: Option<i64>,
    /// Relative share of processor time
    #[arg(long)]
    cpu_share: Option<u64>,
    /// Processors, such as 0-2,5
    #[arg(long)]
    cpuset_cpus: Option<String>,
    /// Memory nodes
    #[arg(long)]
    cpuset_mems: Option<String>,
    /// 1: run only when nobody else does
    #[arg(long, allow_negative_numbers = true)]
    cpu_idle: Option<i64>,
    /// Accepted and ignored: obsolete
    #[arg(long, hide = true)]
    kernel_memory: Option<String>,
    /// Accepted and ignored: obsolete
    #[arg(long, hide = true)]
    kernel_memory_tcp: Option<String>,
    /// Memory, such as 512M; -1 for no limit
    #[arg(long, allow_hyphen_values = true)]
    memory: Option<String>,
    /// Memory that is spared when it is scarce
    #[arg(long, allow_hyphen_values = true)]
    memory_reservation: Option<String>,
    /// Memory and swap together; -1 for no limit
    #[arg(long, allow_hyphen_values = true)]
    memory_swap: Option<String>,
    /// Processes; -1 for no limit
    #[arg(long, allow_negative_numbers = true)]
    pids_limit: Option<i64>,
    /// Cache allocation schema
    #[arg(long)]
    l3_cache_schema: Option<String>,
    /// Memory bandwidth schema
    #[arg(long)]
    mem_bw_schema: Option<String>,
    /// The container
    id: String,
}

pub(crate) fn run(request: &Request, args: &Args) -> Result<ExitCode> {
    let failed = || context::failed_request(request, &args.id);
    let resources = match &args.resources {
        Some(path) => {
            let parsed = nexcage_oci::resources::load(path).with_context(failed)?;
            for warning in &parsed.warnings {
                report::print_warning(&warning.to_string());
            }
            parsed.value
        }
        None => from_flags(args).with_context(failed)?,
    };
    context::runtime(&request.globals)?
        .update(&args.id, &resources)
        .with_context(failed)?;
    Ok(ExitCode::SUCCESS)
}

fn from_flags(args: &Args) -> Result<LinuxResources> {
    if args.l3_cache_schema.is_some() || args.mem_bw_schema.is_some() {
        bail!("Intel RDT is not configured for this container: leave out --l3-cache-schema and --mem-bw-schema");
    }
    let mut resources = LinuxResources::default();
    // Device rules are not changed by an update.
    resources.set_devices(None);
    let mut memory = LinuxMemory::default();
    memory.set_limit(bytes(args.memory.as_deref())?);
    memory.set_reservation(bytes(args.memory_reservation.as_deref())?);
    memory.set_swap(bytes(args.memory_swap.as_deref())?);
    let mut cpu = LinuxCpu::default();
    cpu.set_shares(args.cpu_share)
        .set_quota(args.cpu_quota)
        .set_period(args.cpu_period)
        .set_burst(args.cpu_burst);
    cpu.set_realtime_period(args.cpu_rt_period)
        .set_realtime_runtime(args.cpu_rt_runtime)
        .set_idle(args.cpu_idle);
    cpu.set_cpus(args.cpuset_cpus.clone())
        .set_mems(args.cpuset_mems.clone());
    resources.set_memory(Some(memory)).set_cpu(Some(cpu));
    if let Some(weight) = args.blkio_weight {
        let mut io = LinuxBlockIo::default();
        io.set_weight(Some(weight));
        resources.set_block_io(Some(io));
    }
    if let Some(limit) = args.pids_limit {
        let mut pids = LinuxPids::default();
        pids.set_limit(limit);
        resources.set_pids(Some(pids));
    }
    Ok(resources)
}

/// Bytes with a binary suffix, as Docker's tools write them.
fn bytes(text: Option<&str>) -> Result<Option<i64>> {
    let Some(text) = text else { return Ok(None) };
    if text == "-1" {
        return Ok(Some(-1));
    }
    let size = Config::new()
        .with_binary()
        .parse_size(text)
        .with_context(|| format!("invalid size {text:?}"))?;
    Ok(Some(
        i64::try_from(size).with_context(|| format!("size {text:?} is too large"))?,
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_have_binary_suffixes() {
        assert_eq!(bytes(Some("512M")).unwrap(), Some(512 << 20));
        assert_eq!(bytes(Some("1g")).unwrap(), Some(1 << 30));
        assert_eq!(bytes(Some("100")).unwrap(), Some(100));
        assert_eq!(bytes(Some("-1")).unwrap(), Some(-1));
        assert!(bytes(Some("x")).is_err());
    }
}
