//! What the runtime remembers of a container: the file `state.json` in its directory.

use std::collections::BTreeMap;
use std::path::PathBuf;

use nexcage_cgroups::Cgroup;
use nexcage_oci::{ContainerId, OciState, Status};
use nexcage_sys::procfs::ProcessIdentity;
use serde::{Deserialize, Serialize};

/// A container's record.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Record {
    /// Version of this file's layout.
    pub record_version: u32,
    /// The config's `ociVersion`.
    pub oci_version: String,
    /// The container's id.
    pub id: ContainerId,
    /// The last status that the runtime gave it; processes end without telling.
    pub status: Status,
    /// Init, once it exists.
    pub init: Option<ProcessIdentity>,
    /// The runtime process that creates it.
    pub creator: ProcessIdentity,
    /// Absolute path of the bundle.
    pub bundle: PathBuf,
    /// Absolute path of the root filesystem.
    pub rootfs: PathBuf,
    /// Creation time, RFC 3339 in UTC.
    pub created: String,
    /// User who created it.
    pub owner: u32,
    /// The config's annotations.
    pub annotations: BTreeMap<String, String>,
    /// Its cgroup.
    pub cgroup: Cgroup,
    /// The backend that it is pinned to.
    pub backend: String,
    /// The container has a pid namespace of its own, so its processes end with init.
    pub own_pid_namespace: bool,
    /// Its processes share a session keyring of their own.
    pub own_keyring: bool,
    /// The runtime had no privileges over the node.
    pub rootless: bool,
    /// What init's standard descriptors were when it was made, as `/proc/PID/fd` shows them; for a checkpoint.
    #[serde(default)]
    pub stdio: Vec<String>,
}

impl Record {
    /// Layout version that this build writes and reads.
    pub const VERSION: u32 = 1;

    /// The status now: what was recorded, corrected by what the kernel says of init and the freezer.
    pub fn current_status(&self, creation_runs: bool) -> Status {
        match self.status {
            Status::Creating if creation_runs => Status::Creating,
            Status::Creating | Status::Stopped => Status::Stopped,
            recorded => match &self.init {
                Some(init) if init.is_alive() => {
                    let frozen = self.cgroup.is_frozen().unwrap_or(false);
                    if frozen { Status::Paused } else { recorded }
                }
                _ => Status::Stopped,
            },
        }
    }

    /// The OCI state document, with the pid of a live init.
    pub fn oci_state(&self, status: Status) -> OciState {
        let pid = match status {
            Status::Stopped => 0,
            _ => self.init.as_ref().map_or(0, |init| init.pid),
        };
        OciState {
            oci_version: nexcage_oci::OCI_VERSION.to_owned(),
            id: self.id.clone(),
            status,
            pid,
            bundle: self.bundle.clone(),
            annotations: self.annotations.clone(),
        }
    }
}

/// A container as `state` and `list` show it.
#[derive(Debug, Clone)]
pub struct Snapshot {
    /// The record.
    pub record: Record,
    /// The status at the moment of reading.
    pub status: Status,
}

impl Snapshot {
    /// Init's id, 0 when it has ended.
    pub fn pid(&self) -> i32 {
        match self.status {
            Status::Stopped => 0,
            _ => self.record.init.as_ref().map_or(0, |init| init.pid),
        }
    }
}
