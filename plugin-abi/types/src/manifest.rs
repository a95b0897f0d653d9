//! The manifest of a plugin: `plugin-manifest.json`.
//!
//! It knows the form of a manifest; whether its files exist or its signature holds is not its business.

use std::collections::{BTreeMap, BTreeSet};

use semver::{Version, VersionReq};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::capability::Capability;
use crate::document::{self, DocumentError, Fault};
use crate::hook::{Power, Priority, Role, Subscription};
use crate::text::{PackagePath, PluginName, Sha256};

mod legacy;

/// What a plugin is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Kind {
    /// It makes containers.
    Backend,
    /// It adds commands.
    CliCommand,
    /// It connects nexcage with another system.
    Integration,
    /// It watches.
    Monitoring,
    /// It guards; its absence refuses.
    Security,
    /// It brings storage.
    Storage,
    /// It brings networks.
    Network,
}

/// The C library that a plugin was linked with.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Libc {
    /// GNU.
    Gnu,
    /// musl.
    Musl,
    /// None at all.
    None,
}

/// Another plugin that this one needs.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Dependency {
    /// The versions that will do.
    pub version: VersionReq,
    /// Whether this plugin works without it.
    #[serde(default)]
    pub optional: bool,
}

/// What a plugin may use.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct ResourceRequirements {
    /// Memory, in MiB.
    pub max_memory_mb: u32,
    /// Share of one processor, in percent.
    pub max_cpu_percent: u32,
    /// Open descriptors.
    pub max_file_descriptors: u32,
    /// Threads.
    pub max_threads: u32,
    /// The time for one call, in seconds.
    pub timeout_seconds: u32,
}

impl Default for ResourceRequirements {
    fn default() -> Self {
        Self {
            max_memory_mb: 64,
            max_cpu_percent: 5,
            max_file_descriptors: 100,
            max_threads: 10,
            timeout_seconds: 30,
        }
    }
}

/// What a plugin declares about itself.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Manifest {
    /// The plugin's name.
    pub name: PluginName,
    /// The plugin's version.
    pub version: Version,
    /// What it does, in a line.
    pub description: String,
    /// Who made it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub author: Option<String>,
    /// Where to read more.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub homepage: Option<String>,
    /// Its licence, as an SPDX expression.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub license: Option<String>,
    /// The versions of the plugin interface that it works with.
    pub api: VersionReq,
    /// The versions of nexcage that it works with.
    pub nexcage_version: VersionReq,
    /// The target triple it was built for; absent in a migrated manifest until its author adds it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub target: Option<String>,
    /// The C library it was linked with.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub libc: Option<Libc>,
    /// What it is for.
    #[serde(default)]
    pub kinds: BTreeSet<Kind>,
    /// The plugins it needs.
    #[serde(default)]
    pub dependencies: BTreeMap<PluginName, Dependency>,
    /// The plugins, by version, that it does not work beside.
    #[serde(default)]
    pub conflicts: BTreeMap<PluginName, VersionReq>,
    /// The powers it asks for.
    #[serde(default)]
    pub capabilities: Vec<Capability>,
    /// What it may use.
    #[serde(default)]
    pub resource_requirements: ResourceRequirements,
    /// Its places on the hook bus.
    #[serde(default)]
    pub hooks: Vec<Subscription>,
    /// The JSON Schema of its configuration.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub configuration_schema: Option<Value>,
    /// Every file of the package but the manifest and its signature, with its SHA-256.
    #[serde(default)]
    pub files: BTreeMap<PackagePath, Sha256>,
}

impl Manifest {
    /// Reads a manifest. One of the original design (`api_version` 1) is migrated.
    ///
    /// * `file`: the name that errors give.
    ///
    /// # Errors
    ///
    /// [`DocumentError`], naming file, place and fix.
    pub fn parse(file: &str, bytes: &[u8]) -> Result<Self, DocumentError> {
        let value = document::parse_value(file, bytes)?;
        let manifest = if value.get("api_version").is_some() {
            legacy::migrate(file, &value)?
        } else {
            document::parse_typed(file, &value)?
        };
        manifest.check().map_err(|fault| fault.in_file(file))?;
        Ok(manifest)
    }

