//! Lifecycle, state store and process handling of containers: everything around a backend.
//!
//! [`Runtime`] offers one method an operation. It checks the operation against the container's status, holds the
//! container's lock, plans, calls the backend, keeps the record and runs OCI hooks. It prints nothing and knows no
//! command line.
#![forbid(unsafe_code)]

mod checkpoint;
mod create;
mod delete;
mod error;
mod exec;
pub mod foreground;
pub mod inherited;
mod lifecycle;
pub mod notify;
mod operate;
pub mod phrases;
pub mod pidfile;
mod record;
mod runtime;
mod start;
mod store;
mod support;
pub mod terminal;

pub use checkpoint::{CheckpointOptions, ParentPathError, check_parent};
pub use create::{CreateOptions, RestoreOptions};
pub use delete::DeleteOptions;
pub use error::Error;
pub use exec::{ExecOptions, ProcessChanges, ProcessSource};
pub use lifecycle::Operation;
pub use record::{Record, Snapshot};
pub use runtime::Runtime;
pub use store::{Store, StoreError};

/// An error and its sources on one line.
pub fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        let cause_text = cause.to_string();
        if !text.ends_with(&cause_text) {
            text.push_str(": ");
            text.push_str(&cause_text);
        }
        source = cause.source();
    }
    text
}

fn hooks_text(error: &nexcage_oci::hooks::HookError) -> String {
    chain(error)
}
