//! `checkpoint` and `restore`: a container's processes go to disk and come back.

use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};

use nexcage_backend::{Checkpoint, CriuOptions, Process, Trait};
use nexcage_oci::Status;
use nexcage_oci::bundle::Bundle;
use oci_spec::runtime::Spec;

use crate::create::{CreateOptions, Origin, RestoreOptions};
use crate::error::Error;
use crate::lifecycle::Operation;
use crate::notify::NotifySocket;
use crate::runtime::{Held, Runtime};
use crate::support;

/// How a container is saved.
#[derive(Debug)]
pub struct CheckpointOptions<'a> {
    /// What checkpoint and restore have in common.
    pub criu: CriuOptions<'a>,
    /// Directory of an earlier pre-dump, relative to that of the images.
    pub parent_path: Option<&'a Path>,
    /// Let the container run on.
    pub leave_running: bool,
    /// Save memory only and let the container run on.
    pub pre_dump: bool,
    /// Leave TCP connections in flight out.
    pub tcp_skip_in_flight: bool,
    /// Allow links to removed files.
    pub link_remap: bool,
    /// Gets a NUL byte, and is closed, when lazy pages can be fetched.
    pub status_fd: Option<OwnedFd>,
    /// Address and port of a page server.
    pub page_server: Option<(&'a str, u16)>,
}

/// A parent directory that cannot be one.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ParentPathError {
    /// It has to move with the images.
    #[error("--parent-path must be relative")]
    Absolute,
    /// It is not there.
    #[error("invalid --parent-path: {path:?}")]
    Read {
        /// The path, resolved.
        path: PathBuf,
        /// The kernel's answer.
        source: std::io::Error,
    },
    /// It is a file.
    #[error("invalid --parent-path: {0:?} is not a directory")]
    NotDirectory(PathBuf),
}

/// Checks the directory of an earlier pre-dump.
///
/// * `images`: directory of the new images, to which `parent` is relative.
///
/// # Errors
///
/// [`ParentPathError`], in runc's words.
pub fn check_parent(images: &Path, parent: &Path) -> Result<(), ParentPathError> {
    if parent.is_absolute() {
        return Err(ParentPathError::Absolute);
    }
    let path = images.join(parent);
    match path.metadata() {
        Ok(found) if found.is_dir() => Ok(()),
        Ok(_) => Err(ParentPathError::NotDirectory(path)),
        Err(source) => Err(ParentPathError::Read { path, source }),
    }
}

impl Runtime {
    /// Saves a running or paused container to disk and deletes it, unless it is left running.
    ///
    /// # Errors
    ///
    /// [`Error::Status`] for a container in another status; [`Error::Rootless`]; [`Error::Unsupported`]; [`Error::Criu`]:
    /// the container is as it was.
    pub fn checkpoint(&self, id: &str, options: CheckpointOptions<'_>) -> Result<(), Error> {
        self.can_use_criu("checkpoint")?;
        let held = self.hold(id, Operation::Checkpoint)?;
        let spec = self.spec_of_mounts(&held)?;
        let goes = !options.leave_running && !options.pre_dump;
        let request = Checkpoint {
            spec: &spec,
            criu: options.criu,
            stdio: &held.record.stdio,
            paused: held.status == Status::Paused,
            parent_path: options.parent_path,
            leave_running: options.leave_running,
            pre_dump: options.pre_dump,
            tcp_skip_in_flight: options.tcp_skip_in_flight,
            link_remap: options.link_remap,
            status_fd: options.status_fd,
            page_server: options.page_server,
        };
        self.backend
            .checkpoint(&held.container(), request)
            .map_err(Error::Criu)?;
        if goes { self.destroy(held) } else { Ok(()) }
    }

    /// Makes a container from a bundle and the processes that a checkpoint saved.
    ///
    /// Returns its init, a child of this process; the container runs. On error nothing is left.
    ///
    /// # Errors
    ///
    /// [`Error::Rootless`], [`Error::Criu`], and those of [`Runtime::create`].
    pub fn restore(
        &self,
        id: &str,
        bundle: &Bundle,
        create: &CreateOptions<'_>,
        options: &RestoreOptions<'_>,
    ) -> Result<Process, Error> {
        self.can_use_criu("restore")?;
        self.make(id, bundle, create, Origin::Images(options))
    }

    fn can_use_criu(&self, operation: &'static str) -> Result<(), Error> {
        support::require(self.backend.as_ref(), Trait::Checkpoint, operation)?;
        if self.rootless {
            return Err(Error::Rootless { operation });
        }
        Ok(())
    }

    /// The config with the mount that the runtime added when the container was made.
    fn spec_of_mounts(&self, held: &Held) -> Result<Spec, Error> {
        let mut spec = self.config_of(&held.record.id)?;
        // Whoever waited for the container is not asked again; only the folder matters.
        let nobody = Path::new("/dev/null");
        if let Some(socket) = NotifySocket::new(Some(nobody), &held.locked.dir).filter(NotifySocket::is_made) {
            socket.apply(&mut spec).map_err(Error::Notify)?;
        }
        Ok(spec)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_parent_is_a_directory_beside_the_images() {
        let images = std::env::temp_dir();
        let check = |parent: &str| check_parent(&images, Path::new(parent)).map_err(|e| e.to_string());
        assert_eq!(check("."), Ok(()));
        assert_eq!(check("/tmp"), Err("--parent-path must be relative".to_owned()));
        assert!(
            check("nothing-there")
                .unwrap_err()
                .starts_with("invalid --parent-path: ")
        );
    }
}
