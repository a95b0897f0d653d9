//! The manifest of the original design: `api_version` 1, capabilities and dependencies as strings.

use std::collections::{BTreeMap, BTreeSet};

use semver::VersionReq;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::{Dependency, Kind, Manifest, ResourceRequirements};
use crate::capability::Capability;
use crate::document::{self, DocumentError, Fault};
use crate::text::PluginName;

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Legacy {
    api_version: u32,
    name: PluginName,
    version: semver::Version,
    description: String,
    #[serde(default)]
    author: Option<String>,
    #[serde(default)]
    homepage: Option<String>,
    #[serde(default)]
    license: Option<String>,
    nexcage_version: VersionReq,
    #[serde(default)]
    kinds: BTreeSet<Kind>,
    /// `NAME` or `NAME RANGE`.
    #[serde(default)]
    dependencies: Vec<String>,
    #[serde(default)]
    capabilities: Vec<String>,
    #[serde(default)]
    resource_requirements: ResourceRequirements,
    #[serde(default)]
    configuration_schema: Option<Value>,
}

/// Makes a manifest of the new form. Powers named without parameters keep an empty list, so they reach nothing until
/// the author says what they are for.
pub(super) fn migrate(file: &str, value: &Value) -> Result<Manifest, DocumentError> {
    let legacy: Legacy = document::parse_typed(file, value)?;
    migrated(legacy).map_err(|fault| fault.in_file(file))
}

fn migrated(legacy: Legacy) -> Result<Manifest, Fault> {
    if legacy.api_version != 1 {
        return Err(Fault::new(
            "/api_version",
            format!("{} is no version of the original form", legacy.api_version),
            "write 1, or the new form with \"api\"",
        ));
    }
    let api = "^1".parse::<VersionReq>();
    let api = api.map_err(|error| Fault::new("/api_version", error.to_string(), "write 1"))?;
    Ok(Manifest {
        name: legacy.name,
        version: legacy.version,
        description: legacy.description,
        author: legacy.author,
        homepage: legacy.homepage,
        license: legacy.license,
        api,
        nexcage_version: legacy.nexcage_version,
        target: None,
        libc: None,
        kinds: legacy.kinds,
        dependencies: dependencies(&legacy.dependencies)?,
        conflicts: BTreeMap::new(),
        capabilities: capabilities(&legacy.capabilities)?,
        resource_requirements: legacy.resource_requirements,
        hooks: Vec::new(),
        configuration_schema: legacy.configuration_schema,
        files: BTreeMap::new(),
    })
}

fn capabilities(texts: &[String]) -> Result<Vec<Capability>, Fault> {
    let parsed = texts.iter().enumerate().map(|(index, text)| {
        text.parse().map_err(|error| {
            let error: crate::capability::CapabilityError = error;
            let cause = std::error::Error::source(&error).map(|cause| format!(": {cause}"));
            let detail = format!("{error}{}", cause.unwrap_or_default());
            Fault::new(format!("/capabilities/{index}"), detail, "correct the capability")
        })
    });
    parsed.collect()
}

fn dependencies(texts: &[String]) -> Result<BTreeMap<PluginName, Dependency>, Fault> {
    let mut all = BTreeMap::new();
    for (index, text) in texts.iter().enumerate() {
        let at = format!("/dependencies/{index}");
        let (name, range) = text.split_once(' ').unwrap_or((text, "*"));
        let name: PluginName = name
            .parse()
            .map_err(|error: crate::text::TextError| Fault::new(&at, error.to_string(), "write NAME RANGE"))?;
        let version = range
            .parse()
            .map_err(|error: semver::Error| Fault::new(&at, error.to_string(), "write NAME RANGE"))?;
        let dependency = Dependency {
            version,
            optional: false,
        };
        if all.insert(name, dependency).is_some() {
            return Err(Fault::new(at, "the plugin is there twice", "keep one of the two"));
        }
    }
    Ok(all)
}
