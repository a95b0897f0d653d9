//! The ways in which a cgroup is made.

use std::fmt;

/// Who makes the cgroup.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Driver {
    /// The runtime itself, as root.
    Cgroupfs,
    /// The system's systemd, as root.
    Systemd,
    /// The systemd of an ordinary user.
    UserSystemd,
}

impl fmt::Display for Driver {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            Self::Cgroupfs => "cgroupfs",
            Self::Systemd => "systemd",
            Self::UserSystemd => "rootless systemd",
        })
    }
}
