//! A container's cgroup: what is remembered of it, its making and its end.

use std::collections::BTreeMap;
use std::fs::{self, DirBuilder, File};
use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use oci_spec::runtime::LinuxResources;
use serde::{Deserialize, Serialize};

use crate::error::Error;
use crate::hierarchy::{self, Hierarchy, Layout};
use crate::naming::{self, Driver, Naming, Unit};
use crate::{devices, limits_v1, limits_v2, systemd, write};

/// A container's cgroup in every hierarchy. It is part of the container's record.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Cgroup {
    pub(crate) layout: Layout,
    pub(crate) nodes: Vec<Node>,
    pub(crate) unit: Option<Unit>,
    /// `org.systemd.property.*` annotations.
    #[serde(default)]
    pub(crate) properties: BTreeMap<String, String>,
    pub(crate) rootless: bool,
}

/// The cgroup in one hierarchy.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Node {
    /// Controllers; empty for version 2.
    pub(crate) controllers: Vec<String>,
    /// Mount point of the hierarchy.
    pub(crate) mount: PathBuf,
    /// Absolute path of the cgroup.
    pub(crate) path: PathBuf,
}

impl Node {
    pub(crate) fn is_v2(&self) -> bool {
        self.controllers.is_empty()
    }
}

/// When limits are applied.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stage {
    /// Before init exists: everything but the number of processes.
    BeforeInit,
    /// Once init is complete: the number of processes, so that those that build the container do not count.
    AfterInit,
}

/// A cgroup below the container's, for `exec`.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct SubCgroup {
    /// Path by controller.
    pub by_controller: BTreeMap<String, PathBuf>,
    /// Path for all others.
    pub for_all: Option<PathBuf>,
}

/// One hierarchy as a container sees it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct View {
    /// Folder below `/sys/fs/cgroup`.
    pub name: String,
    /// The container's cgroup on the node.
    pub path: PathBuf,
    /// Other names of it: controllers that are mounted together.
    pub aliases: Vec<String>,
}

/// The directories that a creation made, in order.
#[derive(Debug, Default)]
pub struct Creation {
    made: Vec<PathBuf>,
}

impl Creation {
    /// Removes what was made, the last first. What is in use stays.
    pub fn undo(self) {
        for path in self.made.iter().rev() {
            if let Err(error) = fs::remove_dir(path)
                && error.kind() != io::ErrorKind::NotFound
            {
                tracing::warn!(path = %path.display(), %error, "cgroup left behind");
            }
        }
    }
}

impl Cgroup {
    /// Decides where a container's cgroup is. Reads the kernel's tables, writes nothing.
    ///
    /// # Errors
    ///
    /// [`Error::ReadTable`], [`Error::NotMounted`], [`Error::Path`].
    pub fn plan(naming: &Naming<'_>) -> Result<Self, Error> {
        let (layout, hierarchies) = hierarchy::read()?;
        Self::plan_in(naming, layout, hierarchies)
    }

    pub(crate) fn plan_in(naming: &Naming<'_>, layout: Layout, found: Vec<Hierarchy>) -> Result<Self, Error> {
        let unit = match naming.driver {
            Driver::Cgroupfs => {
                if naming
                    .cgroups_path
                    .is_some_and(|p| p.split(':').count() == 3 && !p.contains('/'))
                {
                    let path = naming.cgroups_path.unwrap_or_default().to_owned();
                    return Err(Error::Path {
                        path,
                        fix: "use --systemd-cgroup, or a path of the cgroup file system",
                    });
                }
                None
            }
            Driver::Systemd if layout != Layout::Unified => {
                let path = naming.cgroups_path.unwrap_or_default().to_owned();
                return Err(Error::Path {
                    path,
                    fix: "the systemd driver needs cgroup v2: leave out --systemd-cgroup",
                });
            }
            Driver::Systemd => Some(Unit::parse(naming)?),
        };
        let nodes = found.into_iter().map(|h| {
            let below = match &unit {
                Some(unit) => systemd::manager_root(&h.own, naming.rootless).join(unit.path()),
                None => naming::cgroupfs_path(naming, &h.own),
            };
            Node {
                path: h.mount.join(below),
                controllers: h.controllers,
                mount: h.mount,
            }
        });
        let properties = naming
            .annotations
            .iter()
            .filter_map(|(k, v)| Some((k.strip_prefix("org.systemd.property.")?.to_owned(), v.clone())))
            .collect();
        Ok(Self {
            layout,
            nodes: nodes.collect(),
            unit,
            properties,
            rootless: naming.rootless,
        })
    }

    /// What is mounted on the node.
    pub fn layout(&self) -> Layout {
        self.layout
    }

