//! What libcontainer leaves out, done in the container's namespaces while init waits to be started.
//!
//! A forked child enters the namespaces, changes its root to init's, and works there; no program of the container runs
//! yet. Paths are resolved inside the container's root.

use std::fs::File;
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};

use nexcage_backend::Error;
use nexcage_sys::mount::{self as mount_tree, Attributes};
use nix::errno::Errno;
use nix::mount::{MsFlags, mount};
use nix::sched::{CloneFlags, setns};
use nix::unistd::{chdir, chroot, fchdir, sethostname};

use crate::copy_up::{copy_mode, copy_up, open_beside_mounts};
use crate::namespaces::shares_user_namespace;
use crate::userns::become_root;

/// One thing to mend.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Mend {
    /// The host name of a joined UTS namespace.
    Hostname(String),
    /// The NIS domain name of a joined UTS namespace.
    Domainname(String),
    /// A mount's propagation.
    Propagation {
        /// Path in the container.
        destination: PathBuf,
        /// What to set.
        propagation: Propagation,
    },
    /// A tmpfs that starts with what its mount point held (`tmpcopyup`).
    CopyUp {
        /// Its mount point.
        path: PathBuf,
        /// The mount has a mode of its own.
        sets_mode: bool,
    },
    /// A tmpfs without a mode of its own: it gets that of the directory it covers.
    CoveredMode(PathBuf),
    /// One cgroup hierarchy of the container's view, mounted on a folder that is made.
    CgroupView {
        /// Path in the container.
        path: PathBuf,
        /// The container's cgroup on the node.
        source: PathBuf,
        /// The view is read-only.
        read_only: bool,
    },
    /// A symbolic link.
    Link {
        /// Path in the container.
        path: PathBuf,
        /// Its target.
        to: PathBuf,
    },
    /// A volume on `/dev`. The container was built with a tmpfs there.
    DevVolume {
        /// Path on the node.
        source: PathBuf,
        /// With what is mounted in it.
        recursive: bool,
        /// Attributes of the mount.
        attributes: Vec<Attributes>,
        /// Mounts below `/dev` that cover the volume.
        below: Vec<PathBuf>,
    },
    /// A mount that becomes read-only after it was filled.
    ReadOnly(PathBuf),
}

/// A propagation setting.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Propagation {
    pub(crate) kind: PropagationType,
    pub(crate) recursive: bool,
}

/// `MS_SHARED` and its kin.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum PropagationType {
    Shared,
    Slave,
    Private,
    Unbindable,
}

impl PropagationType {
    /// Parses the name of a mount option.
    pub(crate) fn parse(name: &str) -> Option<Self> {
        match name {
            "shared" => Some(Self::Shared),
            "slave" => Some(Self::Slave),
            "private" => Some(Self::Private),
            "unbindable" => Some(Self::Unbindable),
            _ => None,
        }
    }

    const fn flag(self) -> MsFlags {
        match self {
            Self::Shared => MsFlags::MS_SHARED,
            Self::Slave => MsFlags::MS_SLAVE,
            Self::Private => MsFlags::MS_PRIVATE,
            Self::Unbindable => MsFlags::MS_UNBINDABLE,
        }
    }
}

