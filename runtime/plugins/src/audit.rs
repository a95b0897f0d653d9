//! The audit log: what plugins were allowed, refused and did, in an order that cannot be changed afterwards.
//!
//! A record is a line of JSON. It carries the digest of the record before it and its own, so that a removed, moved or
//! altered record breaks the chain. The file `NAME.head` beside it holds the newest digest, so that records missing at
//! the end are found too. Whoever can write both files can forge a whole log: send it to another machine if that is to be
//! excluded.

use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use nexcage_plugin_types::message::printable;
use nexcage_sys::file::{self, Durability, FileError};
use nexcage_sys::lock::{FileLock, LockKind};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

#[cfg(test)]
mod tests;
mod verify;

pub use verify::{Fault, Verified, read, verify};

/// Bytes of the longest record, its newline included.
pub const RECORD_MAX: usize = 64 << 10;

/// As much of the end of a log as holds a record and an unfinished one.
const TAIL: usize = 2 * RECORD_MAX;

/// The digest that stands before the first record.
pub const GENESIS: &str = "0000000000000000000000000000000000000000000000000000000000000000";

/// What happened.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Kind {
    /// A plugin was loaded: its version, digest, grants, and what confines it.
    Load,
    /// A plugin was not loaded.
    Refusal,
    /// Whether a signature was trusted, and by which rule.
    Trust,
    /// A plugin asked for an effect and got it.
    Broker,
    /// A plugin asked for an effect that it was not granted.
    Denial,
    /// A plugin broke a rule: of the protocol, of its sandbox, of its limits.
    Violation,
    /// A plugin's answer at a hook point.
    Verdict,
    /// A plugin changed a config.
    Patch,
    /// An operator enabled, disabled or reloaded a plugin.
    Operator,
    /// This log was cut short by a crash while a record was written; its half was taken off.
    Recovery,
}

/// What is to be recorded.
#[derive(Clone, Debug)]
pub struct Event<'a> {
    /// What happened.
    pub kind: Kind,
    /// The plugin that it happened to; empty where there is none.
    pub plugin: &'a str,
    /// The container that it happened for; empty where there is none.
    pub container: &'a str,
    /// One line for people. Parts of it may come from a plugin.
    pub text: &'a str,
    /// Everything else, for programs.
    pub detail: serde_json::Value,
}

/// A line of the log.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Record {
    /// Its number; the first is 1.
    pub seq: u64,
    /// RFC 3339, UTC.
    pub time: String,
    /// What happened.
    pub kind: Kind,
    /// The plugin that it happened to.
    pub plugin: String,
    /// The container that it happened for.
    pub container: String,
    /// One line for people.
    pub text: String,
    /// Everything else, for programs.
    pub detail: serde_json::Value,
    /// The digest of the record before.
    pub previous: String,
    /// The SHA-256 of this line up to this field.
    pub digest: String,
}

/// A step of keeping or reading the log that went wrong.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum AuditError {
    /// A file of the log cannot be opened, read or replaced.
    #[error("keep audit log")]
    File {
        /// The step.
        #[source]
        source: FileError,
    },
    /// A step on the open log failed.
    #[error("{step} audit log {path:?}")]
    Io {
        /// What was tried.
        step: &'static str,
        /// The log.
        path: PathBuf,
        /// The kernel's answer.
        #[source]
        source: io::Error,
    },
    /// The last line is no record: nothing can be chained to it.
    #[error("last record of audit log {path:?} cannot be read: move the log away to begin a new one")]
    Last {
        /// The log.
        path: PathBuf,
    },
    /// A record that is longer than any may be.
    #[error("audit record of {0} bytes: at most {RECORD_MAX} are allowed")]
    TooLong(usize),
}

/// What of a record is covered by its digest: all but the digest.
#[derive(Serialize)]
struct Covered<'a> {
    seq: u64,
    time: &'a str,
    kind: Kind,
    plugin: &'a str,
    container: &'a str,
    text: &'a str,
    detail: &'a serde_json::Value,
    previous: &'a str,
}

/// An audit log that records are added to. Many processes may hold the same one.
#[derive(Clone, Debug)]
pub struct Audit {
    path: PathBuf,
}

impl Audit {
    /// The log in a file, which is made with the first record. Its folder must exist.
    #[must_use]
    pub fn new(path: PathBuf) -> Self {
        Self { path }
    }

