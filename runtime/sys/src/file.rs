//! Files written whole or not at all, and paths that cannot lead out of their folder.

use std::fs::File;
use std::io::{self, Read, Seek as _, Write};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};

use rustix::fs::{AtFlags, CWD, Mode, OFlags, ResolveFlags};

/// A file step that went wrong.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum FileError {
    /// The path has no last part, or that is `..`.
    #[error("path {path:?} names no file")]
    NoName {
        /// The path.
        path: PathBuf,
    },
    /// The folder could not be opened.
    #[error("open folder {path:?}")]
    OpenFolder {
        /// The folder.
        path: PathBuf,
        /// The kernel's answer.
        source: io::Error,
    },
    /// The new file could not be made.
    #[error("create {path:?}")]
    Create {
        /// The file.
        path: PathBuf,
        /// The kernel's answer.
        source: io::Error,
    },
    /// The bytes could not be written; the temporary file is removed.
    #[error("write {path:?}")]
    Write {
        /// The file.
        path: PathBuf,
        /// The kernel's answer.
        source: io::Error,
    },
    /// The bytes could not be forced to disk; the temporary file is removed.
    #[error("sync {path:?}")]
    Sync {
        /// The file.
        path: PathBuf,
        /// The kernel's answer.
        source: io::Error,
    },
    /// The finished file could not take its name; it is removed.
    #[error("rename to {path:?}")]
    Rename {
        /// The file.
        path: PathBuf,
        /// The kernel's answer.
        source: io::Error,
    },
    /// The file could not be opened.
    #[error("open {path:?}")]
    Open {
        /// The file.
        path: PathBuf,
        /// The kernel's answer.
        source: io::Error,
    },
    /// The file could not be read.
    #[error("read {path:?}")]
    Read {
        /// The file.
        path: PathBuf,
        /// The kernel's answer.
        source: io::Error,
    },
    /// The file is larger than the reader allows.
    #[error("read {path:?}: larger than {cap} bytes")]
    TooLarge {
        /// The file.
        path: PathBuf,
        /// The limit, in bytes.
        cap: u64,
    },
}

impl FileError {
    /// The kernel's answer where a file could not be opened; else this error.
    #[must_use]
    pub fn into_io(self) -> io::Error {
        match self {
            Self::Open { source, .. } => source,
            other => io::Error::other(other),
        }
    }
}

/// Whether a written file must survive a power loss.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Durability {
    /// It may be lost: for files under `/run`.
    Volatile,
    /// File and folder are forced to disk.
    Synced,
}

/// Writes a file so that a reader sees the old content or the new, never a part.
///
/// * `path`: replaced if it exists; a link there is replaced, not followed. Its folder must exist.
/// * `content`: the whole new content.
/// * `mode`: permission bits of the new file, exactly: the umask does not cut them.
///
/// The bytes go to a hidden file beside the path first. Nothing is left behind when a step fails.
///
/// # Errors
///
/// * [`FileError::NoName`], [`FileError::OpenFolder`], [`FileError::Create`], [`FileError::Write`],
///   [`FileError::Sync`], [`FileError::Rename`]: the old file is untouched.
pub fn write_atomic(path: &Path, content: &[u8], mode: u32, durability: Durability) -> Result<(), FileError> {
    let name = path
        .file_name()
        .ok_or_else(|| FileError::NoName { path: path.to_owned() })?;
    let folder = open_parent(path)?;
    let (temporary, file) = create_temporary(&folder, path, name)?;
    let result = fill(file, path, content, mode, durability).and_then(|()| {
        rustix::fs::renameat(&folder, &temporary, &folder, name).map_err(|error| FileError::Rename {
            path: path.to_owned(),
            source: error.into(),
        })
    });
    if result.is_err() {
        // The first error is the one to report; a temporary file that cannot be removed is a hidden leftover at worst.
        let _unlinked = rustix::fs::unlinkat(&folder, &temporary, AtFlags::empty()).is_ok();
        return result;
    }
    if durability == Durability::Synced {
        rustix::fs::fsync(&folder).map_err(|error| FileError::Sync {
            path: path.to_owned(),
            source: error.into(),
        })?;
    }
    Ok(())
}

