//! The state of a container, as `state` and `list --format json` print it.

use std::collections::BTreeMap;

use anyhow::Context as _;
use serde::Serialize;

/// One container as clients see it; the fields are in the order they are printed.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct ContainerState {
    /// `ociVersion` of the container's config.
    pub oci_version: String,
    /// Container id.
    pub id: String,
    /// Process id of init as the caller sees it; 0 once stopped.
    pub pid: i32,
    /// creating, created, running, paused or stopped.
    pub status: String,
    /// Absolute path of the bundle.
    pub bundle: String,
    /// Absolute path of the root filesystem.
    pub rootfs: String,
    /// When the container was created, RFC 3339 in UTC.
    pub created: String,
    /// Annotations of the config.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub annotations: BTreeMap<String, String>,
    /// Name of the user who owns the state directory, `#UID` when it has none; `state` leaves it empty.
    pub owner: String,
}

/// Renders what `state` prints: indented JSON without a newline at the end.
///
/// # Errors
///
/// The state cannot be written as JSON.
pub fn pretty(state: &ContainerState) -> anyhow::Result<String> {
    serde_json::to_string_pretty(state).context("write state as JSON")
}
