//! `spec`: a config.json to start from.

use std::fs::OpenOptions;
use std::io::{self, Write as _};
use std::path::Path;

use anyhow::Context as _;
use serde_json::ser::PrettyFormatter;
use serde_json::{Value, json};

use crate::args::SpecArgs;
use crate::version;

const CONFIG: &str = "config.json";

/// Writes config.json into the bundle; never over an existing one.
pub(super) fn run(args: &SpecArgs) -> anyhow::Result<()> {
    let mut spec = example(is_unified());
    if args.rootless {
        make_rootless(
            &mut spec,
            nix::unistd::geteuid().as_raw(),
            nix::unistd::getegid().as_raw(),
        );
    }
    let mut text = Vec::new();
    let mut json = serde_json::Serializer::with_formatter(&mut text, PrettyFormatter::with_indent(b"\t"));
    serde::Serialize::serialize(&spec, &mut json).context("write config as JSON")?;
    let directory = args.bundle.as_deref().unwrap_or(Path::new(""));
    write_new(&directory.join(CONFIG), &text)
}

/// Whether only cgroup v2 is mounted.
pub(super) fn is_unified() -> bool {
    Path::new("/sys/fs/cgroup/cgroup.controllers").exists()
}

fn write_new(path: &Path, text: &[u8]) -> anyhow::Result<()> {
    let mut file = match OpenOptions::new().write(true).create_new(true).open(path) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
            anyhow::bail!("File {CONFIG} exists. Remove it first")
        }
        Err(error) => return Err(error).with_context(|| format!("create {path:?}")),
    };
    if let Err(error) = file.write_all(text) {
        let failed = Err(error).with_context(|| format!("write {path:?}"));
        return match std::fs::remove_file(path) {
            Ok(()) => failed,
            Err(left) => failed.with_context(|| format!("{path:?} is left behind, half written ({left})")),
        };
    }
    Ok(())
}

/// The config of a shell with few privileges, as runc's.
///
/// * `is_unified`: whether only cgroup v2 is mounted; the container then gets a cgroup namespace.
pub(super) fn example(is_unified: bool) -> Value {
    let caps = ["CAP_AUDIT_WRITE", "CAP_KILL", "CAP_NET_BIND_SERVICE"];
    let mut namespaces = vec!["pid", "network", "ipc", "uts", "mount"];
    if is_unified {
        namespaces.push("cgroup");
    }
    json!({
        "ociVersion": version::SPEC,
        "process": {
            "terminal": true,
            "user": { "uid": 0, "gid": 0 },
            "args": ["sh"],
            "env": ["PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", "TERM=xterm"],
            "cwd": "/",
            "capabilities": { "bounding": caps, "effective": caps, "permitted": caps },
            "rlimits": [{ "type": "RLIMIT_NOFILE", "hard": 1024, "soft": 1024 }],
            "noNewPrivileges": true,
        },
        "root": { "path": "rootfs", "readonly": true },
        "hostname": "nexcage",
        "mounts": mounts(),
        "linux": {
            "resources": { "devices": [{ "allow": false, "access": "rwm" }] },
            "namespaces": namespaces.iter().map(|kind| json!({ "type": kind })).collect::<Vec<_>>(),
            "maskedPaths": [
                "/proc/acpi", "/proc/asound", "/proc/kcore", "/proc/keys", "/proc/latency_stats", "/proc/timer_list",
                "/proc/timer_stats", "/proc/sched_debug", "/sys/firmware", "/proc/scsi",
            ],
            "readonlyPaths": ["/proc/bus", "/proc/fs", "/proc/irq", "/proc/sys", "/proc/sysrq-trigger"],
        },
    })
}

