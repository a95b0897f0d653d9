//! The process file that `exec` is given: a process as in a config, without the config around it.

use std::path::Path;

use oci_spec::runtime::Process;

use crate::document::{self, DocumentError, Parsed, Source};
use crate::json::JsonError;
use crate::lenient;

/// Reads a process from bytes, as strictly as a config. A name may come twice in `env`.
///
/// # Errors
///
/// [`JsonError`], which names the place.
pub fn parse(bytes: &[u8]) -> Result<Parsed<Process>, JsonError> {
    document::parse(bytes, |process, warnings| lenient::mend_process(process, "", warnings))
}

/// Reads a process from a file, a pipe or a terminal.
///
/// # Errors
///
/// [`DocumentError`], which names the file and the place.
pub fn load(path: &Path) -> Result<Parsed<Process>, DocumentError> {
    let bytes = document::read_bytes(path, Source::Stream)?;
    parse(&bytes).map_err(|source| DocumentError::Parse {
        path: path.to_owned(),
        source,
    })
}
