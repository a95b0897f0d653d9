//! Making a container's cgroups in every hierarchy, and unmaking them.
//!
//! Owns the directories and the handing down of controllers. Sets no limit and moves no process.
use std::io;
use std::path::{Path, PathBuf};

use crate::cgroup::Cgroup;
use crate::dir::{Dir, is_gone, is_refusal};
use crate::error::CgroupError;
use crate::layout::Layout;
use crate::naming::{Driver, Hierarchy};

/// What [`Cgroup::create`] has made, so that it can be taken back.
#[derive(Debug, Default)]
#[must_use = "undo it when a later step does not succeed"]
pub struct Creation {
    /// Mount point and path below it, in the order of making.
    made: Vec<(PathBuf, PathBuf)>,
}

impl Creation {
    /// Removes what was made, innermost first; parents that were there before, and cgroups that somebody else has come
    /// to use meanwhile, stay.
    ///
    /// # Errors
    ///
    /// [`CgroupError::Remove`] for the first directory that stayed; the others have been tried too.
    pub fn undo(self) -> Result<(), CgroupError> {
        let mut first = Ok(());
        for (mount, path) in self.made.iter().rev() {
            let removed = Dir::open_mount(mount).and_then(|dir| {
                dir.remove(path).map_err(|source| CgroupError::Remove {
                    path: mount.join(path),
                    source,
                })
            });
            first = first.and(removed);
        }
        first
    }

    /// The directories that were made, absolute, in the order of making.
    pub fn made(&self) -> Vec<PathBuf> {
        self.made.iter().map(|(mount, path)| mount.join(path)).collect()
    }
}

impl Cgroup {
    /// Makes the container's cgroups in every hierarchy, with the controllers handed down to them.
    ///
    /// Parents that are missing are made too and stay after [`Cgroup::remove`], as with runc. For the systemd driver
    /// nothing is made here: systemd does it in [`Cgroup::place`].
    ///
    /// A rootless caller without a cgroupsPath may be refused: the record then says that the hierarchy is not ours,
    /// which is why it is changed; store it after this call.
    ///
    /// Returns what was made, for undo.
    ///
    /// # Errors
    ///
    /// * [`CgroupError::NotEmpty`], [`CgroupError::Frozen`]: the cgroup is there and in use.
    /// * [`CgroupError::Create`] and the errors of opening and writing. All that was made has been removed again.
    pub fn create(&mut self) -> Result<Creation, CgroupError> {
        if self.driver == Driver::Systemd {
            return Ok(Creation::default());
        }
        self.create_dirs()
    }

    /// Makes the directories, whatever the driver.
    pub(crate) fn create_dirs(&mut self) -> Result<Creation, CgroupError> {
        let mut creation = Creation::default();
        match self.make_all(&mut creation) {
            Ok(()) => Ok(creation),
            Err(error) => {
                if let Err(left) = creation.undo() {
                    tracing::warn!(error = %left, "cgroup left behind");
                }
                Err(error)
            }
        }
    }

