//! `file.open`: a file of the node, for `filesystem_read` and `filesystem_write`.
//!
//! The plugin gets a descriptor and never a path. No step of the path may be a link: what a link leads to was not granted.

use std::fs::File;
use std::os::fd::AsFd;
use std::path::Path;

use nexcage_plugin_types::text::AbsolutePath;
use nexcage_plugin_types::{Capability, CapabilityName};
use nexcage_sys::file::{self, Resolve};
use serde::Deserialize;

use super::config::is_below;
use super::{Done, Question, Refusal};

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
    let flags = match asked.access {
        Access::Read => libc::O_RDONLY,
        Access::Append => libc::O_WRONLY | libc::O_CREAT | libc::O_APPEND,
        // Cut to nothing only when it is known to be a file.
        Access::Write => libc::O_WRONLY | libc::O_CREAT,
    };
    let mode = if asked.access == Access::Read { 0 } else { 0o600 };
    let failed = |source| Refusal::Failed {
        what: format!("open {path:?}"),
        source,
    };
    let root = file::open_root(Path::new("/")).map_err(|error| failed(error.into_io()))?;
    let below = path.trim_start_matches('/');
    // A FIFO must not stop the runtime, nor a terminal become its own.
    let flags = flags | libc::O_NONBLOCK | libc::O_NOCTTY;
    let opened = file::open_below(root.as_fd(), Path::new(below), flags, mode, Resolve::NoLinks);
    let opened = File::from(opened.map_err(|error| match error.into_io() {
        source if source.kind() == std::io::ErrorKind::NotFound => Refusal::NotFound(path.to_owned()),
        source => failed(source),
    })?);
    if !opened.metadata().map_err(failed)?.is_file() {
        return Err(Refusal::Argument {
            what: format!("open {path:?}"),
            fix: "name a regular file",
        });
    }
    if asked.access == Access::Write {
        opened.set_len(0).map_err(failed)?;
    }
    Ok(Done::open(opened))
}
