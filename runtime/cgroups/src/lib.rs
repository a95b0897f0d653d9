//! Control groups: naming, creation, limits, freezing, statistics and removal on v1, hybrid and v2.
//!
//! It knows paths below the mounted hierarchies and nothing of containers but their ids. Naming follows runc.
#![forbid(unsafe_code)]

mod cgroup;
mod devices;
mod error;
mod freeze;
mod hierarchy;
mod limits_v1;
mod limits_v2;
mod naming;
mod oom;
mod processes;
mod stats;
mod systemd;
mod write;

pub use cgroup::{Cgroup, Creation, Stage, SubCgroup, View};
pub use error::Error;
pub use hierarchy::Layout;
pub use naming::{Driver, Naming};
pub use oom::OomWatch;
pub use stats::Stats;