    /// Makes each hierarchy's directories in turn.
    fn make_all(&mut self, creation: &mut Creation) -> Result<(), CgroupError> {
        let (layout, tolerates) = (self.layout, self.tolerates());
        let checks = self.driver == Driver::Cgroupfs;
        for index in 0..self.hierarchies.len() {
            let Some(hierarchy) = self.hierarchies.get(index).filter(|hierarchy| hierarchy.ours) else {
                continue;
            };
            let made = make(hierarchy, layout, creation);
            match made {
                Ok(made) => {
                    // As runc does, one hierarchy answers for all.
                    if checks && !made.fresh && (hierarchy.has("devices") || layout == Layout::Unified) {
                        check_empty(&made.dir)?;
                    }
                    if checks && !made.fresh {
                        check_thawed(&made.dir)?;
                    }
                    self.threaded |= made.threaded;
                    let refused = tolerates && !made.dir.may_write(procs_file(hierarchy));
                    self.keep(index, !refused);
                }
                Err(error) if tolerates && refusal(&error) => self.keep(index, false),
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    /// Records whether a hierarchy is ours.
    fn keep(&mut self, index: usize, ours: bool) {
        if let Some(hierarchy) = self.hierarchies.get_mut(index) {
            if !ours {
                tracing::debug!(path = ?hierarchy.full(), "cgroup not delegated, left alone");
            }
            hierarchy.ours = ours;
        }
    }
}

/// The file that takes a process: on v1 `tasks`, because `cgroup.procs` takes a lock that stalls an idle machine.
pub(crate) fn procs_file(hierarchy: &Hierarchy) -> &'static str {
    if hierarchy.is_v2() { "cgroup.procs" } else { "tasks" }
}

/// A directory that is now there.
struct Made {
    dir: Dir,
    /// Made by this call.
    fresh: bool,
    threaded: bool,
}

/// Makes a container's cgroup in one hierarchy.
fn make(hierarchy: &Hierarchy, layout: Layout, creation: &mut Creation) -> Result<Made, CgroupError> {
    let mount = Dir::open_mount(&hierarchy.mount)?;
    let hands_down = if layout == Layout::Unified {
        read_controllers(&mount)?
    } else {
        Vec::new()
    };
    let cpuset = hierarchy.has("cpuset");
    // Containers of one client share their parent, so the leaf is nearly always all that is missing.
    if layout != Layout::Unified
        && !cpuset
        && let Some(made) = make_leaf(&mount, hierarchy, creation)?
    {
        return Ok(made);
    }
    let mut made = Made {
        dir: mount,
        fresh: false,
        threaded: false,
    };
    let mut path = PathBuf::new();
    for name in &hierarchy.path {
        hand_down(&made.dir, &hands_down);
        path.push(name);
        let full = || hierarchy.mount.join(&path);
        let fresh = made
            .dir
            .make(Path::new(name))
            .map_err(|source| CgroupError::Create { path: full(), source })?;
        if fresh {
            creation.made.push((hierarchy.mount.clone(), path.clone()));
        }
        let child = made
            .dir
            .sub(Path::new(name))
            .map_err(|source| CgroupError::Open { path: full(), source })?;
        if cpuset {
            fill_cpuset(&made.dir, &child)?;
        }
        let threaded = layout == Layout::Unified && settle_type(&child);
        made = Made {
            dir: child,
            fresh,
            threaded,
        };
    }
    Ok(made)
}

/// Makes the leaf in one call; `None` when a parent is missing.
fn make_leaf(mount: &Dir, hierarchy: &Hierarchy, creation: &mut Creation) -> Result<Option<Made>, CgroupError> {
    let full = || hierarchy.full();
    let fresh = match mount.make(&hierarchy.path) {
        Err(error) if error.raw_os_error() == Some(libc::ENOENT) => return Ok(None),
        other => other.map_err(|source| CgroupError::Create { path: full(), source })?,
    };
    if fresh {
        creation.made.push((hierarchy.mount.clone(), hierarchy.path.clone()));
    }
    let dir = mount
        .sub(&hierarchy.path)
        .map_err(|source| CgroupError::Open { path: full(), source })?;
    Ok(Some(Made {
        dir,
        fresh,
        threaded: false,
    }))
}

/// The controllers that the top of the v2 hierarchy offers.
pub(crate) fn read_controllers(top: &Dir) -> Result<Vec<String>, CgroupError> {
    Ok(top
        .read("cgroup.controllers")?
        .split_whitespace()
        .map(str::to_owned)
        .collect())
}

/// Enables controllers for the children of a v2 cgroup, one by one where the kernel refuses them together.
///
/// Refusals are not errors here, as with runc: a limit whose controller is missing is refused with its own words.
fn hand_down(parent: &Dir, controllers: &[String]) {
    if controllers.is_empty() {
        return;
    }
    let file = "cgroup.subtree_control";
    let already = parent.try_read(file).unwrap_or_default();
    let missing: Vec<String> = controllers
        .iter()
        .filter(|name| !already.split_whitespace().any(|known| known == *name))
        .map(|name| format!("+{name}"))
        .collect();
    if missing.is_empty() || parent.try_write(file, &missing.join(" ")).is_ok() {
        return;
    }
    for one in missing {
        if let Err(error) = parent.try_write(file, &one) {
            tracing::debug!(cgroup = ?parent.path(), controller = one, %error, "controller not handed down");
        }
    }
}

/// Gives a new v2 cgroup a mode in which processes can enter it. Returns whether it is threaded.
fn settle_type(dir: &Dir) -> bool {
    let kind = dir.try_read("cgroup.type").unwrap_or_default();
    match kind.trim() {
        // Its parent holds processes of its own; threads-only controllers are all that is left.
        "domain invalid" => {
            if let Err(error) = dir.try_write("cgroup.type", "threaded") {
                tracing::debug!(cgroup = ?dir.path(), %error, "cgroup stays in an invalid state");
            }
            true
        }
        "threaded" | "domain threaded" => true,
        _ => false,
    }
}

/// Gives a v1 cpuset without cpus or memory nodes those of its parent: no process can enter an empty one.
fn fill_cpuset(parent: &Dir, child: &Dir) -> Result<(), CgroupError> {
    // A hierarchy mounted with noprefix has the same files without the controller's name.
    let files = if child.has("cpuset.cpus") {
        ["cpuset.cpus", "cpuset.mems"]
    } else {
        ["cpus", "mems"]
    };
    for file in files {
        if child.read(file)?.trim().is_empty() {
            child.write(file, parent.read(file)?.trim())?;
        }
    }
    Ok(())
}

/// Refuses a cgroup that holds processes.
fn check_empty(dir: &Dir) -> Result<(), CgroupError> {
    let count = match crate::procs::collect(dir) {
        Ok(pids) => pids.len(),
        Err(CgroupError::Read { source, .. }) if is_gone(&source) => 0,
        Err(error) => return Err(error),
    };
    if count > 0 {
        return Err(CgroupError::NotEmpty {
            path: dir.path().to_owned(),
            count,
        });
    }
    Ok(())
}

/// Refuses a frozen cgroup.
fn check_thawed(dir: &Dir) -> Result<(), CgroupError> {
    let frozen = |file: &str, word: &str| dir.try_read(file).is_ok_and(|text| text.trim() == word);
    if frozen("cgroup.freeze", "1") || frozen("freezer.self_freezing", "1") {
        return Err(CgroupError::Frozen {
            path: dir.path().to_owned(),
        });
    }
    Ok(())
}

/// Whether an error is a missing permission.
fn refusal(error: &CgroupError) -> bool {
    let source: Option<&io::Error> = match error {
        CgroupError::Create { source, .. }
        | CgroupError::Open { source, .. }
        | CgroupError::OpenMount { source, .. }
        | CgroupError::Write { source, .. } => Some(source),
        _ => None,
    };
    source.is_some_and(is_refusal)
}
