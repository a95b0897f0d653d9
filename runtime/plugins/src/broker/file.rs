//! `file.open` and `device.open`: files of the node, for `filesystem_read` and `filesystem_write`, and devices, for
//! `host_device`.
//!
//! The plugin gets a descriptor and never a path. No step of the path may be a link: what a link leads to was not granted.

use std::fs::File;
use std::io;
use std::os::fd::{AsFd, AsRawFd};
use std::os::unix::fs::{FileTypeExt as _, OpenOptionsExt as _};
use std::path::Path;

use nexcage_plugin_types::text::AbsolutePath;
use nexcage_plugin_types::{Capability, CapabilityName};
use nexcage_sys::file::{self, FileError, Resolve};
use serde::Deserialize;

use super::{Done, Question, Refusal};
use crate::below::is_below;

/// `{"path": "/a/b", "access": "read"}`.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Open {
    path: AbsolutePath,
    access: Access,
}

#[derive(Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Access {
    /// Read only.
    Read,
    /// Write at the end of a file, which is made if it is not there.
    Append,
    /// Write a file anew, which is made if it is not there.
    Write,
}

pub(super) fn open(question: &Question<'_>, asked: &Open) -> Result<Done, Refusal> {
    let path = asked.path.as_str();
    let capability = match asked.access {
        Access::Read => CapabilityName::FilesystemRead,
        Access::Append | Access::Write => CapabilityName::FilesystemWrite,
    };
    question.check_granted(capability, path, |grant| match grant {
        Capability::FilesystemRead { paths } | Capability::FilesystemWrite { paths } => {
            paths.iter().any(|granted| is_below(path, granted.as_str()))
        }
        _ => false,
    })?;
    let opened = match (find(path)?, asked.access) {
        (Some(found), access) => reopen(&found, path, access)?,
        (None, Access::Read) => return Err(Refusal::NotFound(path.to_owned())),
        (None, Access::Append | Access::Write) => make(path, asked.access)?,
    };
    Ok(Done::open(opened))
}

/// `{"path": "/dev/null", "access": "read"}`, for `host_device`. A device is opened whatever that sets off.
pub(super) fn open_device(question: &Question<'_>, asked: &Open) -> Result<Done, Refusal> {
    let path = asked.path.as_str();
    question.check_granted(CapabilityName::HostDevice, path, |grant| match grant {
        Capability::HostDevice { paths } => paths.iter().any(|granted| is_below(path, granted.as_str())),
        _ => false,
    })?;
    let found = open_path(path, libc::O_PATH, 0).map_err(|source| match source.kind() {
        io::ErrorKind::NotFound => Refusal::NotFound(path.to_owned()),
        _ => failed(path, source),
    })?;
    let kind = found.metadata().map_err(|source| failed(path, source))?.file_type();
    if !kind.is_char_device() && !kind.is_block_device() {
        return Err(Refusal::Argument {
            what: format!("open {path:?}"),
            fix: "name a device",
        });
    }
    let mut options = File::options();
    match asked.access {
        Access::Read => options.read(true),
        Access::Append | Access::Write => options.read(true).write(true),
    };
    // A terminal must not become the runtime's own, and nothing may keep it waiting.
    options.custom_flags(libc::O_NOCTTY | libc::O_NONBLOCK);
    let opened = options.open(format!("/proc/self/fd/{}", found.as_raw_fd()));
    opened.map(Done::open).map_err(|source| failed(path, source))
}

/// Refuses what is no regular file, or is reached through a link.
pub(super) fn check_regular(path: &str) -> Result<(), Refusal> {
    match find(path)? {
        Some(_) => Ok(()),
        None => Err(Refusal::NotFound(path.to_owned())),
    }
}

/// Finds a file without opening it: to open a device can have effects already.
fn find(path: &str) -> Result<Option<File>, Refusal> {
    let found = match open_path(path, libc::O_PATH, 0) {
        Ok(found) => found,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(source) => return Err(failed(path, source)),
    };
    if !found.metadata().map_err(|source| failed(path, source))?.is_file() {
        return Err(Refusal::Argument {
            what: format!("open {path:?}"),
            fix: "name a regular file",
        });
    }
    Ok(Some(found))
}

/// Opens the file that was found, whatever its path leads to by now.
fn reopen(found: &File, path: &str, access: Access) -> Result<File, Refusal> {
    let mut options = File::options();
    match access {
        Access::Read => options.read(true),
        Access::Append => options.append(true),
        Access::Write => options.write(true).truncate(true),
    };
    let found = format!("/proc/self/fd/{}", found.as_raw_fd());
    options.open(found).map_err(|source| failed(path, source))
}

/// Makes a file that is not there; one that appeared meanwhile is not used.
fn make(path: &str, access: Access) -> Result<File, Refusal> {
    let append = if access == Access::Append { libc::O_APPEND } else { 0 };
    let flags = libc::O_WRONLY | libc::O_CREAT | libc::O_EXCL | append;
    open_path(path, flags, 0o600).map_err(|source| failed(path, source))
}

fn open_path(path: &str, flags: i32, mode: u32) -> io::Result<File> {
    let root = file::open_root(Path::new("/")).map_err(FileError::into_io)?;
    let below = Path::new(path.trim_start_matches('/'));
    let opened = file::open_below(root.as_fd(), below, flags, mode, Resolve::NoLinks);
    opened.map(File::from).map_err(FileError::into_io)
}

fn failed(path: &str, source: io::Error) -> Refusal {
    Refusal::Failed {
        what: format!("open {path:?}"),
        source,
    }
}
