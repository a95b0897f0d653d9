//! Saving and restoring by CRIU: a `criu swrk` worker for each request, spoken to over its socket.
//!
//! The `rust-criu` crate owns the messages. Its own driver is not used: its callback carries no data, it cannot act
//! between the start of the worker and the request (the container's cgroup is joined then), and it does not know
//! namespaces that are joined, cgroup roots, LSM options or the configuration file.

mod checkpoint;
mod log;
mod mount_points;
mod options;
mod restore;
mod version;
mod worker;

pub(crate) use checkpoint::checkpoint;
pub(crate) use restore::restore;

use nexcage_backend::Error;
use worker::Failure;

use self::log::Log;

/// Says why a request failed, with what the log says.
fn explain(action: &'static str, failure: Failure, log: &Log) -> Error {
    let short = match failure {
        Failure::Callback(error) => return *error,
        Failure::Refused(ref short) => short.as_str(),
        _ => "",
    };
    let reason = log.append_to(&crate::report::chain(&failure), short);
    Error::Criu { action, reason }
}
