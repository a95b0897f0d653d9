//! Reading an audit log, and finding what was done to it.

use std::fmt;
use std::fs::File;
use std::io::{BufRead, BufReader};
use std::path::Path;

use nexcage_sys::file::{self, FileError};

use super::{AuditError, GENESIS, RECORD_MAX, Record, head_of};

/// Bytes of the longest `NAME.head`.
const HEAD_MAX: u64 = 256;

/// What is wrong with a log.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Fault {
    /// A line is no record.
    Line {
        /// The line, counted from 1.
        line: u64,
    },
    /// A record was altered.
    Altered {
        /// The line.
        line: u64,
        /// The number that it gives itself.
        seq: u64,
    },
    /// A record does not follow the one before: records were removed, added or moved here.
    Chain {
        /// The line.
        line: u64,
        /// The number that had to come.
        expected: u64,
        /// The number that came.
        seq: u64,
    },
    /// The last line was never finished.
    Unfinished {
        /// The line.
        line: u64,
    },
    /// Records at the end are missing, or the head belongs to another log.
    Head {
        /// The number of the newest record, as the head has it.
        seq: u64,
    },
    /// There are records, and no head that can be read.
    NoHead,
}

/// What was found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Verified {
    /// How many records there are.
    pub records: u64,
    /// The digest of the last one, to be kept elsewhere.
    pub digest: String,
    /// What is wrong, in the order of the log; empty for a log that nobody touched.
    pub faults: Vec<Fault>,
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Line { line } => write!(f, "line {line}: no record"),
            Self::Altered { line, seq } => write!(f, "line {line}: record {seq} was altered"),
            Self::Chain { line, expected, seq } => {
                write!(f, "line {line}: record {seq} does not follow, {expected} was expected")
            }
            Self::Unfinished { line } => write!(f, "line {line}: record was never finished"),
            Self::Head { seq } => write!(f, "records at the end, up to {seq}, are missing or were replaced"),
            Self::NoHead => f.write_str("the head of the log is missing"),
        }
    }
}

/// Gives every record that can be read to a function, in order, until it says stop.
///
/// * `each`: gets the number of the line and its record, or `None` for a line that is none. Returns whether to go on.
///
/// # Errors
///
/// [`AuditError`]: the log cannot be opened or read. A log that does not exist has no records.
pub fn read(path: &Path, mut each: impl FnMut(u64, Option<Record>) -> bool) -> Result<(), AuditError> {
    let failed = |source| AuditError::Io {
        step: "read",
        path: path.to_owned(),
        source,
    };
    let log = match File::open(path) {
        Ok(log) => log,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(failed(error)),
    };
    let mut log = BufReader::new(log);
    for line in 1.. {
        let Some(bytes) = read_line(&mut log).map_err(failed)? else {
            break;
        };
        let record = bytes
            .strip_suffix(b"\n")
            .and_then(|bytes| serde_json::from_slice(bytes).ok());
        if !each(line, record) {
            break;
        }
    }
    Ok(())
}

/// Looks for every change that was made to a log.
///
/// # Errors
///
/// As [`read`].
pub fn verify(path: &Path) -> Result<Verified, AuditError> {
    // Before the log: a record that is added meanwhile is then newer than the head, not missing.
    let head = read_head(path)?;
    let mut found = Verified {
        records: 0,
        digest: GENESIS.to_owned(),
        faults: Vec::new(),
    };
    let mut expected = 1;
    let mut is_head_seen = false;
    let mut last_line = 0;
    read(path, |line, record| {
        last_line = line;
        let Some(record) = record else {
            found.faults.push(Fault::Line { line });
            return true;
        };
        let seq = record.seq;
        if record.compute_digest() != record.digest {
            found.faults.push(Fault::Altered { line, seq });
        }
        if seq != expected || record.previous != found.digest {
            found.faults.push(Fault::Chain { line, expected, seq });
        }
        is_head_seen |= matches!(&head, Some((number, digest)) if *number == seq && *digest == record.digest);
        expected = seq.saturating_add(1);
        found.records += 1;
        found.digest = record.digest;
        true
    })?;
    if found.faults.last() == Some(&Fault::Line { line: last_line }) && !ends_with_newline(path) {
        found.faults.pop();
        found.faults.push(Fault::Unfinished { line: last_line });
    }
    match head {
        Some((seq, _)) if !is_head_seen => found.faults.push(Fault::Head { seq }),
        None if found.records > 0 => found.faults.push(Fault::NoHead),
        _ => {}
    }
    Ok(found)
}

/// A line with its end; what is longer than any record comes in pieces, none of which is one.
fn read_line(log: &mut impl BufRead) -> std::io::Result<Option<Vec<u8>>> {
    let mut bytes = Vec::new();
    let limit = u64::try_from(RECORD_MAX).unwrap_or(u64::MAX);
    std::io::Read::take(log, limit).read_until(b'\n', &mut bytes)?;
    Ok((!bytes.is_empty()).then_some(bytes))
}

fn ends_with_newline(path: &Path) -> bool {
    super::read_tail(path).is_ok_and(|tail| tail.ends_with(b"\n"))
}

fn read_head(log: &Path) -> Result<Option<(u64, String)>, AuditError> {
    let bytes = match file::read_capped(&head_of(log), HEAD_MAX) {
        Ok(bytes) => bytes,
        Err(FileError::Open { source, .. }) if source.kind() == std::io::ErrorKind::NotFound => return Ok(None),
        Err(source) => return Err(AuditError::File { source }),
    };
    let text = String::from_utf8_lossy(&bytes);
    let parts = text.trim_end().split_once(' ');
    Ok(parts.and_then(|(seq, digest)| Some((seq.parse().ok()?, digest.to_owned()))))
}
