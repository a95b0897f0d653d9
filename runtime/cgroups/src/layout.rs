//! Which hierarchies this machine has, and where the caller is in them.
//!
//! Owns the parsing of /proc/self/mountinfo and /proc/self/cgroup. Writes nothing.
use std::io::Read;
use std::path::{Component, Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::error::CgroupError;

/// Where control groups are mounted on an ordinary machine.
const ROOT: &str = "/sys/fs/cgroup";

/// The v1 controllers and named hierarchies that a container joins, in the order in which they are joined.
///
/// cpuset and devices come first: the one must be filled before a process can enter, the other is a security boundary.
pub(crate) const V1_CONTROLLERS: &[&str] = &[
    "cpuset",
    "devices",
    "memory",
    "cpu",
    "cpuacct",
    "pids",
    "blkio",
    "hugetlb",
    "net_cls",
    "net_prio",
    "perf_event",
    "freezer",
    "rdma",
    "name=systemd",
    "misc",
];

/// How the control group hierarchies of this machine are laid out.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Layout {
    /// v1 only: one hierarchy for each controller, or for a few of them.
    Legacy,
    /// v1 controllers, and a v2 hierarchy at /sys/fs/cgroup/unified.
    Hybrid,
    /// v2 only.
    Unified,
}

impl Layout {
    /// Finds the layout of this machine.
    ///
    /// Reads /proc/self/mountinfo once.
    ///
    /// # Errors
    ///
    /// * [`CgroupError::ReadProc`]: /proc is not there.
    /// * [`CgroupError::NoMounts`]: no control group hierarchy is mounted.
    ///
    /// Kernel: Documentation/admin-guide/cgroup-v2.rst, cgroups(7).
    pub fn detect() -> Result<Self, CgroupError> {
        Ok(Mounts::read()?.layout)
    }
}

/// One mounted hierarchy.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Mount {
    /// Names of its controllers; `name=...` for a named hierarchy, nothing for v2.
    pub(crate) controllers: Vec<String>,
    pub(crate) point: PathBuf,
    /// The cgroup that is visible as the mount's top; not `/` in nested containers.
    pub(crate) root: PathBuf,
}

/// The hierarchies that a container is put into.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Mounts {
    pub(crate) layout: Layout,
    pub(crate) v1: Vec<Mount>,
    pub(crate) v2: Option<Mount>,
}

impl Mounts {
    /// Reads the mounts of this process.
    pub(crate) fn read() -> Result<Self, CgroupError> {
        Self::parse(&read_proc("/proc/self/mountinfo")?)
    }

    /// Picks the hierarchies out of a mountinfo text.
    pub(crate) fn parse(mountinfo: &[u8]) -> Result<Self, CgroupError> {
        let mut v1: Vec<Mount> = Vec::new();
        let mut v2: Vec<Mount> = Vec::new();
        for line in mountinfo.split(|byte| *byte == b'\n') {
            match parse_mount(line) {
                Some((mount, false)) => add_v1(&mut v1, mount),
                Some((mount, true)) => v2.push(mount),
                None => {}
            }
        }
        v1.sort_by_key(|mount| mount.controllers.first().map_or(usize::MAX, |name| rank(name)));
        let unified = Path::new(ROOT);
        let half = unified.join("unified");
        // A later mount covers an earlier one on the same place.
        let at = |point: &Path| v2.iter().rposition(|mount| mount.point == point);
        let (layout, chosen) = match (at(unified), at(&half), v1.is_empty()) {
            (Some(index), _, _) => (Layout::Unified, Some(index)),
            (None, Some(index), false) => (Layout::Hybrid, Some(index)),
            (None, _, false) => (Layout::Legacy, None),
            (None, index, true) => (Layout::Unified, index.or(v2.len().checked_sub(1))),
        };
        let v2 = chosen.map(|index| v2.swap_remove(index));
        if layout == Layout::Unified {
            v1.clear();
            if v2.is_none() {
                return Err(CgroupError::NoMounts);
            }
        }
        Ok(Self { layout, v1, v2 })
    }
}

/// Adds a v1 mount unless its hierarchy is already known from another place.
///
/// Mounts below /sys/fs/cgroup win over copies elsewhere, such as those in another container's root.
fn add_v1(mounts: &mut Vec<Mount>, mount: Mount) {
    let same = mounts.iter_mut().find(|known| known.controllers == mount.controllers);
    match same {
        None => mounts.push(mount),
        Some(known) if !known.point.starts_with(ROOT) && mount.point.starts_with(ROOT) => *known = mount,
        // The later mount on one place hides the earlier.
        Some(known) if known.point == mount.point => *known = mount,
        Some(_) => {}
    }
}

/// Place of a controller in the order of joining.
fn rank(controller: &str) -> usize {
    V1_CONTROLLERS
        .iter()
        .position(|name| *name == controller)
        .unwrap_or(usize::MAX)
}

