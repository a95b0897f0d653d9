//! `create`: a planned, undoable sequence of steps around the backend.

use std::borrow::Cow;
use std::os::fd::BorrowedFd;
use std::path::{Path, PathBuf};

use nexcage_backend::{Console, Create, CriuOptions, KeyringUse, Process, Restore, RootChange, Supervisor};
use nexcage_cgroups::{Cgroup, Creation as CgroupCreation, Driver, Naming, Stage};
use nexcage_oci::bundle::Bundle;
use nexcage_oci::hooks::{self, HookOptions, HookStage};
use nexcage_oci::{ContainerId, Status};
use nexcage_sys::procfs::ProcessIdentity;
use nexcage_sys::signals::Signal;
use oci_spec::runtime::{Hooks, LinuxNamespaceType, LinuxResources, Spec};

use crate::error::Error;
use crate::notify::NotifySocket;
use crate::pidfile::PidfdOf;
use crate::record::Record;
use crate::runtime::Runtime;
use crate::store::Locked;
use crate::support;

/// How a container is created, besides its config.
#[derive(Debug)]
pub struct CreateOptions<'a> {
    /// Who names and makes cgroups.
    pub driver: Driver,
    /// Connected console socket; `None` when the container inherits the caller's descriptors.
    pub console: Option<BorrowedFd<'a>>,
    /// Descriptors above 2 to hand on.
    pub preserve_fds: u32,
    /// How the root changes.
    pub root_change: RootChange,
    /// The session keyring.
    pub keyring: KeyringUse,
    /// File that gets init's pid once the container is created.
    pub pid_file: Option<PathBuf>,
    /// Socket that gets init's pidfd once the container is created.
    pub pidfd_socket: Option<PathBuf>,
    /// Socket of whoever waits for the container to be ready: the value of `NOTIFY_SOCKET`.
    pub notify_socket: Option<PathBuf>,
}

/// How a container is restored, besides what a creation takes.
#[derive(Debug, Clone, Copy)]
pub struct RestoreOptions<'a> {
    /// What checkpoint and restore have in common.
    pub criu: CriuOptions<'a>,
    /// Bring TCP connections back closed.
    pub tcp_close: bool,
    /// LSM profile of the processes, `TYPE:NAME`.
    pub lsm_profile: Option<&'a str>,
    /// LSM context of the mounts.
    pub lsm_mount_context: Option<&'a str>,
}

impl<'a> RestoreOptions<'a> {
    pub(crate) fn request(&'a self, create: Create<'a>) -> Restore<'a> {
        Restore {
            create,
            criu: self.criu,
            tcp_close: self.tcp_close,
            lsm_profile: self.lsm_profile,
            lsm_mount_context: self.lsm_mount_context,
        }
    }
}

/// What a container is made from.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Origin<'a> {
    /// Its config alone.
    Config,
    /// The processes that a checkpoint saved.
    Images(&'a RestoreOptions<'a>),
}

impl Origin<'_> {
    /// What the container is once it is made.
    const fn status(self) -> Status {
        match self {
            Self::Config => Status::Created,
            Self::Images(_) => Status::Running,
        }
    }
}

/// What a creation goes by.
struct Plan<'a> {
    bundle: &'a Bundle,
    options: &'a CreateOptions<'a>,
    origin: Origin<'a>,
}

/// A container that is being created; dropping it undoes what was made.
struct Creation {
    locked: Option<Locked>,
    cgroup: Option<(Cgroup, CgroupCreation)>,
    pid_file: Option<PathBuf>,
}

impl Runtime {
    /// Creates a container from a loaded bundle.
    ///
    /// Returns its init, a child of this process that waits for [`Runtime::start`]. On error nothing is left.
    ///
    /// # Errors
    ///
    /// [`Error`], naming the step.
    pub fn create(&self, id: &str, bundle: &Bundle, options: &CreateOptions<'_>) -> Result<Process, Error> {
        self.make(id, bundle, options, Origin::Config)
    }

    /// Makes a container from its origin; on error nothing is left.
    pub(crate) fn make(
        &self,
        id: &str,
        bundle: &Bundle,
        options: &CreateOptions<'_>,
        origin: Origin<'_>,
    ) -> Result<Process, Error> {
        let id = ContainerId::parse(id)?;
        support::check(&bundle.spec, self.backend.as_ref())?;
        let cgroup = self.plan_cgroup(&id, &bundle.spec, options.driver)?;
        let mut record = self.record(id, bundle, cgroup, options.keyring)?;
        let locked = self.store.claim(&record.id)?;
        let mut creation = Creation {
            locked: Some(locked),
            cgroup: None,
            pid_file: None,
        };
        let plan = Plan {
            bundle,
            options,
            origin,
        };
        let outcome = self.build(&mut record, &plan, &mut creation);
        match outcome {
            Ok(process) => {
                creation.keep();
                Ok(process)
            }
            Err(error) => Err(creation.undo(error)),
        }
    }

