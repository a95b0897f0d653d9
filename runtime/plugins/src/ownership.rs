//! Whose files are believed.

use std::fs::Metadata;
use std::os::unix::fs::MetadataExt as _;

use nexcage_sys::process::effective_uid;

/// Whether nobody but root and the caller can have written a file, or put one into a folder.
pub(crate) fn is_trusted(metadata: &Metadata) -> bool {
    let uid = metadata.uid();
    (uid == 0 || uid == effective_uid()) && metadata.mode() & 0o022 == 0
}
