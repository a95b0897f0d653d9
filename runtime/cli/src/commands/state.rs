//! `state`.

use std::process::ExitCode;

use anyhow::Result;
use nexcage_runtime::Snapshot;

use crate::args::{Globals, IdArgs};
use crate::context;
use crate::output::{self, list::owner, state::ContainerState};

/// A container as `state` and `list` print it.
pub(crate) fn shown(snapshot: Snapshot, passwd: &str) -> ContainerState {
    let pid = snapshot.pid();
    let Snapshot { record, status } = snapshot;
    ContainerState {
        oci_version: record.oci_version,
        id: record.id.to_string(),
        pid,
        status: status.to_string(),
        bundle: record.bundle.display().to_string(),
        rootfs: record.rootfs.display().to_string(),
        created: record.created,
        annotations: record.annotations,
        owner: owner(record.owner, passwd),
    }
}

/// The node's user database; without one owners are numbers.
pub(crate) fn passwd() -> String {
    std::fs::read("/etc/passwd")
        .map(|bytes| String::from_utf8_lossy(&bytes).into_owned())
        .unwrap_or_default()
}

pub(crate) fn run(globals: &Globals, args: &IdArgs) -> Result<ExitCode> {
    let snapshot = context::runtime(globals)?.snapshot(&args.id)?;
    output::print(&output::state::pretty(&shown(snapshot, &passwd()))?)?;
    Ok(ExitCode::SUCCESS)
}
