//! Why a cgroup operation failed.

use std::io;
use std::path::PathBuf;

/// A failed cgroup operation.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The kernel's tables of mounts or cgroups could not be read.
    #[error("read {path:?}")]
    ReadTable {
        /// The table.
        path: &'static str,
        /// The kernel's answer.
        source: io::Error,
    },
    /// No cgroup hierarchy is mounted.
    #[error("no cgroup file system is mounted: mount cgroup2 on /sys/fs/cgroup")]
    NotMounted,
    /// `linux.cgroupsPath` is not one for the driver.
    #[error("cgroupsPath {path:?}: {fix}")]
    Path {
        /// As configured.
        path: String,
        /// What to write instead.
        fix: &'static str,
    },
    /// A limit needs a controller that is not there.
    #[error("{limit} needs cgroup controller {controller:?}, which is not available: remove the limit or mount it")]
    NoController {
        /// The JSON pointer below `/linux/resources`.
        limit: &'static str,
        /// The controller.
        controller: &'static str,
    },
    /// `unified` on v1.
    #[error("/linux/resources/unified is for cgroup v2, and this node has v1: remove it")]
    UnifiedOnV1,
    /// A limit has a value that cannot be.
    #[error("/linux/resources{pointer}: {reason}")]
    Value {
        /// JSON pointer of the limit.
        pointer: &'static str,
        /// Why, and what would do.
        reason: String,
    },
    /// Limits without the power to set them.
    #[error("limits cannot be set without privileges: the cgroup {path:?} is not delegated to this user")]
    NotDelegated {
        /// The cgroup.
        path: PathBuf,
    },
    /// A directory could not be made.
    #[error("make cgroup {path:?}")]
    Make {
        /// The directory.
        path: PathBuf,
        /// The kernel's answer.
        source: io::Error,
    },
    /// A file could not be written.
    #[error("write {value:?} to {path:?}")]
    Write {
        /// The file.
        path: PathBuf,
        /// What was written.
        value: String,
        /// The kernel's answer.
        source: io::Error,
    },
    /// A file could not be read.
    #[error("read {path:?}")]
    Read {
        /// The file.
        path: PathBuf,
        /// The kernel's answer.
        source: io::Error,
    },
    /// A directory could not be removed.
    #[error("remove cgroup {path:?}")]
    Remove {
        /// The directory.
        path: PathBuf,
        /// The kernel's answer.
        source: io::Error,
    },
    /// The device filter could not be installed.
    #[error("install the device filter: {reason}")]
    Devices {
        /// What the library said.
        reason: String,
    },
    /// The freezer did not settle.
    #[error("freeze cgroup {path:?}: it is still {state:?}")]
    Freeze {
        /// The cgroup.
        path: PathBuf,
        /// What the kernel shows.
        state: String,
    },
    /// A process could not be signalled.
    #[error("signal process {pid}")]
    Signal {
        /// The process.
        pid: i32,
        /// The kernel's answer.
        source: io::Error,
    },
    /// systemd refused.
    #[error("systemd: {action} {unit:?}: {reason}")]
    Systemd {
        /// What was asked.
        action: &'static str,
        /// The unit.
        unit: String,
        /// The answer.
        reason: String,
    },
    /// Out-of-memory events could not be watched.
    #[error("watch out-of-memory events")]
    Watch(#[source] io::Error),
    /// `exec --cgroup` names a cgroup that is not there.
    #[error("sub-cgroup {path:?} of controller {controller:?}")]
    SubCgroup {
        /// The path.
        path: PathBuf,
        /// The controller.
        controller: String,
        /// The kernel's answer.
        source: io::Error,
    },
}
