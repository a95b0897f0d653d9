//! Control groups: naming, creation, limits, freezing, statistics and removal on v1, hybrid and v2.
//!
//! Order for a container: [`Cgroup::plan`], [`Cgroup::check`], [`Cgroup::create`], then for the cgroupfs driver
//! [`Cgroup::apply`] with [`Stage::BeforeInit`] and [`Cgroup::join`] by the process that becomes init's parent; for the
//! systemd driver [`Cgroup::place`] with that process's pid first. After init has started: [`Stage::AfterInit`].
#![forbid(unsafe_code)]

mod apply;
mod cgroup;
mod create;
mod devices;
mod dir;
mod error;
mod freeze;
mod join;
mod layout;
mod limits;
mod naming;
mod oom;
mod plan;
mod procs;
mod remove;
pub mod stats;
mod systemd;
#[cfg(test)]
mod tests;

pub use cgroup::{Cgroup, View};
pub use create::Creation;
pub use error::CgroupError;
pub use join::SubCgroup;
pub use layout::Layout;
pub use limits::{Stage, merge};
pub use naming::{Driver, Naming};
pub use oom::{OomEvent, OomWatch};
pub use stats::Stats;
