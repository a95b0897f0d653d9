//! What the root filesystem and the mounts must not do, because libcontainer would follow them.
//!
//! The checks before the creation see the root as it is then. What another container that shares it can exchange
//! meanwhile is looked at again when init is complete, see [`check_proc`].

use std::fs::{self, File};
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::fs::MetadataExt;
use std::path::{Component, Path, PathBuf};

use nexcage_backend::Error;
use nix::sys::stat::{FileStat, SFlag, major, minor};
use oci_spec::runtime::{Mount, Spec};
use rustix::fs::{CWD, Mode, OFlags, PROC_SUPER_MAGIC, ResolveFlags};

const PROC: &str = "/proc";

/// File system type of devpts.
const DEVPTS_SUPER_MAGIC: i64 = 0x1cd1;

/// Inode of the root of procfs.
const PROC_ROOT_INO: u64 = 1;

/// Files of procfs that a config may mount over: programs read them and the runtime does not.
const PROC_FILES: [&str; 11] = [
    "/proc/cpuinfo",
    "/proc/diskstats",
    "/proc/meminfo",
    "/proc/stat",
    "/proc/swaps",
    "/proc/uptime",
    "/proc/loadavg",
    "/proc/slabinfo",
    "/proc/net/dev",
    "/proc/sys/kernel/ns_last_pid",
    "/proc/sys/crypto/fips_enabled",
];

/// Checks the mounts and devices of a config against the root filesystem that they go to.
pub(crate) fn check(spec: &Spec, rootfs: &Path) -> Result<(), Error> {
    check_root(rootfs)?;
    check_dev(rootfs)?;
    let mounts = spec.mounts().as_deref().unwrap_or_default();
    mounts.iter().try_for_each(|mount| check_mount(mount, rootfs))?;
    let devices = spec.linux().as_ref().and_then(|l| l.devices().as_ref());
    devices
        .into_iter()
        .flatten()
        .try_for_each(|device| check_device(device.path(), mounts))
}

fn check_root(rootfs: &Path) -> Result<(), Error> {
    let refuse = |why: String| Err(Error::Init(format!("root filesystem {rootfs:?}: {why}")));
    match fs::metadata(rootfs) {
        Ok(found) if found.is_dir() => Ok(()),
        Ok(_) => refuse("not a directory: name the folder of the root file system in root.path".to_owned()),
        Err(e) => refuse(e.to_string()),
    }
}

/// Checks that `/dev` is no symbolic link.
///
/// libcontainer makes links in it, and removes `ptmx` from it, by the path on the node: a link would lead it to a
/// directory of the node.
fn check_dev(rootfs: &Path) -> Result<(), Error> {
    let dev = rootfs.join("dev");
    match fs::symlink_metadata(&dev) {
        Ok(found) if !found.is_dir() => Err(Error::Init(format!(
            "{dev:?} is not a directory: /dev of the root filesystem must be one, not a symbolic link"
        ))),
        Err(e) if e.kind() != io::ErrorKind::NotFound => Err(Error::Launch {
            step: "look at /dev of the root filesystem",
            source: e,
        }),
        _ => Ok(()),
    }
}

/// Checks that a mount does not hide procfs or a file of it from the runtime.
fn check_mount(mount: &Mount, rootfs: &Path) -> Result<(), Error> {
    let text = clean(mount.destination());
    let resolved = resolve(rootfs, &text).unwrap_or_else(|_unreadable| text.clone());
    let refuse = |why: &str| {
        let destination = mount.destination();
        Err(Error::Init(format!("mount on {destination:?}: {why}")))
    };
    for place in [text, resolved] {
        let Ok(below) = place.strip_prefix(PROC) else { continue };
        if below.as_os_str().is_empty() {
            if !is_proc(mount) {
                return refuse("only procfs can be mounted on /proc");
            }
        } else if !PROC_FILES.iter().any(|file| place == Path::new(file)) {
            return refuse(&format!("{place:?} is inside /proc, where nothing can be mounted"));
        }
    }
    Ok(())
}

fn is_proc(mount: &Mount) -> bool {
    if !is_bind(mount) {
        return mount.typ().as_deref() == Some("proc");
    }
    let source = mount.source().as_deref().unwrap_or(Path::new(""));
    rustix::fs::statfs(source).is_ok_and(|fs| fs.f_type == PROC_SUPER_MAGIC)
        && fs::metadata(source).is_ok_and(|found| found.ino() == PROC_ROOT_INO)
}

/// Whether a mount binds something that is there.
pub(crate) fn is_bind(mount: &Mount) -> bool {
    mount.typ().as_deref() == Some("bind") || mount.options().iter().flatten().any(|o| o == "bind" || o == "rbind")
}

/// Whether a directory of the node is a devpts, and no link to one.
pub(crate) fn is_devpts(path: &Path) -> bool {
    fs::symlink_metadata(path).is_ok_and(|found| found.is_dir())
        && rustix::fs::statfs(path).is_ok_and(|fs| fs.f_type == DEVPTS_SUPER_MAGIC)
}

