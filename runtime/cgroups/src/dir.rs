//! A cgroup directory held by descriptor, and the reading and writing of its files.
//!
//! Owns every access to the control group file system: nothing is opened by an absolute path after the mount point, no
//! link is followed, and nothing is written before the file system has been seen to be a control group one.
use std::fs::File;
use std::io::{self, Read, Write};
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use nexcage_sys::cgroupfs::open_beneath;
use nix::sys::stat::{Mode, mkdirat};
use nix::sys::statfs::{CGROUP_SUPER_MAGIC, CGROUP2_SUPER_MAGIC, fstatfs};
use nix::unistd::{AccessFlags, UnlinkatFlags, faccessat, unlinkat};

use crate::error::CgroupError;
use crate::naming::Hierarchy;

/// Mode of a new cgroup directory.
const MODE: Mode = Mode::from_bits_truncate(0o755);

/// An open cgroup directory.
#[derive(Debug)]
pub(crate) struct Dir {
    fd: OwnedFd,
    path: PathBuf,
}

impl Dir {
    /// Opens the top of a mounted hierarchy and makes sure that it is one.
    ///
    /// # Errors
    ///
    /// [`CgroupError::OpenMount`], [`CgroupError::NotCgroupfs`].
    pub(crate) fn open_mount(mount: &Path) -> Result<Self, CgroupError> {
        let flags = libc::O_PATH | libc::O_DIRECTORY | libc::O_NOFOLLOW;
        let open = std::fs::OpenOptions::new().read(true).custom_flags(flags).open(mount);
        let fd: OwnedFd = open
            .map_err(|source| CgroupError::OpenMount {
                path: mount.to_owned(),
                source,
            })?
            .into();
        let kind = fstatfs(&fd)
            .map_err(|errno| CgroupError::OpenMount {
                path: mount.to_owned(),
                source: errno.into(),
            })?
            .filesystem_type();
        if kind != CGROUP_SUPER_MAGIC && kind != CGROUP2_SUPER_MAGIC {
            return Err(CgroupError::NotCgroupfs { path: mount.to_owned() });
        }
        Ok(Self {
            fd,
            path: mount.to_owned(),
        })
    }

    /// Opens a container's cgroup in one hierarchy.
    ///
    /// # Errors
    ///
    /// As [`Dir::open_mount`], and [`CgroupError::Open`].
    pub(crate) fn open(hierarchy: &Hierarchy) -> Result<Self, CgroupError> {
        let mount = Self::open_mount(&hierarchy.mount)?;
        mount.sub(&hierarchy.path).map_err(|source| CgroupError::Open {
            path: hierarchy.full(),
            source,
        })
    }

    /// As [`Dir::open`]; `None` when the cgroup is not there.
    pub(crate) fn find(hierarchy: &Hierarchy) -> Result<Option<Self>, CgroupError> {
        match Self::open(hierarchy) {
            Ok(dir) => Ok(Some(dir)),
            Err(CgroupError::Open { source, .. } | CgroupError::OpenMount { source, .. }) if is_gone(&source) => {
                Ok(None)
            }
            Err(error) => Err(error),
        }
    }

    /// Opens a directory below this one.
    pub(crate) fn sub(&self, path: &Path) -> io::Result<Self> {
        let fd = open_beneath(self.fd.as_fd(), path, libc::O_PATH | libc::O_DIRECTORY)?;
        Ok(Self {
            fd,
            path: self.path.join(path),
        })
    }

    /// Makes a directory in this one. Returns whether it was made, not found.
    pub(crate) fn make(&self, name: &Path) -> io::Result<bool> {
        match mkdirat(Some(self.fd.as_raw_fd()), name, MODE) {
            Ok(()) => Ok(true),
            Err(nix::errno::Errno::EEXIST) => Ok(false),
            Err(errno) => Err(errno.into()),
        }
    }

    /// Removes a directory of this one. A missing one counts as removed.
    pub(crate) fn remove(&self, name: &Path) -> io::Result<()> {
        loop {
            match unlinkat(Some(self.fd.as_raw_fd()), name, UnlinkatFlags::RemoveDir) {
                Ok(()) | Err(nix::errno::Errno::ENOENT) => return Ok(()),
                Err(nix::errno::Errno::EINTR) => {}
                Err(errno) => return Err(errno.into()),
            }
        }
    }

    /// Names of the child cgroups.
    pub(crate) fn children(&self) -> io::Result<Vec<PathBuf>> {
        // An O_PATH descriptor cannot be listed, and /proc/self/fd needs no second path walk.
        let listing = std::fs::read_dir(format!("/proc/self/fd/{}", self.fd.as_raw_fd()))?;
        let mut names = Vec::new();
        for entry in listing {
            let entry = entry?;
            if entry.file_type()?.is_dir() {
                names.push(PathBuf::from(entry.file_name()));
            }
        }
        Ok(names)
    }

    /// Path, for messages.
    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// Whether a file is there.
    pub(crate) fn has(&self, file: &str) -> bool {
        faccessat(
            Some(self.fd.as_raw_fd()),
            file,
            AccessFlags::F_OK,
            nix::fcntl::AtFlags::empty(),
        )
        .is_ok()
    }

