//! From an OCI `cgroupsPath` to the cgroups of a container, as runc names them.
//!
//! Owns the naming rules of both drivers. Pure: works on texts that somebody else has read.
use std::collections::HashMap;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::error::CgroupError;
use crate::layout::{Layout, Mounts, Own, relative};

/// What makes and removes a container's cgroup.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Driver {
    /// This program, by directories of the control group file system.
    Cgroupfs,
    /// systemd, as a transient unit.
    Systemd,
}

/// What a container's cgroup is named after.
#[derive(Debug, Clone, Copy)]
pub struct Naming<'a> {
    /// Container id, already checked: no slash, not `.` or `..`.
    pub id: &'a str,
    /// `linux.cgroupsPath`; `None` and the empty text mean runc's default.
    pub cgroups_path: Option<&'a str>,
    /// Who makes the cgroup.
    pub driver: Driver,
    /// Missing permissions are tolerated as runc does for an unprivileged caller.
    pub rootless: bool,
    /// The spec's annotations; `org.systemd.property.*` are unit properties for the systemd driver.
    pub annotations: &'a HashMap<String, String>,
}

impl<'a> Naming<'a> {
    /// The given cgroupsPath, if it says anything.
    pub(crate) fn given(&self) -> Option<&'a str> {
        self.cgroups_path.filter(|path| !path.is_empty())
    }
}

/// A container's cgroup in one hierarchy.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Hierarchy {
    /// Names of the controllers; `name=systemd` for the named one, nothing for v2.
    pub(crate) controllers: Vec<String>,
    /// Where the hierarchy is mounted.
    pub(crate) mount: PathBuf,
    /// The container's cgroup, relative to `mount`.
    pub(crate) path: PathBuf,
    /// False once a rootless caller was not allowed to make it: it is then left alone.
    pub(crate) ours: bool,
}

impl Hierarchy {
    /// Whether this is the v2 hierarchy (or the v2 half on hybrid).
    pub(crate) fn is_v2(&self) -> bool {
        self.controllers.is_empty()
    }

    /// Absolute path of the cgroup.
    pub(crate) fn full(&self) -> PathBuf {
        self.mount.join(&self.path)
    }

    /// Whether the hierarchy has a controller.
    pub(crate) fn has(&self, controller: &str) -> bool {
        self.controllers.iter().any(|name| name == controller)
    }
}

/// The cgroups of a container for the cgroupfs driver.
///
/// * absolute `cgroupsPath`: below each mount point.
/// * relative or none (then the id): below the caller's own cgroup in each v1 hierarchy; beside it on v2, because a
///   cgroup with processes can have no controllers for its children; below the mount point in the v2 half of hybrid.
pub(crate) fn cgroupfs(naming: &Naming<'_>, mounts: &Mounts, own: &Own) -> Vec<Hierarchy> {
    let text = naming.given().unwrap_or(naming.id);
    let absolute = naming.given().is_some_and(|path| path.starts_with('/'));
    let inner = relative(Path::new(text));
    let place = |controllers: &[String], mount: &Path, base: PathBuf| Hierarchy {
        controllers: controllers.to_vec(),
        mount: mount.to_owned(),
        path: if absolute { inner.clone() } else { base.join(&inner) },
        ours: true,
    };
    let mut all: Vec<Hierarchy> = mounts
        .v1
        .iter()
        .map(|mount| place(&mount.controllers, &mount.point, own.below(mount)))
        .collect();
    if let Some(mount) = &mounts.v2 {
        let base = match mounts.layout {
            Layout::Unified => own.below(mount).parent().map(Path::to_path_buf).unwrap_or_default(),
            Layout::Legacy | Layout::Hybrid => PathBuf::new(),
        };
        all.push(place(&[], &mount.point, base));
    }
    all
}

/// A transient unit of systemd.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Unit {
    /// Unit name, `PREFIX-NAME.scope` or `NAME.slice`.
    pub(crate) name: String,
    /// Slice that the unit is put into, as systemd spells it.
    pub(crate) slice: String,
    /// What the container is called in the unit's description.
    pub(crate) container: String,
    /// Properties from annotations, still as text, in a stable order.
    pub(crate) properties: Vec<(String, String)>,
}

/// Prefix of a scope whose container has no cgroupsPath.
const PREFIX: &str = "nexcage";

/// Annotations with this prefix are unit properties.
const PROPERTY: &str = "org.systemd.property.";

