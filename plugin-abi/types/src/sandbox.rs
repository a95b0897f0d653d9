//! What a plugin host is told to confine itself with, and what it says of it before any code of the plugin runs.

use std::collections::BTreeMap;
use std::fmt;

use serde::{Deserialize, Serialize};

use crate::manifest::ResourceRequirements;

/// Bytes of the longest description or report.
pub const MAX: usize = 64 << 10;

/// Libraries of the C runtime, which a plugin may need. The host has them loaded before it confines itself; the plugin's
/// root holds no others.
pub const LIBRARIES: [&str; 7] = [
    "libc.so.6",
    "libm.so.6",
    "libgcc_s.so.1",
    "libdl.so.2",
    "libpthread.so.0",
    "librt.so.1",
    "ld-linux-x86-64.so.2",
];

/// How one plugin is confined.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Sandbox {
    /// The plugin's shared object, an absolute path on the node.
    pub object: String,
    /// Whether it is confined at all; the operator's word.
    pub is_enabled: bool,
    /// Who it runs as.
    pub identity: Identity,
    /// What it may use.
    pub limits: ResourceRequirements,
    /// Those of [`LIBRARIES`] that it needs.
    pub libraries: Vec<String>,
    /// Mechanisms without which it is not loaded, though other kernels lack them.
    pub required: Vec<Mechanism>,
}

/// Who a plugin runs as.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum Identity {
    /// A user and group of this number, which nobody else has.
    Own(u32),
    /// Root of a user namespace of its own, in which nobody but the caller exists.
    Mapped,
}

/// A mechanism that kernels may lack. All others are required always.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Mechanism {
    /// Landlock: files, TCP ports, signals and abstract sockets, held by the process itself (Linux 5.13).
    Landlock,
    /// Memory-deny-write-execute (Linux 6.3).
    Mdwe,
}

impl Mechanism {
    /// All of them.
    pub const ALL: [Self; 2] = [Self::Landlock, Self::Mdwe];

    /// What is weaker without it.
    #[must_use]
    pub const fn lost(self) -> &'static str {
        match self {
            Self::Landlock => "the second lock on files, ports, signals and abstract sockets",
            Self::Mdwe => "the second lock on memory that is written and run",
        }
    }
}

impl fmt::Display for Mechanism {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Landlock => "landlock",
            Self::Mdwe => "mdwe",
        })
    }
}

/// A program of the node that is run for a plugin, and how it is confined.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Command {
    /// Absolute.
    pub program: String,
    /// Its arguments, its name first.
    pub argv: Vec<String>,
    /// Its whole environment, `NAME=value` each.
    pub env: Vec<String>,
    /// What it reads on standard input.
    pub stdin: String,
    /// How it is confined; not at all without.
    pub confinement: Option<CommandConfinement>,
}

/// How a program is confined that is run for a plugin.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CommandConfinement {
    /// Who it runs as.
    pub identity: Identity,
    /// Where it may write.
    pub writable: Vec<String>,
}

/// How far a mechanism holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Strength {
    /// All that is asked of it.
    Full,
    /// As far as an older kernel has it.
    Partial,
    /// Not at all.
    None,
}

/// What a host says before it loads the plugin.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum Report {
    /// It is confined: how far each mechanism holds that kernels may lack.
    Confined(BTreeMap<Mechanism, Strength>),
    /// The operator wants no sandbox.
    Unconfined,
    /// It is not, and loads nothing.
    Failed(String),
}
