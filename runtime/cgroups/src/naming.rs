//! Where a container's cgroup is, as runc decides it.

use std::collections::HashMap;
use std::path::{Component, Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::error::Error;

/// Who makes the cgroup.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Driver {
    /// This runtime, in the cgroup file system.
    Cgroupfs,
    /// systemd, as a transient unit.
    Systemd,
}

/// What a container's cgroup is named after.
#[derive(Debug)]
pub struct Naming<'a> {
    /// The container's id.
    pub id: &'a str,
    /// `linux.cgroupsPath`; empty is as absent.
    pub cgroups_path: Option<&'a str>,
    /// Who makes it.
    pub driver: Driver,
    /// The runtime has no privileges over the node.
    pub rootless: bool,
    /// The config's annotations: `org.systemd.property.*` are properties of the unit.
    pub annotations: &'a HashMap<String, String>,
}

/// Path below a hierarchy's root for the cgroupfs driver.
///
/// An absolute path is one from the root; a relative or absent one is below the caller's own cgroup.
pub(crate) fn cgroupfs_path(naming: &Naming<'_>, own: &Path) -> PathBuf {
    let configured = naming.cgroups_path.filter(|p| !p.is_empty()).unwrap_or(naming.id);
    let clean = clean(Path::new(configured));
    if configured.starts_with('/') {
        clean
    } else {
        own.join(clean)
    }
}

/// Removes `.`, `..` and roots, so that the path cannot leave what it is joined to.
pub(crate) fn clean(path: &Path) -> PathBuf {
    let mut out = PathBuf::new();
    for component in path.components() {
        match component {
            Component::Normal(name) => out.push(name),
            Component::ParentDir => {
                out.pop();
            }
            Component::RootDir | Component::CurDir | Component::Prefix(_) => {}
        }
    }
    out
}

/// A systemd unit for a container.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Unit {
    pub(crate) slice: String,
    pub(crate) prefix: String,
    pub(crate) name: String,
}

impl Unit {
    /// `slice:prefix:name` of `linux.cgroupsPath`, with runc's defaults.
    pub(crate) fn parse(naming: &Naming<'_>) -> Result<Self, Error> {
        let default_slice = if naming.rootless { "user.slice" } else { "system.slice" };
        let Some(path) = naming.cgroups_path.filter(|p| !p.is_empty()) else {
            return Ok(Self {
                slice: default_slice.into(),
                prefix: "nexcage".into(),
                name: naming.id.into(),
            });
        };
        let bad = || Error::Path {
            path: path.to_owned(),
            fix: "write slice:prefix:name for the systemd driver",
        };
        let parts: Vec<&str> = path.split(':').collect();
        let [slice, prefix, name] = parts.as_slice() else {
            return Err(bad());
        };
        if slice.contains('/') || (!slice.is_empty() && !slice.ends_with(".slice")) {
            return Err(bad());
        }
        let slice = if slice.is_empty() { default_slice } else { slice };
        Ok(Self {
            slice: slice.to_owned(),
            prefix: (*prefix).to_owned(),
            name: (*name).to_owned(),
        })
    }

    /// The unit's name.
    pub(crate) fn unit(&self) -> String {
        match () {
            () if self.name.ends_with(".slice") => self.name.clone(),
            () if self.prefix.is_empty() => format!("{}.scope", self.name),
            () => format!("{}-{}.scope", self.prefix, self.name),
        }
    }

    /// The unit's cgroup below the root of its manager: `a-b.slice` lies in `a.slice`.
    pub(crate) fn path(&self) -> PathBuf {
        expand_slice(&self.slice).join(self.unit())
    }
}

fn expand_slice(slice: &str) -> PathBuf {
    let Some(stem) = slice.strip_suffix(".slice").filter(|s| *s != "-") else {
        return PathBuf::new();
    };
    let mut out = PathBuf::new();
    let mut name = String::new();
    for part in stem.split('-') {
        if !name.is_empty() {
            name.push('-');
        }
        name.push_str(part);
        out.push(format!("{name}.slice"));
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    fn naming<'a>(path: Option<&'a str>, none: &'a HashMap<String, String>) -> Naming<'a> {
        Naming {
            id: "c1",
            cgroups_path: path,
            driver: Driver::Cgroupfs,
            rootless: false,
            annotations: none,
        }
    }

    #[track_caller]
    fn check_path(configured: Option<&str>, own: &str, expected: &str) {
        let none = HashMap::new();
        assert_eq!(
            cgroupfs_path(&naming(configured, &none), Path::new(own)),
            Path::new(expected)
        );
    }

    #[test]
    fn paths_are_runcs() {
        check_path(Some("/docker/c1"), "a/b", "docker/c1");
        check_path(Some("rel/c1"), "a/b", "a/b/rel/c1");
        check_path(None, "a/b", "a/b/c1");
        check_path(Some(""), "", "c1");
        check_path(Some("/../../etc"), "a", "etc");
        check_path(Some("../../up"), "a", "a/up");
    }

    #[track_caller]
    fn check_unit(configured: Option<&str>, unit: &str, path: &str) {
        let none = HashMap::new();
        let parsed = Unit::parse(&naming(configured, &none)).unwrap();
        assert_eq!(
            (parsed.unit().as_str(), parsed.path().as_path()),
            (unit, Path::new(path))
        );
    }

    #[test]
    fn units_are_runcs() {
        check_unit(
            Some("system.slice:docker:c1"),
            "docker-c1.scope",
            "system.slice/docker-c1.scope",
        );
        check_unit(Some("a-b.slice:x:y"), "x-y.scope", "a.slice/a-b.slice/x-y.scope");
        check_unit(Some(":x:y"), "x-y.scope", "system.slice/x-y.scope");
        check_unit(None, "nexcage-c1.scope", "system.slice/nexcage-c1.scope");
        check_unit(Some("m.slice::m-p.slice"), "m-p.slice", "m.slice/m-p.slice");
    }

    #[test]
    fn a_file_system_path_is_refused_by_the_systemd_driver() {
        let none = HashMap::new();
        assert!(Unit::parse(&naming(Some("/docker/c1"), &none)).is_err());
    }
}