fn open_parent(path: &Path) -> Result<OwnedFd, FileError> {
    let parent = match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        _ => Path::new("."),
    };
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
    rustix::fs::open(parent, flags, Mode::empty()).map_err(|error| FileError::OpenFolder {
        path: parent.to_owned(),
        source: error.into(),
    })
}

fn create_temporary(folder: &OwnedFd, path: &Path, name: &std::ffi::OsStr) -> Result<(PathBuf, File), FileError> {
    static SERIAL: AtomicU32 = AtomicU32::new(0);
    // A name near the limit of 255 bytes leaves no room for our ending; the pid and serial alone are unique enough.
    let stem = if name.len() <= 200 {
        name.to_string_lossy()
    } else {
        "".into()
    };
    loop {
        let serial = SERIAL.fetch_add(1, Ordering::Relaxed);
        let temporary = PathBuf::from(format!(".{stem}.{}-{serial}.tmp", std::process::id()));
        let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        match rustix::fs::openat(folder, &temporary, flags, Mode::RUSR | Mode::WUSR) {
            Ok(file) => return Ok((temporary, file.into())),
            // Left by a killed process that had our pid; the next serial is free.
            Err(rustix::io::Errno::EXIST) => {}
            Err(error) => {
                return Err(FileError::Create {
                    path: path.to_owned(),
                    source: error.into(),
                });
            }
        }
    }
}

fn fill(mut file: File, path: &Path, content: &[u8], mode: u32, durability: Durability) -> Result<(), FileError> {
    let refused = |source: io::Error| FileError::Write {
        path: path.to_owned(),
        source,
    };
    file.write_all(content).map_err(refused)?;
    rustix::fs::fchmod(&file, Mode::from_raw_mode(mode)).map_err(|error| refused(error.into()))?;
    if durability == Durability::Synced {
        file.sync_all().map_err(|source| FileError::Sync {
            path: path.to_owned(),
            source,
        })?;
    }
    Ok(())
}

/// Makes a file that must not exist yet, for writing.
///
/// * `mode`: permission bits, cut by the umask.
///
/// # Errors
///
/// [`FileError::Create`]: `EEXIST` for anything that is there, a dangling link too.
pub fn create_new(path: &Path, mode: u32) -> Result<File, FileError> {
    let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    rustix::fs::open(path, flags, Mode::from_raw_mode(mode))
        .map(File::from)
        .map_err(|error| FileError::Create {
            path: path.to_owned(),
            source: error.into(),
        })
}

/// Opens a file to add at its end, making it when it is not there; a link is followed, as for any log file.
///
/// * `mode`: permission bits of a new file, cut by the umask.
///
/// # Errors
///
/// [`FileError::Open`].
pub fn open_append(path: &Path, mode: u32) -> Result<File, FileError> {
    let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::APPEND | OFlags::CLOEXEC | OFlags::NOCTTY;
    rustix::fs::open(path, flags, Mode::from_raw_mode(mode))
        .map(File::from)
        .map_err(|error| FileError::Open {
            path: path.to_owned(),
            source: error.into(),
        })
}

