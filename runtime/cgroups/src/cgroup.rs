//! The record of a container's cgroups, kept in the container's state.
//!
//! Owns what every later command needs to find the cgroups again; the effects are in the sibling modules.
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::dir::Dir;
use crate::error::CgroupError;
use crate::layout::Layout;
use crate::naming::{Driver, Hierarchy, Unit};

/// A container's cgroups.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Cgroup {
    pub(crate) layout: Layout,
    pub(crate) driver: Driver,
    pub(crate) rootless: bool,
    /// A cgroupsPath was given: then missing permissions are errors even for a rootless caller.
    pub(crate) explicit: bool,
    /// The v2 cgroup had to be put into threaded mode.
    #[serde(default)]
    pub(crate) threaded: bool,
    pub(crate) hierarchies: Vec<Hierarchy>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) unit: Option<Unit>,
}

/// One v1 hierarchy as a container sees it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct View {
    /// Folder below `/sys/fs/cgroup`.
    pub name: String,
    /// The container's cgroup on the node.
    pub path: PathBuf,
    /// Other names of the folder: controllers that are mounted together.
    pub aliases: Vec<String>,
}

impl Cgroup {
    /// The layout that the record was planned for.
    pub fn layout(&self) -> Layout {
        self.layout
    }

    /// Who makes and removes the cgroups.
    pub fn driver(&self) -> Driver {
        self.driver
    }

    /// Whether the cgroups are there.
    ///
    /// As runc does, one hierarchy answers for all: devices on v1, the only one on v2.
    pub fn exists(&self) -> bool {
        self.main()
            .is_some_and(|hierarchy| Dir::find(hierarchy).is_ok_and(|dir| dir.is_some()))
    }

    /// Whether the container has cgroups of its own: not when a rootless caller could make none.
    pub fn is_configured(&self) -> bool {
        self.main().is_some()
    }

    /// Absolute path of the container's cgroup for a controller.
    ///
    /// * `controller`: a kernel name such as `memory`, or `name=systemd`; on v2 any controller, and the empty name for
    ///   the v2 half on hybrid.
    ///
    /// Returns `None` where the hierarchy is not mounted or not ours.
    pub fn path_of(&self, controller: &str) -> Option<PathBuf> {
        self.hierarchy(controller).map(Hierarchy::full)
    }

    /// Absolute paths of all the container's cgroups by controller, with runc's keys: the empty name for v2.
    pub fn paths(&self) -> BTreeMap<String, PathBuf> {
        let mut paths = BTreeMap::new();
        for hierarchy in self.ours() {
            for controller in &hierarchy.controllers {
                paths.insert(controller.clone(), hierarchy.full());
            }
            if hierarchy.is_v2() {
                paths.insert(String::new(), hierarchy.full());
            }
        }
        paths
    }

    /// Every mounted hierarchy, whether the container is in it or not: its controllers (none for v2), and where it is.
    pub fn mounted(&self) -> impl Iterator<Item = (&[String], &Path)> {
        let all = self.hierarchies.iter();
        all.map(|hierarchy| (hierarchy.controllers.as_slice(), hierarchy.mount.as_path()))
    }

    /// The v1 hierarchies as a container sees them below its `/sys/fs/cgroup`.
    ///
    /// Where a rootless caller could make no cgroup, the container is in the caller's.
    pub fn views(&self) -> Vec<View> {
        let v1 = self.hierarchies.iter().filter(|hierarchy| !hierarchy.is_v2());
        v1.map(|hierarchy| {
            let folder = hierarchy
                .mount
                .file_name()
                .map(|name| name.to_string_lossy().into_owned());
            let name = folder.unwrap_or_default();
            let aliases = hierarchy
                .controllers
                .iter()
                .filter(|c| **c != name && !c.starts_with("name="));
            let aliases = aliases.cloned().collect();
            View {
                name,
                path: if hierarchy.ours {
                    hierarchy.full()
                } else {
                    hierarchy.full().parent().map(Path::to_path_buf).unwrap_or_default()
                },
                aliases,
            }
        })
        .collect()
    }

    /// Whether missing permissions are tolerated: a rootless caller that asked for no particular cgroup.
    pub(crate) fn tolerates(&self) -> bool {
        self.rootless && !self.explicit
    }

    /// The hierarchies that hold the container.
    pub(crate) fn ours(&self) -> impl Iterator<Item = &Hierarchy> {
        self.hierarchies.iter().filter(|hierarchy| hierarchy.ours)
    }

    /// The hierarchy of a controller, if the container is in it.
    pub(crate) fn hierarchy(&self, controller: &str) -> Option<&Hierarchy> {
        match self.layout {
            Layout::Unified => self.ours().next(),
            Layout::Legacy | Layout::Hybrid if controller.is_empty() => self.ours().find(|found| found.is_v2()),
            Layout::Legacy | Layout::Hybrid => self.ours().find(|found| found.has(controller)),
        }
    }

    /// The hierarchy that answers for all.
    pub(crate) fn main(&self) -> Option<&Hierarchy> {
        self.hierarchy("devices")
    }

    /// Opens the cgroup of a controller; `None` when it is not there.
    pub(crate) fn find_dir(&self, controller: &str) -> Result<Option<Dir>, CgroupError> {
        self.hierarchy(controller).map_or(Ok(None), Dir::find)
    }
}
