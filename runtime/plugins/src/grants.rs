//! What a plugin may do: its manifest's capabilities, as far as the operator lets them.
//!
//! A plugin gets all that its manifest asks for, or is not loaded: half a plugin would fail where nobody looks.

use nexcage_plugin_types::configuration::{Allowance, Security};
use nexcage_plugin_types::{Capability, CapabilityName, Manifest};

use crate::below::is_below;

#[cfg(test)]
mod tests;

/// What plugins may have where the operator says nothing: to be heard.
pub const HARMLESS: [CapabilityName; 3] = [
    CapabilityName::Logging,
    CapabilityName::Metrics,
    CapabilityName::Tracing,
];

/// What this nexcage has no effect for, so that no plugin can have it.
pub const NOT_OFFERED: [CapabilityName; 4] = [
    CapabilityName::ProcessSpawn,
    CapabilityName::ProcessSignal,
    CapabilityName::ProcessPtrace,
    CapabilityName::HostMount,
];

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
    /// There is nothing that it would let the plugin do.
    #[error("load plugin {plugin:?}: capability {capability} is not offered by this nexcage")]
    NotOffered {
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

/// The grants of a plugin.
///
/// * `security`: what the operator lets plugins have. Without a list of its own, [`HARMLESS`] is all.
///
/// # Errors
///
/// [`GrantError`] for the first capability that is not let through.
pub fn grants(security: &Security, manifest: &Manifest) -> Result<Vec<Capability>, GrantError> {
    for capability in &manifest.capabilities {
        check(security, manifest, capability)?;
    }
    Ok(manifest.capabilities.clone())
}

fn check(security: &Security, manifest: &Manifest, capability: &Capability) -> Result<(), GrantError> {
    let name = capability.name();
    if security.denied_capabilities.contains(&name) {
        return Err(GrantError::Denied {
            plugin: manifest.name.to_string(),
            capability: name,
        });
    }
    if NOT_OFFERED.contains(&name) {
        return Err(GrantError::NotOffered {
            plugin: manifest.name.to_string(),
            capability: name,
        });
    }
    let Some(allowed) = &security.allowed_capabilities else {
        return answer(manifest, HARMLESS.contains(&name), || name.to_string());
    };
    if allowed.contains(&Allowance::Whole(name)) {
        return Ok(());
    }
    let within: Vec<&Capability> = allowed.iter().filter_map(|allowance| within(allowance, name)).collect();
    let Some(parameters) = capability.parameters() else {
        return answer(manifest, !within.is_empty(), || name.to_string());
    };
    let above: Vec<String> = within
        .iter()
        .filter_map(|allowed| allowed.parameters())
        .flatten()
        .collect();
    for parameter in parameters {
        let is_covered = above.iter().any(|above| covers(name, above, &parameter));
        answer(manifest, is_covered, || format!("{name}:{parameter}"))?;
    }
    // Asked for nothing in particular, it reaches nothing.
    Ok(())
}

fn within(allowance: &Allowance, name: CapabilityName) -> Option<&Capability> {
    match allowance {
        Allowance::Within(capability) if capability.name() == name => Some(capability),
        _ => None,
    }
}

fn answer(manifest: &Manifest, is_allowed: bool, capability: impl FnOnce() -> String) -> Result<(), GrantError> {
    if is_allowed {
        return Ok(());
    }
    Err(GrantError::NotAllowed {
        plugin: manifest.name.to_string(),
        capability: capability(),
    })
}

/// Whether what is allowed holds what is asked for: at or below a path or pointer, else the same.
fn covers(name: CapabilityName, allowed: &str, asked: &str) -> bool {
    match name {
        CapabilityName::NetworkClient | CapabilityName::NetworkServer | CapabilityName::HostCommand => allowed == asked,
        _ => is_below(asked, allowed),
    }
}
