//! The directory of containers: one folder an id, its record written atomically, its lock the folder itself.

use std::fs::{self, DirBuilder, File};
use std::io;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};

use nexcage_oci::ContainerId;
use nexcage_sys::file::{self, Durability};
use nexcage_sys::lock::{FileLock, LockKind};

use crate::phrases;
use crate::record::Record;

const STATE_FILE: &str = "state.json";
const CONFIG_FILE: &str = "config.json";

/// A failed use of the state directory.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StoreError {
    /// No container has this id.
    #[error("container {0:?} does not exist")]
    NotFound(String),
    /// The id is taken.
    #[error("{}{hint}", phrases::EXISTS)]
    Exists {
        /// What to do about a leftover, empty for a live container.
        hint: String,
    },
    /// The root directory could not be made.
    #[error("make state directory {0:?}")]
    MakeRoot(PathBuf, #[source] io::Error),
    /// A container's directory could not be made.
    #[error("make container directory {0:?}")]
    MakeDir(PathBuf, #[source] io::Error),
    /// The lock could not be taken.
    #[error("lock container directory {0:?}")]
    Lock(PathBuf, #[source] io::Error),
    /// A file could not be read.
    #[error("read {0:?}")]
    Read(PathBuf, #[source] io::Error),
    /// A file could not be written.
    #[error("write {0:?}")]
    Write(PathBuf, #[source] file::FileError),
    /// A record could not be put into words.
    #[error("encode the record of {0:?}")]
    Encode(String, #[source] serde_json::Error),
    /// A record is not what this build wrote.
    #[error("parse {path:?}: remove the container with `nexcage delete --force {id}`")]
    Parse {
        /// The file.
        path: PathBuf,
        /// The id.
        id: String,
        /// The cause.
        source: serde_json::Error,
    },
    /// A directory could not be listed.
    #[error("list {0:?}")]
    List(PathBuf, #[source] io::Error),
    /// A directory could not be removed.
    #[error("remove {0:?}")]
    Remove(PathBuf, #[source] io::Error),
}

/// The containers below one root directory.
#[derive(Debug, Clone)]
pub struct Store {
    root: PathBuf,
}

/// A container's directory under its lock.
#[derive(Debug)]
pub(crate) struct Locked {
    pub(crate) dir: PathBuf,
    lock: FileLock,
}

impl Store {
    /// The store in `root`; nothing is made or read yet.
    pub fn new(root: PathBuf) -> Self {
        Self { root }
    }

    /// Directory of a container, whether it exists or not.
    pub(crate) fn dir(&self, id: &ContainerId) -> PathBuf {
        self.root.join(id.as_ref() as &str)
    }

    /// Makes a new container's directory and locks it.
    pub(crate) fn claim(&self, id: &ContainerId) -> Result<Locked, StoreError> {
        let root = |e| StoreError::MakeRoot(self.root.clone(), e);
        DirBuilder::new()
            .recursive(true)
            .mode(0o711)
            .create(&self.root)
            .map_err(root)?;
        let dir = self.dir(id);
        match DirBuilder::new().mode(0o711).create(&dir) {
            Ok(()) => self
                .lock_dir(dir.clone(), LockKind::Exclusive)
                .inspect_err(|_unlocked| {
                    // It is empty; a leftover would be named by the next creation.
                    fs::remove_dir(&dir).unwrap_or_default();
                }),
            Err(e) if e.kind() == io::ErrorKind::AlreadyExists => Err(self.exists(id)),
            Err(e) => Err(StoreError::MakeDir(dir, e)),
        }
    }

    /// Says what to do about the leftover of a creation that was killed.
    fn exists(&self, id: &ContainerId) -> StoreError {
        let interrupted = match self.load(id) {
            Ok(record) => record.status == nexcage_oci::Status::Creating && !self.is_locked(id),
            Err(_) => !self.is_locked(id),
        };
        let hint = if interrupted {
            format!(": its creation was interrupted, remove it with `nexcage delete --force {id}`")
        } else {
            String::new()
        };
        StoreError::Exists { hint }
    }

    /// Locks an existing container, waiting for whoever holds it.
    pub(crate) fn lock(&self, id: &ContainerId) -> Result<Locked, StoreError> {
        let dir = self.dir(id);
        let gone = |e: &io::Error| e.kind() == io::ErrorKind::NotFound;
        let locked = match self.lock_dir(dir.clone(), LockKind::Exclusive) {
            Err(StoreError::Lock(_, e)) if gone(&e) => return Err(StoreError::NotFound(id.to_string())),
            other => other?,
        };
        match fs::symlink_metadata(&dir) {
            Ok(_) => Ok(locked),
            // Its last holder removed it while this one waited.
            Err(e) if gone(&e) => Err(StoreError::NotFound(id.to_string())),
            Err(e) => Err(StoreError::Lock(dir, e)),
        }
    }

    /// Whether some runtime process works on the container now.
    pub(crate) fn is_locked(&self, id: &ContainerId) -> bool {
        let dir = self.dir(id);
        File::open(&dir).is_ok_and(|file| matches!(FileLock::try_lock(file, LockKind::Shared), Ok(None)))
    }

    fn lock_dir(&self, dir: PathBuf, kind: LockKind) -> Result<Locked, StoreError> {
        let lock = File::open(&dir)
            .and_then(|file| FileLock::lock(file, kind))
            .map_err(|e| StoreError::Lock(dir.clone(), e))?;
        Ok(Locked { dir, lock })
    }

    /// Reads a container's record.
    ///
    /// # Errors
    ///
    /// [`StoreError::NotFound`], or the step that failed.
    pub fn load(&self, id: &ContainerId) -> Result<Record, StoreError> {
        let path = self.dir(id).join(STATE_FILE);
        let bytes = match fs::read(&path) {
            Ok(bytes) => bytes,
            Err(e) if e.kind() == io::ErrorKind::NotFound => return Err(StoreError::NotFound(id.to_string())),
            Err(e) => return Err(StoreError::Read(path, e)),
        };
        serde_json::from_slice(&bytes).map_err(|source| StoreError::Parse {
            path,
            id: id.to_string(),
            source,
        })
    }

    /// The config that the container was created with.
    pub(crate) fn load_config(&self, id: &ContainerId) -> Result<Vec<u8>, StoreError> {
        let path = self.dir(id).join(CONFIG_FILE);
        fs::read(&path).map_err(|e| StoreError::Read(path, e))
    }

    /// Ids of all containers, sorted; other files in the root are passed over.
    ///
    /// # Errors
    ///
    /// [`StoreError::List`]. A root that does not exist holds no containers.
    pub fn ids(&self) -> Result<Vec<ContainerId>, StoreError> {
        let failed = |e| StoreError::List(self.root.clone(), e);
        let entries = match fs::read_dir(&self.root) {
            Ok(entries) => entries,
            Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
            Err(e) => return Err(failed(e)),
        };
        let mut ids = Vec::new();
        for entry in entries {
            let entry = entry.map_err(failed)?;
            if entry.file_type().is_ok_and(|t| t.is_dir()) {
                ids.extend(
                    entry
                        .file_name()
                        .to_str()
                        .and_then(|name| ContainerId::parse(name).ok()),
                );
            }
        }
        ids.sort_by(|a, b| (a.as_ref() as &str).cmp(b.as_ref()));
        Ok(ids)
    }
}

impl Locked {
    /// Replaces the record in one step: a reader sees the old or the new one.
    pub(crate) fn save(&self, record: &Record) -> Result<(), StoreError> {
        let path = self.dir.join(STATE_FILE);
        let bytes = serde_json::to_vec(record).map_err(|e| StoreError::Encode(record.id.to_string(), e))?;
        file::write_atomic(&path, &bytes, 0o600, Durability::Volatile).map_err(|e| StoreError::Write(path, e))
    }

    /// Keeps the config for later operations: the bundle may change.
    pub(crate) fn save_config(&self, raw: &[u8]) -> Result<(), StoreError> {
        let path = self.dir.join(CONFIG_FILE);
        file::write_atomic(&path, raw, 0o600, Durability::Volatile).map_err(|e| StoreError::Write(path, e))
    }

    /// Removes the container's directory; the lock goes with it.
    pub(crate) fn remove(self) -> Result<(), StoreError> {
        let Self { dir, lock } = self;
        match remove_dir(&dir) {
            Ok(()) => Ok(()),
            // The lock's descriptor may be the one that is missing.
            Err(_no_descriptor) => {
                drop(lock);
                remove_dir(&dir)
            }
        }
    }
}

fn remove_dir(dir: &Path) -> Result<(), StoreError> {
    match fs::remove_dir_all(dir) {
        Err(e) if e.kind() != io::ErrorKind::NotFound => Err(StoreError::Remove(dir.to_owned(), e)),
        _ => Ok(()),
    }
}
