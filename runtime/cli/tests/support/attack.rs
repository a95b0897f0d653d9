//! What an attacker does and what the node must look like afterwards.
#![allow(dead_code, reason = "each test file uses a part")]

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::JoinHandle;

use nix::fcntl::{RenameFlags, renameat2};
use serde_json::{Value, json};

use crate::common::{Fixture, Said};

/// A directory of the node that no container may change.
pub(crate) struct Canary {
    pub(crate) dir: PathBuf,
    before: BTreeMap<PathBuf, String>,
}

impl Canary {
    /// Makes one beside the bundle, with all that an attack through `/dev` or a mount would touch.
    pub(crate) fn new(f: &Fixture) -> Self {
        let dir = f.path("node");
        fs::create_dir(&dir).unwrap();
        for name in ["file", "ptmx", "console"] {
            fs::write(dir.join(name), "node\n").unwrap();
        }
        for name in ["sub", "pts", "shm"] {
            fs::create_dir(dir.join(name)).unwrap();
        }
        let before = listing(&dir);
        Self { dir, before }
    }

    pub(crate) fn path(&self) -> String {
        self.dir.display().to_string()
    }

    pub(crate) fn file(&self) -> String {
        self.dir.join("file").display().to_string()
    }

    #[track_caller]
    pub(crate) fn check(&self, attack: &str) {
        assert_eq!(listing(&self.dir), self.before, "the node was changed by {attack}");
    }
}

/// Type, mode, owner, device, content of everything below a directory.
fn listing(dir: &Path) -> BTreeMap<PathBuf, String> {
    let mut found = BTreeMap::new();
    let mut stack = vec![dir.to_owned()];
    while let Some(dir) = stack.pop() {
        for entry in fs::read_dir(&dir).unwrap().flatten() {
            let meta = fs::symlink_metadata(entry.path()).unwrap();
            let content = if meta.is_file() {
                fs::read(entry.path()).unwrap()
            } else {
                Vec::new()
            };
            if meta.is_dir() {
                stack.push(entry.path());
            }
            let owner = (meta.uid(), meta.gid(), meta.rdev());
            found.insert(entry.path(), format!("{:o} {owner:?} {content:?}", meta.mode()));
        }
    }
    found
}

/// Exchanges two names for each other, over and over, until it is dropped.
pub(crate) struct Swapper {
    stop: Arc<AtomicBool>,
    count: Arc<AtomicU64>,
    thread: Option<JoinHandle<()>>,
}

impl Swapper {
    pub(crate) fn new(one: &Path, other: &Path) -> Self {
        let (stop, count) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicU64::new(0)));
        let (one, other) = (one.to_owned(), other.to_owned());
        let (stopped, counted) = (Arc::clone(&stop), Arc::clone(&count));
        let thread = std::thread::spawn(move || {
            while !stopped.load(Ordering::Relaxed) {
                let swapped = renameat2(None, &one, None, &other, RenameFlags::RENAME_EXCHANGE);
                counted.fetch_add(u64::from(swapped.is_ok()), Ordering::Relaxed);
            }
        });
        Self {
            stop,
            count,
            thread: Some(thread),
        }
    }

    pub(crate) fn count(&self) -> u64 {
        self.count.load(Ordering::Relaxed)
    }
}

impl Drop for Swapper {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            thread.join().unwrap();
        }
    }
}

/// Mount points of a process, from its `mountinfo`.
fn mount_points(mountinfo: &str) -> Vec<PathBuf> {
    let point = |line: &str| line.split(' ').nth(4).map(PathBuf::from);
    mountinfo.lines().filter_map(point).collect()
}

/// Makes the config write the container's mounts, as they are before its root changes, to a file.
///
/// Only there a mount that left the root can be seen: the change of the root drops it.
pub(crate) fn record_mounts(f: &mut Fixture) {
    let record = format!("cat /proc/self/mountinfo > {}", f.path("mounts").display());
    f.config["hooks"] = json!({ "createContainer": [{ "path": "/bin/sh", "args": ["sh", "-c", record] }] });
}

