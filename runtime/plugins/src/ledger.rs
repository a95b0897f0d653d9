//! What is kept of a plugin from one command to the next: how its calls went, and whether it is left alone.
//!
//! One small file a plugin, under a lock of its own. It is a help for operators, not evidence: the audit log is that. So
//! a file that cannot be read, after a crash of the node or by another version, is begun anew.

use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use nexcage_plugin_types::text::PluginName;
use nexcage_sys::file::{self, Durability, FileError};
use nexcage_sys::lock::{FileLock, LockKind};
use serde::{Deserialize, Serialize};

use crate::breaker::Breaker;
use crate::connection::CallError;

#[cfg(test)]
mod tests;

/// Bytes of the largest file.
const FILE_MAX: u64 = 1 << 20;

/// Upper bounds of the latency histogram, in microseconds; above the last there is one more bucket.
pub const BOUNDS: [u64; 15] = [
    50, 100, 250, 500, 1_000, 2_500, 5_000, 10_000, 25_000, 50_000, 100_000, 250_000, 500_000, 1_000_000, 5_000_000,
];

/// How a call ended badly.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum FailureKind {
    /// The plugin answered with an error.
    Refused,
    /// It did not answer in time.
    Deadline,
    /// Its process ended.
    Crash,
    /// It broke the protocol.
    Protocol,
    /// It could not be started or spoken to.
    Unavailable,
}

/// How the calls at one place went.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Calls {
    /// All of them.
    pub count: u64,
    /// Those that ended badly, by kind.
    pub failures: BTreeMap<FailureKind, u64>,
    /// Their time altogether, in microseconds.
    pub micros: u64,
    /// How many took up to each of [`BOUNDS`], and longer than all.
    pub histogram: Vec<u64>,
}

/// What is known of one plugin.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Entry {
    /// Whether it is left alone.
    pub breaker: Breaker,
    /// By hook point or function.
    pub calls: BTreeMap<String, Calls>,
}

/// A ledger that cannot be kept.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum LedgerError {
    /// A step on a file failed.
    #[error("keep the record of plugin {plugin:?}")]
    File {
        /// The plugin.
        plugin: String,
        /// The step.
        #[source]
        source: FileError,
    },
    /// Nobody else may write at the same time.
    #[error("lock the record of plugin {plugin:?}")]
    Lock {
        /// The plugin.
        plugin: String,
        /// The kernel's answer.
        #[source]
        source: io::Error,
    },
}

/// The ledger of a state root.
#[derive(Clone, Debug)]
pub struct Ledger {
    folder: PathBuf,
}

impl Ledger {
    /// The ledger in a folder, which must exist.
    #[must_use]
    pub fn new(folder: PathBuf) -> Self {
        Self { folder }
    }

    /// Its folder.
    #[must_use]
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// What is known of a plugin; nothing yet is an empty entry.
    ///
    /// # Errors
    ///
    /// [`LedgerError`].
    pub fn read(&self, plugin: &PluginName) -> Result<Entry, LedgerError> {
        let path = self.path(plugin);
        match file::read_capped(&path, FILE_MAX) {
            Ok(bytes) => Ok(parse(&path, &bytes)),
            Err(FileError::Open { source, .. }) if source.kind() == io::ErrorKind::NotFound => Ok(Entry::default()),
            Err(source) => Err(failed(plugin, source)),
        }
    }

    /// Changes what is known of a plugin; two commands never change it at the same time.
    ///
    /// # Errors
    ///
    /// [`LedgerError`]; nothing has changed then.
    pub fn update<T>(&self, plugin: &PluginName, change: impl FnOnce(&mut Entry) -> T) -> Result<T, LedgerError> {
        let lock = self.folder.join(format!("{plugin}.lock"));
        let lock = file::open_append(&lock, 0o600).map_err(|source| failed(plugin, source))?;
        let _held = FileLock::lock(lock, LockKind::Exclusive).map_err(|source| LedgerError::Lock {
            plugin: plugin.to_string(),
            source,
        })?;
        let mut entry = self.read(plugin)?;
        let result = change(&mut entry);
        let bytes = serde_json::to_vec(&entry).unwrap_or_default();
        file::write_atomic(&self.path(plugin), &bytes, 0o600, Durability::Volatile)
            .map_err(|source| failed(plugin, source))?;
        Ok(result)
    }

    fn path(&self, plugin: &PluginName) -> PathBuf {
        self.folder.join(format!("{plugin}.json"))
    }
}

impl Entry {
    /// Counts a call.
    ///
    /// * `place`: the hook point or function.
    pub fn count(&mut self, place: &str, took: Duration, failure: Option<FailureKind>) {
        let calls = self.calls.entry(place.to_owned()).or_default();
        let micros = u64::try_from(took.as_micros()).unwrap_or(u64::MAX);
        calls.count = calls.count.saturating_add(1);
        calls.micros = calls.micros.saturating_add(micros);
        calls.histogram.resize(BOUNDS.len() + 1, 0);
        let bucket = BOUNDS.partition_point(|bound| *bound < micros);
        if let Some(bucket) = calls.histogram.get_mut(bucket) {
            *bucket = bucket.saturating_add(1);
        }
        if let Some(kind) = failure {
            let failures = calls.failures.entry(kind).or_default();
            *failures = failures.saturating_add(1);
        }
    }
}

impl Calls {
    /// The bound in microseconds below which this share of the calls stayed; `None` without calls, or above all bounds.
    ///
    /// * `per_mille`: 500 for the median.
    #[must_use]
    pub fn quantile(&self, per_mille: u64) -> Option<u64> {
        let wanted = self.count.saturating_mul(per_mille).div_ceil(1000).max(1);
        let mut seen = 0_u64;
        let bucket = self.histogram.iter().position(|count| {
            seen = seen.saturating_add(*count);
            seen >= wanted
        })?;
        BOUNDS.get(bucket).copied()
    }
}

impl FailureKind {
    /// What kind of failure an error of a call is.
    #[must_use]
    pub fn of(error: &CallError) -> Self {
        match error {
            CallError::Deadline { .. } => Self::Deadline,
            CallError::Closed => Self::Crash,
            CallError::Frame { .. } | CallError::Session { .. } | CallError::Body { .. } => Self::Protocol,
            _ => Self::Unavailable,
        }
    }
}

fn parse(path: &Path, bytes: &[u8]) -> Entry {
    serde_json::from_slice(bytes).unwrap_or_else(|error| {
        tracing::warn!(path = %path.display(), %error, lost = "statistics", "record of a plugin begun anew");
        Entry::default()
    })
}

fn failed(plugin: &PluginName, source: FileError) -> LedgerError {
    LedgerError::File {
        plugin: plugin.to_string(),
        source,
    }
}
