//! Moving processes into a container's cgroups.
//!
//! Owns the writes to `tasks` and `cgroup.procs` and the rules of `exec --cgroup`.
use std::collections::BTreeMap;
use std::io;
use std::os::fd::OwnedFd;
use std::path::{Component, Path, PathBuf};
use std::time::Duration;

use crate::cgroup::Cgroup;
use crate::create::procs_file;
use crate::dir::{Dir, is_refusal};
use crate::error::CgroupError;
use crate::layout::{Layout, Own};
use crate::naming::{Driver, Hierarchy};
use crate::systemd;

/// How often a process that is still being born is tried again, and how long apart, as runc does.
const TRIES: u32 = 5;
const PAUSE: Duration = Duration::from_millis(30);

/// Where below the container's cgroups a process goes: `exec --cgroup`.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct SubCgroup {
    /// Relative path by controller; the empty name stands for all.
    paths: BTreeMap<String, String>,
}

impl SubCgroup {
    /// Parses the arguments of `exec --cgroup`.
    ///
    /// * `arguments`: each `PATH`, or on v1 `CONTROLLER[,CONTROLLER...]:PATH`; none means the container's own cgroup.
    ///
    /// # Errors
    ///
    /// [`CgroupError::SubArgument`]: an empty or repeated controller, or a path without one among several.
    pub fn parse(arguments: &[String]) -> Result<Self, CgroupError> {
        let mut paths = BTreeMap::new();
        for argument in arguments {
            let bad = |why: &str| CgroupError::SubArgument {
                argument: argument.clone(),
                why: why.to_owned(),
            };
            let Some((controllers, path)) = argument.split_once(':') else {
                if arguments.len() != 1 {
                    return Err(bad("missing <controller>: prefix"));
                }
                paths.insert(String::new(), argument.clone());
                continue;
            };
            for controller in controllers.split(',') {
                if controller.is_empty() {
                    return Err(bad("empty <controller> prefix"));
                }
                if paths.insert(controller.to_owned(), path.to_owned()).is_some() {
                    return Err(bad(&format!("controller {controller} specified multiple times")));
                }
            }
        }
        Ok(Self { paths })
    }

    /// Whether the process goes into the container's own cgroup.
    pub fn is_own(&self) -> bool {
        self.paths.values().all(|path| path.is_empty())
    }

    /// The sub-path for a hierarchy.
    fn path_in(&self, hierarchy: &Hierarchy) -> Result<PathBuf, CgroupError> {
        let named = hierarchy.controllers.iter().find_map(|name| self.paths.get(name));
        let text = named.or_else(|| self.paths.get("")).map_or("", String::as_str);
        below(text)
    }
}

/// Whether the calling process is in this cgroup of the v2 hierarchy.
fn is_caller_in(path: &Path) -> bool {
    let text = std::fs::read("/proc/self/cgroup").unwrap_or_default();
    Own::parse(&text)
        .v2()
        .is_some_and(|own| crate::layout::relative(own) == path)
}

/// A path that stays below its start.
fn below(text: &str) -> Result<PathBuf, CgroupError> {
    let mut path = PathBuf::new();
    for part in Path::new(text).components() {
        match part {
            Component::Normal(name) => path.push(name),
            Component::ParentDir if !path.pop() => return Err(CgroupError::SubPath { path: text.to_owned() }),
            _ => {}
        }
    }
    Ok(path)
}

/// Who is moved.
#[derive(Clone, Copy)]
enum Who {
    /// The calling thread, which is the whole process.
    Caller,
    /// Another process with all its threads.
    Pid(i32),
}

impl Who {
    /// The pid for messages and for systemd.
    fn pid(self) -> i32 {
        match self {
            Self::Caller => nix::unistd::getpid().as_raw(),
            Self::Pid(pid) => pid,
        }
    }

    /// Moves the process into an open cgroup.
    fn enter(self, dir: &Dir, hierarchy: &Hierarchy) -> io::Result<()> {
        match self {
            Self::Caller => dir.try_write(procs_file(hierarchy), "0"),
            Self::Pid(pid) => {
                let value = pid.to_string();
                for _ in 1..TRIES {
                    match dir.try_write("cgroup.procs", &value) {
                        Err(error) if error.raw_os_error() == Some(libc::EINVAL) => std::thread::sleep(PAUSE),
                        other => return other,
                    }
                }
                dir.try_write("cgroup.procs", &value)
            }
        }
    }
}

impl Cgroup {
    /// Moves the calling process into every hierarchy.
    ///
    /// The caller must have one thread: on v1 the thread moves by `tasks`, because the lock behind `cgroup.procs`
    /// stalls an idle machine for 6-15 ms. For the systemd driver, [`Cgroup::place`] must have made the unit; moving
    /// there again does no harm.
    ///
    /// # Errors
    ///
    /// [`CgroupError::Join`] and the errors of opening. A rootless caller that asked for no cgroup stays where it is.
    pub fn join(&self) -> Result<(), CgroupError> {
        self.enter_all(Who::Caller, &SubCgroup::default())
    }