    /// The file.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Adds a record.
    ///
    /// The record is in the kernel's hands when this returns: it survives any process, but not a power cut right after.
    ///
    /// # Errors
    ///
    /// [`AuditError`]: nothing was recorded, and what the record would have told must not go on unseen.
    pub fn append(&self, event: &Event<'_>) -> Result<Record, AuditError> {
        let file = file::open_append(&self.path, 0o600).map_err(|source| AuditError::File { source })?;
        let lock = FileLock::lock(file, LockKind::Exclusive).map_err(|source| self.failed("lock", source))?;
        let mut log = lock.file();
        let (last, torn) = self.last()?;
        let mut last = last;
        if torn > 0 {
            self.take_off(log, torn)?;
            let text = format!("{torn} bytes of an unfinished record taken off");
            last = Some(self.write(&mut log, last, &Event::recovery(&text))?);
        }
        self.write(&mut log, last, event)
    }

    fn write(&self, log: &mut &File, last: Option<Record>, event: &Event<'_>) -> Result<Record, AuditError> {
        let record = Record::after(last.as_ref(), event);
        let mut line = serde_json::to_vec(&record).unwrap_or_default();
        line.push(b'\n');
        if line.len() > RECORD_MAX {
            return Err(AuditError::TooLong(line.len()));
        }
        log.write_all(&line).map_err(|source| self.failed("write to", source))?;
        let head = format!("{} {}\n", record.seq, record.digest);
        file::write_atomic(&head_of(&self.path), head.as_bytes(), 0o600, Durability::Volatile)
            .map_err(|source| AuditError::File { source })?;
        Ok(record)
    }

    /// The last whole record, and how many bytes of an unfinished one follow it.
    fn last(&self) -> Result<(Option<Record>, u64), AuditError> {
        let tail = read_tail(&self.path).map_err(|source| self.failed("read", source))?;
        let end = tail.iter().rposition(|byte| *byte == b'\n').map_or(0, |end| end + 1);
        let torn = tail.len() - end;
        let whole = tail.get(..end.saturating_sub(1)).unwrap_or_default();
        let line = whole.rsplit(|byte| *byte == b'\n').next().unwrap_or_default();
        let torn = u64::try_from(torn).unwrap_or(u64::MAX);
        if line.is_empty() && tail.len() < TAIL {
            return Ok((None, torn));
        }
        let record = serde_json::from_slice(line).map_err(|_source| AuditError::Last {
            path: self.path.clone(),
        })?;
        Ok((Some(record), torn))
    }

    fn take_off(&self, log: &File, torn: u64) -> Result<(), AuditError> {
        let len = log.metadata().map(|metadata| metadata.len());
        let cut = len.and_then(|len| log.set_len(len.saturating_sub(torn)));
        cut.map_err(|source| self.failed("take an unfinished record off", source))
    }

    fn failed(&self, step: &'static str, source: io::Error) -> AuditError {
        AuditError::Io {
            step,
            path: self.path.clone(),
            source,
        }
    }
}

impl<'a> Event<'a> {
    fn recovery(text: &'a str) -> Self {
        Self {
            kind: Kind::Recovery,
            plugin: "",
            container: "",
            text,
            detail: serde_json::Value::Null,
        }
    }
}

impl Record {
    fn after(last: Option<&Self>, event: &Event<'_>) -> Self {
        let mut record = Self {
            seq: last.map_or(1, |last| last.seq.saturating_add(1)),
            time: humantime::format_rfc3339_micros(SystemTime::now()).to_string(),
            kind: event.kind,
            plugin: printable(event.plugin),
            container: printable(event.container),
            text: printable(event.text),
            detail: event.detail.clone(),
            previous: last.map_or(GENESIS, |last| &last.digest).to_owned(),
            digest: String::new(),
        };
        record.digest = record.compute_digest();
        record
    }

    /// The digest that this record must have.
    fn compute_digest(&self) -> String {
        let covered = Covered {
            seq: self.seq,
            time: &self.time,
            kind: self.kind,
            plugin: &self.plugin,
            container: &self.container,
            text: &self.text,
            detail: &self.detail,
            previous: &self.previous,
        };
        let bytes = serde_json::to_vec(&covered).unwrap_or_default();
        Sha256::digest(&bytes)
            .iter()
            .map(|byte| format!("{byte:02x}"))
            .collect()
    }
}

fn head_of(log: &Path) -> PathBuf {
    let mut name = log.as_os_str().to_owned();
    name.push(".head");
    name.into()
}

fn read_tail(path: &Path) -> io::Result<Vec<u8>> {
    let mut file = File::open(path)?;
    let len = file.metadata()?.len();
    let wanted = u64::try_from(TAIL).unwrap_or(u64::MAX);
    file.seek(SeekFrom::Start(len.saturating_sub(wanted)))?;
    let mut tail = Vec::new();
    file.take(wanted).read_to_end(&mut tail)?;
    Ok(tail)
}
