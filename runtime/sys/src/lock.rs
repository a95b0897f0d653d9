//! Advisory locks on open files.

use std::fs::File;
use std::io;
use std::os::fd::AsFd;

use rustix::fs::{FlockOperation, flock};

/// Who else may hold the lock.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LockKind {
    /// Nobody.
    Exclusive,
    /// Other shared holders.
    Shared,
}

/// A held `flock(2)`; dropping it releases the lock.
#[derive(Debug)]
pub struct FileLock(File);

impl FileLock {
    /// Takes the lock, waiting for its holders.
    ///
    /// # Errors
    ///
    /// The kernel's answer.
    pub fn lock(file: File, kind: LockKind) -> io::Result<Self> {
        let operation = match kind {
            LockKind::Exclusive => FlockOperation::LockExclusive,
            LockKind::Shared => FlockOperation::LockShared,
        };
        rustix::io::retry_on_intr(|| flock(file.as_fd(), operation))?;
        Ok(Self(file))
    }

    /// Takes the lock if nobody is in the way; `None` otherwise.
    ///
    /// # Errors
    ///
    /// The kernel's answer.
    pub fn try_lock(file: File, kind: LockKind) -> io::Result<Option<Self>> {
        let operation = match kind {
            LockKind::Exclusive => FlockOperation::NonBlockingLockExclusive,
            LockKind::Shared => FlockOperation::NonBlockingLockShared,
        };
        match flock(file.as_fd(), operation) {
            Ok(()) => Ok(Some(Self(file))),
            Err(e) if e == rustix::io::Errno::WOULDBLOCK => Ok(None),
            Err(e) => Err(e.into()),
        }
    }

    /// The locked file.
    pub fn file(&self) -> &File {
        &self.0
    }
}