    /// Whether this process may write a file.
    pub(crate) fn may_write(&self, file: &str) -> bool {
        faccessat(
            Some(self.fd.as_raw_fd()),
            file,
            AccessFlags::W_OK,
            nix::fcntl::AtFlags::AT_EACCESS,
        )
        .is_ok()
    }

    /// Opens a file of this cgroup.
    pub(crate) fn open_file(&self, file: &str, flags: i32) -> io::Result<File> {
        if file.is_empty() || file.contains('/') {
            return Err(io::Error::from_raw_os_error(libc::EINVAL));
        }
        open_beneath(self.fd.as_fd(), Path::new(file), flags).map(File::from)
    }

    /// Reads a file; the kernel's answer as it is.
    pub(crate) fn try_read(&self, file: &str) -> io::Result<String> {
        let mut open = self.open_file(file, libc::O_RDONLY)?;
        let mut text = String::with_capacity(256);
        open.read_to_string(&mut text)?;
        Ok(text)
    }

    /// Writes a value in one write call, as control group files want it; the kernel's answer as it is.
    pub(crate) fn try_write(&self, file: &str, value: &str) -> io::Result<()> {
        write_once(&self.open_file(file, libc::O_WRONLY)?, value)
    }

    /// Reads a file.
    pub(crate) fn read(&self, file: &str) -> Result<String, CgroupError> {
        self.try_read(file).map_err(|source| CgroupError::Read {
            path: self.path.join(file),
            source,
        })
    }

    /// Reads a file that may be missing.
    pub(crate) fn read_if_there(&self, file: &str) -> Result<Option<String>, CgroupError> {
        match self.try_read(file) {
            Ok(text) => Ok(Some(text)),
            Err(source) if is_gone(&source) => Ok(None),
            Err(source) => Err(CgroupError::Read {
                path: self.path.join(file),
                source,
            }),
        }
    }

    /// Writes a value.
    pub(crate) fn write(&self, file: &str, value: &str) -> Result<(), CgroupError> {
        self.try_write(file, value)
            .map_err(|source| self.write_error(file, value, source))
    }

    /// The error for a value that a file did not take.
    pub(crate) fn write_error(&self, file: &str, value: &str, source: io::Error) -> CgroupError {
        CgroupError::Write {
            path: self.path.join(file),
            value: value.to_owned(),
            source,
        }
    }

    /// Reads a file with one number; `max` counts as the largest one, a negative number as 0.
    pub(crate) fn read_number(&self, file: &str) -> Result<u64, CgroupError> {
        let text = self.read(file)?;
        parse_number(text.trim()).ok_or_else(|| self.parse_error(file, &text))
    }

    /// As [`Dir::read_number`]; `None` when the file is not there.
    pub(crate) fn read_number_if_there(&self, file: &str) -> Result<Option<u64>, CgroupError> {
        let Some(text) = self.read_if_there(file)? else {
            return Ok(None);
        };
        parse_number(text.trim())
            .map(Some)
            .ok_or_else(|| self.parse_error(file, &text))
    }

    /// The error for an unexpected text.
    pub(crate) fn parse_error(&self, file: &str, text: &str) -> CgroupError {
        CgroupError::Parse {
            path: self.path.join(file),
            text: text.trim().chars().take(200).collect(),
        }
    }

    /// Pids in this cgroup alone. A threaded v2 cgroup lists its threads.
    pub(crate) fn pids(&self) -> Result<Vec<i32>, CgroupError> {
        let text = match self.try_read("cgroup.procs") {
            Err(error) if error.raw_os_error() == Some(libc::EOPNOTSUPP) => self.try_read("cgroup.threads"),
            other => other,
        };
        let text = text.map_err(|source| CgroupError::Read {
            path: self.path.join("cgroup.procs"),
            source,
        })?;
        text.lines()
            .map(|line| line.parse().map_err(|_bad| self.parse_error("cgroup.procs", line)))
            .collect()
    }
}

/// Writes a value in one write call.
pub(crate) fn write_once(mut file: &File, value: &str) -> io::Result<()> {
    loop {
        match file.write(value.as_bytes()) {
            Ok(written) if written == value.len() => return Ok(()),
            Ok(_) => return Err(io::Error::from(io::ErrorKind::WriteZero)),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
}

/// Parses a number as the kernel prints limits and counters.
pub(crate) fn parse_number(text: &str) -> Option<u64> {
    if text == "max" {
        return Some(u64::MAX);
    }
    text.parse().ok().or_else(|| {
        text.starts_with('-')
            .then(|| text.parse::<i64>().ok().map(|_negative| 0))
            .flatten()
    })
}

/// Value of a `KEY VALUE` line.
pub(crate) fn find_value(text: &str, key: &str) -> Option<u64> {
    text.lines()
        .find_map(|line| line.strip_prefix(key)?.strip_prefix(' ').and_then(parse_number))
}

/// Whether an error says that the cgroup or the file is not there (any more).
pub(crate) fn is_gone(error: &io::Error) -> bool {
    matches!(error.raw_os_error(), Some(libc::ENOENT | libc::ENODEV))
}

/// Whether an error is a missing permission, a read-only mount included.
pub(crate) fn is_refusal(error: &io::Error) -> bool {
    matches!(error.raw_os_error(), Some(libc::EPERM | libc::EACCES | libc::EROFS))
}
