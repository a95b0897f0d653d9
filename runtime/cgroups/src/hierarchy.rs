//! Which hierarchies are mounted where, and where this process is in them.

use std::fs;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::error::Error;

/// What is mounted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Layout {
    /// Version 1 hierarchies only.
    Legacy,
    /// Version 1 hierarchies with the controllers, and a version 2 one without.
    Hybrid,
    /// One version 2 hierarchy.
    Unified,
}

/// One mounted hierarchy.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Hierarchy {
    /// Controllers, or `name=X` for a named one, or nothing for version 2.
    pub(crate) controllers: Vec<String>,
    /// Mount point.
    pub(crate) mount: PathBuf,
    /// This process's cgroup, below the mount point.
    pub(crate) own: PathBuf,
}

impl Hierarchy {
    pub(crate) fn is_v2(&self) -> bool {
        self.controllers.is_empty()
    }

    /// The name of its folder in a container's view.
    pub(crate) fn view_name(&self) -> String {
        self.mount
            .file_name()
            .map(|n| n.to_string_lossy().into_owned())
            .unwrap_or_default()
    }
}

/// Reads the layout and the hierarchies of this process.
pub(crate) fn read() -> Result<(Layout, Vec<Hierarchy>), Error> {
    let table = |path| fs::read_to_string(path).map_err(|source| Error::ReadTable { path, source });
    parse(&table("/proc/self/mountinfo")?, &table("/proc/self/cgroup")?)
}

struct MountEntry<'a> {
    root: &'a str,
    point: &'a str,
    options: &'a str,
    v2: bool,
}

fn mounts(mountinfo: &str) -> impl Iterator<Item = MountEntry<'_>> {
    mountinfo.lines().filter_map(|line| {
        let (left, right) = line.split_once(" - ")?;
        let mut left = left.split(' ').skip(3);
        let mut right = right.split(' ');
        let v2 = match right.next()? {
            "cgroup" => false,
            "cgroup2" => true,
            _ => return None,
        };
        let options = right.nth(1).unwrap_or_default();
        Some(MountEntry {
            root: left.next()?,
            point: left.next()?,
            options,
            v2,
        })
    })
}

pub(crate) fn parse(mountinfo: &str, cgroup: &str) -> Result<(Layout, Vec<Hierarchy>), Error> {
    let mut found: Vec<Hierarchy> = Vec::new();
    for line in cgroup.lines() {
        let mut fields = line.splitn(3, ':');
        let (Some(_), Some(names), Some(own)) = (fields.next(), fields.next(), fields.next()) else {
            continue;
        };
        let Some(mount) = mounts(mountinfo).find(|m| matches(m, names)) else {
            continue;
        };
        found.push(Hierarchy {
            controllers: names.split(',').filter(|n| !n.is_empty()).map(str::to_owned).collect(),
            mount: PathBuf::from(mount.point),
            own: below_root(own, mount.root),
        });
    }
    let v1 = found
        .iter()
        .any(|h| !h.is_v2() && !h.controllers.iter().all(|c| c.starts_with("name=")));
    let v2 = found.iter().any(Hierarchy::is_v2);
    match (v1, v2) {
        (true, true) => Ok((Layout::Hybrid, found)),
        (true, false) => Ok((Layout::Legacy, found)),
        (false, true) => Ok((Layout::Unified, found.into_iter().filter(Hierarchy::is_v2).collect())),
        (false, false) => Err(Error::NotMounted),
    }
}

fn matches(mount: &MountEntry<'_>, names: &str) -> bool {
    if names.is_empty() {
        return mount.v2;
    }
    !mount.v2
        && names
            .split(',')
            .all(|name| mount.options.split(',').any(|option| option == name))
}

/// The mount may show only a part of the hierarchy, as in a nested container.
fn below_root(own: &str, root: &str) -> PathBuf {
    let own = Path::new(own);
    let inside = if root == "/" {
        own.strip_prefix("/").ok()
    } else {
        own.strip_prefix(root).ok()
    };
    inside.map(Path::to_path_buf).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    const HYBRID_MOUNTS: &str = "\
30 25 0:26 / /sys/fs/cgroup rw - tmpfs tmpfs rw,mode=755
31 30 0:27 / /sys/fs/cgroup/cpu,cpuacct rw - cgroup cgroup rw,cpu,cpuacct
32 30 0:28 / /sys/fs/cgroup/memory rw - cgroup cgroup rw,memory
33 30 0:29 / /sys/fs/cgroup/systemd rw - cgroup cgroup rw,xattr,name=systemd
34 30 0:30 / /sys/fs/cgroup/unified rw - cgroup2 cgroup2 rw";
    const HYBRID_OWN: &str = "4:cpu,cpuacct:/\n3:memory:/a/b\n1:name=systemd:/s\n0::/";

    #[test]
    fn a_hybrid_node_has_every_hierarchy_with_its_own_path() {
        let (layout, found) = parse(HYBRID_MOUNTS, HYBRID_OWN).unwrap();
        assert_eq!(layout, Layout::Hybrid);
        let memory = found.iter().find(|h| h.controllers == ["memory"]).unwrap();
        assert_eq!(
            (memory.mount.to_str(), memory.own.to_str()),
            (Some("/sys/fs/cgroup/memory"), Some("a/b"))
        );
        assert_eq!(found.iter().filter(|h| h.is_v2()).count(), 1);
        assert_eq!(found.len(), 4);
    }

    #[test]
    fn a_unified_node_has_one_hierarchy() {
        let (layout, found) = parse(
            "30 25 0:26 / /sys/fs/cgroup rw - cgroup2 cgroup2 rw,nsdelegate",
            "0::/user.slice/x.scope",
        )
        .unwrap();
        assert_eq!((layout, found.len()), (Layout::Unified, 1));
        assert_eq!(found[0].own, Path::new("user.slice/x.scope"));
    }

    #[test]
    fn a_nested_container_sees_its_part_of_the_hierarchy() {
        let (_, found) = parse(
            "30 25 0:26 /docker/id /sys/fs/cgroup/memory rw - cgroup cgroup rw,memory",
            "3:memory:/docker/id/x",
        )
        .unwrap();
        assert_eq!(found[0].own, Path::new("x"));
    }

    #[test]
    fn nothing_mounted_is_an_error_with_a_fix() {
        assert!(parse("", "0::/").unwrap_err().to_string().contains("mount cgroup2"));
    }
}
