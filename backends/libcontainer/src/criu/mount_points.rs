//! Paths below a container's root, and what CRIU needs to find there.
//!
//! CRIU restores mounts into a root that must be a mount itself and must have every mount point. The root is prepared
//! in a mount namespace of the worker's own, so that nothing of it can stay on the node, whoever is killed.

use std::io;
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::path::{Component, Path, PathBuf};

use nexcage_backend::Error;
use nexcage_sys::file::{self, FileError, Resolve};
use nix::fcntl::OFlag;
use nix::mount::{MntFlags, MsFlags, mount, umount2};
use nix::sched::{CloneFlags, unshare};
use oci_spec::runtime::Mount;
use rustix::fs::{Mode, OFlags};

use crate::rootfs::is_bind;

const NONE: Option<&Path> = None;

/// A directory that is the root of the paths below it.
#[derive(Debug)]
pub(super) struct Root(OwnedFd);

/// A path below a root: what of it is there, and the rest.
struct Found {
    file: OwnedFd,
    rest: PathBuf,
}

impl Root {
    pub(super) fn open(path: &Path) -> Result<Self, FileError> {
        file::open_root(path).map(Self)
    }

    /// The root as a process sees it.
    pub(super) fn of_process(pid: i32) -> Result<Self, Error> {
        Self::open(Path::new(&format!("/proc/{pid}/root"))).map_err(|error| Error::Launch {
            step: "open the container's root",
            source: io::Error::other(error),
        })
    }

    /// Whether something is there that is no directory.
    pub(super) fn is_file(&self, path: &Path) -> bool {
        let opened = file::open_below(self.0.as_fd(), path, OFlag::O_PATH.bits(), 0, Resolve::InRoot);
        opened.is_ok_and(|file| !is_dir(&file))
    }

    /// The path with its links followed, as far as it is there.
    pub(super) fn resolve(&self, path: &Path) -> PathBuf {
        let path = Path::new("/").join(path);
        let resolved = self.find(&path).and_then(|found| {
            let top = name_of(&self.0)?;
            let full = name_of(&found.file)?;
            let below = full.strip_prefix(&top).unwrap_or(&full);
            Ok(Path::new("/").join(below).join(&found.rest))
        });
        let resolved = resolved.unwrap_or(path);
        // A trailing slash is no part of a mount point's name.
        resolved.components().collect()
    }

    /// Opens the part of a path that is there.
    fn find(&self, path: &Path) -> io::Result<Found> {
        let mut last = io::Error::from(io::ErrorKind::NotFound);
        for part in path.ancestors() {
            match file::open_below(self.0.as_fd(), part, OFlag::O_PATH.bits(), 0, Resolve::InRoot) {
                Ok(file) => {
                    let rest = path.strip_prefix(part).unwrap_or(Path::new("")).to_owned();
                    return Ok(Found { file, rest });
                }
                Err(FileError::Open { source, .. }) if source.kind() == io::ErrorKind::NotFound => last = source,
                Err(error) => return Err(io::Error::other(error)),
            }
        }
        Err(last)
    }

    /// Makes what is missing of a mount point.
    fn make(&self, path: &Path, dir: bool) -> io::Result<OwnedFd> {
        let Found { mut file, rest } = self.find(path)?;
        let names: Vec<_> = rest.components().collect();
        for (index, name) in names.iter().enumerate() {
            let Component::Normal(name) = name else {
                return Err(io::Error::new(
                    io::ErrorKind::InvalidInput,
                    "a missing part of it is `..`",
                ));
            };
            let is_last = index + 1 == names.len();
            let kind = if dir || !is_last {
                rustix::fs::mkdirat(&file, *name, Mode::from_raw_mode(0o755))?;
                OFlags::DIRECTORY
            } else {
                let flags = OFlags::CREATE | OFlags::EXCL | OFlags::WRONLY | OFlags::CLOEXEC;
                rustix::fs::openat(&file, *name, flags, Mode::from_raw_mode(0o755))?;
                OFlags::empty()
            };
            let flags = OFlags::PATH | OFlags::NOFOLLOW | OFlags::CLOEXEC | kind;
            file = rustix::fs::openat(&file, *name, flags, Mode::empty())?;
        }
        Ok(file)
    }
}

fn is_dir(file: &OwnedFd) -> bool {
    rustix::fs::fstat(file).is_ok_and(|found| rustix::fs::FileType::from_raw_mode(found.st_mode).is_dir())
}

fn name_of(file: &OwnedFd) -> io::Result<PathBuf> {
    std::fs::read_link(path_of(file))
}

