//! A bundle with busybox as its whole root file system.

use std::fs::{self, DirBuilder, OpenOptions};
use std::io::Write;
use std::os::unix::fs::{DirBuilderExt, symlink};
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use serde_json::{Value, json};

use crate::driver::Driver;

/// Static, so that it runs in an otherwise empty root file system.
const BUSYBOX: &str = "/bin/busybox";
const APPLETS: [&str; 7] = ["sh", "cat", "sleep", "mknod", "id", "head", "tail"];
/// What the container may do besides what an empty set allows: nodes are what the device filter is about.
const CAPABILITIES: [&str; 3] = ["CAP_MKNOD", "CAP_KILL", "CAP_DAC_OVERRIDE"];

/// A directory that goes when this value does.
pub(crate) struct Bundle {
    pub(crate) path: PathBuf,
}

impl Bundle {
    /// Makes a bundle that runs `program`, with these resources and this `linux.cgroupsPath`.
    pub(crate) fn create(
        id: &str,
        driver: Driver,
        cgroups_path: &str,
        resources: &Value,
        program: &[&str],
    ) -> Result<Self> {
        let path = std::env::temp_dir().join(format!("bundle-{id}"));
        DirBuilder::new()
            .mode(0o711)
            .create(&path)
            .with_context(|| format!("create {path:?}"))?;
        let bundle = Self { path };
        bundle
            .fill(&config(driver, cgroups_path, resources, program))
            .with_context(|| format!("fill {:?}", bundle.path))?;
        Ok(bundle)
    }

    fn fill(&self, config: &Value) -> Result<()> {
        let rootfs = self.path.join("rootfs");
        for dir in ["bin", "dev", "proc", "sys", "tmp"] {
            fs::create_dir_all(rootfs.join(dir))?;
        }
        fs::copy(BUSYBOX, rootfs.join("bin/busybox"))?;
        for applet in APPLETS {
            symlink("busybox", rootfs.join("bin").join(applet))?;
        }
        write_new(&self.path.join("config.json"), &serde_json::to_vec_pretty(config)?)
    }
}

impl Drop for Bundle {
    fn drop(&mut self) {
        // The directory is below /tmp of a guest that ends soon.
        let _ignored = fs::remove_dir_all(&self.path);
    }
}

fn write_new(path: &Path, bytes: &[u8]) -> Result<()> {
    Ok(OpenOptions::new()
        .write(true)
        .create_new(true)
        .open(path)?
        .write_all(bytes)?)
}

/// Limits that every driver can set.
pub(crate) fn limits() -> Value {
    json!({
        "memory": { "limit": 64 << 20 },
        "pids": { "limit": 50 },
        "cpu": { "quota": 50_000, "period": 100_000, "shares": 512 },
    })
}

fn config(driver: Driver, cgroups_path: &str, resources: &Value, program: &[&str]) -> Value {
    let mut namespaces: Vec<_> = ["pid", "mount", "ipc", "uts", "network", "cgroup"]
        .iter()
        .map(|kind| json!({ "type": kind }))
        .collect();
    let mut linux = json!({ "cgroupsPath": cgroups_path, "resources": resources });
    if driver == Driver::UserSystemd {
        namespaces.push(json!({ "type": "user" }));
        for (key, host) in [("uidMappings", 1000), ("gidMappings", 1000)] {
            put(
                &mut linux,
                key,
                json!([{ "containerID": 0, "hostID": host, "size": 1 }]),
            );
        }
    }
    put(&mut linux, "namespaces", namespaces.into());
    let sets = ["bounding", "effective", "permitted"].map(|set| (set.to_owned(), json!(CAPABILITIES)));
    json!({
        "ociVersion": "1.0.2",
        "hostname": "guest-check",
        "root": { "path": "rootfs" },
        "process": {
            "user": { "uid": 0, "gid": 0 },
            "args": program,
            "env": ["PATH=/bin"],
            "cwd": "/",
            "capabilities": sets.into_iter().collect::<serde_json::Map<_, _>>(),
        },
        "mounts": [
            { "destination": "/proc", "type": "proc", "source": "proc" },
            { "destination": "/dev", "type": "tmpfs", "source": "tmpfs", "options": ["nosuid", "mode=755"] },
            { "destination": "/sys/fs/cgroup", "type": "cgroup", "source": "cgroup", "options": ["ro", "nosuid"] },
        ],
        "linux": linux,
    })
}

fn put(object: &mut Value, key: &str, value: Value) {
    if let Some(fields) = object.as_object_mut() {
        fields.insert(key.to_owned(), value);
    }
}