#[derive(Debug, thiserror::Error)]
enum MendError {
    #[error("open {0:?}")]
    Open(PathBuf, #[source] io::Error),
    #[error("enter the container's {0} namespace")]
    Enter(&'static str, #[source] Errno),
    #[error("change root to the container's")]
    Root(#[source] Errno),
    #[error("{what} {path:?}")]
    Apply {
        what: &'static str,
        path: PathBuf,
        source: io::Error,
    },
}

/// Mends the container whose init is `pid`.
///
/// * `userns`: the container has a user namespace: it is entered first, as its root, since files made by a user that it
///   does not map could not be.
pub(crate) fn mend(pid: i32, mends: &[Mend], userns: bool) -> Result<(), Error> {
    if mends.is_empty() {
        return Ok(());
    }
    let trees = open_trees(mends).map_err(|source| Error::Launch {
        step: "clone a mount of the node for the container",
        source,
    })?;
    let outcome =
        nexcage_sys::fork::run_in_child(|| apply_all(pid, mends, &trees, userns).map_err(|e| crate::report::chain(&e)));
    match outcome {
        Ok(Ok(())) => Ok(()),
        Ok(Err(text)) => Err(Error::Init(text)),
        Err(source) => Err(Error::Launch {
            step: "fork into the container's namespaces",
            source,
        }),
    }
}

/// The node's side of the mends: mounts are cloned here, since the container's namespaces do not show them.
fn open_trees(mends: &[Mend]) -> io::Result<Vec<Option<OwnedFd>>> {
    mends.iter().map(open_tree).collect()
}

fn open_tree(mend: &Mend) -> io::Result<Option<OwnedFd>> {
    let (tree, attributes) = match mend {
        Mend::CgroupView { source, read_only, .. } => {
            let read_only = read_only.then_some(Attributes::READ_ONLY);
            let attributes = std::iter::once(Attributes::NO_PROGRAMS).chain(read_only).collect();
            (mount_tree::clone_tree(source)?, attributes)
        }
        Mend::DevVolume {
            source,
            recursive: true,
            attributes,
            ..
        } => (mount_tree::clone_trees(source)?, attributes.clone()),
        Mend::DevVolume { source, attributes, .. } => (mount_tree::clone_tree(source)?, attributes.clone()),
        _ => return Ok(None),
    };
    attributes
        .into_iter()
        .try_for_each(|attribute| mount_tree::set_attributes(tree.as_fd(), attribute))?;
    Ok(Some(tree))
}

fn apply_all(pid: i32, mends: &[Mend], trees: &[Option<OwnedFd>], userns: bool) -> Result<(), MendError> {
    enter(pid, mends, userns)?;
    mends
        .iter()
        .zip(trees)
        .try_for_each(|(mend, tree)| apply(mend, tree.as_ref()))
}

fn attach(tree: Option<&OwnedFd>, path: &Path) -> io::Result<()> {
    let tree = tree.ok_or_else(|| io::Error::from(io::ErrorKind::InvalidInput))?;
    match std::fs::create_dir(path) {
        // A later mount of the config covers this view.
        Err(e) if e.kind() == io::ErrorKind::AlreadyExists && is_mount_point(path)? => return Ok(()),
        Err(e) if e.kind() != io::ErrorKind::AlreadyExists => return Err(e),
        _ => {}
    }
    mount_tree::attach(tree.as_fd(), path)
}

fn is_mount_point(path: &Path) -> io::Result<bool> {
    let (Some(parent), Some(name)) = (path.parent(), path.file_name()) else {
        return Ok(true);
    };
    Ok(open_beside_mounts(File::open(parent)?.as_fd(), name)?.is_none())
}

/// Mounts a volume on `/dev` and copies the mounts in `below` onto it.
fn cover_dev(volume: Option<&OwnedFd>, below: &[PathBuf]) -> io::Result<()> {
    let volume = volume.ok_or_else(|| io::Error::from(io::ErrorKind::InvalidInput))?;
    let copies: Vec<_> = below
        .iter()
        .map(|path| Ok((path, path.is_dir(), mount_tree::clone_trees(path)?)))
        .collect::<io::Result<_>>()?;
    mount_tree::attach(volume.as_fd(), Path::new("/dev"))?;
    for (path, is_dir, copy) in copies {
        make_mount_point(path, is_dir)?;
        mount_tree::attach(copy.as_fd(), path)?;
    }
    Ok(())
}

fn make_mount_point(path: &Path, is_dir: bool) -> io::Result<()> {
    if is_dir {
        return std::fs::create_dir_all(path);
    }
    let created = File::options().write(true).create_new(true).open(path);
    match created {
        Err(e) if e.kind() != io::ErrorKind::AlreadyExists => Err(e),
        _ => Ok(()),
    }
}

fn enter(pid: i32, mends: &[Mend], userns: bool) -> Result<(), MendError> {
    let open = |name: &str| {
        let path = PathBuf::from(format!("/proc/{pid}/{name}"));
        File::open(&path).map_err(|e| MendError::Open(path, e))
    };
    let names_host = mends
        .iter()
        .any(|m| matches!(m, Mend::Hostname(_) | Mend::Domainname(_)));
    // A joined one can be the caller's own, which cannot be entered again.
    let user = (userns && shares_user_namespace(pid) != Some(true))
        .then(|| open("ns/user"))
        .transpose()?;
    let uts = if names_host { Some(open("ns/uts")?) } else { None };
    let (mnt, root) = (open("ns/mnt")?, open("root")?);
    let join = |ns: &File, flag, name| setns(ns.as_fd(), flag).map_err(|e| MendError::Enter(name, e));
    if let Some(user) = user {
        join(&user, CloneFlags::CLONE_NEWUSER, "user")?;
        become_root().map_err(|e| MendError::Enter("user", e))?;
    }
    if let Some(uts) = uts {
        join(&uts, CloneFlags::CLONE_NEWUTS, "uts")?;
    }
    join(&mnt, CloneFlags::CLONE_NEWNS, "mount")?;
    fchdir(std::os::fd::AsRawFd::as_raw_fd(&root)).map_err(MendError::Root)?;
    chroot(".").map_err(MendError::Root)?;
    chdir("/").map_err(MendError::Root)
}

fn apply(mend: &Mend, tree: Option<&OwnedFd>) -> Result<(), MendError> {
    let failed = |what, path: &Path| {
        let path = path.to_owned();
        move |source| MendError::Apply { what, path, source }
    };
    match mend {
        Mend::Hostname(name) => sethostname(name)
            .map_err(io::Error::from)
            .map_err(failed("set host name", Path::new(name))),
        Mend::Domainname(name) => {
            nexcage_sys::process::set_domainname(name).map_err(failed("set domain name", Path::new(name)))
        }
        Mend::Propagation {
            destination,
            propagation,
        } => set_propagation(destination, *propagation).map_err(failed("set propagation of mount", destination)),
        Mend::CopyUp { path, sets_mode } => {
            copy_up(path, !sets_mode).map_err(failed("copy up the content under tmpfs", path))
        }
        Mend::CoveredMode(path) => copy_mode(path).map_err(failed("copy the mode of the directory under tmpfs", path)),
        Mend::CgroupView { path, .. } => attach(tree, path).map_err(failed("mount cgroup on", path)),
        Mend::DevVolume { below, .. } => {
            cover_dev(tree, below).map_err(failed("mount the volume on", Path::new("/dev")))
        }
        Mend::Link { path, to } => symlink(to, path).map_err(failed("link", path)),
        Mend::ReadOnly(path) => make_read_only(path).map_err(failed("remount read-only", path)),
    }
}

const NONE: Option<&Path> = None;

fn set_propagation(path: &Path, propagation: Propagation) -> io::Result<()> {
    let recursive = if propagation.recursive {
        MsFlags::MS_REC
    } else {
        MsFlags::empty()
    };
    Ok(mount(NONE, path, NONE, propagation.kind.flag() | recursive, NONE)?)
}

fn make_read_only(path: &Path) -> io::Result<()> {
    let keep = MsFlags::MS_NOSUID | MsFlags::MS_NODEV | MsFlags::MS_NOEXEC;
    Ok(mount(
        NONE,
        path,
        NONE,
        MsFlags::MS_REMOUNT | MsFlags::MS_BIND | MsFlags::MS_RDONLY | keep,
        NONE,
    )?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn propagation_names_are_the_mount_options() {
        assert_eq!(PropagationType::parse("shared"), Some(PropagationType::Shared));
        assert_eq!(PropagationType::parse("rshared"), None);
        assert_eq!(PropagationType::parse("ro"), None);
    }
}
