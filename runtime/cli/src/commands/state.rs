//! `state`.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::{Context as _, Result};
use clap::Parser;
use nexcage_oci::Status;
use nexcage_runtime::Snapshot;
use serde::Serialize;

use crate::args::Request;
use crate::{context, report};

/// Show the state of a container as JSON.
#[derive(Debug, Parser)]
pub(crate) struct Args {
    /// The container
    id: String,
}

/// The state as `state` and `list --format json` print it.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Shown {
    oci_version: String,
    id: String,
    pid: i32,
    status: Status,
    bundle: PathBuf,
    rootfs: PathBuf,
    created: String,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    annotations: BTreeMap<String, String>,
    owner: String,
}

impl From<Snapshot> for Shown {
    fn from(snapshot: Snapshot) -> Self {
        let pid = snapshot.pid();
        let Snapshot { record, status } = snapshot;
        Self {
            oci_version: record.oci_version,
            id: record.id.to_string(),
            pid,
            status,
            bundle: record.bundle,
            rootfs: record.rootfs,
            created: record.created,
            annotations: record.annotations,
            owner: super::list::owner_name(record.owner),
        }
    }
}

pub(crate) fn run(request: &Request, args: &Args) -> Result<ExitCode> {
    let runtime = context::runtime(&request.globals)?;
    let snapshot = runtime
        .snapshot(&args.id)
        .with_context(|| context::failed_request(request, &args.id))?;
    let mut text = serde_json::to_string_pretty(&Shown::from(snapshot))?;
    text.push('\n');
    Ok(report::print_answer(&text))
}