    fn plan_cgroup(&self, id: &ContainerId, spec: &Spec, driver: Driver) -> Result<Cgroup, Error> {
        let linux = spec.linux().as_ref();
        let path = linux
            .and_then(|l| l.cgroups_path().as_ref())
            .map(|p| p.to_string_lossy().into_owned());
        let annotations = spec.annotations().clone().unwrap_or_default();
        let naming = Naming {
            id: id.as_ref(),
            cgroups_path: path.as_deref(),
            driver,
            rootless: self.rootless,
            annotations: &annotations,
        };
        let cgroup = Cgroup::plan(&naming).map_err(Error::cgroup("plan cgroup"))?;
        if let Some(resources) = linux.and_then(|l| l.resources().as_ref()) {
            cgroup.check(resources).map_err(Error::cgroup("check resources"))?;
        }
        Ok(cgroup)
    }

    fn record(&self, id: ContainerId, bundle: &Bundle, cgroup: Cgroup, keyring: KeyringUse) -> Result<Record, Error> {
        let creator = ProcessIdentity::of_self().map_err(|source| Error::File {
            step: "read own process status",
            path: PathBuf::from("/proc/self/stat"),
            source,
        })?;
        let namespaces = bundle.spec.linux().as_ref().and_then(|l| l.namespaces().as_ref());
        let own_pid_namespace = namespaces.into_iter().flatten().any(|ns| {
            ns.typ() == LinuxNamespaceType::Pid && ns.path().as_ref().is_none_or(|p| p.as_os_str().is_empty())
        });
        Ok(Record {
            record_version: Record::VERSION,
            oci_version: bundle.spec.version().clone(),
            id,
            status: Status::Creating,
            init: None,
            creator,
            bundle: bundle.path.clone(),
            rootfs: bundle.rootfs.clone(),
            created: humantime::format_rfc3339_nanos(std::time::SystemTime::now()).to_string(),
            owner: nexcage_sys::userns::euid(),
            annotations: bundle
                .spec
                .annotations()
                .clone()
                .unwrap_or_default()
                .into_iter()
                .collect(),
            cgroup,
            backend: self.backend.name().to_owned(),
            own_pid_namespace,
            own_keyring: keyring == KeyringUse::New,
            rootless: self.rootless,
            stdio: Vec::new(),
        })
    }

    fn build(&self, record: &mut Record, plan: &Plan<'_>, creation: &mut Creation) -> Result<Process, Error> {
        let Plan {
            bundle,
            options,
            origin,
        } = *plan;
        let Some(locked) = &creation.locked else {
            return Err(Error::Status("creation has no directory".to_owned()));
        };
        locked.save(record)?;
        locked.save_config(&bundle.config_raw)?;
        let (made, resources) = make_cgroup(record, &bundle.spec)?;
        let cgroup = record.cgroup.clone();
        creation.cgroup = Some((cgroup.clone(), made));
        // systemd makes the cgroup later.
        if !cgroup.needs_place() {
            cgroup
                .apply(&resources, Stage::BeforeInit)
                .map_err(Error::cgroup("apply limits"))?;
        }
        creation.pid_file.clone_from(&options.pid_file);
        let spec = with_notify_socket(&bundle.spec, options.notify_socket.as_deref(), &locked.dir)?;
        let state = record.oci_state(Status::Creating);
        let id = record.id.clone();
        let request = Create {
            id: &id,
            dir: &locked.dir,
            rootfs: &bundle.rootfs,
            spec: &spec,
            state: &state,
            cgroup: &cgroup,
            console: options.console.map_or(Console::Inherit, Console::Socket),
            preserve_fds: options.preserve_fds,
            root_change: options.root_change,
            keyring: options.keyring,
            rootless: self.rootless,
        };
        let hooks = bundle.spec.hooks().as_ref();
        let mut core = Core {
            record,
            locked,
            options,
            hooks,
            bundle: &bundle.path,
            resources: &resources,
            status: origin.status(),
            began: false,
        };
        let made = match origin {
            Origin::Config => self.backend.create(&request, &mut core).map_err(Error::Start),
            Origin::Images(images) => {
                let request = images.request(request);
                self.backend.restore(&request, &mut core).map_err(Error::Criu)
            }
        };
        if made.is_err() && core.began {
            run_poststop(hooks, core.record, &bundle.path);
        }
        made
    }
}

/// Makes the container's cgroup and returns its limits.
fn make_cgroup(record: &mut Record, spec: &Spec) -> Result<(CgroupCreation, LinuxResources), Error> {
    let made = record.cgroup.create().map_err(Error::cgroup("create cgroup"))?;
    // Also without limits: the rules for devices have a default.
    let resources = spec.linux().as_ref().and_then(|l| l.resources().clone());
    Ok((made, resources.unwrap_or_default()))
}

/// The config with the container's readiness socket, when somebody waits for it.
pub(crate) fn with_notify_socket<'a>(spec: &'a Spec, value: Option<&Path>, dir: &Path) -> Result<Cow<'a, Spec>, Error> {
    let Some(socket) = NotifySocket::new(value, dir) else {
        return Ok(Cow::Borrowed(spec));
    };
    let mut spec = spec.clone();
    socket.apply(&mut spec).map_err(Error::Notify)?;
    socket.make_folder().map_err(Error::Notify)?;
    Ok(Cow::Owned(spec))
}

