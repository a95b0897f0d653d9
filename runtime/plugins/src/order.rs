//! The order in which plugins are loaded: each after those that it depends on.
//!
//! Pure. Plugins that do not depend on each other come in the order of their names, so the order is the same every time.

use std::collections::BTreeMap;

use nexcage_plugin_types::Manifest;
use nexcage_plugin_types::text::PluginName;
use semver::{Version, VersionReq};

#[cfg(test)]
mod tests;

/// Plugins that cannot be loaded together. A chain leads from the plugin that was to be loaded to the one at fault.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum OrderError {
    /// A dependency is not there.
    #[error("load {}: plugin {name:?} is not there: install it, or remove what needs it", print(.chain))]
    Missing {
        /// From the plugin to be loaded to the one that needs it.
        chain: Vec<PluginName>,
        /// The plugin that is needed.
        name: String,
    },
    /// A dependency has another version than is needed.
    #[error("load {}: plugin {name:?} has version {found}, {wanted} is needed", print(.chain))]
    Version {
        /// From the plugin to be loaded to the one that needs it.
        chain: Vec<PluginName>,
        /// The plugin that is needed.
        name: String,
        /// The version that is there.
        found: Version,
        /// The range that is needed.
        wanted: VersionReq,
    },
    /// Plugins need each other.
    #[error("load {}: these plugins need each other", print(.chain))]
    Cycle {
        /// The circle, its first plugin told again at the end.
        chain: Vec<PluginName>,
    },
    /// A plugin does not bear another one.
    #[error(
        "load plugin {name:?}: it conflicts with {with:?} {range}, and version {found} is there: disable one of them"
    )]
    Conflict {
        /// The plugin that says so.
        name: String,
        /// The plugin that it does not bear.
        with: String,
        /// The versions that it does not bear.
        range: VersionReq,
        /// The version that is there.
        found: Version,
    },
}

/// Finds the order in which plugins are loaded.
///
/// * `plugins`: all that are enabled.
///
/// An optional dependency that is missing, or has another version, is left out of account.
///
/// # Errors
///
/// [`OrderError`], the first one found: conflicts, then by the order of names.
pub fn order(plugins: &BTreeMap<PluginName, &Manifest>) -> Result<Vec<PluginName>, OrderError> {
    for (name, manifest) in plugins {
        check_conflicts(name, manifest, plugins)?;
    }
    let mut walk = Walk {
        plugins,
        chain: Vec::new(),
        done: Vec::new(),
    };
    for (name, manifest) in plugins {
        walk.visit(name, manifest)?;
    }
    Ok(walk.done)
}

/// Finds what has to be loaded with one plugin, and in which order; the plugin itself is the last.
///
/// * `plugins`: all that are enabled, this one among them.
///
/// # Errors
///
/// As [`order`], for these plugins only.
pub fn order_for(name: &PluginName, plugins: &BTreeMap<PluginName, &Manifest>) -> Result<Vec<PluginName>, OrderError> {
    let mut walk = Walk {
        plugins,
        chain: Vec::new(),
        done: Vec::new(),
    };
    if let Some(manifest) = plugins.get(name) {
        walk.visit(name, manifest)?;
    }
    for name in &walk.done {
        if let Some(manifest) = plugins.get(name) {
            check_conflicts(name, manifest, plugins)?;
        }
    }
    Ok(walk.done)
}

fn check_conflicts(
    name: &PluginName,
    manifest: &Manifest,
    plugins: &BTreeMap<PluginName, &Manifest>,
) -> Result<(), OrderError> {
    for (with, range) in &manifest.conflicts {
        let found = plugins.get(with).map(|other| &other.version);
        if let Some(found) = found.filter(|version| range.matches(version)) {
            return Err(OrderError::Conflict {
                name: name.to_string(),
                with: with.to_string(),
                range: range.clone(),
                found: found.clone(),
            });
        }
    }
    Ok(())
}

struct Walk<'a> {
    plugins: &'a BTreeMap<PluginName, &'a Manifest>,
    /// From the plugin that was visited first to the one that is visited now.
    chain: Vec<PluginName>,
    done: Vec<PluginName>,
}

impl Walk<'_> {
    fn visit(&mut self, name: &PluginName, manifest: &Manifest) -> Result<(), OrderError> {
        if self.done.contains(name) {
            return Ok(());
        }
        if let Some(start) = self.chain.iter().position(|known| known == name) {
            let mut chain = self.chain.split_off(start);
            chain.push(name.clone());
            return Err(OrderError::Cycle { chain });
        }
        self.chain.push(name.clone());
        for (needed, dependency) in &manifest.dependencies {
            match self.plugins.get(needed) {
                Some(found) if dependency.version.matches(&found.version) => self.visit(needed, found)?,
                _ if dependency.optional => {}
                Some(found) => {
                    return Err(OrderError::Version {
                        chain: self.chain.clone(),
                        name: needed.to_string(),
                        found: found.version.clone(),
                        wanted: dependency.version.clone(),
                    });
                }
                None => {
                    return Err(OrderError::Missing {
                        chain: self.chain.clone(),
                        name: needed.to_string(),
                    });
                }
            }
        }
        self.chain.pop();
        self.done.push(name.clone());
        Ok(())
    }
}

fn print(chain: &[PluginName]) -> String {
    let names: Vec<&str> = chain.iter().map(PluginName::as_str).collect();
    names.join(" -> ")
}
