//! `features`: what this runtime supports, as the OCI runtime specification's features document.

mod seccomp;
mod support;

use anyhow::Context as _;
use serde_json::ser::PrettyFormatter;
use serde_json::{Map, Value, json};

use crate::{output, version};

/// Prints the document; nothing else may reach standard output or standard error, clients read both.
pub(super) fn run() -> anyhow::Result<()> {
    let mut text = Vec::new();
    let mut json = serde_json::Serializer::with_formatter(&mut text, PrettyFormatter::with_indent(b"    "));
    serde::Serialize::serialize(&document(), &mut json).context("write features as JSON")?;
    text.push(b'\n');
    output::print(&String::from_utf8_lossy(&text))
}

fn document() -> Value {
    json!({
        "ociVersionMin": "1.0.0",
        "ociVersionMax": version::SPEC,
        "hooks": support::HOOKS,
        "mountOptions": support::MOUNT_OPTIONS,
        "linux": {
            "namespaces": support::NAMESPACES,
            "capabilities": support::linux_caps(),
            "cgroup": { "v1": true, "v2": true, "systemd": true, "systemdUser": true, "rdma": support::RDMA },
            "seccomp": seccomp::document(),
            "apparmor": { "enabled": support::APPARMOR },
            "selinux": { "enabled": support::SELINUX },
            "intelRdt": { "enabled": true, "schemata": true, "monitoring": true },
            "memoryPolicy": { "modes": support::MEMORY_POLICY_MODES, "flags": support::MEMORY_POLICY_FLAGS },
            "mountExtensions": { "idmap": { "enabled": false } },
            "netDevices": { "enabled": true },
        },
        "annotations": annotations(),
        "potentiallyUnsafeConfigAnnotations": support::UNSAFE_ANNOTATIONS,
    })
}

fn annotations() -> Map<String, Value> {
    let mut annotations = Map::new();
    annotations.insert("org.nexcage.version".into(), version::VERSION.into());
    // Key and value of runc: the runtime can, whether or not CRIU is installed.
    annotations.insert("org.opencontainers.runc.checkpoint.enabled".into(), "true".into());
    if let Some(commit) = version::COMMIT {
        annotations.insert("org.nexcage.commit".into(), commit.into());
    }
    if let Some(libseccomp) = version::libseccomp() {
        annotations.insert("io.github.seccomp.libseccomp.version".into(), libseccomp.into());
    }
    annotations
}

#[cfg(test)]
mod tests {
    use oci_spec::runtime::Features;

    use super::*;

    #[test]
    fn document_is_the_specifications() {
        let features: Features = serde_json::from_value(document()).unwrap();
        assert_eq!(
            (features.oci_version_min().as_str(), features.oci_version_max().as_str()),
            ("1.0.0", "1.3.0")
        );
        let linux = features.linux().as_ref().unwrap();
        assert_eq!(linux.namespaces().as_ref().unwrap().len(), support::NAMESPACES.len());
        assert_eq!(
            linux
                .mount_extensions()
                .as_ref()
                .unwrap()
                .idmap()
                .as_ref()
                .unwrap()
                .enabled(),
            &Some(false)
        );
        assert_eq!(linux.seccomp().as_ref().unwrap().enabled(), &Some(true));
        assert!(features.mount_options().as_ref().unwrap().contains(&"rro".to_owned()));
    }

    /// What we wrote and what the specification's types hold must be the same: no key of ours is unknown to them.
    #[test]
    fn no_field_is_made_up() {
        let ours = document();
        let features: Features = serde_json::from_value(ours.clone()).unwrap();
        assert_eq!(sorted(&ours), sorted(&serde_json::to_value(features).unwrap()));
    }

    fn sorted(value: &Value) -> std::collections::BTreeSet<String> {
        let mut leaves = std::collections::BTreeSet::new();
        collect("", value, &mut leaves);
        leaves
    }

    fn collect(path: &str, value: &Value, leaves: &mut std::collections::BTreeSet<String>) {
        match value {
            Value::Object(map) => map
                .iter()
                .for_each(|(key, value)| collect(&format!("{path}/{key}"), value, leaves)),
            Value::Array(list) => list
                .iter()
                .for_each(|value| collect(&format!("{path}[]"), value, leaves)),
            leaf => {
                leaves.insert(format!("{path}={leaf}"));
            }
        }
    }
}
