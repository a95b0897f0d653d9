//! `tmpcopyup`: a tmpfs that starts with a copy of what it covers.

use std::ffi::{OsStr, OsString};
use std::fs::{File, Metadata, Permissions};
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStringExt;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::Path;

use rustix::fs::{AtFlags, FileType, Gid, Mode, OFlags, ResolveFlags, Timespec, Timestamps, Uid};
use rustix::io::Errno;

/// Deepest directory that is copied; the kernel's own limit on a path is near it.
const MAX_DEPTH: usize = 1000;

/// Copies what lies under the tmpfs mounted on `path` into it.
///
/// The calling process's root is the container's. The covered tree is reached through a copy of the root mount
/// without its submounts, so no mount is removed for it.
///
/// * `attributes`: whether the tmpfs gets owner, mode and times of the directory it covers.
pub(crate) fn copy_up(path: &Path, attributes: bool) -> io::Result<()> {
    let Some((covered, target)) = open_both(path)? else {
        return Ok(());
    };
    copy_directory(covered.as_fd(), target.as_fd(), 0)?;
    if attributes {
        copy_attributes(&File::from(covered), &File::from(target))
    } else {
        Ok(())
    }
}

/// Gives the tmpfs mounted on `path` the mode of the directory it covers.
pub(crate) fn copy_mode(path: &Path) -> io::Result<()> {
    let Some((covered, target)) = open_both(path)? else {
        return Ok(());
    };
    let mode = File::from(covered).metadata()?.mode() & 0o7777;
    File::from(target).set_permissions(Permissions::from_mode(mode))
}

/// The directory that the mount on `path` covers, and its own root; `None` when nothing is covered.
fn open_both(path: &Path) -> io::Result<Option<(OwnedFd, OwnedFd)>> {
    let root = nexcage_sys::mount::clone_tree(Path::new("/"))?;
    let relative = path.strip_prefix("/").unwrap_or(path);
    let covered = match open_dir_in(root.as_fd(), relative) {
        Ok(dir) => dir,
        Err(e) if matches!(e.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory) => return Ok(None),
        Err(e) => return Err(e),
    };
    let target = open_dir_in(rustix::fs::open("/", dir_flags(), Mode::empty())?.as_fd(), relative)?;
    Ok(Some((covered, target)))
}

fn dir_flags() -> OFlags {
    OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC
}

fn open_dir_in(root: BorrowedFd<'_>, path: &Path) -> io::Result<OwnedFd> {
    let path = if path.as_os_str().is_empty() {
        Path::new(".")
    } else {
        path
    };
    Ok(rustix::fs::openat2(
        root,
        path,
        dir_flags(),
        Mode::empty(),
        ResolveFlags::IN_ROOT,
    )?)
}

fn copy_directory(from: BorrowedFd<'_>, to: BorrowedFd<'_>, depth: usize) -> io::Result<()> {
    if depth > MAX_DEPTH {
        return Err(io::Error::other("directories are nested too deeply"));
    }
    for entry in rustix::fs::Dir::read_from(from)? {
        let entry = entry?;
        let name = OsString::from_vec(entry.file_name().to_bytes().to_vec());
        if name != "." && name != ".." {
            copy_entry(from, to, &name, depth)?;
        }
    }
    Ok(())
}

fn copy_entry(from: BorrowedFd<'_>, to: BorrowedFd<'_>, name: &OsStr, depth: usize) -> io::Result<()> {
    let stat = rustix::fs::statat(from, name, AtFlags::SYMLINK_NOFOLLOW)?;
    let mode = Mode::from_raw_mode(stat.st_mode);
    match FileType::from_raw_mode(stat.st_mode) {
        FileType::Directory => {
            match rustix::fs::mkdirat(to, name, mode) {
                // A later mount needed it as its mount point.
                Ok(()) | Err(Errno::EXIST) => {}
                Err(errno) => return Err(errno.into()),
            }
            let nofollow = dir_flags() | OFlags::NOFOLLOW;
            let source = rustix::fs::openat(from, name, nofollow, Mode::empty())?;
            let Some(target) = open_beside_mounts(to, name)? else {
                return Ok(());
            };
            copy_directory(source.as_fd(), target.as_fd(), depth + 1)?;
            copy_attributes(&File::from(source), &File::from(target))
        }
        FileType::RegularFile => copy_file(from, to, name),
        FileType::Symlink => {
            let link = rustix::fs::readlinkat(from, name, Vec::new())?;
            rustix::fs::symlinkat(link, to, name)?;
            own(to, name, stat.st_uid, stat.st_gid)
        }
        kind => {
            rustix::fs::mknodat(to, name, kind, mode, stat.st_rdev)?;
            own(to, name, stat.st_uid, stat.st_gid)
        }
    }
}

/// Opens a directory in another; `None` when another mount lies on it, or it is none.
pub(crate) fn open_beside_mounts(dir: BorrowedFd<'_>, name: &OsStr) -> io::Result<Option<OwnedFd>> {
    let within = ResolveFlags::NO_XDEV | ResolveFlags::NO_SYMLINKS;
    match rustix::fs::openat2(dir, name, dir_flags(), Mode::empty(), within) {
        Ok(fd) => Ok(Some(fd)),
        Err(Errno::XDEV | Errno::NOTDIR) => Ok(None),
        Err(errno) => Err(errno.into()),
    }
}

fn copy_file(from: BorrowedFd<'_>, to: BorrowedFd<'_>, name: &OsStr) -> io::Result<()> {
    let flags = OFlags::CLOEXEC | OFlags::NOFOLLOW;
    let mut source = File::from(rustix::fs::openat(from, name, flags | OFlags::RDONLY, Mode::empty())?);
    let create = flags | OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL;
    let target = match rustix::fs::openat(to, name, create, Mode::RUSR | Mode::WUSR) {
        // The mount point of a later mount.
        Err(Errno::EXIST) => return Ok(()),
        other => other?,
    };
    let mut target = File::from(target);
    io::copy(&mut source, &mut target)?;
    copy_attributes(&source, &target)
}

fn own(dir: BorrowedFd<'_>, name: &OsStr, uid: u32, gid: u32) -> io::Result<()> {
    let (uid, gid) = (Uid::from_raw(uid), Gid::from_raw(gid));
    Ok(rustix::fs::chownat(
        dir,
        name,
        Some(uid),
        Some(gid),
        AtFlags::SYMLINK_NOFOLLOW,
    )?)
}

/// Owner, mode (after the owner: a change of owner clears set-id bits) and times.
fn copy_attributes(from: &File, to: &File) -> io::Result<()> {
    let metadata: Metadata = from.metadata()?;
    std::os::unix::fs::fchown(to, Some(metadata.uid()), Some(metadata.gid()))?;
    to.set_permissions(Permissions::from_mode(metadata.mode() & 0o7777))?;
    let time = |sec, nsec| Timespec {
        tv_sec: sec,
        tv_nsec: nsec,
    };
    let times = Timestamps {
        last_access: time(metadata.atime(), metadata.atime_nsec()),
        last_modification: time(metadata.mtime(), metadata.mtime_nsec()),
    };
    Ok(rustix::fs::futimens(to, &times)?)
}
