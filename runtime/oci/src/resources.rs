//! The resources document that `update` is given, in a file or on stdin.
//!
//! Clients mean "leave alone" in three ways: by leaving a field out, by `null`, and Docker by 0 for a number. The first
//! two read as `None` here. A 0 stays a 0: only whoever writes the cgroup files knows where 0 is a value, and skips it
//! elsewhere.

use std::path::Path;

use oci_spec::runtime::LinuxResources;

use crate::document::{self, DocumentError, Parsed, Source};
use crate::json::JsonError;
use crate::lenient;

/// Reads resources from bytes.
///
/// # Errors
///
/// [`JsonError`], which names the place.
pub fn parse(bytes: &[u8]) -> Result<Parsed<LinuxResources>, JsonError> {
    document::parse(bytes, |resources, warnings| {
        lenient::mend_resources(resources, "", warnings)
    })
}

/// Reads resources from a file, or from stdin when `path` is `-`.
///
/// # Errors
///
/// [`DocumentError`], which names the file and the place.
pub fn load(path: &Path) -> Result<Parsed<LinuxResources>, DocumentError> {
    let bytes = if path == Path::new("-") {
        document::read_stdin()?
    } else {
        document::read_bytes(path, Source::Stream)?
    };
    parse(&bytes).map_err(|source| DocumentError::Parse {
        path: path.to_owned(),
        source,
    })
}
