//! What a plugin may do: its manifest's capabilities, as far as the operator lets them.
//!
//! A plugin gets all that its manifest asks for, or is not loaded: half a plugin would fail where nobody looks.

use nexcage_plugin_types::{Capability, CapabilityName, Manifest};

use crate::below::is_below;

#[cfg(test)]
mod tests;

/// What the operator lets plugins have.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Policy {
    /// Allowed, each at or below its parameters. Without a list, see [`Policy::HARMLESS`].
    pub allowed: Option<Vec<Capability>>,
    /// Allowed whatever the parameters.
    pub allowed_whole: Vec<CapabilityName>,
    /// Never allowed, whatever else is said.
    pub denied: Vec<CapabilityName>,
}

/// A capability that the operator does not let a plugin have.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum GrantError {
    /// The operator denies it.
    #[error("load plugin {plugin:?}: capability {capability} is denied by security.denied_capabilities")]
    Denied {
        /// The plugin.
        plugin: String,
        /// The capability.
        capability: CapabilityName,
    },
    /// The operator does not allow it.
    #[error(
        "load plugin {plugin:?}: capability {capability} is not allowed: add it to security.allowed_capabilities, if you trust the plugin with it"
    )]
    NotAllowed {
        /// The plugin.
        plugin: String,
        /// The capability, with the parameter that nothing covers.
        capability: String,
    },
}

impl Policy {
    /// What plugins may have where the operator says nothing: to be heard.
    pub const HARMLESS: [CapabilityName; 3] = [
        CapabilityName::Logging,
        CapabilityName::Metrics,
        CapabilityName::Tracing,
    ];

    /// The grants of a plugin.
    ///
    /// # Errors
    ///
    /// [`GrantError`] for the first capability that is not let through.
    pub fn grants(&self, manifest: &Manifest) -> Result<Vec<Capability>, GrantError> {
        for capability in &manifest.capabilities {
            self.check(manifest, capability)?;
        }
        Ok(manifest.capabilities.clone())
    }

    fn check(&self, manifest: &Manifest, capability: &Capability) -> Result<(), GrantError> {
        let name = capability.name();
        if self.denied.contains(&name) {
            return Err(GrantError::Denied {
                plugin: manifest.name.to_string(),
                capability: name,
            });
        }
        let is_harmless = self.allowed.is_none() && Self::HARMLESS.contains(&name);
        if is_harmless || self.allowed_whole.contains(&name) {
            return Ok(());
        }
        let allowed = self.allowed.iter().flatten().filter(|allowed| allowed.name() == name);
        let allowed: Vec<&Capability> = allowed.collect();
        let Some(parameters) = capability.parameters() else {
            return self.answer(manifest, !allowed.is_empty(), name.to_string());
        };
        let covering: Vec<String> = allowed
            .iter()
            .filter_map(|allowed| allowed.parameters())
            .flatten()
            .collect();
        for parameter in parameters {
            let is_covered = covering.iter().any(|above| covers(name, above, &parameter));
            self.answer(manifest, is_covered, format!("{name}:{parameter}"))?;
        }
        // Asked for nothing in particular, it reaches nothing.
        Ok(())
    }

    fn answer(&self, manifest: &Manifest, is_allowed: bool, capability: String) -> Result<(), GrantError> {
        if is_allowed {
            return Ok(());
        }
        Err(GrantError::NotAllowed {
            plugin: manifest.name.to_string(),
            capability,
        })
    }
}

/// Whether what is allowed holds what is asked for: at or below a path or pointer, else the same.
fn covers(name: CapabilityName, allowed: &str, asked: &str) -> bool {
    match name {
        CapabilityName::NetworkClient | CapabilityName::NetworkServer | CapabilityName::HostCommand => allowed == asked,
        _ => is_below(asked, allowed),
    }
}