fn path_of(file: &OwnedFd) -> PathBuf {
    PathBuf::from(format!("/proc/self/fd/{}", file.as_raw_fd()))
}

/// Makes the root a mount, in a new mount namespace of this process, with every mount point that the config needs.
pub(super) fn prepare(rootfs: &Path, mounts: &[Mount], bundle: &Path) -> Result<(), String> {
    let say = |what: &'static str| move |e: nix::errno::Errno| format!("{what}: {}", e.desc());
    unshare(CloneFlags::CLONE_NEWNS).map_err(say("make a mount namespace for criu"))?;
    let flags = MsFlags::MS_REC | MsFlags::MS_SLAVE;
    mount(NONE, "/", NONE, flags, NONE).map_err(say("keep the mounts for criu from the node"))?;
    let flags = MsFlags::MS_BIND | MsFlags::MS_REC;
    mount(Some(rootfs), rootfs, NONE, flags, NONE).map_err(say("mount the root filesystem on itself"))?;
    let root = Root::open(rootfs).map_err(|e| crate::report::chain(&e))?;
    let mut mounted = Vec::new();
    for entry in mounts.iter().filter(|m| needs_point(m, mounts)) {
        prepare_one(&root, entry, bundle, &mut mounted)
            .map_err(|e| format!("make mount point {:?}: {e}", entry.destination()))?;
    }
    // They were needed for the mount points inside of them only.
    for path in mounted.iter().rev() {
        umount2(path, MntFlags::MNT_DETACH).map_err(say("unmount"))?;
    }
    Ok(())
}

/// CRIU restores what a tmpfs holds, the cgroup folders on v1 among it; on v2 their mount point is the kernel's.
fn needs_point(entry: &Mount, all: &[Mount]) -> bool {
    let on_tmpfs = all.iter().any(|other| {
        let is_tmpfs = other.typ().as_deref() == Some("tmpfs");
        is_tmpfs && other.destination() != entry.destination() && entry.destination().starts_with(other.destination())
    });
    entry.typ().as_deref() != Some("cgroup") && !on_tmpfs
}

fn prepare_one(root: &Root, entry: &Mount, bundle: &Path, mounted: &mut Vec<PathBuf>) -> io::Result<()> {
    let path = Path::new("/").join(entry.destination());
    let Some(source) = bind_source(entry, bundle) else {
        root.make(&path, true)?;
        return Ok(());
    };
    let point = root.make(&path, source.metadata()?.is_dir())?;
    let flags = MsFlags::MS_BIND | MsFlags::MS_REC;
    mount(Some(&source), &path_of(&point), NONE, flags, NONE)?;
    mounted.push(name_of(&point)?);
    Ok(())
}

/// Source of a bind mount.
pub(super) fn bind_source(mount: &Mount, bundle: &Path) -> Option<PathBuf> {
    is_bind(mount).then(|| bundle.join(mount.source().clone().unwrap_or_default()))
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;

    #[test]
    fn links_are_followed_inside_the_root_and_missing_parts_kept() {
        let dir = tempfile::tempdir().unwrap();
        std::fs::create_dir_all(dir.path().join("real/conf")).unwrap();
        symlink("/real", dir.path().join("link")).unwrap();
        symlink("/../../../../etc", dir.path().join("out")).unwrap();
        let root = Root::open(dir.path()).unwrap();
        assert_eq!(root.resolve(Path::new("/link/conf/")), Path::new("/real/conf"));
        assert_eq!(root.resolve(Path::new("link/conf/a/b")), Path::new("/real/conf/a/b"));
        assert_eq!(root.resolve(Path::new("/nothing")), Path::new("/nothing"));
        assert_eq!(root.resolve(Path::new("/out/passwd")), Path::new("/out/passwd"));
        assert_eq!(root.resolve(Path::new("/")), Path::new("/"));
    }

    #[test]
    fn missing_mount_points_are_made_inside_the_root() {
        let dir = tempfile::tempdir().unwrap();
        symlink("/etc", dir.path().join("etc-link")).unwrap();
        let root = Root::open(dir.path()).unwrap();
        root.make(Path::new("/a/b"), true).unwrap();
        root.make(Path::new("/a/file"), false).unwrap();
        root.make(Path::new("/a/file"), false).unwrap();
        assert!(dir.path().join("a/b").is_dir() && dir.path().join("a/file").is_file());
        let error = root.make(Path::new("/c/../d"), true).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::InvalidInput);
    }
}
