//! What the core asks of a backend to save a container and to bring it back, named as CRIU names it.

use std::os::fd::OwnedFd;
use std::path::Path;

use oci_spec::runtime::Spec;

use crate::Create;

/// How cgroups take part in checkpoint and restore.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ManageCgroups {
    /// Restore properties of existing cgroups.
    Soft,
    /// Always create and restore.
    Full,
    /// Refuse when they exist.
    Strict,
    /// Leave them alone.
    Ignore,
}

/// What checkpoint and restore have in common.
#[derive(Debug, Clone, Copy)]
pub struct CriuOptions<'a> {
    /// Directory of the image files; absolute.
    pub image_path: &'a Path,
    /// Directory of logs and work files; `None`: that of the images.
    pub work_path: Option<&'a Path>,
    /// Allow established TCP connections.
    pub tcp_established: bool,
    /// Allow external unix sockets.
    pub ext_unix_sk: bool,
    /// Allow a shell job.
    pub shell_job: bool,
    /// Handle file locks.
    pub file_locks: bool,
    /// How cgroups are handled; `None`: CRIU's default.
    pub manage_cgroups: Option<ManageCgroups>,
    /// Pages come later, over the network or from the images.
    pub lazy_pages: bool,
    /// Deduplicate images.
    pub auto_dedup: bool,
}

/// Saves a container.
#[derive(Debug)]
pub struct Checkpoint<'a> {
    /// The config that the container was created with.
    pub spec: &'a Spec,
    /// Common options.
    pub criu: CriuOptions<'a>,
    /// What standard input, output and error of init were when the container was made: link texts of `/proc/PID/fd`.
    pub stdio: &'a [String],
    /// The container is paused, and stays so if it is left running.
    pub paused: bool,
    /// Directory of the parent image, relative to that of the images.
    pub parent_path: Option<&'a Path>,
    /// Let the container go on.
    pub leave_running: bool,
    /// Save memory only; the container goes on.
    pub pre_dump: bool,
    /// Leave TCP connections in flight out.
    pub tcp_skip_in_flight: bool,
    /// Allow links to removed files.
    pub link_remap: bool,
    /// Gets a NUL byte, and is closed, when lazy pages can be fetched.
    pub status_fd: Option<OwnedFd>,
    /// Address and port of the page server.
    pub page_server: Option<(&'a str, u16)>,
}

/// Restores a container.
#[derive(Debug)]
pub struct Restore<'a> {
    /// As for a creation.
    pub create: Create<'a>,
    /// Common options.
    pub criu: CriuOptions<'a>,
    /// Bring TCP connections back closed.
    pub tcp_close: bool,
    /// LSM profile of the processes, `TYPE:NAME`.
    pub lsm_profile: Option<&'a str>,
    /// LSM context of the mounts.
    pub lsm_mount_context: Option<&'a str>,
}
