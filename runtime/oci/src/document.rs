//! Reads a JSON document from a file into a type: the way that config.json, a process file and a resources file share.

use std::fs::{FileType, Metadata, OpenOptions};
use std::io::{self, Read};
use std::os::unix::fs::{FileTypeExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::Value;

use crate::json::{self, JsonError};

/// Bytes in the largest document that is read.
pub const MAX_BYTES: u64 = 16 * 1024 * 1024;

/// Why a document was not read from its file.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum DocumentError {
    /// The kernel did not open it.
    #[error("open {path:?}")]
    Open {
        /// The file.
        path: PathBuf,
        /// The kernel's answer.
        source: io::Error,
    },
    /// Its type cannot be told.
    #[error("stat {path:?}")]
    Stat {
        /// The file.
        path: PathBuf,
        /// The kernel's answer.
        source: io::Error,
    },
    /// It is a folder, a device, a pipe or a socket.
    #[error("open {path:?}: it is {kind}, not a regular file: put the document itself there")]
    NotRegular {
        /// The file.
        path: PathBuf,
        /// What it is.
        kind: &'static str,
    },
    /// It has more bytes than are read.
    #[error("read {path:?}: {size} bytes, at most {limit} are read: make the document smaller")]
    TooLarge {
        /// The file.
        path: PathBuf,
        /// Its size; one more than the limit when it does not tell.
        size: u64,
        /// The limit, in bytes.
        limit: u64,
    },
    /// The kernel did not hand its bytes out.
    #[error("read {path:?}")]
    Read {
        /// The file.
        path: PathBuf,
        /// The kernel's answer.
        source: io::Error,
    },
    /// Its bytes are not the document that they should be.
    #[error("parse {path:?}")]
    Parse {
        /// The file.
        path: PathBuf,
        /// What is wrong, and where.
        source: JsonError,
    },
}

/// Something in a document that the runtime goes on without.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Warning {
    /// JSON pointer of the value.
    pub pointer: String,
    /// What is wrong with it and what happens instead.
    pub text: String,
}

impl std::fmt::Display for Warning {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}: {}", self.pointer, self.text)
    }
}

/// A document with what was read past in it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Parsed<T> {
    /// The document.
    pub value: T,
    /// What the runtime goes on without.
    pub warnings: Vec<Warning>,
}

/// Which files a document may be read from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Source {
    /// A regular file, reached through links or not.
    Regular,
    /// Also a pipe or a terminal, which is read to its end.
    Stream,
}

/// Reads a file as a whole, up to [`MAX_BYTES`].
pub(crate) fn read_bytes(path: &Path, source: Source) -> Result<Vec<u8>, DocumentError> {
    read_capped(path, source, MAX_BYTES)
}

fn read_capped(path: &Path, source: Source, limit: u64) -> Result<Vec<u8>, DocumentError> {
    let mut options = OpenOptions::new();
    options.read(true);
    if source == Source::Regular {
        // A pipe without a writer would hold us here before its type is known.
        options.custom_flags(libc::O_NONBLOCK);
    }
    let in_path = || path.to_owned();
    let file = options.open(path).map_err(|source| DocumentError::Open {
        path: in_path(),
        source,
    })?;
    let meta = file.metadata().map_err(|source| DocumentError::Stat {
        path: in_path(),
        source,
    })?;
    check_type(path, &meta, source)?;
    if meta.len() > limit {
        return Err(DocumentError::TooLarge {
            path: in_path(),
            size: meta.len(),
            limit,
        });
    }
    drain(file, path, meta.len(), limit)
}

/// Reads stdin to its end, up to [`MAX_BYTES`].
pub(crate) fn read_stdin() -> Result<Vec<u8>, DocumentError> {
    drain(io::stdin().lock(), Path::new("/dev/stdin"), 0, MAX_BYTES)
}

fn drain(reader: impl Read, path: &Path, size_hint: u64, limit: u64) -> Result<Vec<u8>, DocumentError> {
    let mut bytes = Vec::with_capacity(usize::try_from(size_hint).unwrap_or(0).saturating_add(1));
    let read = reader.take(limit.saturating_add(1)).read_to_end(&mut bytes);
    read.map_err(|source| DocumentError::Read {
        path: path.to_owned(),
        source,
    })?;
    // A file that grew meanwhile, or a stream.
    match u64::try_from(bytes.len()) {
        Ok(size) if size <= limit => Ok(bytes),
        _ => Err(DocumentError::TooLarge {
            path: path.to_owned(),
            size: limit.saturating_add(1),
            limit,
        }),
    }
}

fn check_type(path: &Path, meta: &Metadata, source: Source) -> Result<(), DocumentError> {
    let kind = kind_of(meta.file_type());
    let fits = meta.is_file() || (source == Source::Stream && !meta.is_dir());
    if fits {
        Ok(())
    } else {
        Err(DocumentError::NotRegular {
            path: path.to_owned(),
            kind,
        })
    }
}

fn kind_of(file_type: FileType) -> &'static str {
    match file_type {
        t if t.is_dir() => "a directory",
        t if t.is_fifo() => "a named pipe",
        t if t.is_socket() => "a socket",
        t if t.is_char_device() => "a character device",
        t if t.is_block_device() => "a block device",
        _ => "a special file",
    }
}

/// Reads bytes as JSON, makes the value fit with `mend`, and turns it into a type.
///
/// * `mend`: drops or replaces what the type would refuse although real clients write it; says so in the warnings.
pub(crate) fn parse<T: DeserializeOwned + Serialize>(
    bytes: &[u8],
    mend: impl FnOnce(&mut Value, &mut Vec<Warning>),
) -> Result<Parsed<T>, JsonError> {
    let mut warnings = Vec::new();
    let mut value = json::parse(bytes)?;
    mend(&mut value, &mut warnings);
    // What was written is needed once more, and only to tell of it; parsing it again costs nobody else.
    let typed = json::typed(value)?;
    if tracing::enabled!(tracing::Level::DEBUG) {
        log_unknown_fields(&json::parse(bytes)?, &typed);
    }
    Ok(Parsed { value: typed, warnings })
}

/// Logs every field of a document that its type has no place for; the spec says that they must not be an error.
fn log_unknown_fields<T: Serialize>(written: &Value, typed: &T) {
    let Ok(known) = serde_json::to_value(typed) else { return };
    for pointer in unknown_fields(written, &known) {
        tracing::debug!(pointer, "unknown field ignored");
    }
}

fn unknown_fields(written: &Value, known: &Value) -> Vec<String> {
    let mut found = Vec::new();
    collect_unknown(written, known, &mut String::new(), &mut found);
    found
}

fn collect_unknown(written: &Value, known: &Value, pointer: &mut String, found: &mut Vec<String>) {
    let here = pointer.len();
    match (written, known) {
        (Value::Object(written), Value::Object(known)) => {
            for (key, value) in written {
                json::push_segment(pointer, key);
                match known.get(key) {
                    Some(known) => collect_unknown(value, known, pointer, found),
                    None => found.push(pointer.clone()),
                }
                pointer.truncate(here);
            }
        }
        (Value::Array(written), Value::Array(known)) => {
            for (index, (written, known)) in written.iter().zip(known).enumerate() {
                json::push_segment(pointer, &index.to_string());
                collect_unknown(written, known, pointer, found);
                pointer.truncate(here);
            }
        }
        _ => {}
    }
}

#[cfg(test)]
mod tests;
