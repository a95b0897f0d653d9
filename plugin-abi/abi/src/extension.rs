//! The extensions of the interface and the order of their functions.

/// An extension that a plugin may have.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Extension {
    /// What makes a container real.
    Backend,
    /// Commands in nexcage's command line.
    CliCommand,
    /// A system beside nexcage.
    Integration,
    /// Measured values.
    Monitoring,
    /// Volumes.
    Storage,
    /// A container's networks.
    Network,
    /// Decisions on containers.
    Security,
    /// Events of hook points.
    Hook,
}

impl Extension {
    /// All extensions.
    pub const ALL: [Self; 8] = [
        Self::Backend,
        Self::CliCommand,
        Self::Integration,
        Self::Monitoring,
        Self::Storage,
        Self::Network,
        Self::Security,
        Self::Hook,
    ];

    /// The name given to `get_extension`. Its number is the extension's own major version.
    #[must_use]
    pub const fn id(self) -> &'static str {
        match self {
            Self::Backend => "nexcage.backend/1",
            Self::CliCommand => "nexcage.cli_command/1",
            Self::Integration => "nexcage.integration/1",
            Self::Monitoring => "nexcage.monitoring/1",
            Self::Storage => "nexcage.storage/1",
            Self::Network => "nexcage.network/1",
            Self::Security => "nexcage.security/1",
            Self::Hook => "nexcage.hook/1",
        }
    }

    /// Finds an extension by the name given to `get_extension`.
    #[must_use]
    pub fn from_id(id: &[u8]) -> Option<Self> {
        Self::ALL.into_iter().find(|extension| extension.id().as_bytes() == id)
    }

    /// The functions, in the order of the extension's struct.
    #[must_use]
    pub const fn functions(self) -> &'static [&'static str] {
        match self {
            Self::Backend => &[
                "features", "create", "start", "kill", "remove", "state", "exec", "pause", "resume", "update",
            ],
            Self::CliCommand => &["list_commands", "help", "validate", "execute", "complete"],
            Self::Integration => &["connect", "disconnect", "request"],
            Self::Monitoring => &["collect"],
            Self::Storage => &["create", "attach", "detach", "remove", "list"],
            Self::Network => &["attach", "detach", "status"],
            Self::Security => &["check"],
            Self::Hook => &["event"],
        }
    }

    /// How many of the functions, from the first, every plugin of version 1.0 has room for.
    #[must_use]
    pub const fn functions_1_0(self) -> usize {
        match self {
            Self::Backend => 10,
            Self::CliCommand | Self::Storage => 5,
            Self::Integration | Self::Network => 3,
            Self::Monitoring | Self::Security | Self::Hook => 1,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::mem::{offset_of, size_of};

    use super::*;
    use crate::table::*;

    /// The size of an extension's struct and the offset of its last function.
    const fn layout(extension: Extension) -> (usize, usize) {
        match extension {
            Extension::Backend => (size_of::<NxcBackend>(), offset_of!(NxcBackend, update)),
            Extension::CliCommand => (size_of::<NxcCliCommand>(), offset_of!(NxcCliCommand, complete)),
            Extension::Integration => (size_of::<NxcIntegration>(), offset_of!(NxcIntegration, request)),
            Extension::Monitoring => (size_of::<NxcMonitoring>(), offset_of!(NxcMonitoring, collect)),
            Extension::Storage => (size_of::<NxcStorage>(), offset_of!(NxcStorage, list)),
            Extension::Network => (size_of::<NxcNetwork>(), offset_of!(NxcNetwork, status)),
            Extension::Security => (size_of::<NxcSecurity>(), offset_of!(NxcSecurity, check)),
            Extension::Hook => (size_of::<NxcHook>(), offset_of!(NxcHook, event)),
        }
    }

    #[test]
    fn names_and_structs_agree() {
        for extension in Extension::ALL {
            let functions = extension.functions().len();
            assert_eq!(
                layout(extension),
                (8 + 8 * functions, 8 * functions),
                "{}",
                extension.id()
            );
            assert!(extension.functions_1_0() <= functions);
            assert_eq!(Extension::from_id(extension.id().as_bytes()), Some(extension));
        }
        assert_eq!(Extension::from_id(b"nexcage.hook/2"), None);
    }

    #[test]
    fn sizes_of_1_0_never_change() {
        let sizes = Extension::ALL.map(|extension| 8 + 8 * extension.functions_1_0());
        assert_eq!(sizes, [88, 48, 32, 16, 48, 32, 16, 16]);
    }
}
