//! `spec`.

use std::io;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Context as _, Result, bail};
use clap::Parser;
use nexcage_sys::{file, userns};
use serde_json::{Value, json};

use crate::args::{Request, Rootless};

/// Write a config.json to start from.
#[derive(Debug, Parser)]
pub(crate) struct Args {
    /// Directory of the bundle [default: the working directory]
    #[arg(long, short)]
    bundle: Option<PathBuf>,
    /// Make it for a user without privileges
    #[arg(long)]
    rootless: bool,
}

pub(crate) fn run(request: &Request, args: &Args) -> Result<ExitCode> {
    let path = args
        .bundle
        .as_deref()
        .unwrap_or_else(|| Path::new("."))
        .join("config.json");
    if path.exists() {
        bail!("spec: file {path:?} exists: remove it first");
    }
    let rootless = args.rootless || request.globals.rootless == Rootless::Yes;
    let mut text = serde_json::to_string_pretty(&default_config(rootless))?;
    text.push('\n');
    let mut created = file::create_new(&path, 0o644).with_context(|| "spec")?;
    io::Write::write_all(&mut created, text.as_bytes()).with_context(|| format!("spec: write {path:?}"))?;
    Ok(ExitCode::SUCCESS)
}

const CAPABILITIES: [&str; 3] = ["CAP_AUDIT_WRITE", "CAP_KILL", "CAP_NET_BIND_SERVICE"];

fn default_config(rootless: bool) -> Value {
    json!({
        "ociVersion": nexcage_oci::OCI_VERSION,
        "process": {
            "terminal": true,
            "user": { "uid": 0, "gid": 0 },
            "args": ["sh"],
            "env": ["PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", "TERM=xterm"],
            "cwd": "/",
            "capabilities": { "bounding": CAPABILITIES, "effective": CAPABILITIES, "permitted": CAPABILITIES },
            "rlimits": [{ "type": "RLIMIT_NOFILE", "hard": 1024, "soft": 1024 }],
            "noNewPrivileges": true
        },
        "root": { "path": "rootfs", "readonly": true },
        "hostname": "nexcage",
        "mounts": mounts(rootless),
        "linux": linux(rootless)
    })
}

fn mount(destination: &str, kind: &str, source: &str, options: &[&str]) -> Value {
    json!({ "destination": destination, "type": kind, "source": source, "options": options })
}

fn mounts(rootless: bool) -> Vec<Value> {
    let mut pts = vec!["nosuid", "noexec", "newinstance", "ptmxmode=0666", "mode=0620"];
    if !rootless {
        pts.push("gid=5");
    }
    let mut all = vec![
        json!({ "destination": "/proc", "type": "proc", "source": "proc" }),
        mount(
            "/dev",
            "tmpfs",
            "tmpfs",
            &["nosuid", "strictatime", "mode=755", "size=65536k"],
        ),
        mount("/dev/pts", "devpts", "devpts", &pts),
        mount(
            "/dev/shm",
            "tmpfs",
            "shm",
            &["nosuid", "noexec", "nodev", "mode=1777", "size=65536k"],
        ),
        mount("/dev/mqueue", "mqueue", "mqueue", &["nosuid", "noexec", "nodev"]),
    ];
    if rootless {
        // Without a network namespace of its own the container cannot mount sysfs.
        all.push(mount(
            "/sys",
            "none",
            "/sys",
            &["rbind", "nosuid", "noexec", "nodev", "ro"],
        ));
    } else {
        all.push(mount("/sys", "sysfs", "sysfs", &["nosuid", "noexec", "nodev", "ro"]));
        all.push(mount(
            "/sys/fs/cgroup",
            "cgroup",
            "cgroup",
            &["nosuid", "noexec", "nodev", "relatime", "ro"],
        ));
    }
    all
}

fn linux(rootless: bool) -> Value {
    let mut namespaces = vec!["pid", "ipc", "uts", "mount"];
    if rootless {
        namespaces.push("user");
    } else {
        namespaces.push("network");
    }
    namespaces.push("cgroup");
    let linux = json!({
        "namespaces": namespaces.iter().map(|t| json!({ "type": t })).collect::<Vec<_>>(),
        "maskedPaths": [
            "/proc/acpi", "/proc/asound", "/proc/kcore", "/proc/keys", "/proc/latency_stats", "/proc/timer_list",
            "/proc/timer_stats", "/proc/sched_debug", "/sys/firmware", "/proc/scsi"
        ],
        "readonlyPaths": ["/proc/bus", "/proc/fs", "/proc/irq", "/proc/sys", "/proc/sysrq-trigger"]
    });
    let more = if rootless {
        let map = |host: u32| json!([{ "containerID": 0, "hostID": host, "size": 1 }]);
        json!({ "uidMappings": map(userns::euid()), "gidMappings": map(userns::egid()) })
    } else {
        json!({ "resources": { "devices": [{ "allow": false, "access": "rwm" }] } })
    };
    let fields = [linux, more]
        .into_iter()
        .filter_map(|part| part.as_object().cloned())
        .flatten();
    Value::Object(fields.collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_configs_are_valid_ones() {
        for rootless in [false, true] {
            let text = serde_json::to_vec(&default_config(rootless)).unwrap();
            let parsed = nexcage_oci::bundle::parse(&text).unwrap();
            assert!(parsed.warnings.is_empty(), "{:?}", parsed.warnings);
        }
    }
}
