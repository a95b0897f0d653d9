//! The operator's configuration: layers that are read strictly, and what they are together.
//!
//! A layer says only what it wants to say. Later layers win, member by member; `denied_capabilities` of all layers count, so
//! that no drop-in can take a denial back.

use std::collections::BTreeMap;
use std::path::PathBuf;

use serde::de::Error as _;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use serde_json::{Map, Value};

use crate::document::{self, DocumentError, Fault};
use crate::sandbox::Mechanism;
use crate::text::{AbsolutePath, CommandName, PluginName};
use crate::{Capability, CapabilityName, HookPoint};

#[cfg(test)]
mod tests;

/// Where plugins are, unless the configuration says otherwise.
pub const PLUGIN_DIR: &str = "/usr/lib/nexcage/plugins";

/// One file of the configuration.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Layer {
    /// How plugins are run.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub plugin_manager: Option<ManagerLayer>,
    /// Each plugin's part.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub plugins: BTreeMap<PluginName, PluginLayer>,
    /// Each hook point's part.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub hooks: BTreeMap<HookPoint, HookLayer>,
    /// What plugins may have.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub security: Option<SecurityLayer>,
    /// Programs of the node that plugins with `host_command` may have run; a later layer replaces one as a whole.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub commands: BTreeMap<CommandName, HostCommand>,
}

/// `plugin_manager` of a layer.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct ManagerLayer {
    /// The folder that holds a folder for each plugin.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub plugin_dir: Option<AbsolutePath>,
    /// More than these are not loaded.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub max_plugins: Option<u32>,
    /// Whether a changed package is loaded without a restart.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub enable_hot_reload: Option<bool>,
    /// Whether a plugin without a trusted signature is refused.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub require_signatures: Option<bool>,
    /// Whether plugins are confined.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub sandbox_enabled: Option<bool>,
    /// Mechanisms of the sandbox without which no plugin is loaded, though other kernels lack them.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub sandbox_required: Option<Vec<Mechanism>>,
    /// Memory of all plugins together, in MiB.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub memory_limit_mb: Option<u32>,
    /// Share of one processor for all plugins together, in percent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cpu_limit_percent: Option<u32>,
}

/// A plugin's part of a layer.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct PluginLayer {
    /// Whether it is loaded at all.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub enabled: Option<bool>,
    /// Its own configuration, as its schema has it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub config: Option<Map<String, Value>>,
}

/// A hook point's part of a layer.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct HookLayer {
    /// Whether plugins are called there.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub enabled: Option<bool>,
    /// How long all of them together may take, in milliseconds.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub timeout_ms: Option<u32>,
}

/// `security` of a layer.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct SecurityLayer {
    /// All that plugins may have.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub allowed_capabilities: Option<Vec<Allowance>>,
    /// What no plugin may have.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub denied_capabilities: Vec<CapabilityName>,
}

/// A program of the node, and how it is run for plugins.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct HostCommand {
    /// The program.
    pub program: AbsolutePath,
    /// Its first arguments.
    #[serde(default)]
    pub args: Vec<String>,
    /// Whether a plugin may add arguments.
    #[serde(default)]
    pub takes_args: bool,
    /// Its whole environment.
    #[serde(default)]
    pub env: BTreeMap<String, String>,
    /// The user and group that it runs as; without one nobody, 65534. For a runtime without privileges: the caller.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub user: Option<u32>,
    /// Whether it is in the node's network.
    #[serde(default)]
    pub network: bool,
    /// Where it may write; everything else is read-only.
    #[serde(default)]
    pub writable: Vec<AbsolutePath>,
    /// Whether it runs outside of any sandbox, with all that the runtime may do.
    #[serde(default)]
    pub privileged: bool,
    /// How long it may run, in seconds.
    #[serde(default = "default_timeout")]
    pub timeout_seconds: u32,
}

const fn default_timeout() -> u32 {
    30
}

/// An entry of `allowed_capabilities`: a name allows the capability whole, an object within its parameters.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Allowance {
    /// Whatever the parameters.
    Whole(CapabilityName),
    /// At or below these parameters.
    Within(Capability),
}

/// The configuration that holds.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Configuration {
    /// How plugins are run.
    pub plugin_manager: Manager,
    /// Each plugin that is named.
    pub plugins: BTreeMap<PluginName, Plugin>,
    /// Each hook point that is named.
    pub hooks: BTreeMap<HookPoint, Hook>,
    /// What plugins may have.
    pub security: Security,
    /// Programs of the node that plugins with `host_command` may have run.
    pub commands: BTreeMap<CommandName, HostCommand>,
}

/// `plugin_manager`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Manager {
    /// The folder that holds a folder for each plugin.
    pub plugin_dir: PathBuf,
    /// More than these are not loaded.
    pub max_plugins: u32,
    /// Whether a changed package is loaded without a restart.
    pub enable_hot_reload: bool,
    /// Whether a plugin without a trusted signature is refused.
    pub require_signatures: bool,
    /// Whether plugins are confined.
    pub sandbox_enabled: bool,
    /// Mechanisms of the sandbox without which no plugin is loaded, though other kernels lack them.
    pub sandbox_required: Vec<Mechanism>,
    /// Memory of all plugins together, in MiB.
    pub memory_limit_mb: u32,
    /// Share of one processor for all plugins together, in percent.
    pub cpu_limit_percent: u32,
}

/// A plugin's part.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Plugin {
    /// Whether it is loaded at all.
    pub enabled: bool,
    /// Its own configuration.
    pub config: Map<String, Value>,
}

