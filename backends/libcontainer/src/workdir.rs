//! The working directory of a container that does not have it: it is made before the creation, as runc makes it.
//!
//! libcontainer only enters it. Every step is resolved inside the root filesystem or the volume that holds the directory,
//! so that no link leads out. Where it would lie on a file system that the creation mounts anew, it cannot be made here,
//! and init reports that it is missing.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::{Path, PathBuf};

use nexcage_backend::Error;
use nix::unistd::geteuid;
use oci_spec::runtime::{LinuxIdMapping, Mount, Spec};
use rustix::fs::{AtFlags, CWD, Gid, Mode, OFlags, ResolveFlags, Uid};
use rustix::io::Errno;

use crate::rootfs::{clean, is_bind, resolve};

/// The user and group that own what is made: root as the container's user namespace maps it.
type Owner = (Option<Uid>, Option<Gid>);

/// Makes `process.cwd` in the root filesystem, or in the volume mounted there, unless it is there.
///
/// * `rootfs`: the root filesystem on the node; nothing is mounted in it yet.
///
/// What has been made stays when the creation fails later, like the mount points.
///
/// # Errors
///
/// [`Error::Launch`] with the kernel's answer; a directory that only the container's root may make is left to init.
pub(crate) fn make(spec: &Spec, rootfs: &Path) -> Result<(), Error> {
    let Some(process) = spec.process() else { return Ok(()) };
    let mounts = spec.mounts().as_deref().unwrap_or_default();
    let cwd = clean(process.cwd());
    if cwd == Path::new("/") {
        return Ok(());
    }
    let cwd = resolve(rootfs, &cwd).unwrap_or(cwd);
    let Some((tree, rest)) = place(&cwd, mounts, rootfs) else {
        return Ok(());
    };
    match make_below(&tree, &rest, owner(spec)) {
        // A file in the way is for init to report; rights that root in the container has need not be ours.
        Ok(()) | Err(Errno::NOTDIR | Errno::LOOP | Errno::EXIST | Errno::ACCESS | Errno::PERM) => Ok(()),
        Err(errno) => Err(Error::Launch {
            step: "make the working directory of the container",
            source: errno.into(),
        }),
    }
}

/// The tree of the node in which the directory lies, and its path there; none when it is mounted anew.
fn place(cwd: &Path, mounts: &[Mount], rootfs: &Path) -> Option<(PathBuf, PathBuf)> {
    let covers = mounts.iter().filter_map(|mount| {
        let at = clean(mount.destination());
        let at = resolve(rootfs, &at).unwrap_or(at);
        cwd.strip_prefix(&at)
            .ok()
            .map(|rest| (mount, at.components().count(), rest.to_owned()))
    });
    // Of two mounts on one place the later covers the earlier.
    match covers.max_by_key(|(_, depth, _)| *depth) {
        None => Some((rootfs.to_owned(), cwd.strip_prefix("/").ok()?.to_owned())),
        Some((mount, _, rest)) => {
            let read_only = mount.options().iter().flatten().any(|o| o == "ro");
            let source = mount.source().as_ref().filter(|_| is_bind(mount) && !read_only)?;
            Some((source.clone(), rest))
        }
    }
}

fn owner(spec: &Spec) -> Owner {
    let root_of = |mappings: &Option<Vec<LinuxIdMapping>>| {
        let all = mappings.iter().flatten();
        all.into_iter()
            .find(|m| m.container_id() == 0)
            .map(LinuxIdMapping::host_id)
    };
    let Some(linux) = spec.linux().as_ref().filter(|_| geteuid().is_root()) else {
        return (None, None);
    };
    let user = root_of(linux.uid_mappings()).map(Uid::from_raw);
    (user, root_of(linux.gid_mappings()).map(Gid::from_raw))
}

fn make_below(tree: &Path, path: &Path, owner: Owner) -> Result<(), Errno> {
    let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let Ok(root) = rustix::fs::openat(CWD, tree, flags, Mode::empty()) else {
        // The mount that needs it says so with its own words.
        return Ok(());
    };
    let mut parent = root
        .try_clone()
        .map_err(|e| Errno::from_io_error(&e).unwrap_or(Errno::IO))?;
    let mut reached = PathBuf::new();
    for name in path {
        reached.push(name);
        parent = match open_within(root.as_fd(), &reached) {
            Err(Errno::NOENT) => {
                make_one(parent.as_fd(), Path::new(name), owner)?;
                open_within(root.as_fd(), &reached)?
            }
            opened => opened?,
        };
    }
    Ok(())
}

