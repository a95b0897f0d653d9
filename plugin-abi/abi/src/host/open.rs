//! Opening a shared object.

use std::path::Path;

use libloading::os::unix::{Library, RTLD_LOCAL, RTLD_NOW};

use super::{ENTRY, Host, LoadError, Loaded};
use crate::table::NxcEntry;

/// Loads a library of the C runtime, so that a plugin that needs it finds it though it sees no files.
///
/// * `name`: as the dynamic loader searches for it.
///
/// # Errors
///
/// [`LoadError::Open`].
pub fn preload(name: &str) -> Result<(), LoadError> {
    // SAFETY: the caller names a library of the C runtime, whose constructors are as trusted as this program's own.
    let library = unsafe { Library::open(Some(name), RTLD_NOW | RTLD_LOCAL) };
    let library = library.map_err(|source| LoadError::Open {
        path: name.into(),
        source,
    })?;
    // Its handlers of the process's end stay in place.
    std::mem::forget(library);
    Ok(())
}

impl Loaded {
    /// Loads a plugin's shared object and enters it. Its constructors run in this call; `init` is not called.
    ///
    /// * `path`: the file; without a slash the dynamic loader would search for it, so give a whole path.
    ///
    /// The file's code becomes part of this process, which must hold nothing that the code may not have.
    ///
    /// # Errors
    ///
    /// See [`LoadError`].
    pub fn open(path: &Path, host: Box<dyn Host>) -> Result<Self, LoadError> {
        // SAFETY: constructors run here; the caller gave the process to this code, as documented above.
        let library = unsafe { Library::open(Some(path), RTLD_NOW | RTLD_LOCAL) };
        let library = library.map_err(|source| LoadError::Open {
            path: path.to_owned(),
            source,
        })?;
        // SAFETY: the interface says what type the symbol of this name has.
        let entry = unsafe { library.get::<NxcEntry>(ENTRY) };
        let entry = *entry.map_err(|source| LoadError::NoEntry {
            path: path.to_owned(),
            source,
        })?;
        // Threads and thread-local destructors of the plugin may run until the process ends.
        std::mem::forget(library);
        // SAFETY: the symbol of this name follows the interface; see above.
        unsafe { Self::enter(entry, host) }
    }
}