    /// Prints the manifest in its new form, which [`Manifest::parse`] reads back as it was.
    ///
    /// # Errors
    ///
    /// None for a manifest that was read; serde_json's for a value that JSON cannot hold.
    pub fn print(&self) -> Result<String, serde_json::Error> {
        serde_json::to_string_pretty(self).map(|text| text + "\n")
    }

    /// Whether its absence refuses.
    #[must_use]
    pub fn role(&self) -> Role {
        if self.kinds.contains(&Kind::Security) {
            Role::Security
        } else {
            Role::Other
        }
    }

    fn check(&self) -> Result<(), Fault> {
        self.check_limits()?;
        self.check_capabilities()?;
        self.check_neighbours()?;
        self.check_hooks()?;
        match &self.configuration_schema {
            Some(schema) if !schema.is_object() => Err(Fault::new(
                "/configuration_schema",
                "the schema is no object",
                "write a JSON Schema as an object",
            )),
            _ => Ok(()),
        }
    }

    fn check_limits(&self) -> Result<(), Fault> {
        let limits = &self.resource_requirements;
        let values = [
            ("max_memory_mb", limits.max_memory_mb),
            ("max_cpu_percent", limits.max_cpu_percent),
            ("max_file_descriptors", limits.max_file_descriptors),
            ("max_threads", limits.max_threads),
            ("timeout_seconds", limits.timeout_seconds),
        ];
        match values.iter().find(|(_, value)| *value == 0) {
            None => Ok(()),
            Some((name, _)) => Err(Fault::new(
                format!("/resource_requirements/{name}"),
                "0 leaves the plugin nothing",
                "write 1 or more, or remove it for the default",
            )),
        }
    }

    fn check_capabilities(&self) -> Result<(), Fault> {
        let mut seen = BTreeSet::new();
        for (index, capability) in self.capabilities.iter().enumerate() {
            if !seen.insert(capability.name()) {
                return Err(Fault::new(
                    format!("/capabilities/{index}"),
                    format!("capability {} is there twice", capability.name()),
                    "put the parameters of both in one",
                ));
            }
        }
        Ok(())
    }

    fn check_neighbours(&self) -> Result<(), Fault> {
        let own = |name: &&PluginName| **name == self.name;
        if self.dependencies.keys().any(|name| own(&name)) {
            let pointer = document::join("/dependencies", self.name.as_str());
            return Err(Fault::new(pointer, "the plugin depends on itself", "remove it"));
        }
        if self.conflicts.keys().any(|name| own(&name)) {
            let pointer = document::join("/conflicts", self.name.as_str());
            return Err(Fault::new(pointer, "the plugin conflicts with itself", "remove it"));
        }
        Ok(())
    }

    fn check_hooks(&self) -> Result<(), Fault> {
        let mut seen = BTreeSet::new();
        for (index, hook) in self.hooks.iter().enumerate() {
            let at = |member: &str| format!("/hooks/{index}/{member}");
            let (point, power) = (hook.point, hook.point.power());
            if !seen.insert(point) {
                let detail = format!("hook point {point} is there twice");
                return Err(Fault::new(at("point"), detail, "keep one of the two"));
            }
            if power != Power::Mutate && !hook.write_set.is_empty() {
                let detail = format!("nothing can be changed at {point}");
                return Err(Fault::new(at("write_set"), detail, "remove the write-set"));
            }
            if power != Power::Observe && hook.priority == Priority::Background {
                let detail = format!("the answer at {point} counts, so it cannot come later");
                return Err(Fault::new(at("priority"), detail, "choose another priority"));
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests;
