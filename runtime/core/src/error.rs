//! Why an operation on a container failed.

use std::io;
use std::path::PathBuf;

use nexcage_oci::Status;

use crate::phrases;

/// A failed operation; the command's name and the id are added by the caller.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The status does not allow the operation.
    #[error("{0}")]
    Status(String),
    /// The state directory could not be used.
    #[error(transparent)]
    Store(#[from] crate::store::StoreError),
    /// The id is not one.
    #[error(transparent)]
    Id(#[from] nexcage_oci::id::IdError),
    /// The bundle or its config cannot be used.
    #[error("{0}")]
    Bundle(String),
    /// A part of the config needs what the backend does not have.
    #[error("{what} needs backend trait {missing:?}, which backend {backend:?} does not have")]
    Unsupported {
        /// The backend.
        backend: String,
        /// The missing trait.
        missing: String,
        /// The JSON pointer.
        what: String,
    },
    /// A cgroup step failed.
    #[error("{step}")]
    Cgroup {
        /// What was being done.
        step: &'static str,
        /// The cause.
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// The backend failed.
    #[error("unable to start container process")]
    Start(#[source] nexcage_backend::Error),
    /// The backend failed in another operation.
    #[error("{step}")]
    Backend {
        /// What was being done.
        step: &'static str,
        /// The cause.
        source: nexcage_backend::Error,
    },
    /// The container could not be saved or restored.
    #[error(transparent)]
    Criu(nexcage_backend::Error),
    /// CRIU needs privileges over the node.
    #[error("{operation} needs root: criu cannot save or restore the containers of a rootless runtime")]
    Rootless {
        /// What was asked for.
        operation: &'static str,
    },
    /// An OCI hook failed.
    #[error("{0}")]
    Hook(String),
    /// A file of the caller could not be used.
    #[error("{step} {path:?}")]
    File {
        /// What was being done.
        step: &'static str,
        /// The file.
        path: PathBuf,
        /// The kernel's answer.
        source: io::Error,
    },
    /// The container's readiness could not be passed on.
    #[error(transparent)]
    Notify(crate::notify::NotifyError),
    /// The pid-file could not be written.
    #[error("write the pid-file")]
    PidFile(#[source] nexcage_sys::file::FileError),
    /// The pidfd could not be handed on.
    #[error("send the pidfd")]
    PidfdSocket(#[source] nexcage_sys::scm::ScmError),
    /// The container's processes did not end.
    #[error("container init still running after {seconds} s: run `nexcage delete --force` again")]
    StillRunning {
        /// How long was waited.
        seconds: u64,
    },
}

impl Error {
    pub(crate) fn cgroup<E: std::error::Error + Send + Sync + 'static>(step: &'static str) -> impl FnOnce(E) -> Self {
        move |source| Self::Cgroup {
            step,
            source: Box::new(source),
        }
    }

    pub(crate) fn backend(step: &'static str) -> impl FnOnce(nexcage_backend::Error) -> Self {
        move |source| match source {
            nexcage_backend::Error::NotRunning => Self::Status(phrases::NOT_RUNNING.to_owned()),
            source => Self::Backend { step, source },
        }
    }

    pub(crate) fn not_allowed(text: impl Into<String>, _status: Status) -> Self {
        Self::Status(text.into())
    }
}