fn mounts() -> Value {
    let mount = |destination: &str, kind: &str, source: &str, options: &[&str]| json!({ "destination": destination, "type": kind, "source": source, "options": options });
    json!([
        { "destination": "/proc", "type": "proc", "source": "proc" },
        mount("/dev", "tmpfs", "tmpfs", &["nosuid", "strictatime", "mode=755", "size=65536k"]),
        mount("/dev/pts", "devpts", "devpts", &["nosuid", "noexec", "newinstance", "ptmxmode=0666", "mode=0620", "gid=5"]),
        mount("/dev/shm", "tmpfs", "shm", &["nosuid", "noexec", "nodev", "mode=1777", "size=65536k"]),
        mount("/dev/mqueue", "mqueue", "mqueue", &["nosuid", "noexec", "nodev"]),
        mount("/sys", "sysfs", "sysfs", &["nosuid", "noexec", "nodev", "ro"]),
        mount("/sys/fs/cgroup", "cgroup", "cgroup", &["nosuid", "noexec", "nodev", "relatime", "ro"]),
    ])
}

/// Turns the example into one that a user without privileges can run: an own user namespace, the node's network, /sys
/// bound from the node, no gid the user does not have, and no resources.
pub(super) fn make_rootless(spec: &mut Value, uid: u32, gid: u32) {
    let one = |host: u32| json!([{ "containerID": 0, "hostID": host, "size": 1 }]);
    if let Some(linux) = spec.get_mut("linux").and_then(Value::as_object_mut) {
        linux.shift_remove("resources");
        linux.insert("uidMappings".into(), one(uid));
        linux.insert("gidMappings".into(), one(gid));
        if let Some(namespaces) = linux.get_mut("namespaces").and_then(Value::as_array_mut) {
            namespaces.retain(|namespace| namespace.get("type") != Some(&json!("network")));
            namespaces.push(json!({ "type": "user" }));
        }
    }
    for mount in spec
        .get_mut("mounts")
        .and_then(Value::as_array_mut)
        .into_iter()
        .flatten()
    {
        if mount.get("destination") == Some(&json!("/sys")) {
            *mount = json!({
                "destination": "/sys", "type": "none", "source": "/sys",
                "options": ["rbind", "nosuid", "noexec", "nodev", "ro"],
            });
        }
        if let Some(options) = mount.get_mut("options").and_then(Value::as_array_mut) {
            options.retain(|option| {
                !option
                    .as_str()
                    .is_some_and(|o| o.starts_with("gid=") || o.starts_with("uid="))
            });
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn namespaces(spec: &Value) -> Vec<&str> {
        spec["linux"]["namespaces"]
            .as_array()
            .unwrap()
            .iter()
            .map(|n| n["type"].as_str().unwrap())
            .collect()
    }

    #[test]
    fn example_is_a_valid_config() {
        for is_unified in [false, true] {
            let spec = example(is_unified);
            let parsed: oci_spec::runtime::Spec = serde_json::from_value(spec.clone()).unwrap();
            assert_eq!(parsed.version(), "1.3.0");
            assert_eq!(namespaces(&spec).contains(&"cgroup"), is_unified);
        }
    }

    #[test]
    fn rootless_maps_the_caller_and_asks_for_no_privilege() {
        let mut spec = example(false);
        make_rootless(&mut spec, 1000, 100);
        assert_eq!(namespaces(&spec), ["pid", "ipc", "uts", "mount", "user"]);
        assert_eq!(
            spec["linux"]["uidMappings"],
            json!([{ "containerID": 0, "hostID": 1000, "size": 1 }])
        );
        assert_eq!(
            spec["linux"]["gidMappings"],
            json!([{ "containerID": 0, "hostID": 100, "size": 1 }])
        );
        assert!(spec["linux"].get("resources").is_none());
        assert!(!spec["mounts"].to_string().contains("gid="));
        assert_eq!(spec["mounts"][5]["type"], "none");
    }

    #[test]
    fn half_written_file_does_not_stay() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join(CONFIG);
        write_new(&path, b"{}").unwrap();
        let error = write_new(&path, b"[]").unwrap_err();
        assert_eq!(error.to_string(), "File config.json exists. Remove it first");
        assert_eq!(std::fs::read(&path).unwrap(), b"{}");
    }
}
