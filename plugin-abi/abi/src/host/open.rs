//! Opening a shared object.

use std::path::Path;

use libloading::os::unix::{Library, RTLD_LOCAL, RTLD_NOW};

use super::{ENTRY, Host, LoadError, Loaded};
use crate::table::NxcEntry;

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
