//! `delete`: the container's processes, cgroup and record go; then the poststop hooks run.

use std::time::{Duration, Instant};

use nexcage_backend::Target;
use nexcage_oci::{ContainerId, Status};
use nexcage_sys::pidfd::PidFd;
use nexcage_sys::procfs::ProcessIdentity;
use nexcage_sys::signals::Signal;

use crate::create::run_poststop;
use crate::error::Error;
use crate::lifecycle::Operation;
use crate::runtime::{Held, Runtime, container_of};
use crate::store::StoreError;

/// How a container is deleted.
#[derive(Debug, Clone, Copy, Default)]
pub struct DeleteOptions {
    /// Kill what runs, and take an unknown id for deleted.
    pub force: bool,
}

/// How long init may take to end after SIGKILL.
const KILL_WAIT: Duration = Duration::from_secs(10);

impl Runtime {
    /// Deletes a container.
    ///
    /// # Errors
    ///
    /// [`Error::Store`] with "does not exist" for an unknown id, unless forced; [`Error::Status`] for one that runs,
    /// unless forced.
    pub fn delete(&self, id: &str, options: DeleteOptions) -> Result<(), Error> {
        if !options.force {
            return self.destroy(self.hold(id, Operation::Delete)?);
        }
        let id = ContainerId::parse(id)?;
        self.end_whoever_creates(&id);
        match self.hold(id.as_ref(), Operation::ForceDelete) {
            Ok(held) => self.destroy(held),
            Err(Error::Store(StoreError::NotFound(_))) => self.sweep(&id),
            // A record that cannot be read names nothing that could be undone.
            Err(Error::Store(StoreError::Parse { .. })) => self.sweep(&id),
            Err(error) => Err(error),
        }
    }

    /// A creation that hangs, in a hook for instance, holds the lock: its processes end first.
    fn end_whoever_creates(&self, id: &ContainerId) {
        let Ok(record) = self.store.load(id) else { return };
        if record.status == Status::Creating && self.store.is_locked(id) && record.creator.is_alive() {
            // It may end by itself at any moment; what is left is destroyed below either way.
            drop(PidFd::open(record.creator.pid).and_then(|fd| fd.send_signal(Signal::KILL)));
            drop(record.cgroup.signal_all(Signal::KILL.as_raw()));
        }
    }

    /// Removes a directory that never got a record, or whose record nobody can read.
    fn sweep(&self, id: &ContainerId) -> Result<(), Error> {
        match self.store.lock(id) {
            Ok(locked) => match self.store.load(id) {
                Err(StoreError::NotFound(_) | StoreError::Parse { .. }) => Ok(locked.remove()?),
                Err(error) => Err(error.into()),
                // Another process created it meanwhile.
                Ok(record) => self.destroy(Held {
                    status: record.current_status(false),
                    record,
                    locked,
                }),
            },
            Err(StoreError::NotFound(_)) => Ok(()),
            Err(error) => Err(error.into()),
        }
    }

    /// Ends and removes a container under its lock.
    pub(crate) fn destroy(&self, held: Held) -> Result<(), Error> {
        let Held { locked, record, status } = held;
        let hooks = self.config_of(&record.id).ok().and_then(|spec| spec.hooks().clone());
        let container = container_of(&record, &locked.dir);
        if let Some(init) = &container.init {
            self.end_init(&record, init, status)?;
        }
        if record.cgroup.exists() {
            record
                .cgroup
                .signal_all(Signal::KILL.as_raw())
                .map_err(Error::cgroup("end the container's processes"))?;
        }
        // A creation that was interrupted may have made only some of the hierarchies.
        record.cgroup.remove().map_err(Error::cgroup("remove cgroup"))?;
        self.backend
            .delete(&container)
            .map_err(Error::backend("remove the backend's files"))?;
        locked.remove()?;
        run_poststop(hooks.as_ref(), &record, &record.bundle);
        Ok(())
    }

    fn end_init(&self, record: &crate::Record, init: &ProcessIdentity, status: Status) -> Result<(), Error> {
        let container = container_of(record, std::path::Path::new("/"));
        let gone = |error: &nexcage_backend::Error| matches!(error, nexcage_backend::Error::NotRunning);
        match self.backend.signal(&container, Signal::KILL, Target::Init) {
            Err(error) if !gone(&error) => return Err(Error::backend("end init")(error)),
            _ => {}
        }
        if status == Status::Paused {
            self.backend
                .resume(&container)
                .map_err(Error::backend("resume to end"))?;
        }
        wait_for_end(init)
    }
}

fn wait_for_end(init: &ProcessIdentity) -> Result<(), Error> {
    let Ok(pidfd) = PidFd::open(init.pid) else {
        return Ok(());
    };
    let deadline = Instant::now() + KILL_WAIT;
    while init.is_alive() {
        let left = deadline.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return Err(Error::StillRunning {
                seconds: KILL_WAIT.as_secs(),
            });
        }
        pidfd.poll_exit(Some(left)).map_err(|source| Error::File {
            step: "wait for the end of process",
            path: format!("/proc/{}", init.pid).into(),
            source,
        })?;
    }
    Ok(())
}