    /// Path of the cgroup in the hierarchy of a controller; on v2 it is the same for all.
    pub fn path_of(&self, controller: &str) -> Option<&Path> {
        let v1 = self
            .nodes
            .iter()
            .find(|n| n.controllers.iter().any(|c| c == controller));
        let node = match self.layout {
            Layout::Unified => self.nodes.first(),
            Layout::Legacy | Layout::Hybrid => v1,
        };
        node.map(|n| n.path.as_path())
    }

    /// The hierarchies as the container is to see them on v1.
    pub fn views(&self) -> Vec<View> {
        let v1 = self.nodes.iter().filter(|n| !n.is_v2());
        v1.map(|node| {
            let name = Hierarchy {
                controllers: vec![],
                mount: node.mount.clone(),
                own: PathBuf::new(),
            }
            .view_name();
            let aliases = node
                .controllers
                .iter()
                .filter(|c| **c != name && !c.starts_with("name="))
                .cloned()
                .collect();
            View {
                name,
                path: node.path.clone(),
                aliases,
            }
        })
        .collect()
    }

    /// Checks limits before anything is made.
    ///
    /// # Errors
    ///
    /// [`Error::UnifiedOnV1`], [`Error::NoController`], [`Error::Value`].
    pub fn check(&self, resources: &LinuxResources) -> Result<(), Error> {
        match self.layout {
            Layout::Unified => limits_v2::check(self, resources),
            Layout::Legacy | Layout::Hybrid => limits_v1::check(self, resources),
        }
    }

    /// Makes the cgroup in every hierarchy.
    ///
    /// Without privileges, hierarchies that refuse are passed over, as runc does; limits on them then fail.
    ///
    /// # Errors
    ///
    /// [`Error::Make`]; what was made is removed.
    pub fn create(&self) -> Result<Creation, Error> {
        let mut creation = Creation::default();
        if self.unit.is_some() {
            return Ok(creation);
        }
        for node in &self.nodes {
            match make(node, &mut creation.made) {
                Err(Error::Make { source, .. }) if self.rootless && is_refusal(&source) => {}
                Err(error) => {
                    creation.undo();
                    return Err(error);
                }
                Ok(()) => {}
            }
        }
        Ok(creation)
    }

    /// Applies limits.
    ///
    /// # Errors
    ///
    /// [`Error::Write`] naming the file; [`Error::Devices`]; [`Error::NotDelegated`].
    pub fn apply(&self, resources: &LinuxResources, stage: Stage) -> Result<(), Error> {
        let outcome = match (self.layout, stage) {
            (Layout::Unified, Stage::BeforeInit) if self.unit.is_some() => Ok(()),
            (Layout::Unified, Stage::AfterInit) if self.unit.is_some() => self.apply_unit(resources),
            (Layout::Unified, stage) => limits_v2::apply(self, resources, stage),
            (_, stage) => limits_v1::apply(self, resources, stage),
        };
        outcome
            .and_then(|()| self.apply_devices(resources, stage))
            .map_err(|error| self.explain(error))
    }

    /// The scope exists once init was placed in it: everything is applied then.
    fn apply_unit(&self, resources: &LinuxResources) -> Result<(), Error> {
        systemd::set_limits(self, resources)?;
        limits_v2::apply(self, resources, Stage::BeforeInit)?;
        limits_v2::apply(self, resources, Stage::AfterInit)
    }

    fn apply_devices(&self, resources: &LinuxResources, stage: Stage) -> Result<(), Error> {
        let now = if self.unit.is_some() {
            Stage::AfterInit
        } else {
            Stage::BeforeInit
        };
        if stage != now || self.rootless {
            Ok(())
        } else {
            devices::apply(self, resources)
        }
    }

    /// Changes limits of a running container; zero and absent values are left alone.
    ///
    /// # Errors
    ///
    /// As [`Cgroup::apply`].
    pub fn update(&self, resources: &LinuxResources) -> Result<(), Error> {
        if self.unit.is_some() {
            systemd::set_limits(self, resources)?;
        }
        for stage in [Stage::BeforeInit, Stage::AfterInit] {
            match self.layout {
                Layout::Unified => limits_v2::apply(self, resources, stage),
                Layout::Legacy | Layout::Hybrid => limits_v1::apply(self, resources, stage),
            }
            .map_err(|error| self.explain(error))?;
        }
        Ok(())
    }

    fn explain(&self, error: Error) -> Error {
        match error {
            Error::Write { path, source, .. }
                if self.rootless && (is_refusal(&source) || source.kind() == io::ErrorKind::NotFound) =>
            {
                Error::NotDelegated {
                    path: path.parent().unwrap_or(&path).to_owned(),
                }
            }
            other => other,
        }
    }

    /// Whether the cgroup is made by placing a process in a systemd scope.
    pub fn needs_place(&self) -> bool {
        self.unit.is_some()
    }

    /// Has systemd make the scope around a process.
    ///
    /// # Errors
    ///
    /// [`Error::Systemd`].
    pub fn place(&self, pid: i32) -> Result<(), Error> {
        systemd::place(self, pid)
    }

