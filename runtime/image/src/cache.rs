//! Unpacked layers, one directory each, named by the digest of the uncompressed layer.
//!
//! `HEX` is a whole, verified layer. `HEX.part` is one that is being unpacked, by the holder of the lock on `HEX.lock`;
//! without a holder it is a leftover.

use std::fs::{self, DirBuilder, File};
use std::io;
use std::os::unix::fs::{DirBuilderExt as _, MetadataExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};
use std::time::Duration;

use nexcage_sys::lock::{FileLock, LockKind};
use nexcage_sys::userns;

use crate::digest::Digest;
use crate::found::Layer;
use crate::implied;
use crate::observer::Observer;
use crate::source::Source;
use crate::unpack::{self, Budget, LayerError, Privilege};

/// How often a lock that another process holds is looked at; in between the observer may stop the wait.
const LOOK_AGAIN: Duration = Duration::from_millis(50);

/// A layer that is not in the cache now.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum CacheError {
    /// A directory of the cache could not be made.
    #[error("make image cache {path:?}")]
    Make {
        /// The directory.
        path: PathBuf,
        /// The kernel's answer.
        source: io::Error,
    },
    /// Somebody else could change the layers.
    #[error("use image cache {path:?}: it must belong to this user, and be writable by nobody else")]
    Shared {
        /// The directory.
        path: PathBuf,
    },
    /// The cache could not be searched for leftovers.
    #[error("list image cache {path:?}")]
    List {
        /// The directory.
        path: PathBuf,
        /// The kernel's answer.
        source: io::Error,
    },
    /// The lock of a layer could not be taken.
    #[error("lock layer {layer}")]
    Lock {
        /// Its digest.
        layer: Digest,
        /// The kernel's answer.
        source: io::Error,
    },
    /// The observer stopped the wait for another process.
    #[error("wait for layer {layer}: stopped")]
    Stopped {
        /// Its digest.
        layer: Digest,
    },
    /// A leftover could not be removed.
    #[error("remove half unpacked layer {path:?}")]
    Remove {
        /// Its directory.
        path: PathBuf,
        /// The kernel's answer.
        source: io::Error,
    },
    /// The layer was not unpacked.
    #[error("layer {layer}{left}")]
    Layer {
        /// Its digest.
        layer: Digest,
        /// What could not be removed afterwards; mostly empty.
        left: String,
        /// Why.
        source: LayerError,
    },
    /// A list that belongs to the layer could not be written; the next run removes the layer.
    #[error(transparent)]
    Implied(implied::ImpliedError),
    /// The whole layer could not get its name.
    #[error("keep layer {layer}")]
    Keep {
        /// Its digest.
        layer: Digest,
        /// The kernel's answer.
        source: io::Error,
    },
}

/// The unpacked layers of one user.
#[derive(Debug)]
pub struct Cache {
    folder: PathBuf,
    privilege: Privilege,
}

/// Makes a directory that only this user can use, and checks one that is there.
///
/// # Errors
///
/// [`CacheError::Make`], [`CacheError::Shared`].
pub fn make_private(path: &Path) -> Result<(), CacheError> {
    let failed = |source| CacheError::Make {
        path: path.to_owned(),
        source,
    };
    DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(path)
        .map_err(failed)?;
    let meta = fs::symlink_metadata(path).map_err(failed)?;
    if !meta.is_dir() || meta.uid() != userns::euid() || meta.mode() & 0o022 != 0 {
        return Err(CacheError::Shared { path: path.to_owned() });
    }
    Ok(())
}

impl Cache {
    /// Opens the cache below a directory, and removes what killed processes have left there.
    ///
    /// * `data`: a directory of [`make_private`].
    /// * `privilege`: files of layers differ by it, so each has its own folder.
    ///
    /// # Errors
    ///
    /// [`CacheError`].
    pub fn open(data: &Path, privilege: Privilege) -> Result<Self, CacheError> {
        let folder = data.join(match privilege {
            Privilege::Node => "layers",
            Privilege::Mapped => "layers-userns",
            Privilege::Flat => "layers-flat",
        });
        make_private(&folder)?;
        let cache = Self { folder, privilege };
        cache.sweep()?;
        Ok(cache)
    }