fn open_within(root: BorrowedFd<'_>, path: &Path) -> Result<OwnedFd, Errno> {
    let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
    rustix::fs::openat2(
        root,
        path,
        flags,
        Mode::empty(),
        ResolveFlags::IN_ROOT | ResolveFlags::NO_MAGICLINKS,
    )
}

fn make_one(parent: BorrowedFd<'_>, name: &Path, (user, group): Owner) -> Result<(), Errno> {
    rustix::fs::mkdirat(parent, name, Mode::from_raw_mode(0o755))?;
    if user.is_none() && group.is_none() {
        return Ok(());
    }
    rustix::fs::chownat(parent, name, user, group, AtFlags::SYMLINK_NOFOLLOW)
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::symlink;

    use oci_spec::runtime::{MountBuilder, ProcessBuilder, SpecBuilder};

    use super::*;

    fn mount(on: &str, kind: &str, source: &Path, option: &str) -> Mount {
        let built = MountBuilder::default().destination(on).typ(kind).source(source);
        built.options([option.to_owned()]).build().unwrap()
    }

    /// Makes `cwd` in a root with a link `out` to the node's folder beside it, and lists what is there afterwards.
    #[track_caller]
    fn check(cwd: &str, expected: &[&str]) {
        let dir = tempfile::tempdir().unwrap();
        for name in ["root/etc", "node", "volume"] {
            fs::create_dir_all(dir.path().join(name)).unwrap();
        }
        fs::File::create_new(dir.path().join("root/file")).unwrap();
        symlink("../../node", dir.path().join("root/etc/out")).unwrap();
        let volume = dir.path().join("volume");
        let mounts = vec![
            mount("/proc", "proc", Path::new("proc"), "nosuid"),
            mount("/v", "bind", &volume, "rbind"),
            mount("/ro", "bind", &volume, "ro"),
            mount("/v/t", "tmpfs", Path::new("tmpfs"), "nodev"),
            mount("/gone", "bind", &dir.path().join("no-such"), "rbind"),
        ];
        let process = ProcessBuilder::default().cwd(cwd).build().unwrap();
        let spec = SpecBuilder::default().process(process).mounts(mounts).build().unwrap();
        make(&spec, &dir.path().join("root")).unwrap();
        let mut made = Vec::new();
        for top in ["root", "node", "volume"] {
            list(dir.path(), &dir.path().join(top), &mut made);
        }
        made.retain(|name| !["root/etc", "root/etc/out", "root/file"].contains(&name.as_str()));
        made.sort();
        assert_eq!(made, expected);
    }

    fn list(base: &Path, dir: &Path, into: &mut Vec<String>) {
        for entry in fs::read_dir(dir).unwrap().flatten() {
            into.push(entry.path().strip_prefix(base).unwrap().to_string_lossy().into_owned());
            if entry.file_type().unwrap().is_dir() {
                list(base, &entry.path(), into);
            }
        }
    }

    #[test]
    fn a_missing_directory_is_made_with_its_parents() {
        check("/made/here", &["root/made", "root/made/here"]);
        check("/etc/x/../y", &["root/etc/y"]);
        check("/etc", &[]);
        check("/", &[]);
    }

    #[test]
    fn a_directory_on_a_volume_is_made_there() {
        check("/v/a/b", &["volume/a", "volume/a/b"]);
        check("/v", &[]);
    }

    #[test]
    fn nothing_is_made_where_a_mount_will_cover_it_or_forbids_it() {
        check("/v/t/a", &[]);
        check("/ro/a", &[]);
        check("/proc/self/fd/8", &[]);
        check("/file/a", &[]);
        check("/gone/a", &[]);
    }

    #[test]
    fn a_link_out_of_the_root_leads_to_a_place_inside() {
        check("/etc/out/a", &[]);
    }
}