/// The unit of a container for the systemd driver: `slice:prefix:name`.
///
/// # Errors
///
/// [`CgroupError::CgroupsPath`], [`CgroupError::Slice`], [`CgroupError::Annotation`] for a property name.
pub(crate) fn unit(naming: &Naming<'_>) -> Result<Unit, CgroupError> {
    let (slice, prefix, name) = match naming.given() {
        None => ("", PREFIX, naming.id),
        Some(path) => parse_triple(path)?,
    };
    let slice = match (slice, naming.rootless) {
        ("", false) => "system.slice",
        ("", true) => "user.slice",
        (slice, _) => slice,
    };
    expand_slice(slice)?;
    if name.is_empty() || name.contains('/') || prefix.contains('/') {
        let path = naming.given().unwrap_or_default().to_owned();
        return Err(CgroupError::CgroupsPath {
            path,
            why: "prefix and name must be parts of a unit name",
        });
    }
    let unit = if name.ends_with(".slice") {
        name.to_owned()
    } else {
        format!("{prefix}-{name}.scope")
    };
    Ok(Unit {
        name: unit,
        slice: slice.to_owned(),
        container: name.to_owned(),
        properties: properties(naming)?,
    })
}

/// Splits `slice:prefix:name`.
fn parse_triple(path: &str) -> Result<(&str, &str, &str), CgroupError> {
    let mut parts = path.split(':');
    match (parts.next(), parts.next(), parts.next(), parts.next()) {
        (Some(slice), Some(prefix), Some(name), None) => Ok((slice, prefix, name)),
        _ => Err(CgroupError::CgroupsPath {
            path: path.to_owned(),
            why: "expected cgroupsPath to be of format \"slice:prefix:name\" for systemd cgroups",
        }),
    }
}

/// Collects the unit properties out of the annotations.
fn properties(naming: &Naming<'_>) -> Result<Vec<(String, String)>, CgroupError> {
    let mut found = Vec::new();
    for (key, value) in naming.annotations {
        let Some(name) = key.strip_prefix(PROPERTY) else {
            continue;
        };
        if name.len() < 3 || !name.bytes().all(|byte| byte.is_ascii_alphabetic()) {
            let why = "a property name has at least three letters and nothing else".to_owned();
            return Err(CgroupError::Annotation {
                name: key.clone(),
                value: value.clone(),
                why,
            });
        }
        found.push((name.to_owned(), value.clone()));
    }
    found.sort();
    Ok(found)
}

/// The path of a slice: systemd nests `a-b.slice` in `a.slice`.
///
/// Returns a relative path; `-.slice` is the root and gives the empty path.
///
/// # Errors
///
/// [`CgroupError::Slice`]: not a slice name.
///
/// Spec: systemd.slice(5).
pub(crate) fn expand_slice(slice: &str) -> Result<PathBuf, CgroupError> {
    let bad = || CgroupError::Slice {
        slice: slice.to_owned(),
    };
    let name = slice
        .strip_suffix(".slice")
        .filter(|name| !name.contains('/'))
        .ok_or_else(bad)?;
    let mut path = PathBuf::new();
    if name == "-" {
        return Ok(path);
    }
    let mut prefix = String::new();
    for part in name.split('-') {
        if part.is_empty() || part == "." || part == ".." {
            return Err(bad());
        }
        path.push(format!("{prefix}{part}.slice"));
        prefix.push_str(part);
        prefix.push('-');
    }
    Ok(path)
}

/// The cgroups that systemd will make for a unit.
///
/// * `manager`: the cgroup of the user's systemd, for a rootless caller; empty for the system's.
pub(crate) fn systemd(unit: &Unit, mounts: &Mounts, manager: &Path) -> Result<Vec<Hierarchy>, CgroupError> {
    let path = relative(manager).join(expand_slice(&unit.slice)?).join(&unit.name);
    let place = |controllers: &[String], mount: &Path| Hierarchy {
        controllers: controllers.to_vec(),
        mount: mount.to_owned(),
        path: path.clone(),
        ours: true,
    };
    let mut all: Vec<Hierarchy> = mounts
        .v1
        .iter()
        .map(|mount| place(&mount.controllers, &mount.point))
        .collect();
    all.extend(mounts.v2.iter().map(|mount| place(&[], &mount.point)));
    Ok(all)
}

#[cfg(test)]
mod tests;
