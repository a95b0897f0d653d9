//! Refusing at plan time what the backend cannot do.

use nexcage_backend::{Backend, Trait};
use oci_spec::runtime::{LinuxNamespaceType, Spec};

use crate::error::Error;

/// Checks every part of the config that needs a trait.
pub(crate) fn check(spec: &Spec, backend: &dyn Backend) -> Result<(), Error> {
    let traits = backend.traits();
    match needs(spec).into_iter().find(|(needed, _)| !traits.has(*needed)) {
        None => Ok(()),
        Some((missing, what)) => Err(Error::Unsupported {
            backend: backend.name().to_owned(),
            missing: missing.to_string(),
            what,
        }),
    }
}

/// Refuses an operation whose trait the backend does not have.
pub(crate) fn require(backend: &dyn Backend, needed: Trait, operation: &str) -> Result<(), Error> {
    if backend.traits().has(needed) {
        return Ok(());
    }
    Err(Error::Unsupported {
        backend: backend.name().to_owned(),
        missing: needed.to_string(),
        what: operation.to_owned(),
    })
}

/// The traits that a config needs, each with the JSON pointer that needs it.
fn needs(spec: &Spec) -> Vec<(Trait, String)> {
    let mut needs = Vec::new();
    for (index, mount) in spec.mounts().iter().flatten().enumerate() {
        let mapped = mount.uid_mappings().is_some() || mount.gid_mappings().is_some();
        if mapped || mount.options().iter().flatten().any(|o| o == "idmap" || o == "ridmap") {
            needs.push((Trait::Idmap, format!("/mounts/{index}")));
        }
    }
    let Some(linux) = spec.linux() else { return needs };
    if linux
        .namespaces()
        .iter()
        .flatten()
        .any(|ns| ns.typ() == LinuxNamespaceType::User)
    {
        needs.push((Trait::Userns, "/linux/namespaces".to_owned()));
    }
    if linux.seccomp().is_some() {
        needs.push((Trait::Seccomp, "/linux/seccomp".to_owned()));
    }
    if linux
        .personality()
        .as_ref()
        .is_some_and(|p| p.flags().as_ref().is_some_and(|f| !f.is_empty()))
    {
        needs.push((Trait::PersonalityFlags, "/linux/personality/flags".to_owned()));
    }
    if spec.hooks().is_some() {
        needs.push((Trait::Hooks, "/hooks".to_owned()));
    }
    needs
}