/// Checks the mounts that [`record_mounts`] wrote: each is in the root or was on the node before.
///
/// Returns how many are in the root, 0 when the container was refused before its hooks.
#[track_caller]
pub(crate) fn check_mounts_inside(f: &Fixture, attack: &str) -> usize {
    let Ok(recorded) = fs::read_to_string(f.path("mounts")) else {
        return 0;
    };
    fs::remove_file(f.path("mounts")).unwrap();
    let node = mount_points(&fs::read_to_string("/proc/self/mountinfo").unwrap());
    let rootfs = f.bundle().join("rootfs");
    let (inside, outside): (Vec<_>, Vec<_>) = mount_points(&recorded)
        .into_iter()
        .filter(|point| !node.contains(point))
        .partition(|point| point.starts_with(&rootfs));
    // The launcher covers this for itself.
    let escaped: Vec<_> = outside.iter().filter(|p| !p.starts_with("/sys/fs/cgroup")).collect();
    assert!(escaped.is_empty(), "{attack}: mounts outside the root: {escaped:?}");
    inside.len()
}

/// Adds a mount to the config.
pub(crate) fn push_mount(f: &mut Fixture, destination: &str, typ: &str, source: &str) {
    let options = if typ == "bind" {
        json!(["rbind", "rw"])
    } else {
        json!([])
    };
    let mount = json!({ "destination": destination, "type": typ, "source": source, "options": options });
    f.config["mounts"].as_array_mut().unwrap().push(mount);
}

/// Takes the mount on a destination out of the config.
pub(crate) fn drop_mount(f: &mut Fixture, destination: &str) {
    let mounts = f.config["mounts"].as_array_mut().unwrap();
    mounts.retain(|m| !m["destination"].as_str().unwrap().starts_with(destination));
}

/// A user namespace whose root is the node's: devices are bound instead of made, and nothing else is in the attack's way.
pub(crate) fn give_user_namespace(f: &mut Fixture) {
    let linux = &mut f.config["linux"];
    linux["namespaces"]
        .as_array_mut()
        .unwrap()
        .push(json!({ "type": "user" }));
    for mapping in ["uidMappings", "gidMappings"] {
        linux[mapping] = json!([{ "containerID": 0, "hostID": 0, "size": 65536 }]);
    }
}

/// Every Linux capability, so that nothing but the defence under test stands in the way.
pub(crate) fn give_all_capabilities(f: &mut Fixture) {
    let last: u32 = fs::read_to_string("/proc/sys/kernel/cap_last_cap")
        .unwrap()
        .trim()
        .parse()
        .unwrap();
    let status = fs::read_to_string("/proc/self/status").unwrap();
    let bounding = status.lines().find_map(|l| l.strip_prefix("CapBnd:\t")).unwrap();
    let bounding = u64::from_str_radix(bounding, 16).unwrap();
    let names: Vec<_> = CAPABILITIES
        .iter()
        .enumerate()
        .filter(|(bit, _)| *bit as u32 <= last && bounding >> bit & 1 == 1)
        .map(|(_, name)| Value::from(format!("CAP_{name}")))
        .collect();
    for set in ["bounding", "effective", "permitted"] {
        f.config["process"]["capabilities"][set] = json!(names);
    }
}

const CAPABILITIES: [&str; 41] = [
    "CHOWN",
    "DAC_OVERRIDE",
    "DAC_READ_SEARCH",
    "FOWNER",
    "FSETID",
    "KILL",
    "SETGID",
    "SETUID",
    "SETPCAP",
    "LINUX_IMMUTABLE",
    "NET_BIND_SERVICE",
    "NET_BROADCAST",
    "NET_ADMIN",
    "NET_RAW",
    "IPC_LOCK",
    "IPC_OWNER",
    "SYS_MODULE",
    "SYS_RAWIO",
    "SYS_CHROOT",
    "SYS_PTRACE",
    "SYS_PACCT",
    "SYS_ADMIN",
    "SYS_BOOT",
    "SYS_NICE",
    "SYS_RESOURCE",
    "SYS_TIME",
    "SYS_TTY_CONFIG",
    "MKNOD",
    "LEASE",
    "AUDIT_WRITE",
    "AUDIT_CONTROL",
    "SETFCAP",
    "MAC_OVERRIDE",
    "MAC_ADMIN",
    "SYSLOG",
    "WAKE_ALARM",
    "BLOCK_SUSPEND",
    "AUDIT_READ",
    "PERFMON",
    "BPF",
    "CHECKPOINT_RESTORE",
];

impl Said {
    /// Checks that the command failed with one line of error.
    #[track_caller]
    pub(crate) fn check_refused(self, attack: &str) -> Self {
        assert_ne!(self.code, 0, "{attack}: not refused, out: {}", self.out);
        assert_eq!(self.err.lines().count(), 1, "{attack}: one line: {:?}", self.err);
        self
    }
}