/// Parses one mountinfo line; the flag says whether it is v2. `None`: not a hierarchy that a container joins.
fn parse_mount(line: &[u8]) -> Option<(Mount, bool)> {
    let split = find(line, b" - cgroup")?;
    let (before, after) = line.split_at(split);
    let mut after = after.get(3..)?.split(|byte| *byte == b' ');
    let v2 = match after.next()? {
        b"cgroup" => false,
        b"cgroup2" => true,
        _ => return None,
    };
    let options = after.nth(1)?;
    let mut before = before.split(|byte| *byte == b' ');
    let root = unescape(before.nth(3)?);
    let point = unescape(before.next()?);
    let mut controllers = Vec::new();
    if !v2 {
        for option in options.split(|byte| *byte == b',') {
            let name = std::str::from_utf8(option).ok()?;
            if V1_CONTROLLERS.contains(&name) {
                controllers.push(name.to_owned());
            }
        }
        if controllers.is_empty() {
            return None;
        }
        controllers.sort_by_key(|name| rank(name));
    }
    Some((
        Mount {
            controllers,
            point,
            root,
        },
        v2,
    ))
}

/// Position of a byte string in another.
fn find(text: &[u8], needle: &[u8]) -> Option<usize> {
    text.windows(needle.len()).position(|window| window == needle)
}

/// Undoes the octal escapes (`\040` for a space) of mountinfo.
fn unescape(text: &[u8]) -> PathBuf {
    use std::os::unix::ffi::OsStringExt;
    let mut out = Vec::with_capacity(text.len());
    let mut rest = text;
    while let Some((first, tail)) = rest.split_first() {
        let octal = tail
            .get(..3)
            .filter(|digits| *first == b'\\' && digits.iter().all(|d| (b'0'..=b'7').contains(d)));
        match octal {
            Some(digits) => {
                out.push(
                    digits
                        .iter()
                        .fold(0_u8, |value, digit| value.wrapping_mul(8).wrapping_add(digit - b'0')),
                );
                rest = tail.get(3..).unwrap_or_default();
            }
            None => {
                out.push(*first);
                rest = tail;
            }
        }
    }
    PathBuf::from(std::ffi::OsString::from_vec(out))
}

/// Where a process is in each hierarchy.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Own(Vec<(Vec<String>, PathBuf)>);

impl Own {
    /// Reads where this process is.
    pub(crate) fn read() -> Result<Self, CgroupError> {
        Ok(Self::parse(&read_proc("/proc/self/cgroup")?))
    }

    /// Parses the text of a /proc/PID/cgroup file: `ID:CONTROLLERS:PATH` lines.
    pub(crate) fn parse(text: &[u8]) -> Self {
        use std::os::unix::ffi::OsStrExt;
        let mut entries = Vec::new();
        for line in text.split(|byte| *byte == b'\n') {
            let mut fields = line.splitn(3, |byte| *byte == b':');
            let (Some(_), Some(names), Some(path)) = (fields.next(), fields.next(), fields.next()) else {
                continue;
            };
            let names = String::from_utf8_lossy(names);
            let names = names
                .split(',')
                .filter(|name| !name.is_empty())
                .map(str::to_owned)
                .collect();
            entries.push((names, PathBuf::from(std::ffi::OsStr::from_bytes(path))));
        }
        Self(entries)
    }

    /// The caller's cgroup in a mounted hierarchy, relative to the mount point.
    ///
    /// In a container the kernel shows paths that begin above the mount's root; that part is taken off. A cgroup that is
    /// not visible through the mount counts as the mount's top.
    pub(crate) fn below(&self, mount: &Mount) -> PathBuf {
        let path = self.0.iter().find(|(names, _)| match mount.controllers.first() {
            Some(first) => names.contains(first),
            None => names.is_empty(),
        });
        let path = path.map_or(Path::new("/"), |(_, path)| path.as_path());
        relative(path.strip_prefix(&mount.root).unwrap_or(Path::new("")))
    }

    /// The cgroup v2 path of the process, as the kernel writes it.
    pub(crate) fn v2(&self) -> Option<&Path> {
        self.0
            .iter()
            .find(|(names, _)| names.is_empty())
            .map(|(_, path)| path.as_path())
    }
}

/// A path without its root, `.` and `..`: what `..` leads to is decided by the text alone, and it stops at the top.
pub(crate) fn relative(path: &Path) -> PathBuf {
    let mut clean = PathBuf::new();
    for part in path.components() {
        match part {
            Component::Normal(name) => clean.push(name),
            Component::ParentDir => {
                clean.pop();
            }
            Component::RootDir | Component::CurDir | Component::Prefix(_) => {}
        }
    }
    clean
}

/// Reads a /proc file, with one large read as a rule.
pub(crate) fn read_proc(file: &'static str) -> Result<Vec<u8>, CgroupError> {
    let mut text = Vec::with_capacity(16 * 1024);
    std::fs::File::open(file)
        .and_then(|mut open| open.read_to_end(&mut text))
        .map_err(|source| CgroupError::ReadProc { file, source })?;
    Ok(text)
}

#[cfg(test)]
mod tests;
