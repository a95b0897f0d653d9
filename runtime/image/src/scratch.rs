//! Temporary bundles: directories that live as long as the process that made them.
//!
//! Each is locked by its maker. One without a holder is a leftover of a killed process.

use std::fs::{self, DirBuilder, File};
use std::io::{self, Read as _};
use std::os::unix::fs::DirBuilderExt as _;
use std::path::{Path, PathBuf};

use nexcage_sys::lock::{FileLock, LockKind};

use crate::cache::{CacheError, make_private};

const FOLDER: &str = "bundles";

/// A temporary bundle that was not made, or not removed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ScratchError {
    /// The folder of bundles cannot be used.
    #[error(transparent)]
    Folder(#[from] CacheError),
    /// A step on the folder failed.
    #[error("{step} {path:?}")]
    Step {
        /// The step.
        step: &'static str,
        /// The file or directory.
        path: PathBuf,
        /// The kernel's answer.
        source: io::Error,
    },
}

fn step<'a>(step: &'static str, path: &'a Path) -> impl Fn(io::Error) -> ScratchError + 'a {
    move |source| ScratchError::Step {
        step,
        path: path.to_owned(),
        source,
    }
}

/// A temporary bundle; dropping it removes it.
#[derive(Debug)]
pub struct Scratch {
    path: PathBuf,
    id: String,
    lock: Option<FileLock>,
}

impl Scratch {
    /// Makes a bundle directory below `data`, after it has removed leftovers.
    ///
    /// * `data`: a directory of [`make_private`].
    /// * `may_remove`: asked for each leftover; `false` leaves it, since something still uses it.
    ///
    /// # Errors
    ///
    /// [`ScratchError`].
    pub fn make(data: &Path, may_remove: impl Fn(&Path) -> bool) -> Result<Self, ScratchError> {
        let folder = data.join(FOLDER);
        make_private(&folder)?;
        // Nobody else makes or judges a bundle meanwhile: one that is made, but not locked yet, is no leftover.
        let _folder_lock = File::open(&folder)
            .and_then(|file| FileLock::lock(file, LockKind::Exclusive))
            .map_err(step("lock", &folder))?;
        sweep(&folder, may_remove)?;
        let id = random_id().map_err(step("read random bytes for a name in", &folder))?;
        let path = folder.join(&id);
        DirBuilder::new()
            .mode(0o700)
            .create(&path)
            .map_err(step("make bundle", &path))?;
        let mut scratch = Self { path, id, lock: None };
        let lock = File::open(&scratch.path).and_then(|file| FileLock::try_lock(file, LockKind::Exclusive));
        scratch.lock = lock.map_err(step("lock bundle", &scratch.path))?;
        Ok(scratch)
    }

    /// The directory: only this user can enter it.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// A random name that no other bundle has; good as a container's id.
    #[must_use]
    pub fn id(&self) -> &str {
        &self.id
    }

    /// Removes the directory, and says when that fails.
    ///
    /// # Errors
    ///
    /// [`ScratchError::Step`].
    pub fn close(mut self) -> Result<(), ScratchError> {
        let _held = self.lock.take();
        remove(&self.path)
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let held = self.lock.take();
        if held.is_some() {
            // The error that led here is the one to report; the next run removes what is left.
            let _is_removed = remove(&self.path).is_ok();
        }
    }
}

fn sweep(folder: &Path, may_remove: impl Fn(&Path) -> bool) -> Result<(), ScratchError> {
    for entry in fs::read_dir(folder).map_err(step("list", folder))? {
        let path = entry.map_err(step("list", folder))?.path();
        let lock = match File::open(&path) {
            Ok(file) => FileLock::try_lock(file, LockKind::Exclusive),
            // Its maker has just removed it.
            Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
            Err(error) => Err(error),
        };
        if lock.map_err(step("lock bundle", &path))?.is_some() && may_remove(&path) {
            remove(&path)?;
        }
    }
    Ok(())
}

fn remove(path: &Path) -> Result<(), ScratchError> {
    match fs::remove_dir_all(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(step("remove bundle", path)(error)),
        _ => Ok(()),
    }
}

fn random_id() -> io::Result<String> {
    let mut bytes = [0; 8];
    File::open("/dev/urandom")?.read_exact(&mut bytes)?;
    Ok(bytes.iter().map(|byte| format!("{byte:02x}")).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bundles(data: &Path) -> Vec<PathBuf> {
        let entries = fs::read_dir(data.join(FOLDER)).unwrap();
        entries.map(|entry| entry.unwrap().path()).collect()
    }

    #[test]
    fn a_bundle_ends_with_its_holder() {
        let data = tempfile::tempdir().unwrap();
        let first = Scratch::make(data.path(), |_| true).unwrap();
        let second = Scratch::make(data.path(), |_| true).unwrap();
        assert_eq!(bundles(data.path()).len(), 2, "a held bundle is no leftover");
        first.close().unwrap();
        drop(second);
        assert_eq!(bundles(data.path()), Vec::<PathBuf>::new());
    }

    #[test]
    fn a_leftover_is_removed_unless_it_is_used() {
        let data = tempfile::tempdir().unwrap();
        let scratch = Scratch::make(data.path(), |_| true).unwrap();
        let left = data.path().join(FOLDER).join("left");
        fs::create_dir_all(left.join("a")).unwrap();
        drop(Scratch::make(data.path(), |path| path != left).unwrap());
        assert!(left.exists());
        drop(Scratch::make(data.path(), |_| true).unwrap());
        assert_eq!(bundles(data.path()), [scratch.path()]);
    }
}
