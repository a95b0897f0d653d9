//! `update`.

use std::path::Path;
use std::process::ExitCode;

use anyhow::{Result, bail};
use oci_spec::runtime::LinuxResources;

use crate::args::{Globals, Resources, UpdateArgs};
use crate::{context, report};

pub(crate) fn run(globals: &Globals, args: &UpdateArgs) -> Result<ExitCode> {
    if args.l3_cache_schema.is_some() || args.mem_bw_schema.is_some() {
        bail!("Intel RDT is not configured for this container: leave out --l3-cache-schema and --mem-bw-schema");
    }
    if args.kernel_memory.is_some() || args.kernel_memory_tcp.is_some() {
        report::warning("kernel memory limits are obsolete and ignored");
    }
    let resources = match args.source() {
        Resources::Flags => args.limits(),
        Resources::Stdin => load(Path::new("/dev/stdin"))?,
        Resources::File(path) => load(path)?,
    };
    context::runtime(globals)?.update(&args.id, &resources)?;
    Ok(ExitCode::SUCCESS)
}

fn load(path: &Path) -> Result<LinuxResources> {
    let parsed = nexcage_oci::resources::load(path)?;
    for warning in &parsed.warnings {
        report::warning(&warning.to_string());
    }
    Ok(parsed.value)
}