impl Creation {
    fn keep(mut self) {
        self.cgroup = None;
        self.pid_file = None;
        self.locked = None;
    }

    /// Undoes every step; what cannot be undone is appended to the error.
    fn undo(mut self, error: Error) -> Error {
        let mut left = Vec::new();
        if let Some(path) = self.pid_file.take() {
            match std::fs::remove_file(&path) {
                Err(e) if e.kind() != std::io::ErrorKind::NotFound => left.push(format!("remove {path:?}: {e}")),
                _ => {}
            }
        }
        if let Some((cgroup, created)) = self.cgroup.take() {
            left.extend(
                cgroup
                    .signal_all(Signal::KILL.as_raw())
                    .err()
                    .map(|e| format!("end processes: {e}")),
            );
            left.extend(cgroup.remove().err().map(|e| format!("remove cgroup: {e}")));
            left.extend(created.undo().err().map(|e| format!("remove cgroup: {e}")));
        }
        if let Some(locked) = self.locked.take() {
            left.extend(locked.remove().err().map(|e| format!("remove state: {e}")));
        }
        for what in left {
            tracing::warn!(%what, "undo of a failed create is incomplete");
        }
        error
    }
}

/// The core's part in the creation.
struct Core<'a> {
    record: &'a mut Record,
    locked: &'a Locked,
    options: &'a CreateOptions<'a>,
    hooks: Option<&'a Hooks>,
    bundle: &'a Path,
    resources: &'a LinuxResources,
    /// What the container becomes when it is ready.
    status: Status,
    began: bool,
}

/// What a process's standard descriptors are; the null device for one that is closed.
fn stdio_of(pid: i32) -> Vec<String> {
    let name = |fd| {
        let found = std::fs::read_link(format!("/proc/{pid}/fd/{fd}"));
        found.map_or_else(
            |_closed| "/dev/null".to_owned(),
            |path| path.to_string_lossy().into_owned(),
        )
    };
    (0..3).map(name).collect()
}

impl Core<'_> {
    fn place(&mut self, pid: i32) -> Result<(), Error> {
        let cgroup = &mut self.record.cgroup;
        cgroup.place(pid).map_err(Error::cgroup("place in a systemd scope"))?;
        cgroup
            .apply(self.resources, Stage::BeforeInit)
            .map_err(Error::cgroup("apply limits"))?;
        Ok(self.locked.save(self.record)?)
    }

    fn publish(&mut self, process: &Process) -> Result<(), Error> {
        self.record
            .cgroup
            .apply(self.resources, Stage::AfterInit)
            .map_err(Error::cgroup("apply limits"))?;
        self.record.init = Some(ProcessIdentity::of(process.pid).map_err(|source| Error::File {
            step: "read process status",
            path: PathBuf::from(format!("/proc/{}/stat", process.pid)),
            source,
        })?);
        self.record.stdio = stdio_of(process.pid);
        self.record.status = self.status;
        self.locked.save(self.record)?;
        if let Some(path) = &self.options.pidfd_socket {
            crate::pidfile::send_pidfd(path, &process.pidfd, PidfdOf::Init).map_err(Error::PidfdSocket)?;
        }
        if let Some(path) = &self.options.pid_file {
            crate::pidfile::write(path, process.pid).map_err(Error::PidFile)?;
        }
        Ok(())
    }
}

impl Supervisor for Core<'_> {
    fn runtime_hooks(&mut self, pid: i32) -> Result<(), String> {
        self.began = true;
        let Some(hooks) = self.hooks else { return Ok(()) };
        let mut state = self.record.oci_state(Status::Creating);
        state.pid = pid;
        let options = HookOptions {
            cwd: Some(self.bundle),
            ..HookOptions::default()
        };
        for stage in [HookStage::Prestart, HookStage::CreateRuntime] {
            hooks::run(stage, stage.select(hooks), &state, &options).map_err(|e| crate::hooks_text(&e))?;
        }
        Ok(())
    }

    fn place(&mut self, pid: i32) -> Result<(), String> {
        Core::place(self, pid).map_err(|e| crate::chain(&e))
    }

    fn container_hooks(&mut self) {
        self.began = true;
    }

    fn ready(&mut self, process: &Process) -> Result<(), String> {
        self.publish(process).map_err(|e| crate::chain(&e))
    }
}

/// Runs the poststop hooks of a container that is gone; failures are warnings, and the rest still run.
pub(crate) fn run_poststop(hooks: Option<&Hooks>, record: &Record, bundle: &Path) {
    let Some(hooks) = hooks else { return };
    let state = record.oci_state(Status::Stopped);
    let options = HookOptions {
        cwd: Some(bundle),
        ..HookOptions::default()
    };
    for error in hooks::run_all(HookStage::Poststop, HookStage::Poststop.select(hooks), &state, &options) {
        tracing::warn!(container = %record.id, error = %crate::chain(&error), "poststop hook failed");
    }
}
