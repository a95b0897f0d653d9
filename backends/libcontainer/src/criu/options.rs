//! The options of a request that come from the config, and what saving and restoring have in common.

use std::fs::{DirBuilder, File};
use std::io;
use std::os::fd::{AsRawFd, OwnedFd, RawFd};
use std::os::unix::fs::{DirBuilderExt, MetadataExt};
use std::path::{Path, PathBuf};

use nexcage_backend::{CriuOptions, Error, ManageCgroups};
use nexcage_cgroups::{Cgroup, Layout};
use nexcage_sys::fds;
use nix::sched::CloneFlags;
use nix::unistd::dup2;
use oci_spec::runtime::{LinuxNamespaceType as Type, Spec};
use rust_criu::rust_criu_protobuf::rpc::{Criu_cg_mode, Criu_opts, Ext_mount_map};

use super::log::Log;
use super::mount_points::{Root, bind_source};
use crate::namespaces;

/// Annotation that names another configuration file for CRIU, or, when empty, none.
const CONFIG_ANNOTATION: &str = "org.criu.config";
/// The configuration file that runtimes share; CRIU passes over one that is not there.
const CONFIG_FILE: &str = "/etc/criu/runc.conf";
/// The most that CRIU tells but for its internal traces.
const LOG_LEVEL: i32 = 4;
/// What stands for a masked file: it is mounted again from the node's own.
const NULL: &str = "/dev/null";
/// Device nodes that every container has; in a user namespace they are bind mounts.
const DEVICES: [&str; 6] = [
    NULL,
    "/dev/zero",
    "/dev/full",
    "/dev/random",
    "/dev/urandom",
    "/dev/tty",
];

/// The opened directories of a request. CRIU inherits them and reaches them by their numbers.
#[derive(Debug)]
pub(super) struct Folders {
    images: (OwnedFd, PathBuf),
    work: Option<(OwnedFd, PathBuf)>,
    pub(super) log: Log,
}

impl Folders {
    /// Opens them, and makes the directory of work files where it is missing.
    ///
    /// * `log`: name of the log in it.
    pub(super) fn open(options: &CriuOptions<'_>, log: &'static str) -> Result<Self, Error> {
        let failed = |step| move |source| Error::Launch { step, source };
        let open = |path: &Path| Ok((fds::move_above(open_dir(path)?, 3)?, path.to_owned()));
        let images = open(options.image_path).map_err(failed("open the directory of --image-path"))?;
        let work = match options.work_path {
            Some(path) => {
                make_dir(path).map_err(failed("make the directory of --work-path"))?;
                Some(open(path).map_err(failed("open the directory of --work-path"))?)
            }
            None => None,
        };
        let log = Log::new(options.work_path.unwrap_or(options.image_path).join(log));
        log.forget_old().map_err(failed("remove the old log of criu"))?;
        Ok(Self { images, work, log })
    }

    /// The descriptors that CRIU needs.
    pub(super) fn fds(&self) -> impl Iterator<Item = RawFd> + '_ {
        self.all().map(|(fd, _)| fd.as_raw_fd())
    }

    /// Opens the directories again under the same numbers, in a process whose mount namespace has changed.
    pub(super) fn reopen(&self) -> io::Result<()> {
        for (fd, path) in self.all() {
            dup2(open_dir(path)?.as_raw_fd(), fd.as_raw_fd())?;
        }
        Ok(())
    }

    fn all(&self) -> impl Iterator<Item = &(OwnedFd, PathBuf)> {
        [&self.images].into_iter().chain(&self.work)
    }
}

fn open_dir(path: &Path) -> io::Result<OwnedFd> {
    let file = File::open(path)?;
    if file.metadata()?.is_dir() {
        return Ok(file.into());
    }
    Err(io::ErrorKind::NotADirectory.into())
}

/// Makes a directory for its owner only; one that is there stays.
fn make_dir(path: &Path) -> io::Result<()> {
    match DirBuilder::new().mode(0o700).create(path) {
        Err(error) if error.kind() != io::ErrorKind::AlreadyExists => Err(error),
        _ => Ok(()),
    }
}

/// The options that checkpoint and restore share.
pub(super) fn common(spec: &Spec, options: &CriuOptions<'_>, folders: &Folders, log: &'static str) -> Criu_opts {
    let mut opts = Criu_opts::new();
    opts.set_images_dir_fd(folders.images.0.as_raw_fd());
    opts.work_dir_fd = folders.work.as_ref().map(|(fd, _)| fd.as_raw_fd());
    opts.set_log_level(LOG_LEVEL);
    opts.set_log_file(log.to_owned());
    opts.config_file = config_file(spec);
    opts.set_notify_scripts(true);
    opts.set_orphan_pts_master(true);
    // Interfaces and addresses belong to whoever made the network namespace, never to the runtime.
    opts.set_empty_ns(CloneFlags::CLONE_NEWNET.bits().cast_unsigned());
    opts.set_manage_cgroups(true);
    opts.set_manage_cgroups_mode(cgroup_mode(options.manage_cgroups));
    opts.set_tcp_established(options.tcp_established);
    opts.set_ext_unix_sk(options.ext_unix_sk);
    opts.set_shell_job(options.shell_job);
    opts.set_file_locks(options.file_locks);
    opts.set_lazy_pages(options.lazy_pages);
    opts.set_auto_dedup(options.auto_dedup);
    opts
}

