//! Directories that a layer has only because something is in them.
//!
//! No entry of the layer says how they are. In the overlay they would hide how a lower layer's directory of that name
//! is, such as the mode of /tmp. So each layer has a list of them, and a container gets the lower layer's.

use std::collections::BTreeSet;
use std::ffi::OsStr;
use std::fs::File;
use std::io::{self, Read as _};
use std::os::fd::{AsFd as _, OwnedFd};
use std::os::unix::ffi::OsStrExt as _;
use std::path::{Path, PathBuf};

use nexcage_sys::file::{self, Durability, FileError, Resolve};
use rustix::fs::{FileType, Gid, Mode, OFlags, Stat, Uid};
use rustix::io::Errno;

use crate::unpack::Privilege;

const EXTENSION: &str = "implied";

/// The list of a layer that was not written, read or applied.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ImpliedError {
    /// The list could not be written.
    #[error("write the list of implied directories")]
    Write(#[source] FileError),
    /// The list could not be read.
    #[error("read the list of implied directories {path:?}")]
    Read {
        /// The list.
        path: PathBuf,
        /// The kernel's answer.
        source: io::Error,
    },
    /// A layer or the root filesystem could not be looked into.
    #[error("look for directory {path:?} in the image")]
    Look {
        /// The directory.
        path: PathBuf,
        /// The kernel's answer.
        source: io::Error,
    },
    /// The directory could not be changed.
    #[error("set owner and mode of directory {path:?} in the root filesystem")]
    Set {
        /// The directory.
        path: PathBuf,
        /// The kernel's answer.
        source: io::Error,
    },
}

/// Writes the list of a layer, beside the directory that it will have; no list is an empty one.
pub(crate) fn write(layer: &Path, implied: &BTreeSet<PathBuf>) -> Result<(), ImpliedError> {
    if implied.is_empty() {
        return Ok(());
    }
    let mut bytes = Vec::new();
    for path in implied {
        bytes.extend_from_slice(path.as_os_str().as_bytes());
        // No path holds one.
        bytes.push(0);
    }
    file::write_atomic(&layer.with_extension(EXTENSION), &bytes, 0o600, Durability::Synced).map_err(ImpliedError::Write)
}

fn read(layer: &Path) -> Result<BTreeSet<PathBuf>, ImpliedError> {
    let path = layer.with_extension(EXTENSION);
    let mut bytes = Vec::new();
    match File::open(&path).and_then(|mut file| file.read_to_end(&mut bytes)) {
        Ok(_) => {}
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(BTreeSet::new()),
        Err(source) => return Err(ImpliedError::Read { path, source }),
    }
    let paths = bytes.split(|byte| *byte == 0).filter(|path| !path.is_empty());
    Ok(paths.map(|path| PathBuf::from(OsStr::from_bytes(path))).collect())
}

/// A layer of a stack.
struct Opened {
    root: OwnedFd,
    path: PathBuf,
    implied: BTreeSet<PathBuf>,
}

/// Gives the implied directories of a mounted image the owner and mode that a lower layer says.
///
/// * `layers`: the lowest first.
/// * `rootfs`: their overlay, with a writable directory on top.
///
/// # Errors
///
/// [`ImpliedError`].
pub fn restore_implied(layers: &[PathBuf], rootfs: &Path, privilege: Privilege) -> Result<(), ImpliedError> {
    let mut opened = Vec::new();
    for path in layers.iter().rev() {
        let implied = read(path)?;
        let root = open_root(path)?;
        opened.push(Opened {
            root,
            path: path.clone(),
            implied,
        });
    }
    let all: BTreeSet<&PathBuf> = opened.iter().flat_map(|layer| &layer.implied).collect();
    let root = open_root(rootfs)?;
    for path in all {
        if let Some(stat) = find(&opened, path, privilege)? {
            set(&root, path, &stat)?;
        }
    }
    Ok(())
}

fn open_root(path: &Path) -> Result<OwnedFd, ImpliedError> {
    let looked = |source| ImpliedError::Look {
        path: path.to_owned(),
        source,
    };
    file::open_root(path).map_err(|error| looked(io::Error::other(error)))
}

/// What the topmost layer says that has an entry for the directory, when layers above it imply one.
fn find(layers: &[Opened], path: &Path, privilege: Privilege) -> Result<Option<Stat>, ImpliedError> {
    let mut is_implied = false;
    for layer in layers {
        match look(&layer.root, path)? {
            Seen::Directory(_) if layer.implied.contains(path) => is_implied = true,
            Seen::Directory(stat) => return Ok(Some(*stat).filter(|_| is_implied)),
            Seen::Nothing => {}
            Seen::Other => return Ok(None),
        }
        if hides_lower(layer, path, privilege) {
            return Ok(None);
        }
    }
    Ok(None)
}

enum Seen {
    Directory(Box<Stat>),
    Nothing,
    /// A file or a whiteout, in place of the directory or of a parent.
    Other,
}

fn look(root: &OwnedFd, path: &Path) -> Result<Seen, ImpliedError> {
    let looked = |source| ImpliedError::Look {
        path: path.to_owned(),
        source,
    };
    let opened = match open(root, path, OFlags::PATH | OFlags::NOFOLLOW) {
        Ok(opened) => opened,
        Err(error) => match error.raw_os_error().map(Errno::from_raw_os_error) {
            Some(Errno::NOENT) => return Ok(Seen::Nothing),
            Some(Errno::NOTDIR | Errno::LOOP) => return Ok(Seen::Other),
            _ => return Err(looked(error)),
        },
    };
    let stat = rustix::fs::fstat(&opened).map_err(|errno| looked(errno.into()))?;
    Ok(if FileType::from_raw_mode(stat.st_mode).is_dir() {
        Seen::Directory(Box::new(stat))
    } else {
        Seen::Other
    })
}

fn open(root: &OwnedFd, path: &Path, flags: OFlags) -> io::Result<OwnedFd> {
    let flags = flags.bits().cast_signed();
    file::open_below(root.as_fd(), path, flags, 0, Resolve::NoLinks).map_err(FileError::into_io)
}

/// Whether the layer makes the directory or a parent opaque.
fn hides_lower(layer: &Opened, path: &Path, privilege: Privilege) -> bool {
    path.ancestors().any(|folder| {
        let mut value = [0; 1];
        let folder = layer.path.join(folder);
        rustix::fs::lgetxattr(&folder, privilege.opaque_attribute(), &mut value).is_ok_and(|length| length == 1)
    })
}

fn set(root: &OwnedFd, path: &Path, stat: &Stat) -> Result<(), ImpliedError> {
    let failed = |source| ImpliedError::Set {
        path: path.to_owned(),
        source,
    };
    let directory = open(root, path, OFlags::RDONLY | OFlags::DIRECTORY).map_err(failed)?;
    let (uid, gid) = (Uid::from_raw(stat.st_uid), Gid::from_raw(stat.st_gid));
    rustix::fs::fchown(&directory, Some(uid), Some(gid)).map_err(|errno| failed(errno.into()))?;
    rustix::fs::fchmod(&directory, Mode::from_raw_mode(stat.st_mode & 0o7777)).map_err(|errno| failed(errno.into()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lists_are_read_as_they_were_written() {
        let dir = tempfile::tempdir().unwrap();
        let layer = dir.path().join("layer");
        assert_eq!(read(&layer).unwrap(), BTreeSet::new());
        let paths = BTreeSet::from([PathBuf::from("a"), "a/b\nc".into()]);
        write(&layer, &paths).unwrap();
        assert_eq!(read(&layer).unwrap(), paths);
    }
}