/// Checks that a device is not made on a volume: libcontainer makes it by a path that whoever shares the volume can
/// lead elsewhere meanwhile.
fn check_device(device: &Path, mounts: &[Mount]) -> Result<(), Error> {
    let device = clean(device);
    let volume = mounts
        .iter()
        .filter(|m| is_bind(m))
        .map(|m| clean(m.destination()))
        .find(|at| at != Path::new("/dev") && device.starts_with(at) && device != *at);
    match volume {
        None => Ok(()),
        Some(at) => Err(Error::Init(format!(
            "device {device:?} lies on the volume that is mounted on {at:?}: give it a path outside"
        ))),
    }
}

/// Removes `.` and `..` by the text alone.
pub(crate) fn clean(path: &Path) -> PathBuf {
    let mut cleaned = PathBuf::from("/");
    for component in path.components() {
        match component {
            Component::ParentDir => {
                cleaned.pop();
            }
            Component::Normal(name) => cleaned.push(name),
            Component::CurDir | Component::RootDir | Component::Prefix(_) => {}
        }
    }
    cleaned
}

/// Where `path` leads in `rootfs`, as a path in the container; the part that does not exist is kept as it is.
pub(crate) fn resolve(rootfs: &Path, path: &Path) -> io::Result<PathBuf> {
    let root = rustix::fs::open(rootfs, OFlags::PATH | OFlags::CLOEXEC, Mode::empty())?;
    let real = path_of(&root)?;
    for existing in path.ancestors() {
        let opened = rustix::fs::openat2(
            root.as_fd(),
            existing,
            OFlags::PATH | OFlags::CLOEXEC,
            Mode::empty(),
            ResolveFlags::IN_ROOT | ResolveFlags::NO_MAGICLINKS,
        );
        let Ok(opened) = opened else { continue };
        let found = path_of(&opened)?;
        let below = found.strip_prefix(&real).map_err(io::Error::other)?;
        let rest = path.strip_prefix(existing).map_err(io::Error::other)?;
        return Ok(Path::new("/").join(below).join(rest));
    }
    Ok(path.to_owned())
}

fn path_of(fd: &OwnedFd) -> io::Result<PathBuf> {
    fs::read_link(format!("/proc/self/fd/{}", std::os::fd::AsRawFd::as_raw_fd(fd)))
}

/// Checks that the container's `/proc` is procfs, when its config mounts it there.
///
/// Masked paths and labels lie on it, and a root that is shared with another container can be changed between
/// libcontainer's check and its mount.
///
/// * `rootless`: the caller may be refused a look at its own init, which cannot be dumped. Paths and labels then keep the
///   container from nothing that its user could not do.
pub(crate) fn check_proc(init: i32, spec: &Spec, rootless: bool) -> Result<(), Error> {
    let mounts = spec.mounts().iter().flatten();
    if !mounts.map(|m| clean(m.destination())).any(|at| at == Path::new(PROC)) {
        return Ok(());
    }
    match proc_of(init).and_then(|fd| is_procfs(&fd)) {
        Ok(true) => Ok(()),
        Err(rustix::io::Errno::ACCESS | rustix::io::Errno::PERM) if rootless => Ok(()),
        Ok(false) | Err(rustix::io::Errno::LOOP | rustix::io::Errno::NOENT | rustix::io::Errno::NOTDIR) => {
            Err(Error::Init(
                "/proc of the container is not procfs: its root filesystem was changed while it was mounted".to_owned(),
            ))
        }
        Err(errno) => Err(Error::Launch {
            step: "look at /proc of the container",
            source: errno.into(),
        }),
    }
}

fn proc_of(init: i32) -> rustix::io::Result<OwnedFd> {
    let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let root = rustix::fs::openat(CWD, format!("/proc/{init}/root"), flags, Mode::empty())?;
    rustix::fs::openat2(
        root,
        "proc",
        flags,
        Mode::empty(),
        ResolveFlags::IN_ROOT | ResolveFlags::NO_SYMLINKS,
    )
}

/// Opens a file of procfs to write to, from inside a container: neither a link nor a mount of the container can put
/// another file in its place.
///
/// * `path`: relative to `/proc`.
pub(crate) fn open_proc(path: &str) -> io::Result<File> {
    let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let proc = rustix::fs::open(PROC, flags, Mode::empty())?;
    if !is_procfs(&proc)? {
        return Err(io::Error::new(io::ErrorKind::InvalidInput, "/proc is not procfs"));
    }
    let within = ResolveFlags::BENEATH | ResolveFlags::NO_XDEV | ResolveFlags::NO_MAGICLINKS;
    let file = rustix::fs::openat2(proc, path, OFlags::WRONLY | OFlags::CLOEXEC, Mode::empty(), within)?;
    Ok(File::from(file))
}

fn is_procfs(fd: &OwnedFd) -> rustix::io::Result<bool> {
    let is_root = rustix::fs::fstat(fd)?.st_ino == PROC_ROOT_INO;
    Ok(is_root && rustix::fs::fstatfs(fd)?.f_type == PROC_SUPER_MAGIC)
}

/// Whether a file is the null device, whatever its name.
pub(crate) fn is_null_device(found: &FileStat) -> bool {
    found.st_mode & SFlag::S_IFMT.bits() == SFlag::S_IFCHR.bits()
        && (major(found.st_rdev), minor(found.st_rdev)) == (1, 3)
}

#[cfg(test)]
mod tests;