fn config_file(spec: &Spec) -> Option<String> {
    match spec.annotations().as_ref().and_then(|a| a.get(CONFIG_ANNOTATION)) {
        Some(path) => Some(path.clone()).filter(|path| !path.is_empty()),
        None => Some(CONFIG_FILE.to_owned()),
    }
}

const fn cgroup_mode(mode: Option<ManageCgroups>) -> Criu_cg_mode {
    match mode {
        None => Criu_cg_mode::DEFAULT,
        Some(ManageCgroups::Soft) => Criu_cg_mode::SOFT,
        Some(ManageCgroups::Full) => Criu_cg_mode::FULL,
        Some(ManageCgroups::Strict) => Criu_cg_mode::STRICT,
        Some(ManageCgroups::Ignore) => Criu_cg_mode::IGNORE,
    }
}

/// A path as CRIU's messages hold it.
pub(super) fn text(path: &Path) -> Result<String, Error> {
    path.to_str().map(str::to_owned).ok_or_else(|| Error::Criu {
        action: "request",
        reason: format!("path {path:?} is not UTF-8, which criu's requests must be"),
    })
}

/// A mount of the container whose content comes from outside of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct External {
    /// Its path in the container: the name under which CRIU saves it.
    key: PathBuf,
    /// What is mounted there when it is restored.
    source: PathBuf,
}

impl External {
    /// For saving: the mount is named after its path.
    pub(super) fn to_save(&self) -> Result<Ext_mount_map, Error> {
        map(&self.key, &self.key)
    }

    /// For restoring: the name is given a source.
    pub(super) fn to_restore(&self) -> Result<Ext_mount_map, Error> {
        map(&self.key, &self.source)
    }
}

fn map(key: &Path, value: &Path) -> Result<Ext_mount_map, Error> {
    let mut map = Ext_mount_map::new();
    map.set_key(text(key)?);
    map.set_val(text(value)?);
    Ok(map)
}

/// Every mount of the config that comes from outside the container: bind mounts, the v1 cgroups, and device nodes where
/// they are mounts.
///
/// * `bundle`: relative sources are below it.
pub(super) fn externals(spec: &Spec, root: &Root, bundle: &Path, cgroup: &Cgroup) -> Vec<External> {
    let mut found = Vec::new();
    for mount in spec.mounts().iter().flatten() {
        if let Some(source) = bind_source(mount, bundle) {
            let key = root.resolve(mount.destination());
            found.push(External { key, source });
        } else if mount.typ().as_deref() == Some("cgroup") && cgroup.layout() != Layout::Unified {
            let top = root.resolve(mount.destination());
            found.extend(cgroup.views().into_iter().map(|view| External {
                key: top.join(view.name),
                source: view.path,
            }));
        }
    }
    let configured = spec.linux().as_ref().and_then(|l| l.devices().as_ref());
    let configured = configured.into_iter().flatten().map(|device| device.path().clone());
    for path in DEVICES.map(PathBuf::from).into_iter().chain(configured) {
        let key = root.resolve(&path);
        if !found.iter().any(|external| external.key == key) {
            found.push(External { key, source: path });
        }
    }
    found
}

/// The masked files: each is the null device, mounted. A masked directory is a tmpfs, which CRIU saves.
pub(super) fn masked_files(spec: &Spec, init: i32) -> Result<Vec<Ext_mount_map>, Error> {
    let paths = spec.linux().as_ref().and_then(|l| l.masked_paths().as_ref());
    let root = Root::of_process(init)?;
    let mut maps = Vec::new();
    for path in paths.into_iter().flatten() {
        if root.is_file(Path::new(path)) {
            maps.push(map(Path::new(path), Path::new(NULL))?);
        }
    }
    Ok(maps)
}

/// What masked files are restored from.
pub(super) fn masked_source(spec: &Spec) -> Result<Option<Ext_mount_map>, Error> {
    let paths = spec.linux().as_ref().and_then(|l| l.masked_paths().as_ref());
    if paths.is_none_or(Vec::is_empty) {
        return Ok(None);
    }
    map(Path::new(NULL), Path::new(NULL)).map(Some)
}

/// A namespace that the container joins by path.
#[derive(Debug)]
pub(super) struct Joined<'a> {
    pub(super) typ: Type,
    pub(super) path: &'a Path,
}

impl Joined<'_> {
    /// Whether CRIU leaves the namespace alone and takes it from a descriptor.
    pub(super) const fn is_external(&self) -> bool {
        matches!(self.typ, Type::Network | Type::Pid)
    }

    /// Name of the type in CRIU's options.
    pub(super) const fn name(&self) -> &'static str {
        namespaces::file_name(self.typ)
    }

    /// Name under which an external namespace is saved; images of other runtimes have the same.
    pub(super) const fn key(&self) -> &'static str {
        match self.typ {
            Type::Pid => "extRootPidNS",
            _ => "extRootNetNS",
        }
    }

    /// For saving: `TYPE[INODE]:KEY`.
    pub(super) fn to_save(&self) -> Result<String, Error> {
        let found = std::fs::metadata(self.path).map_err(|source| Error::Launch {
            step: "read the namespace that the config joins",
            source,
        })?;
        Ok(format!("{}[{}]:{}", self.name(), found.ino(), self.key()))
    }
}

/// The namespaces that the config joins by path.
pub(super) fn joined(spec: &Spec) -> Vec<Joined<'_>> {
    namespaces::configured(spec)
        .filter_map(|ns| {
            let path = namespaces::path_of(ns)?;
            Some(Joined { typ: ns.typ(), path })
        })
        .collect()
}