    /// Whether a layer is unpacked already.
    pub(crate) fn holds(&self, layer: &Digest) -> bool {
        self.path(layer).is_dir()
    }

    /// Unpacks a layer unless it is there; another process that is at it is waited for.
    pub(crate) fn layer(
        &self,
        source: &Source,
        (layer, id): (&Layer, &Digest),
        budget: &mut Budget,
        observer: &mut dyn Observer,
    ) -> Result<PathBuf, CacheError> {
        let path = self.path(id);
        if self.holds(id) {
            return Ok(path);
        }
        let _lock = self.lock(id, observer)?;
        if self.holds(id) {
            return Ok(path);
        }
        let part = self.folder.join(format!("{}.part", id.hex()));
        remove(&part)?;
        make_layer_directory(&part)?;
        let unpacked = unpack::unpack(source, (layer, id), (&part, self.privilege), budget, observer);
        let implied = match unpacked {
            Ok(implied) => implied,
            Err(source) => {
                let left = remove(&part).err().map(|error| format!(" ({error} too)"));
                return Err(CacheError::Layer {
                    layer: id.clone(),
                    left: left.unwrap_or_default(),
                    source,
                });
            }
        };
        implied::write(&path, &implied).map_err(CacheError::Implied)?;
        keep(&part, &path).map_err(|source| CacheError::Keep {
            layer: id.clone(),
            source,
        })?;
        Ok(path)
    }

    fn path(&self, layer: &Digest) -> PathBuf {
        self.folder.join(layer.hex())
    }

    fn open_lock(&self, hex: &str) -> io::Result<File> {
        File::options()
            .create(true)
            .append(true)
            .open(self.folder.join(format!("{hex}.lock")))
    }

    fn lock(&self, id: &Digest, observer: &mut dyn Observer) -> Result<FileLock, CacheError> {
        let failed = |source| CacheError::Lock {
            layer: id.clone(),
            source,
        };
        loop {
            let file = self.open_lock(id.hex()).map_err(failed)?;
            if let Some(lock) = FileLock::try_lock(file, LockKind::Exclusive).map_err(failed)? {
                return Ok(lock);
            }
            if observer.is_stopped(LOOK_AGAIN) {
                return Err(CacheError::Stopped { layer: id.clone() });
            }
        }
    }

    fn sweep(&self) -> Result<(), CacheError> {
        let failed = |source| CacheError::List {
            path: self.folder.clone(),
            source,
        };
        for entry in fs::read_dir(&self.folder).map_err(failed)? {
            let name = entry.map_err(failed)?.file_name();
            let Some(id) = name
                .to_str()
                .and_then(|name| name.strip_suffix(".part"))
                .and_then(Digest::from_hex)
            else {
                continue;
            };
            let lock = self
                .open_lock(id.hex())
                .and_then(|file| FileLock::try_lock(file, LockKind::Exclusive));
            let lock = lock.map_err(|source| CacheError::Lock { layer: id, source })?;
            if lock.is_some() {
                remove(&self.folder.join(&name))?;
            }
        }
        Ok(())
    }
}

/// Makes the root of a layer; its mode is that of a root directory unless the layer says another.
fn make_layer_directory(part: &Path) -> Result<(), CacheError> {
    fs::create_dir(part)
        .and_then(|()| fs::set_permissions(part, fs::Permissions::from_mode(0o755)))
        .map_err(|source| CacheError::Make {
            path: part.to_owned(),
            source,
        })
}

fn remove(part: &Path) -> Result<(), CacheError> {
    match fs::remove_dir_all(part) {
        Err(source) if source.kind() != io::ErrorKind::NotFound => Err(CacheError::Remove {
            path: part.to_owned(),
            source,
        }),
        _ => Ok(()),
    }
}

/// Gives a verified layer its name. It is on the disk first: after a power loss nobody would verify it again.
fn keep(part: &Path, path: &Path) -> io::Result<()> {
    rustix::fs::syncfs(File::open(part)?)?;
    fs::rename(part, path)
}
