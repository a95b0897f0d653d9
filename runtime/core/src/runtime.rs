//! The composition of store and backend that every operation uses.

use nexcage_backend::{Backend, Container};
use nexcage_oci::{ContainerId, Status};

use crate::error::Error;
use crate::lifecycle::Operation;
use crate::record::{Record, Snapshot};
use crate::store::{Locked, Store};

/// Operates on the containers of one state directory.
pub struct Runtime {
    pub(crate) store: Store,
    pub(crate) backend: Box<dyn Backend>,
    pub(crate) rootless: bool,
}

/// A container under its lock.
pub(crate) struct Held {
    pub(crate) locked: Locked,
    pub(crate) record: Record,
    pub(crate) status: Status,
}

impl Runtime {
    /// A runtime on a store.
    ///
    /// * `rootless`: this process has no privileges over the node.
    pub fn new(store: Store, backend: Box<dyn Backend>, rootless: bool) -> Self {
        Self {
            store,
            backend,
            rootless,
        }
    }

    /// The container as it is now, without waiting for whoever works on it.
    ///
    /// # Errors
    ///
    /// [`Error::Id`], [`Error::Store`].
    pub fn snapshot(&self, id: &str) -> Result<Snapshot, Error> {
        let id = ContainerId::parse(id)?;
        let record = self.store.load(&id)?;
        let status = record.current_status(record.status == Status::Creating && self.store.is_locked(&id));
        Ok(Snapshot { record, status })
    }

    /// Every container, in the order of ids. A container whose record cannot be read is left out and named in the
    /// second list.
    ///
    /// # Errors
    ///
    /// [`Error::Store`] when the root cannot be listed.
    pub fn list(&self) -> Result<(Vec<Snapshot>, Vec<Error>), Error> {
        let mut found = Vec::new();
        let mut unreadable = Vec::new();
        for id in self.store.ids()? {
            match self.snapshot(id.as_ref()) {
                Ok(snapshot) => found.push(snapshot),
                // Removed between the listing and the reading.
                Err(Error::Store(crate::StoreError::NotFound(_))) => {}
                Err(error) => unreadable.push(error),
            }
        }
        Ok((found, unreadable))
    }

    /// Locks a container and checks that the operation is allowed.
    pub(crate) fn hold(&self, id: &str, operation: Operation) -> Result<Held, Error> {
        let id = ContainerId::parse(id)?;
        let locked = self.store.lock(&id)?;
        let record = self.store.load(&id)?;
        let status = record.current_status(false);
        operation.check(status, id.as_ref())?;
        Ok(Held { locked, record, status })
    }
}

impl Held {
    /// The container as the backend sees it.
    pub(crate) fn container(&self) -> Container<'_> {
        container_of(&self.record, &self.locked.dir)
    }
}

pub(crate) fn container_of<'a>(record: &'a Record, dir: &'a std::path::Path) -> Container<'a> {
    Container {
        id: &record.id,
        dir,
        bundle: &record.bundle,
        rootfs: &record.rootfs,
        init: record.init.filter(|init| init.is_alive()),
        cgroup: &record.cgroup,
    }
}