/// Reads a whole file, refusing one that is too large.
///
/// * `cap`: the largest size accepted, in bytes; also holds for files that grow or lie about their size.
///
/// # Errors
///
/// [`FileError::Open`], [`FileError::Read`], [`FileError::TooLarge`].
pub fn read_capped(path: &Path, cap: u64) -> Result<Vec<u8>, FileError> {
    let flags = OFlags::RDONLY | OFlags::CLOEXEC | OFlags::NOCTTY;
    let file = rustix::fs::open(path, flags, Mode::empty())
        .map(File::from)
        .map_err(|error| FileError::Open {
            path: path.to_owned(),
            source: error.into(),
        })?;
    let mut content = Vec::new();
    file.take(cap.saturating_add(1))
        .read_to_end(&mut content)
        .map_err(|source| FileError::Read {
            path: path.to_owned(),
            source,
        })?;
    if content.len() as u64 > cap {
        return Err(FileError::TooLarge {
            path: path.to_owned(),
            cap,
        });
    }
    Ok(content)
}

/// How an untrusted path is kept inside a folder.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Resolve {
    /// The folder is the root: `/` and `..` stop there, absolute links start there. For paths in a container's rootfs.
    InRoot,
    /// Any step out is an error (`EXDEV`), absolute links too.
    Beneath,
    /// As `Beneath`, and every symbolic link is an error (`ELOOP`).
    NoLinks,
}

/// Opens a path below a folder; magic links of `/proc` are never followed.
///
/// * `folder`: any directory descriptor, `O_PATH` too.
/// * `flags`: `O_*` of libc; close-on-exec and no controlling terminal are added.
/// * `mode`: permission bits of a file that `O_CREAT` makes; 0 otherwise.
///
/// # Errors
///
/// [`FileError::Open`], with `EXDEV` or `ELOOP` for a path that leads out. The kernel answers `EAGAIN` when a rename
/// races with `..`; it is asked again a few times.
///
/// Kernel: `openat2(2)`, Linux 5.6.
pub fn open_below(
    folder: BorrowedFd<'_>,
    path: &Path,
    flags: i32,
    mode: u32,
    resolve: Resolve,
) -> Result<OwnedFd, FileError> {
    let how = match resolve {
        Resolve::InRoot => ResolveFlags::IN_ROOT,
        Resolve::Beneath => ResolveFlags::BENEATH,
        Resolve::NoLinks => ResolveFlags::BENEATH | ResolveFlags::NO_SYMLINKS,
    } | ResolveFlags::NO_MAGICLINKS;
    let flags = OFlags::from_bits_retain(flags.cast_unsigned()) | OFlags::CLOEXEC;
    let mut tries = 0;
    loop {
        match rustix::fs::openat2(folder.as_fd(), path, flags, Mode::from_raw_mode(mode), how) {
            Ok(file) => return Ok(file),
            Err(rustix::io::Errno::AGAIN | rustix::io::Errno::INTR) if tries < 32 => tries += 1,
            Err(error) => {
                return Err(FileError::Open {
                    path: path.to_owned(),
                    source: error.into(),
                });
            }
        }
    }
}

/// Opens a directory as a root for [`open_below`]: `O_PATH`, close-on-exec.
///
/// # Errors
///
/// [`FileError::OpenFolder`].
pub fn open_root(path: &Path) -> Result<OwnedFd, FileError> {
    rustix::fs::openat(
        CWD,
        path,
        OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC,
        Mode::empty(),
    )
    .map_err(|error| FileError::OpenFolder {
        path: path.to_owned(),
        source: error.into(),
    })
}

/// Makes a file without a name, in memory, to be read from its beginning; close-on-exec.
///
/// # Errors
///
/// The kernel's answer.
///
/// Kernel: `memfd_create(2)`.
pub fn in_memory_with(content: &[u8]) -> io::Result<File> {
    let mut file = in_memory()?;
    file.write_all(content)?;
    file.rewind()?;
    Ok(file)
}

/// Makes an empty file without a name, in memory; close-on-exec.
///
/// # Errors
///
/// The kernel's answer.
///
/// Kernel: `memfd_create(2)`.
pub fn in_memory() -> io::Result<File> {
    Ok(rustix::fs::memfd_create("input", rustix::fs::MemfdFlags::CLOEXEC)?.into())
}

#[cfg(test)]
mod tests;
