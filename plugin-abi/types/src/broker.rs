//! Effects that a plugin may ask the runtime for: their names in the plugin interface, and their numbers on the wire.

use std::fmt;

/// An effect that the runtime performs for a plugin.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(u32)]
#[non_exhaustive]
pub enum Effect {
    /// Read a value of nexcage's configuration.
    ConfigRead = 1,
    /// Change a value of the plugin's own configuration.
    ConfigWrite = 2,
    /// Run a program of the operator's command table.
    CommandExecute = 3,
    /// Read what kernel and machine this is.
    SystemInfo = 4,
    /// Read load, memory and pressure of the node.
    SystemMetrics = 5,
    /// Open a file of the node.
    FileOpen = 6,
    /// Connect a socket.
    NetworkDial = 7,
    /// Listen on a socket.
    NetworkListen = 8,
    /// Open a device of the node.
    DeviceOpen = 9,
    /// Have a standard stream of whoever calls the plugin's command.
    StreamOpen = 10,
    /// Run a program of the node in a sandbox of its own.
    ProgramExecute = 11,
    /// Have a raw socket.
    NetworkRaw = 12,
    /// Report a span.
    TraceSpan = 13,
    /// Create a container.
    ContainerCreate = 16,
    /// Start a container.
    ContainerStart = 17,
    /// Stop a container.
    ContainerStop = 18,
    /// Delete a container.
    ContainerDelete = 19,
    /// Run a program in a container.
    ContainerExec = 20,
}

/// Every effect and its name in the plugin interface.
const NAMES: [(Effect, &str); 18] = [
    (Effect::ConfigRead, "config.read"),
    (Effect::ConfigWrite, "config.write"),
    (Effect::CommandExecute, "command.execute"),
    (Effect::SystemInfo, "system.info"),
    (Effect::SystemMetrics, "system.metrics"),
    (Effect::FileOpen, "file.open"),
    (Effect::NetworkDial, "network.dial"),
    (Effect::NetworkListen, "network.listen"),
    (Effect::DeviceOpen, "device.open"),
    (Effect::StreamOpen, "stream.open"),
    (Effect::ProgramExecute, "program.execute"),
    (Effect::NetworkRaw, "network.raw"),
    (Effect::TraceSpan, "trace.span"),
    (Effect::ContainerCreate, "container.create"),
    (Effect::ContainerStart, "container.start"),
    (Effect::ContainerStop, "container.stop"),
    (Effect::ContainerDelete, "container.delete"),
    (Effect::ContainerExec, "container.exec"),
];

impl Effect {
    /// The effect of a name; `None` for one that this version does not know.
    #[must_use]
    pub fn from_name(name: &str) -> Option<Self> {
        NAMES
            .into_iter()
            .find(|(_, known)| *known == name)
            .map(|(effect, _)| effect)
    }

    /// The effect of a number on the wire.
    #[must_use]
    pub fn from_number(number: u32) -> Option<Self> {
        NAMES
            .into_iter()
            .map(|(effect, _)| effect)
            .find(|effect| effect.number() == number)
    }

    /// The number on the wire.
    #[must_use]
    pub fn number(self) -> u32 {
        self as u32
    }
}

impl fmt::Display for Effect {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name = NAMES.into_iter().find(|(effect, _)| effect == self);
        f.write_str(name.map_or("", |(_, name)| name))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_and_numbers_read_back() {
        for (effect, name) in NAMES {
            assert_eq!(Effect::from_name(name), Some(effect));
            assert_eq!(Effect::from_number(effect.number()), Some(effect));
            assert_eq!(effect.to_string(), name);
        }
        assert_eq!(Effect::from_name("host.reboot"), None);
        assert_eq!(Effect::from_number(0), None);
    }
}
