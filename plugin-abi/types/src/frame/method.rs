//! What a CALL asks of a plugin.

use std::fmt;

/// A function of a plugin, by its number on the wire.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Method(u32);

/// The functions of extensions. The hundreds count the extensions, the rest the functions of one; numbers are only added.
const FUNCTIONS: [(&str, &[&str]); 8] = [
    (
        "nexcage.backend/1",
        &[
            "features", "create", "start", "kill", "remove", "state", "exec", "pause", "resume", "update",
        ],
    ),
    (
        "nexcage.cli_command/1",
        &["list_commands", "help", "validate", "execute", "complete"],
    ),
    ("nexcage.integration/1", &["connect", "disconnect", "request"]),
    ("nexcage.monitoring/1", &["collect"]),
    ("nexcage.storage/1", &["create", "attach", "detach", "remove", "list"]),
    ("nexcage.network/1", &["attach", "detach", "status"]),
    ("nexcage.security/1", &["check"]),
    ("nexcage.hook/1", &["event"]),
];

impl Method {
    /// Take a new configuration.
    pub const CONFIG_RELOAD: Self = Self(1);
    /// Say how you are.
    pub const HEALTH_CHECK: Self = Self(2);

    /// The function of an extension; `None` for one that this version does not know.
    #[must_use]
    pub fn of(extension: &str, function: &str) -> Option<Self> {
        let known = (100..).step_by(100).zip(FUNCTIONS);
        let (base, (_, functions)) = known.into_iter().find(|(_, (name, _))| *name == extension)?;
        let index = functions.iter().position(|name| *name == function)?;
        Some(Self(base + u32::try_from(index).ok()?))
    }

    /// The method of a number; `None` for one that this version does not know.
    #[must_use]
    pub fn parse(number: u32) -> Option<Self> {
        let method = Self(number);
        let is_known = matches!(method, Self::CONFIG_RELOAD | Self::HEALTH_CHECK) || method.function().is_some();
        is_known.then_some(method)
    }

    /// The number on the wire.
    #[must_use]
    pub fn number(self) -> u32 {
        self.0
    }

    /// The extension and the name of its function; `None` for what every plugin has.
    #[must_use]
    pub fn function(self) -> Option<(&'static str, &'static str)> {
        let extension = usize::try_from(self.0 / 100).ok()?.checked_sub(1)?;
        let (name, functions) = FUNCTIONS.get(extension)?;
        let function = functions.get(usize::try_from(self.0 % 100).ok()?)?;
        Some((name, function))
    }

    /// All functions of extensions.
    pub fn all() -> impl Iterator<Item = Self> {
        (100..1000).map(Self).filter(|method| method.function().is_some())
    }
}

impl fmt::Display for Method {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (*self, self.function()) {
            (Self::CONFIG_RELOAD, _) => f.write_str("config_reload"),
            (Self::HEALTH_CHECK, _) => f.write_str("health_check"),
            (_, Some((extension, function))) => write!(f, "{extension} {function}"),
            (Self(number), None) => write!(f, "method {number}"),
        }
    }
}
