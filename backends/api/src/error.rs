//! Why a backend could not do what was asked.

use std::io;

/// A failed backend call; the text completes "nexcage: COMMAND ID: ".
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The process that builds the container could not be started or spoken to.
    #[error("launch container process: {step}")]
    Launch {
        /// What was being done.
        step: &'static str,
        /// The kernel's answer.
        source: io::Error,
    },
    /// The config asks for something that this backend does not do.
    #[error("{what} needs backend trait {missing:?}, which backend {backend:?} does not have")]
    Unsupported {
        /// The backend's name.
        backend: &'static str,
        /// The missing [`crate::Trait`]'s name.
        missing: String,
        /// The part of the config, as a JSON pointer or an operation's name.
        what: String,
    },
    /// The container process reported why it could not be made.
    #[error("{0}")]
    Init(String),
    /// The container process ended before it was ready.
    #[error("container process ended early ({how}){hint}")]
    InitGone {
        /// Exit status or signal.
        how: String,
        /// What probably happened, empty when unknown.
        hint: &'static str,
    },
    /// The program could not be started.
    #[error("{0}")]
    Start(String),
    /// There is no process to act on.
    #[error("container not running")]
    NotRunning,
    /// A signal could not be sent.
    #[error("send signal {signal} to process {pid}")]
    Signal {
        /// Signal name.
        signal: String,
        /// Process id.
        pid: i32,
        /// The kernel's answer.
        source: io::Error,
    },
    /// A step of the core, called back by the backend, failed.
    #[error("{0}")]
    Supervisor(String),
    /// A cgroup operation failed.
    #[error("{step}")]
    Cgroup {
        /// What was being done.
        step: &'static str,
        /// The cause.
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// CRIU is not installed.
    #[error("criu: executable file not found in $PATH: install the package \"criu\"")]
    CriuMissing,
    /// CRIU is too old.
    #[error("criu {found} is too old for {what}: install {needed} or later")]
    CriuOld {
        /// Its version.
        found: String,
        /// What needs a later one.
        what: &'static str,
        /// The version that is needed.
        needed: &'static str,
    },
    /// CRIU failed.
    #[error("criu {action}: {reason}")]
    Criu {
        /// `dump`, `pre-dump`, `restore` or another request.
        action: &'static str,
        /// What CRIU said, with the path of its log.
        reason: String,
    },
}

impl Error {
    /// Wraps the error of a cgroup step.
    pub fn cgroup<E: std::error::Error + Send + Sync + 'static>(step: &'static str) -> impl FnOnce(E) -> Self {
        move |source| Self::Cgroup {
            step,
            source: Box::new(source),
        }
    }
}
