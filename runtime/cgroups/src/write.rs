//! Reading and writing cgroup files.

use std::fs::{self, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use nix::fcntl::OFlag;

use crate::error::Error;

/// Writes an existing file; links are not followed.
pub(crate) fn write(path: &Path, value: &str) -> Result<(), Error> {
    try_write(path, value).map_err(|source| Error::Write {
        path: path.to_owned(),
        value: value.to_owned(),
        source,
    })
}

/// As [`write`], with the bare answer.
pub(crate) fn try_write(path: &Path, value: &str) -> io::Result<()> {
    let mut file = OpenOptions::new()
        .write(true)
        .custom_flags(OFlag::O_NOFOLLOW.bits())
        .open(path)?;
    file.write_all(value.as_bytes())
}

/// Reads a file as trimmed text.
pub(crate) fn read(path: &Path) -> Result<String, Error> {
    fs::read_to_string(path)
        .map(|text| text.trim().to_owned())
        .map_err(|source| Error::Read {
            path: path.to_owned(),
            source,
        })
}

/// Reads one number; `max` and what cannot be a number are the largest.
pub(crate) fn read_number(path: &Path) -> Result<u64, Error> {
    Ok(read(path)?.parse().unwrap_or(u64::MAX))
}

/// As [`read_number`], 0 when the file is not there.
pub(crate) fn number_or_zero(path: &Path) -> u64 {
    read_number(path).unwrap_or(0)
}

/// The value of `key VALUE` lines.
pub(crate) fn keyed(text: &str, key: &str) -> Option<u64> {
    text.lines()
        .find_map(|line| line.strip_prefix(key)?.strip_prefix(' ')?.trim().parse().ok())
}