    /// Moves the calling process, which has one thread, into the cgroup.
    ///
    /// On v1 a thread moves itself through `tasks`: `cgroup.procs` takes a lock of the whole node there.
    ///
    /// # Errors
    ///
    /// [`Error::Write`].
    pub fn join(&self) -> Result<(), Error> {
        self.nodes.iter().try_for_each(|node| self.join_path(node, &node.path))
    }

    fn join_path(&self, node: &Node, path: &Path) -> Result<(), Error> {
        let file = path.join(if node.is_v2() { "cgroup.procs" } else { "tasks" });
        match write::write(&file, "0") {
            Err(Error::Write { source, .. })
                if self.rootless && (is_refusal(&source) || source.kind() == io::ErrorKind::NotFound) =>
            {
                Ok(())
            }
            other => other,
        }
    }

    /// Moves the calling process into a cgroup below the container's.
    ///
    /// # Errors
    ///
    /// [`Error::SubCgroup`] naming the path.
    pub fn join_sub(&self, sub: &SubCgroup) -> Result<(), Error> {
        for node in &self.nodes {
            let named = node.controllers.iter().find_map(|c| sub.by_controller.get(c));
            let Some(below) = named.or(sub.for_all.as_ref()) else {
                continue;
            };
            let path = node.path.join(naming::clean(below));
            self.join_path(node, &path).map_err(|error| match error {
                Error::Write { source, .. } => Error::SubCgroup {
                    path,
                    controller: node.controllers.join(","),
                    source,
                },
                other => other,
            })?;
        }
        Ok(())
    }

    /// The v2 directory in which a process can be cloned directly, where that saves the move.
    ///
    /// # Errors
    ///
    /// [`Error::Read`].
    pub fn clone_into_fd(&self) -> Result<Option<OwnedFd>, Error> {
        if self.layout != Layout::Unified || self.unit.is_some() || self.rootless {
            return Ok(None);
        }
        let Some(node) = self.nodes.first() else {
            return Ok(None);
        };
        let opened = File::open(&node.path).map_err(|source| Error::Read {
            path: node.path.clone(),
            source,
        })?;
        Ok(Some(opened.into()))
    }

    /// Whether any directory of it exists.
    pub fn exists(&self) -> bool {
        self.nodes.iter().any(|node| node.path.is_dir())
    }

    /// Removes the cgroup and those below it. Idempotent; waits for processes that are ending.
    ///
    /// # Errors
    ///
    /// [`Error::Remove`] when it stays in use.
    pub fn remove(&self) -> Result<(), Error> {
        systemd::stop(self);
        let deadline = Instant::now() + Duration::from_secs(10);
        for node in &self.nodes {
            match remove_tree(&node.path, deadline) {
                Err(Error::Remove { source, .. }) if self.rootless && is_refusal(&source) => {}
                other => other?,
            }
        }
        Ok(())
    }
}

fn is_refusal(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::PermissionDenied | io::ErrorKind::ReadOnlyFilesystem
    )
}

/// Makes a node's directory and what is missing above it.
fn make(node: &Node, made: &mut Vec<PathBuf>) -> Result<(), Error> {
    let below = node.path.strip_prefix(&node.mount).unwrap_or(&node.path);
    let mut path = node.mount.clone();
    let is_cpuset = node.controllers.iter().any(|c| c == "cpuset");
    for component in below.components() {
        let parent = path.clone();
        path.push(component);
        if node.is_v2() {
            limits_v2::enable_controllers(&parent);
        }
        match DirBuilder::new().mode(0o755).create(&path) {
            Ok(()) => made.push(path.clone()),
            Err(e) if e.kind() == io::ErrorKind::AlreadyExists => {}
            Err(source) => return Err(Error::Make { path, source }),
        }
        if is_cpuset {
            limits_v1::inherit_cpuset(&parent, &path)?;
        }
    }
    Ok(())
}

fn remove_tree(path: &Path, deadline: Instant) -> Result<(), Error> {
    let mut pause = Duration::from_micros(200);
    loop {
        let source = match fs::remove_dir(path) {
            Ok(()) => return Ok(()),
            Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(()),
            Err(e) => e,
        };
        for child in children(path) {
            remove_tree(&child, deadline)?;
        }
        let busy = matches!(
            source.kind(),
            io::ErrorKind::ResourceBusy | io::ErrorKind::DirectoryNotEmpty
        );
        if !busy || Instant::now() >= deadline {
            return Err(Error::Remove {
                path: path.to_owned(),
                source,
            });
        }
        // The kernel tells nobody when the last ending process has left.
        std::thread::sleep(pause);
        pause = (pause * 2).min(Duration::from_millis(50));
    }
}

/// Cgroups directly below one.
pub(crate) fn children(path: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(path).into_iter().flatten().flatten();
    entries
        .filter(|e| e.file_type().is_ok_and(|t| t.is_dir()))
        .map(|e| e.path())
        .collect()
}