    /// The version 2 directory in which the process that will join can be born, see `CLONE_INTO_CGROUP`: moving it there
    /// later takes a lock of the whole node.
    ///
    /// # Errors
    ///
    /// [`CgroupError::Open`].
    pub fn birthplace(&self) -> Result<Option<OwnedFd>, CgroupError> {
        let v2 = self.ours().find(|hierarchy| hierarchy.is_v2());
        let Some(hierarchy) = v2.filter(|_| self.unit.is_none() && !self.rootless) else {
            return Ok(None);
        };
        let path = hierarchy.full();
        match std::fs::File::open(&path) {
            Ok(dir) => Ok(Some(dir.into())),
            Err(source) => Err(CgroupError::Open { path, source }),
        }
    }

    /// Moves the calling process below the container's cgroups, for exec.
    ///
    /// * `sub`: where; the default is the container's own cgroup.
    /// * `init`: pid of the container's init. On v2 the process goes where init is when the container's own cgroup takes
    ///   no process, because it has controllers for children or init has left it.
    ///
    /// The caller must have one thread, as for [`Cgroup::join`].
    ///
    /// # Errors
    ///
    /// * [`CgroupError::SubPath`], [`CgroupError::SubController`]: nothing has been moved.
    /// * [`CgroupError::Join`] and the errors of opening; a rootless caller goes on without, as with runc.
    pub fn join_sub(&self, sub: &SubCgroup, init: Option<i32>) -> Result<(), CgroupError> {
        self.check_sub(sub)?;
        let Err(error) = self.enter_all(Who::Caller, sub) else {
            return Ok(());
        };
        if sub.is_own() && self.layout == Layout::Unified && init.is_some_and(|pid| self.enter_beside(pid)) {
            return Ok(());
        }
        if self.rootless {
            tracing::debug!(%error, "process stays outside the container's cgroup");
            return Ok(());
        }
        Err(error)
    }

    /// Moves another process, with all its threads, into every hierarchy.
    ///
    /// * `pid`: in the caller's pid namespace.
    ///
    /// # Errors
    ///
    /// As [`Cgroup::join`].
    pub fn add(&self, pid: i32) -> Result<(), CgroupError> {
        self.enter_all(Who::Pid(pid), &SubCgroup::default())
    }

    /// Refuses a sub-cgroup before anything is moved.
    fn check_sub(&self, sub: &SubCgroup) -> Result<(), CgroupError> {
        for (controller, path) in &sub.paths {
            below(path)?;
            if !controller.is_empty() && (self.layout == Layout::Unified || self.hierarchy(controller).is_none()) {
                return Err(CgroupError::SubController {
                    controller: controller.clone(),
                });
            }
        }
        Ok(())
    }

    /// Moves a process in each hierarchy in turn.
    fn enter_all(&self, who: Who, sub: &SubCgroup) -> Result<(), CgroupError> {
        for hierarchy in self.ours() {
            let path = sub.path_in(hierarchy)?;
            if matches!(who, Who::Caller) && hierarchy.is_v2() && is_caller_in(&hierarchy.path.join(&path)) {
                continue;
            }
            // systemd keeps the named hierarchy for itself.
            if self.driver == Driver::Systemd && hierarchy.has("name=systemd") && path.as_os_str().is_empty() {
                continue;
            }
            let dir = Dir::open(hierarchy)?;
            let full = || hierarchy.full().join(&path);
            let dir = dir
                .sub(&path)
                .map_err(|source| CgroupError::Open { path: full(), source })?;
            match who.enter(&dir, hierarchy) {
                Ok(()) => {}
                Err(error) if is_refusal(&error) && self.tolerates() && self.unit.is_none() => {
                    tracing::debug!(cgroup = ?dir.path(), %error, "cgroup not joined");
                }
                Err(error) if is_refusal(&error) && hierarchy.is_v2() && self.unit.is_some() => {
                    self.attach(who.pid(), &path)?;
                }
                Err(source) => {
                    return Err(CgroupError::Join {
                        pid: who.pid(),
                        path: full(),
                        source,
                    });
                }
            }
        }
        Ok(())
    }

    /// Lets systemd move a process that the kernel does not let us move.
    fn attach(&self, pid: i32, sub: &Path) -> Result<(), CgroupError> {
        self.unit
            .as_ref()
            .map_or(Ok(()), |unit| systemd::attach(unit, self.rootless, sub, pid))
    }

    /// Moves the caller into the v2 cgroup where a process is. Returns whether that worked.
    fn enter_beside(&self, pid: i32) -> bool {
        let Some(hierarchy) = self.hierarchies.first() else {
            return false;
        };
        let Ok(text) = std::fs::read(format!("/proc/{pid}/cgroup")) else {
            return false;
        };
        let own = Own::parse(&text);
        let Some(path) = own.v2() else { return false };
        let entered = Dir::open_mount(&hierarchy.mount)
            .ok()
            .and_then(|mount| mount.sub(&crate::layout::relative(path)).ok())
            .is_some_and(|dir| Who::Caller.enter(&dir, hierarchy).is_ok());
        tracing::debug!(cgroup = ?path, entered, "container's own cgroup takes no process, tried that of its init");
        entered
    }
}
