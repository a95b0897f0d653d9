//! `kill`, `pause`, `resume`, `update`, `ps`, statistics: short operations on a container that exists.

use nexcage_backend::Target;
use nexcage_cgroups::{OomWatch, Stats};
use nexcage_oci::{ContainerId, Status};
use nexcage_sys::signals::Signal;
use oci_spec::runtime::{LinuxResources, Spec};

use crate::error::Error;
use crate::lifecycle::Operation;
use crate::phrases;
use crate::runtime::Runtime;

impl Runtime {
    /// Sends a signal to a container's init, or to all of its processes.
    ///
    /// A container without a pid namespace of its own has processes that outlive init: `all` reaches them even then.
    ///
    /// # Errors
    ///
    /// [`Error::Status`] with "container not running".
    pub fn kill(&self, id: &str, signal: Signal, target: Target) -> Result<(), Error> {
        let snapshot = self.snapshot(id)?;
        let operation = if target == Target::All {
            Operation::KillAll
        } else {
            Operation::Kill
        };
        operation.check(snapshot.status, id)?;
        let dir = self.store.dir(&snapshot.record.id);
        let container = crate::runtime::container_of(&snapshot.record, &dir);
        let record = &snapshot.record;
        let everyone_of_init = target == Target::Init
            && signal == Signal::KILL
            && !record.own_pid_namespace
            && record.cgroup.is_configured();
        let reach = if everyone_of_init { Target::All } else { target };
        self.backend
            .signal(&container, signal, reach)
            .map_err(Error::backend("send signal"))?;
        if signal == Signal::KILL && snapshot.status == Status::Paused {
            // A frozen v1 cgroup keeps even SIGKILL waiting.
            self.backend
                .resume(&container)
                .map_err(Error::backend("resume to end"))?;
        }
        Ok(())
    }

    /// Pauses a container.
    ///
    /// # Errors
    ///
    /// [`Error::Status`], [`Error::Backend`].
    pub fn pause(&self, id: &str) -> Result<(), Error> {
        let held = self.hold(id, Operation::Pause)?;
        self.backend.pause(&held.container()).map_err(Error::backend("pause"))
    }

    /// Resumes a paused container.
    ///
    /// # Errors
    ///
    /// [`Error::Status`] with "container not paused", [`Error::Backend`].
    pub fn resume(&self, id: &str) -> Result<(), Error> {
        let held = self.hold(id, Operation::Resume)?;
        self.backend.resume(&held.container()).map_err(Error::backend("resume"))
    }

    /// Changes resource limits.
    ///
    /// # Errors
    ///
    /// [`Error::Status`], [`Error::Cgroup`] for a limit that cannot be, [`Error::Backend`].
    pub fn update(&self, id: &str, resources: &LinuxResources) -> Result<(), Error> {
        let held = self.hold(id, Operation::Update)?;
        held.record
            .cgroup
            .check(resources)
            .map_err(Error::cgroup("check resources"))?;
        self.backend
            .update(&held.container(), resources)
            .map_err(Error::backend("update"))
    }

    /// Ids of the container's processes, in the caller's pid namespace.
    ///
    /// # Errors
    ///
    /// [`Error::Status`], [`Error::Cgroup`].
    pub fn processes(&self, id: &str) -> Result<Vec<i32>, Error> {
        let snapshot = self.snapshot(id)?;
        Operation::Ps.check(snapshot.status, id)?;
        snapshot.record.cgroup.pids().map_err(Error::cgroup("list processes"))
    }

    /// Usage counters.
    ///
    /// # Errors
    ///
    /// [`Error::Status`] with "container not running", [`Error::Backend`].
    pub fn stats(&self, id: &str) -> Result<Stats, Error> {
        let snapshot = self.snapshot(id)?;
        Operation::Events.check(snapshot.status, id)?;
        let dir = self.store.dir(&snapshot.record.id);
        let container = crate::runtime::container_of(&snapshot.record, &dir);
        self.backend
            .stats(&container)
            .map_err(Error::backend("read statistics"))
    }

    /// A watch on the container's out-of-memory kills.
    ///
    /// # Errors
    ///
    /// [`Error::Status`], [`Error::Cgroup`].
    pub fn watch_oom(&self, id: &str) -> Result<OomWatch, Error> {
        let snapshot = self.snapshot(id)?;
        Operation::Events.check(snapshot.status, id)?;
        snapshot
            .record
            .cgroup
            .oom_watch()
            .map_err(Error::cgroup("watch out-of-memory kills"))
    }

    /// The config that the container was created with.
    pub(crate) fn config_of(&self, id: &ContainerId) -> Result<Spec, Error> {
        let raw = self.store.load_config(id)?;
        nexcage_oci::bundle::parse(&raw)
            .map(|parsed| parsed.value)
            .map_err(|e| Error::Bundle(crate::chain(&e)))
    }

    /// Refuses when the container has no live init.
    pub(crate) fn not_running() -> Error {
        Error::Status(phrases::NOT_RUNNING.to_owned())
    }
}