/// A hook point's part.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct Hook {
    /// Whether plugins are called there.
    pub enabled: bool,
    /// How long all of them together may take; `None` leaves it to each plugin's manifest.
    pub timeout_ms: Option<u32>,
}

/// `security`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Security {
    /// All that plugins may have; `None` lets them be heard and no more.
    pub allowed_capabilities: Option<Vec<Allowance>>,
    /// What no plugin may have.
    pub denied_capabilities: Vec<CapabilityName>,
}

impl Layer {
    /// Reads one file.
    ///
    /// * `file`: the name that errors give.
    ///
    /// # Errors
    ///
    /// [`DocumentError`], naming file, place and fix.
    pub fn parse(file: &str, bytes: &[u8]) -> Result<Self, DocumentError> {
        let value = document::parse_value(file, bytes)?;
        let layer: Self = document::parse_typed(file, &value)?;
        layer.check().map_err(|fault| fault.in_file(file))?;
        Ok(layer)
    }

    fn check(&self) -> Result<(), Fault> {
        let manager = self.plugin_manager.clone().unwrap_or_default();
        let members = [
            ("max_plugins", manager.max_plugins),
            ("memory_limit_mb", manager.memory_limit_mb),
            ("cpu_limit_percent", manager.cpu_limit_percent),
        ];
        let zero = members.iter().find(|(_, value)| *value == Some(0));
        let zero = zero.map(|(name, _)| format!("/plugin_manager/{name}"));
        let hooks = self.hooks.iter().find(|(_, hook)| hook.timeout_ms == Some(0));
        let hooks = hooks.map(|(point, _)| format!("{}/timeout_ms", document::join("/hooks", &point.to_string())));
        let commands = self.commands.iter().find(|(_, command)| command.timeout_seconds == 0);
        let commands =
            commands.map(|(name, _)| format!("{}/timeout_seconds", document::join("/commands", name.as_str())));
        match zero.or(hooks).or(commands) {
            None => Ok(()),
            Some(pointer) => Err(Fault::new(
                pointer,
                "0 leaves plugins nothing",
                "write 1 or more, or remove it for the default",
            )),
        }
    }
}

impl Default for Configuration {
    fn default() -> Self {
        Self {
            plugin_manager: Manager {
                plugin_dir: PLUGIN_DIR.into(),
                max_plugins: 100,
                enable_hot_reload: false,
                require_signatures: true,
                sandbox_enabled: true,
                sandbox_required: Vec::new(),
                memory_limit_mb: 512,
                cpu_limit_percent: 10,
            },
            plugins: BTreeMap::new(),
            hooks: BTreeMap::new(),
            security: Security::default(),
            commands: BTreeMap::new(),
        }
    }
}

impl Default for Plugin {
    fn default() -> Self {
        Self {
            enabled: true,
            config: Map::new(),
        }
    }
}

impl Default for Hook {
    fn default() -> Self {
        Self {
            enabled: true,
            timeout_ms: None,
        }
    }
}

impl Configuration {
    /// What layers are together, the first one being the weakest.
    #[must_use]
    pub fn merge(layers: impl IntoIterator<Item = Layer>) -> Self {
        let mut merged = Self::default();
        for layer in layers {
            merged.add(layer);
        }
        merged
    }

    fn add(&mut self, layer: Layer) {
        self.plugin_manager.add(layer.plugin_manager.unwrap_or_default());
        for (name, part) in layer.plugins {
            let plugin = self.plugins.entry(name).or_default();
            replace(&mut plugin.enabled, part.enabled);
            plugin.config.extend(part.config.unwrap_or_default());
        }
        for (point, part) in layer.hooks {
            let hook = self.hooks.entry(point).or_default();
            replace(&mut hook.enabled, part.enabled);
            hook.timeout_ms = part.timeout_ms.or(hook.timeout_ms);
        }
        self.commands.extend(layer.commands);
        let security = layer.security.unwrap_or_default();
        if security.allowed_capabilities.is_some() {
            self.security.allowed_capabilities = security.allowed_capabilities;
        }
        for denied in security.denied_capabilities {
            if !self.security.denied_capabilities.contains(&denied) {
                self.security.denied_capabilities.push(denied);
            }
        }
    }

    /// Whether a plugin is loaded: all are that nobody disabled.
    #[must_use]
    pub fn is_enabled(&self, plugin: &PluginName) -> bool {
        self.plugins.get(plugin).is_none_or(|part| part.enabled)
    }
}

impl Manager {
    fn add(&mut self, layer: ManagerLayer) {
        replace(&mut self.plugin_dir, layer.plugin_dir.map(|dir| dir.as_str().into()));
        replace(&mut self.max_plugins, layer.max_plugins);
        replace(&mut self.enable_hot_reload, layer.enable_hot_reload);
        replace(&mut self.require_signatures, layer.require_signatures);
        replace(&mut self.sandbox_enabled, layer.sandbox_enabled);
        replace(&mut self.sandbox_required, layer.sandbox_required);
        replace(&mut self.memory_limit_mb, layer.memory_limit_mb);
        replace(&mut self.cpu_limit_percent, layer.cpu_limit_percent);
    }
}

fn replace<T>(place: &mut T, value: Option<T>) {
    if let Some(value) = value {
        *place = value;
    }
}

impl Serialize for Allowance {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::Whole(name) => name.serialize(serializer),
            Self::Within(capability) => capability.serialize(serializer),
        }
    }
}

impl<'de> Deserialize<'de> for Allowance {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        match Value::deserialize(deserializer)? {
            Value::String(name) => name.parse().map(Self::Whole).map_err(D::Error::custom),
            other => serde_json::from_value(other)
                .map(Self::Within)
                .map_err(D::Error::custom),
        }
    }
}
